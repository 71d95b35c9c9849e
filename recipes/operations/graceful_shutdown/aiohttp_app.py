"""Graceful shutdown in aiohttp: gunicorn's hook drains, signals finish.

Idiom: `on_response_prepare` and `on_shutdown`; the worker keeps the time.
"""

import asyncio
import os
import signal
from asyncio import Event
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from frameworks.aiohttp.problems import answer_problems, read_json
from shared.copy_shop import DRAINING, Meter, Spool, read_usage, write_event
from shared.pauses import set_within
from shared.problems import MEDIA_TYPE
from shared.two_signals import count_signals

SHOP_FOLDER = os.environ.get("SHOP_FOLDER", "shop")
PAGE_SECONDS = float(os.environ.get("PAGE_SECONDS", "0.2"))
EVENT_SECONDS = float(os.environ.get("EVENT_SECONDS", "5"))
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "5"))
DEADLINE_SECONDS = int(os.environ.get("DEADLINE_SECONDS", "25"))

# What gunicorn reads of this module: settings and hooks, by their names.
# rule: deadline
graceful_timeout = DEADLINE_SECONDS
when_ready = count_signals
# What a worker has, when its drain is over.
LAST_SECONDS = max(1, int(DEADLINE_SECONDS - DRAIN_SECONDS - 1))

routes = web.RouteTableDef()


@dataclass
class Shop:
    """What a worker has open, and how far its shutdown is."""

    spool: Spool = field(default_factory=lambda: Spool(SHOP_FOLDER))
    meter: Meter = field(default_factory=lambda: Meter(SHOP_FOLDER))
    draining: Event = field(default_factory=Event)
    closing: Event = field(default_factory=Event)


SHOP = web.AppKey("SHOP", Shop)


class PagesInput(BaseModel):
    """How much is to be copied, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pages: int = Field(ge=1, le=10_000)


@routes.get("/readyz")
async def get_ready(request: web.Request) -> web.Response:
    """Tell whether new clients are welcome."""
    # rule: unready-first
    if request.app[SHOP].draining.is_set():
        return web.json_response(DRAINING, status=503, content_type=MEDIA_TYPE)
    return web.json_response({"status": "ready"})


@routes.post("/copies")
async def make_copies(request: web.Request) -> web.Response:
    """Copy while the client waits."""
    pages = (await read_json(request, PagesInput)).pages
    await asyncio.sleep(pages * PAGE_SECONDS)
    request.app[SHOP].meter.count(pages)
    return web.json_response({"pages": pages})


@routes.post("/jobs")
async def add_job(request: web.Request) -> web.Response:
    """Accept what is copied later."""
    pages = (await read_json(request, PagesInput)).pages
    job = await asyncio.to_thread(request.app[SHOP].spool.add, pages)
    headers = {"Location": f"/jobs/{job.id}"}
    return web.json_response(job.to_json(), status=202, headers=headers)


@routes.get("/jobs/{name}")
async def get_job(request: web.Request) -> web.Response:
    """Show how far a job is."""
    job = request.app[SHOP].spool.find(request.match_info["name"])
    if job is None:
        raise web.HTTPNotFound
    return web.json_response(job.to_json())


@routes.get("/usage")
async def get_usage(request: web.Request) -> web.Response:
    """Show what all workers that ended have copied."""
    return web.json_response({"pages": read_usage(SHOP_FOLDER)})


@routes.get("/events")
async def get_events(request: web.Request) -> web.StreamResponse:
    """Stream how many jobs wait, until the worker ends."""
    shop = request.app[SHOP]
    response = web.StreamResponse()
    response.content_type = "text/event-stream"
    await response.prepare(request)
    # To HEAD, what is written would be taken for the next answer.
    if request.method == "GET":
        await write_events(response, shop)
    return response


async def write_events(response: web.StreamResponse, shop: Shop) -> None:
    """Write an event now and then; the last one says that it is."""
    await send_event(response, "waiting", shop)
    # rule: streams-end
    while not await set_within(shop.closing, EVENT_SECONDS):
        await send_event(response, "waiting", shop)
    # rule: streams-end
    await send_event(response, "bye", shop)


async def send_event(
    response: web.StreamResponse, name: str, shop: Shop
) -> None:
    """Send an event: how many jobs wait."""
    await response.write(write_event(name, shop.spool.count()).encode())


async def print_jobs(shop: Shop) -> None:
    """Print job after job; what is left of one stays in the spool."""
    while not shop.closing.is_set():
        with shop.spool.take() as job:
            if job is None:
                await set_within(shop.closing, PAGE_SECONDS)
            # rule: work-kept
            while job and not (job.printed or shop.closing.is_set()):
                await asyncio.sleep(PAGE_SECONDS)
                job.add_page()
                shop.meter.count(1)


async def close_connection(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Have the connection closed behind an answer of the drain."""
    if request.app[SHOP].draining.is_set():
        # rule: connection-close
        response.headers["Connection"] = "close"
        response.force_close()


def post_worker_init(worker: Any) -> None:
    """Have a signal drain the shop."""
    # aiohttp waits for handlers, and then as long for those it cancels.
    # rule: deadline
    worker.cfg.set("graceful_timeout", max(1, LAST_SECONDS // 2))
    worker.loop.add_signal_handler(signal.SIGTERM, begin_drain, worker)
    # rule: either-signal
    worker.loop.add_signal_handler(signal.SIGINT, begin_drain, worker)


def begin_drain(worker: Any) -> None:
    """Say that this worker is to go, and serve on for a while."""
    shop: Shop = worker.wsgi[SHOP]
    # A signal to the whole group comes twice.
    if shop.draining.is_set():
        return
    # rule: unready-first
    shop.draining.set()
    # rule: nothing-lost
    worker.loop.call_later(DRAIN_SECONDS, close_door, worker)


def close_door(worker: Any) -> None:
    """Have aiohttp refuse new connections and finish what it has."""
    # `handle_exit` would be noticed up to a second later.
    # rule: door-closes
    worker.handle_quit(signal.SIGTERM, None)


async def end_streams(app: web.Application) -> None:
    """Say to streams and printer that it is time; the door is closed."""
    # rule: streams-end
    app[SHOP].closing.set()


def prepare() -> None:
    """Make the spool, once, before any worker starts."""
    Spool(SHOP_FOLDER).make()


async def open_shop(app: web.Application) -> AsyncIterator[None]:
    """Open the shop; close it behind the last request and page."""
    shop = app[SHOP]
    printer = asyncio.create_task(print_jobs(shop))
    yield
    # rule: resources-last
    await asyncio.wait([printer], timeout=PAGE_SECONDS + 1)
    # rule: resources-last
    shop.meter.close()


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    app = web.Application(middlewares=[answer_problems])
    app[SHOP] = Shop()
    app.cleanup_ctx.append(open_shop)
    app.on_response_prepare.append(close_connection)
    app.on_shutdown.append(end_streams)
    app.add_routes(routes)
    return app
