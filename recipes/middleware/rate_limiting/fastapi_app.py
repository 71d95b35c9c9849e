"""Rate limiting in FastAPI: a middleware around it, a class of routes inside.

Idiom: a dependency comes after the router, and after the body.
"""

import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frameworks.fastapi.problems import (
    StrictRoute,
    problem_response,
    register_problems,
)
from shared import harbours
from shared.clients import Clients
from shared.outages import Outage
from shared.problems import MEDIA_TYPE
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


class RouteInput(BaseModel):
    """The stops of a route, as a client sends them; the first is first."""

    model_config = ConfigDict(extra="forbid", strict=True)

    stops: list[Annotated[str, Field(pattern=harbours.CODE)]] = Field(
        min_length=harbours.STOPS_MIN, max_length=harbours.STOPS_MAX
    )


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


async def count_request(request: Request, policy: Policy) -> Standing | None:
    """Count a request, if the store lets us."""
    counter: Counter = request.app.state.counter
    # rule: store-down
    if not counter.outage.lets_ask():
        return None
    item, name = policy.item, request.state.client.name
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
    request.state.standings.append(standing)
    return standing


def log(news: str | None) -> None:
    """Write what is news about the store."""
    if news:
        logger.warning(news)


def limit_requests(app: ASGIApp) -> ASGIApp:
    """Count every request, whatever it asks for."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope)
        request.state.standings = []
        request.state.client = CLIENTS.find(
            request.headers.getlist("Authorization"),
            request.client.host if request.client else None,
            request.headers.getlist("X-Forwarded-For"),
        )

        async def send_fields(message: Message) -> None:
            add_fields(request, message)
            await send(message)

        standing = await count_request(request, GENERAL)
        answer: ASGIApp = app
        if standing is not None and standing.is_refused:
            answer = answer_refusal(request)
        # rule: known-keys
        elif request.state.client.is_forged:
            challenge = {"WWW-Authenticate": "Bearer"}
            answer = problem_response(401, headers=challenge)
        await answer(scope, receive, send_fields)

    return middleware


class CostlyRoute(StrictRoute):
    """A route with a policy of its own, asked before the body is read."""

    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Count before all else."""
        return limit_routes(super().get_route_handler())


def limit_routes(
    handle: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Have a route counted by the costly policy, too."""

    async def limited(request: Request) -> Response:
        # rule: two-policies
        # rule: before-the-body
        standing = await count_request(request, COSTLY)
        # rule: store-down
        if standing is None:
            later = {"Retry-After": str(ceil(STORE_PAUSE))}
            return problem_response(503, headers=later)
        if standing.is_refused:
            return answer_refusal(request)
        return await handle(request)

    return limited


def answer_refusal(request: Request) -> Response:
    """Say which policies refused, and when to come again."""
    standings = request.state.standings
    headers = {
        # rule: retry-after
        "Retry-After": retry_after(standings),
    }
    # rule: quota-exceeded
    problem = quota_exceeded(standings)
    return JSONResponse(problem, 429, headers, MEDIA_TYPE)


def add_fields(request: Request, message: Message) -> None:
    """Tell a client where it stands, whatever the answer is."""
    if message["type"] == "http.response.start":
        fields = rate_fields(request.state.standings)
        # rule: rate-fields
        MutableHeaders(scope=message).update(fields)


# A limit of the application would answer outside of all layers.
cheap = APIRouter(max_body_size=2**20)
costly = APIRouter(route_class=CostlyRoute, max_body_size=2**20)


@cheap.get("/harbours/{code}")
async def get_harbour(code: str) -> dict[str, str | float]:
    """Show a harbour."""
    if code not in harbours.HARBOURS:
        raise HTTPException(404)
    return harbours.HARBOURS[code]._asdict()


@costly.post("/routes")
def post_route(route_input: RouteInput) -> dict[str, Any]:
    """Plan a route: the shortest of all orders."""
    return harbours.plan_route(route_input.stops)._asdict()


def prepare() -> None:
    """There is nothing to make."""


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        redirect_slashes=False,
        # rule: all-count
        middleware=[Middleware(limit_requests)],
    )
    app.state.counter = Counter()
    register_problems(app)
    app.include_router(cheap)
    app.include_router(costly)
    return app
