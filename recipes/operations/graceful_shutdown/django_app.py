"""Graceful shutdown in Django: gunicorn's hooks drain, views look on.

Idiom: the module is the project, and gunicorn's configuration too.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Event, Timer, local
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import SETTINGS, configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
from shared.copy_shop import DRAINING, Meter, Spool, read_usage, write_event
from shared.daemons import begin
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

# Of gunicorn's: the request that this thread answers.
answering = local()

configure(
    __name__,
    "sqlite://:memory:",
    MIDDLEWARE=[f"{__name__}.close_behind", *SETTINGS["MIDDLEWARE"]],
)


@dataclass
class Shop:
    """What a worker has open, and how far its shutdown is."""

    spool: Spool = field(default_factory=lambda: Spool(SHOP_FOLDER))
    meter: Meter = field(default_factory=lambda: Meter(SHOP_FOLDER))
    draining: Event = field(default_factory=Event)
    closing: Event = field(default_factory=Event)
    printer: Future[None] = field(init=False)


SHOP = Shop()


class PagesInput(BaseModel):
    """How much is to be copied, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pages: int = Field(ge=1, le=10_000)


@require_safe
def get_ready(request: HttpRequest) -> HttpResponse:
    """Tell whether new clients are welcome."""
    # rule: unready-first
    if SHOP.draining.is_set():
        return problem_response(DRAINING)
    return JsonResponse({"status": "ready"})


@require_POST
def make_copies(request: HttpRequest) -> HttpResponse:
    """Copy while the client waits."""
    pages = read_json(request, PagesInput).pages
    time.sleep(pages * PAGE_SECONDS)
    SHOP.meter.count(pages)
    return JsonResponse({"pages": pages})


@require_POST
def add_job(request: HttpRequest) -> HttpResponse:
    """Accept what is copied later."""
    job = SHOP.spool.add(read_json(request, PagesInput).pages)
    headers = {"Location": f"/jobs/{job.id}"}
    return JsonResponse(job.to_json(), status=202, headers=headers)


@require_safe
def get_job(request: HttpRequest, name: str) -> HttpResponse:
    """Show how far a job is."""
    job = SHOP.spool.find(name)
    if job is None:
        raise Http404
    return JsonResponse(job.to_json())


@require_safe
def get_usage(request: HttpRequest) -> HttpResponse:
    """Show what all workers that ended have copied."""
    return JsonResponse({"pages": read_usage(SHOP_FOLDER)})


@require_safe
def get_events(request: HttpRequest) -> StreamingHttpResponse:
    """Stream how many jobs wait, until the worker ends."""
    # The server reads what it does not send: to HEAD, without end.
    events = write_events(SHOP) if request.method == "GET" else ()
    return StreamingHttpResponse(events, content_type="text/event-stream")


def write_events(shop: Shop) -> Iterator[str]:
    """Write an event now and then; the last one says that it is."""
    yield write_event("waiting", shop.spool.count())
    # rule: streams-end
    while not shop.closing.wait(EVENT_SECONDS):
        yield write_event("waiting", shop.spool.count())
    # rule: streams-end
    yield write_event("bye", shop.spool.count())


def print_jobs(shop: Shop) -> None:
    """Print job after job; what is left of one stays in the spool."""
    while not shop.closing.is_set():
        with shop.spool.take() as job:
            if job is None:
                shop.closing.wait(PAGE_SECONDS)
            # rule: work-kept
            while job and not (job.printed or shop.closing.is_set()):
                time.sleep(PAGE_SECONDS)
                job.add_page()
                shop.meter.count(1)


def post_worker_init(worker: Any) -> None:
    """Open the shop, and have a signal drain it."""
    SHOP.printer = begin(print_jobs, SHOP)
    # rule: deadline
    worker.cfg.set("graceful_timeout", LAST_SECONDS)
    signal.signal(signal.SIGTERM, lambda *_: begin_drain(worker))
    # rule: either-signal
    signal.signal(signal.SIGINT, lambda *_: begin_drain(worker))


def begin_drain(worker: Any) -> None:
    """Say that this worker is to go, and serve on for a while."""
    # A signal to the whole group comes twice.
    if SHOP.draining.is_set():
        return
    # rule: unready-first
    SHOP.draining.set()
    # Only the worker's own thread may touch its sockets.
    defer = worker.method_queue.defer
    # rule: nothing-lost
    Timer(DRAIN_SECONDS, defer, [close_door, worker]).start()


def pre_request(_worker: Any, req: Any) -> None:
    """Note what is about to be answered, in the thread that answers."""
    answering.req = req


def close_behind(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Have the connection closed behind an answer of the drain."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        # gunicorn leaves out what an application says of connections.
        # rule: connection-close
        if SHOP.draining.is_set():
            answering.req.force_close()
        return response

    return answer


def close_door(worker: Any) -> None:
    """Refuse new connections; gunicorn finishes what it has."""
    worker.set_accept_enabled(False)
    for listener in worker.sockets:
        # Not to accept is not to refuse.
        # rule: door-closes
        listener.close()
    # rule: streams-end
    SHOP.closing.set()
    worker.handle_exit(signal.SIGTERM, None)


def worker_exit(_master: Any, worker: Any) -> None:
    """Close the shop, behind the last request and the last page."""
    SHOP.closing.set()
    # rule: resources-last
    wait([SHOP.printer], timeout=PAGE_SECONDS + 1)
    # rule: resources-last
    SHOP.meter.close()


urlpatterns = [
    path("readyz", get_ready),
    path("copies", make_copies),
    path("jobs", add_job),
    path("jobs/<name>", get_job),
    path("usage", get_usage),
    path("events", get_events),
]


def prepare() -> None:
    """Make the spool, once, before any worker starts."""
    Spool(SHOP_FOLDER).make()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
