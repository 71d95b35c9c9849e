"""Graceful shutdown in FastAPI: the lifespan drains, uvicorn finishes.

Idiom: the lifespan takes SIGTERM over, and hands it to uvicorn when drained.
"""

import asyncio
import os
import signal
from asyncio import Event
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import current_thread, main_thread
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi import Response as PlainResponse
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frameworks.fastapi.problems import StrictRoute, register_problems
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

desk = APIRouter(route_class=StrictRoute)


@dataclass
class Shop:
    """What a worker has open, and how far its shutdown is."""

    spool: Spool = field(default_factory=lambda: Spool(SHOP_FOLDER))
    meter: Meter = field(default_factory=lambda: Meter(SHOP_FOLDER))
    draining: Event = field(default_factory=Event)
    closing: Event = field(default_factory=Event)


class PagesInput(BaseModel):
    """How much is to be copied, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pages: Annotated[int, Field(ge=1, le=10_000)]


def find_shop(request: Request) -> Shop:
    """Find what this worker has open."""
    shop: Shop = request.state.shop
    return shop


OpenShop = Annotated[Shop, Depends(find_shop)]


@desk.get("/readyz")
async def get_ready(shop: OpenShop) -> JSONResponse:
    """Tell whether new clients are welcome."""
    # rule: unready-first
    if shop.draining.is_set():
        return JSONResponse(DRAINING, 503, media_type=MEDIA_TYPE)
    return JSONResponse({"status": "ready"})


@desk.post("/copies")
async def make_copies(wanted: PagesInput, shop: OpenShop) -> dict[str, int]:
    """Copy while the client waits."""
    await asyncio.sleep(wanted.pages * PAGE_SECONDS)
    shop.meter.count(wanted.pages)
    return {"pages": wanted.pages}


@desk.post("/jobs", status_code=202)
async def add_job(
    wanted: PagesInput, shop: OpenShop, response: PlainResponse
) -> dict[str, Any]:
    """Accept what is copied later."""
    job = await asyncio.to_thread(shop.spool.add, wanted.pages)
    response.headers["Location"] = f"/jobs/{job.id}"
    return job.to_json()


@desk.get("/jobs/{name}")
async def get_job(name: str, shop: OpenShop) -> dict[str, Any]:
    """Show how far a job is."""
    job = shop.spool.find(name)
    if job is None:
        raise HTTPException(404)
    return job.to_json()


@desk.get("/usage")
async def get_usage() -> dict[str, int]:
    """Show what all workers that ended have copied."""
    return {"pages": read_usage(SHOP_FOLDER)}


@desk.get("/events", response_class=EventSourceResponse)
async def get_events(shop: OpenShop) -> AsyncIterator[ServerSentEvent]:
    """Stream how many jobs wait, until the worker ends."""
    yield make_event("waiting", shop)
    # rule: streams-end
    while not await set_within(shop.closing, EVENT_SECONDS):
        yield make_event("waiting", shop)
    # rule: streams-end
    yield make_event("bye", shop)


def make_event(name: str, shop: Shop) -> ServerSentEvent:
    """Make an event: how many jobs wait."""
    return ServerSentEvent(event=name, data={"waiting": shop.spool.count()})


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


class CloseMiddleware:
    """Have the connection closed behind an answer of the drain."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Look when the answer begins, not when the request does."""

        async def send_closing(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
                and scope["state"]["shop"].draining.is_set()
            ):
                headers = MutableHeaders(scope=message)
                # rule: connection-close
                headers["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_closing)


class Application(FastAPI):
    """An application whose answers to 413 and 500 say it too."""

    def build_middleware_stack(self) -> ASGIApp:
        """Go around all; `add_middleware` would be inside of those."""
        return CloseMiddleware(super().build_middleware_stack())


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


class State(TypedDict):
    """What the lifespan gives to requests."""

    shop: Shop


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    """Open the shop; close it behind the last request and page."""
    shop = Shop()
    take_signals(shop)
    printer = asyncio.create_task(print_jobs(shop))
    yield {"shop": shop}
    shop.closing.set()
    # rule: resources-last
    await asyncio.wait([printer], timeout=PAGE_SECONDS + 1)
    # rule: resources-last
    shop.meter.close()


def create_app() -> FastAPI:
    """Wire the application."""
    app = Application(
        lifespan=lifespan, max_body_size=2**20, redirect_slashes=False
    )
    register_problems(app)
    app.include_router(desk)
    return app
