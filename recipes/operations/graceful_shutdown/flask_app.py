"""Graceful shutdown in Flask: gunicorn's hooks drain, views look on.

Idiom: the module is gunicorn's configuration too; `worker.wsgi` is the app.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Event, Timer, local
from typing import Any

from flask import Blueprint, Flask, Response, abort, current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields
from marshmallow.validate import Range

from frameworks.flask.problems import problem_response, register_problems
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

desk = Blueprint("desk", __name__)


@dataclass
class Shop:
    """What a worker has open, and how far its shutdown is."""

    spool: Spool = field(default_factory=lambda: Spool(SHOP_FOLDER))
    meter: Meter = field(default_factory=lambda: Meter(SHOP_FOLDER))
    draining: Event = field(default_factory=Event)
    closing: Event = field(default_factory=Event)
    printer: Future[None] = field(init=False)


class PagesInput(Schema):
    """How much is to be copied, as a client sends it."""

    pages = fields.Integer(
        required=True, strict=True, validate=Range(1, 10_000)
    )


def find_shop() -> Shop:
    """Find what this worker has open."""
    shop: Shop = current_app.extensions["shop"]
    return shop


@desk.get("/readyz")
def get_ready() -> ResponseReturnValue:
    """Tell whether new clients are welcome."""
    # rule: unready-first
    if find_shop().draining.is_set():
        return problem_response(Response(status=503), DRAINING)
    return {"status": "ready"}


@desk.post("/copies")
def make_copies() -> ResponseReturnValue:
    """Copy while the client waits."""
    pages = PagesInput().load(request.get_json())["pages"]
    time.sleep(pages * PAGE_SECONDS)
    find_shop().meter.count(pages)
    return {"pages": pages}


@desk.post("/jobs")
def add_job() -> ResponseReturnValue:
    """Accept what is copied later."""
    pages = PagesInput().load(request.get_json())["pages"]
    job = find_shop().spool.add(pages)
    return job.to_json(), 202, {"Location": f"/jobs/{job.id}"}


@desk.get("/jobs/<name>")
def get_job(name: str) -> ResponseReturnValue:
    """Show how far a job is."""
    job = find_shop().spool.find(name)
    return job.to_json() if job else abort(404)


@desk.get("/usage")
def get_usage() -> ResponseReturnValue:
    """Show what all workers that ended have copied."""
    return {"pages": read_usage(SHOP_FOLDER)}


@desk.get("/events")
def get_events() -> ResponseReturnValue:
    """Stream how many jobs wait, until the worker ends."""
    return Response(write_events(find_shop()), mimetype="text/event-stream")


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
    shop = shop_of(worker)
    shop.printer = begin(print_jobs, shop)
    # rule: deadline
    worker.cfg.set("graceful_timeout", LAST_SECONDS)
    signal.signal(signal.SIGTERM, lambda *_: begin_drain(worker, shop))
    # rule: either-signal
    signal.signal(signal.SIGINT, lambda *_: begin_drain(worker, shop))


def begin_drain(worker: Any, shop: Shop) -> None:
    """Say that this worker is to go, and serve on for a while."""
    # A signal to the whole group comes twice.
    if shop.draining.is_set():
        return
    # rule: unready-first
    shop.draining.set()
    # Only the worker's own thread may touch its sockets.
    defer = worker.method_queue.defer
    # rule: nothing-lost
    Timer(DRAIN_SECONDS, defer, [close_door, worker, shop]).start()


def pre_request(_worker: Any, req: Any) -> None:
    """Note what is about to be answered, in the thread that answers."""
    answering.req = req


def close_behind(response: Response) -> Response:
    """Have the connection closed behind an answer of the drain."""
    # gunicorn leaves out what an application says of connections.
    # rule: connection-close
    if find_shop().draining.is_set():
        answering.req.force_close()
    return response


def close_door(worker: Any, shop: Shop) -> None:
    """Refuse new connections; gunicorn finishes what it has."""
    worker.set_accept_enabled(False)
    for listener in worker.sockets:
        # Not to accept is not to refuse.
        # rule: door-closes
        listener.close()
    # rule: streams-end
    shop.closing.set()
    worker.handle_exit(signal.SIGTERM, None)


def worker_exit(_master: Any, worker: Any) -> None:
    """Close the shop, behind the last request and the last page."""
    shop = shop_of(worker)
    shop.closing.set()
    # rule: resources-last
    wait([shop.printer], timeout=PAGE_SECONDS + 1)
    # rule: resources-last
    shop.meter.close()


def shop_of(worker: Any) -> Shop:
    """Find what a worker has open."""
    shop: Shop = worker.wsgi.extensions["shop"]
    return shop


def prepare() -> None:
    """Make the spool, once, before any worker starts."""
    Spool(SHOP_FOLDER).make()


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.extensions["shop"] = Shop()
    register_problems(app)
    app.after_request(close_behind)
    app.register_blueprint(desk)
    return app
