"""Rate limiting in Litestar: ASGI around the router, a guard on a handler.

Idiom: a guard runs before the body is read, and after the router.
"""

import logging
import os
from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, Any

from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from litestar import Litestar, Request, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders, State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.plugins.problem_details import ProblemDetailsException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Meta, Struct

from frameworks.litestar.problems import ProblemPlugin, WholeProblem, problem
from shared import harbours
from shared.clients import Clients
from shared.outages import Outage
from shared.quotas import (
    Policy,
    Standing,
    quota_exceeded,
    rate_fields,
    retry_after,
    stand,
)

REDIS_URL = os.environ.get("REDIS_URL", "")
NAMESPACE = os.environ.get("NAMESPACE", "rate_limiting")
STORE_TIMEOUT = float(os.environ.get("STORE_TIMEOUT_SECONDS", "0.25"))
STORE_PAUSE = float(os.environ.get("STORE_PAUSE_SECONDS", "1"))
GENERAL = Policy(
    "default",
    int(os.environ.get("LIMIT_REQUESTS", "1000")),
    int(os.environ.get("LIMIT_SECONDS", "60")),
)
COSTLY = Policy(
    "routes",
    int(os.environ.get("ROUTE_LIMIT_REQUESTS", "200")),
    int(os.environ.get("ROUTE_LIMIT_SECONDS", "60")),
)
CLIENTS = Clients(
    os.environ["API_KEYS"],
    os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1"),
)

logger = logging.getLogger(__name__)

type Connection = ASGIConnection[Any, Any, Any, Any]


class RouteInput(Struct, forbid_unknown_fields=True):
    """The stops of a route, as a client sends them; the first is first."""

    stops: Annotated[
        list[Annotated[str, Meta(pattern=harbours.CODE.pattern)]],
        Meta(min_length=harbours.STOPS_MIN, max_length=harbours.STOPS_MAX),
    ]


class UncountedError(HTTPException):
    """What is costly is not done while nobody counts."""

    status_code = 503


def open_limiter() -> MovingWindowRateLimiter:
    """Open the store where requests are counted."""
    # rule: shared
    if REDIS_URL:
        store = RedisStorage(
            f"async+{REDIS_URL}",
            implementation="redispy",
            key_prefix=NAMESPACE,
            wrap_exceptions=True,
            # rule: store-down
            socket_timeout=STORE_TIMEOUT,
            socket_connect_timeout=STORE_TIMEOUT,
        )
        return MovingWindowRateLimiter(store)
    # In the process: right for one worker alone.
    return MovingWindowRateLimiter(MemoryStorage())


@dataclass
class Counter:
    """What counts requests in this process."""

    limiter: MovingWindowRateLimiter = field(default_factory=open_limiter)
    outage: Outage = field(default_factory=lambda: Outage(STORE_PAUSE))


async def count_request(
    connection: Connection, policy: Policy
) -> Standing | None:
    """Count a request, if the store lets us."""
    counter: Counter = connection.app.state.counter
    # rule: store-down
    if not counter.outage.lets_ask():
        return None
    item, name = policy.item, connection.state.client.name
    try:
        # rule: exact
        # rule: sliding
        let_in = await counter.limiter.hit(item, name)
        stats = await counter.limiter.get_window_stats(item, name)
    # rule: store-down
    except StorageError as error:
        log(counter.outage.begin(error.storage_error))
        return None
    log(counter.outage.end())
    standing = stand(policy, let_in, stats)
    connection.state.standings.append(standing)
    return standing


def log(news: str | None) -> None:
    """Write what is news about the store."""
    if news:
        logger.warning(news)


def limit_requests(app: ASGIApp) -> ASGIApp:
    """Count every request, whatever it asks for."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        request = Request[Any, Any, Any](scope)
        request.state.standings = []
        request.state.client = CLIENTS.find(
            request.headers.getall("Authorization", []),
            request.client.host if request.client else None,
            request.headers.getall("X-Forwarded-For", []),
        )

        async def send_fields(message: Message) -> None:
            add_fields(request, message)
            await send(message)

        standing = await count_request(request, GENERAL)
        answer = app
        if standing is not None and standing.is_refused:
            answer = answer_with(request, answer_refusal(request))
        # rule: known-keys
        elif request.state.client.is_forged:
            challenge = {"WWW-Authenticate": "Bearer"}
            answer = answer_with(request, problem(401, headers=challenge))
        await answer(scope, receive, send_fields)

    return middleware


def answer_with(
    request: Request[Any, Any, Any], error: ProblemDetailsException
) -> ASGIApp:
    """Make an answer of an error here, where no handler sees it."""
    return error.to_response(request).to_asgi_response(None, request)


async def limit_routes(
    connection: Connection, _handler: BaseRouteHandler
) -> None:
    """Have a handler counted by the costly policy, too."""
    # rule: two-policies
    # rule: before-the-body
    standing = await count_request(connection, COSTLY)
    # rule: store-down
    if standing is None:
        raise UncountedError(headers={"Retry-After": str(ceil(STORE_PAUSE))})
    if standing.is_refused:
        raise answer_refusal(connection)


def answer_refusal(connection: Connection) -> ProblemDetailsException:
    """Say which policies refused, and when to come again."""
    standings = connection.state.standings
    return WholeProblem(
        status_code=429,
        # rule: retry-after
        headers={"Retry-After": retry_after(standings)},
        # rule: quota-exceeded
        extra=quota_exceeded(standings),
    )


def add_fields(connection: Connection, message: Message) -> None:
    """Tell a client where it stands, whatever the answer is."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        # rule: rate-fields
        headers.update(rate_fields(connection.state.standings))


@get("/harbours/{code:str}")
async def get_harbour(code: str) -> dict[str, Any]:
    """Show a harbour."""
    if code not in harbours.HARBOURS:
        raise NotFoundException
    return harbours.HARBOURS[code]._asdict()


@post("/routes", status_code=200, guards=[limit_routes], sync_to_thread=True)
def post_route(data: RouteInput) -> dict[str, Any]:
    """Plan a route: the shortest of all orders."""
    return harbours.plan_route(data.stops)._asdict()


def prepare() -> None:
    """There is nothing to make."""


def create_app() -> Litestar:
    """Wire the application."""
    app = Litestar(
        [get_harbour, post_route],
        plugins=[ProblemPlugin(quiet=[UncountedError])],
        request_max_body_size=2**20,
        state=State({"counter": Counter()}),
    )
    # Litestar's own middleware runs after routing: a 404 passes it by.
    # rule: all-count
    app.asgi_handler = limit_requests(app.asgi_handler)
    return app
