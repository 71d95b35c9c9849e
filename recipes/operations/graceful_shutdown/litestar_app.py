"""Graceful shutdown in Litestar: a lifespan drains, uvicorn finishes.

Idiom: a lifespan takes SIGTERM over, and `before_send` sees each answer.
"""

import asyncio
import json
import os
import signal
from asyncio import Event
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import current_thread, main_thread
from typing import Annotated, Any

from litestar import Litestar, Response, get, post
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.response import ServerSentEvent, ServerSentEventMessage
from litestar.types import Message, Scope
from msgspec import Meta, Struct

from frameworks.litestar.problems import ProblemPlugin
from shared.copy_shop import DRAINING, Meter, Spool, read_usage
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


@dataclass
class Shop:
    """What a worker has open, and how far its shutdown is."""

    spool: Spool = field(default_factory=lambda: Spool(SHOP_FOLDER))
    meter: Meter = field(default_factory=lambda: Meter(SHOP_FOLDER))
    draining: Event = field(default_factory=Event)
    closing: Event = field(default_factory=Event)


class PagesInput(Struct, forbid_unknown_fields=True):
    """How much is to be copied, as a client sends it."""

    pages: Annotated[int, Meta(ge=1, le=10_000)]


def provide_shop(state: State) -> Shop:
    """Find what this worker has open."""
    shop: Shop = state.shop
    return shop


@get("/readyz")
async def get_ready(shop: Shop) -> Response[Any]:
    """Tell whether new clients are welcome."""
    # rule: unready-first
    if shop.draining.is_set():
        return Response(DRAINING, status_code=503, media_type=MEDIA_TYPE)
    return Response({"status": "ready"})


@post("/copies", status_code=200)
async def make_copies(data: PagesInput, shop: Shop) -> dict[str, int]:
    """Copy while the client waits."""
    await asyncio.sleep(data.pages * PAGE_SECONDS)
    shop.meter.count(data.pages)
    return {"pages": data.pages}


@post("/jobs", status_code=202)
async def add_job(data: PagesInput, shop: Shop) -> Response[dict[str, Any]]:
    """Accept what is copied later."""
    job = await asyncio.to_thread(shop.spool.add, data.pages)
    return Response(job.to_json(), headers={"Location": f"/jobs/{job.id}"})


@get("/jobs/{name:str}")
async def get_job(name: str, shop: Shop) -> dict[str, Any]:
    """Show how far a job is."""
    job = shop.spool.find(name)
    if job is None:
        raise NotFoundException
    return job.to_json()


@get("/usage")
async def get_usage() -> dict[str, int]:
    """Show what all workers that ended have copied."""
    return {"pages": read_usage(SHOP_FOLDER)}


@get("/events")
async def get_events(shop: Shop) -> ServerSentEvent:
    """Stream how many jobs wait, until the worker ends."""
    return ServerSentEvent(write_events(shop))


async def write_events(shop: Shop) -> AsyncIterator[ServerSentEventMessage]:
    """Write an event now and then; the last one says that it is."""
    yield make_event("waiting", shop)
    # rule: streams-end
    while not await set_within(shop.closing, EVENT_SECONDS):
        yield make_event("waiting", shop)
    # rule: streams-end
    yield make_event("bye", shop)


def make_event(name: str, shop: Shop) -> ServerSentEventMessage:
    """Make an event: how many jobs wait."""
    data = json.dumps({"waiting": shop.spool.count()})
    return ServerSentEventMessage(event=name, data=data)


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


async def close_connection(message: Message, scope: Scope) -> None:
    """Have the connection closed behind an answer of the drain."""
    if message["type"] == "http.response.start":
        shop = scope["litestar_app"].state.shop
        if shop.draining.is_set():
            headers = MutableScopeHeaders.from_message(message)
            # rule: connection-close
            headers["Connection"] = "close"


def post_worker_init(worker: Any) -> None:
    """Tell uvicorn how long it may wait for requests in flight."""
    # rule: deadline
    worker.config.timeout_graceful_shutdown = LAST_SECONDS


def take_signals(shop: Shop) -> None:
    """Have a signal drain the shop, before uvicorn hears of it."""
    # No signal reaches the thread that a test client has for this.
    if current_thread() is not main_thread():
        return
    loop = asyncio.get_running_loop()
    finish = signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, begin_drain, shop, finish)
    # rule: either-signal
    loop.add_signal_handler(signal.SIGINT, begin_drain, shop, finish)


def begin_drain(shop: Shop, finish: Any) -> None:
    """Say that this worker is to go, and serve on for a while."""
    # A signal to the whole group comes twice.
    if shop.draining.is_set():
        return
    # rule: unready-first
    shop.draining.set()
    loop = asyncio.get_running_loop()
    # rule: nothing-lost
    loop.call_later(DRAIN_SECONDS, close_door, shop, finish)


def close_door(shop: Shop, finish: Any) -> None:
    """Have uvicorn refuse new connections and finish what it has."""
    # rule: streams-end
    shop.closing.set()
    # rule: door-closes
    finish(signal.SIGTERM, None)


def prepare() -> None:
    """Make the spool, once, before any worker starts."""
    Spool(SHOP_FOLDER).make()


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Open the shop; close it behind the last request and page."""
    app.state.shop = shop = Shop()
    take_signals(shop)
    printer = asyncio.create_task(print_jobs(shop))
    yield
    shop.closing.set()
    # rule: resources-last
    await asyncio.wait([printer], timeout=PAGE_SECONDS + 1)
    # rule: resources-last
    shop.meter.close()


def create_app() -> Litestar:
    """Wire the application."""
    return Litestar(
        [get_ready, make_copies, add_job, get_job, get_usage, get_events],
        before_send=[close_connection],
        dependencies={"shop": Provide(provide_shop, sync_to_thread=False)},
        lifespan=[lifespan],
        plugins=[ProblemPlugin()],
        request_max_body_size=2**20,
    )
