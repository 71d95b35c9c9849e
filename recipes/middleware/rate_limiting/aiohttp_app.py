"""Rate limiting in aiohttp: a middleware for all, a decorator for one.

Idiom: the first middleware sees each request; a signal writes the fields.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import wraps
from math import ceil
from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Handler
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from pydantic import BaseModel, ConfigDict, Field

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import harbours
from shared.clients import Client, Clients
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

CLIENT = web.RequestKey("CLIENT", Client)
STANDINGS = web.RequestKey("STANDINGS", list[Standing])

logger = logging.getLogger(__name__)
routes = web.RouteTableDef()

type Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


COUNTER = web.AppKey("COUNTER", Counter)


async def count_request(
    request: web.Request, policy: Policy
) -> Standing | None:
    """Count a request, or refuse it; without the store, do neither."""
    counter = request.app[COUNTER]
    # rule: store-down
    if not counter.outage.lets_ask():
        return None
    item, name = policy.item, request[CLIENT].name
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
    request[STANDINGS].append(standing)
    if standing.is_refused:
        raise answer_refusal(request)
    return standing


def log(news: str | None) -> None:
    """Write what is news about the store."""
    if news:
        logger.warning(news)


@web.middleware
async def limit_requests(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Count every request, whatever it asks for."""
    request[STANDINGS] = []
    request[CLIENT] = CLIENTS.find(
        request.headers.getall("Authorization", []),
        request.remote,
        request.headers.getall("X-Forwarded-For", []),
    )
    # rule: all-count
    await count_request(request, GENERAL)
    # rule: known-keys
    if request[CLIENT].is_forged:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
    return await handler(request)


def limit_routes(handler: Endpoint) -> Endpoint:
    """Have a handler counted by the costly policy, too."""

    @wraps(handler)
    async def limited(request: web.Request) -> web.StreamResponse:
        # rule: two-policies
        # rule: before-the-body
        standing = await count_request(request, COSTLY)
        # rule: store-down
        if standing is None:
            later = {"Retry-After": str(ceil(STORE_PAUSE))}
            raise web.HTTPServiceUnavailable(headers=later)
        return await handler(request)

    return limited


def answer_refusal(request: web.Request) -> web.HTTPTooManyRequests:
    """Say which policies refused, and when to come again."""
    standings = request[STANDINGS]
    return web.HTTPTooManyRequests(
        # rule: retry-after
        headers={"Retry-After": retry_after(standings)},
        # rule: quota-exceeded
        text=json.dumps(quota_exceeded(standings)),
        content_type=MEDIA_TYPE,
    )


async def add_fields(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Tell a client where it stands, whatever the answer is."""
    # What `Expect` cannot have is refused before the first middleware.
    standings = request.get(STANDINGS, [])
    # rule: rate-fields
    response.headers.update(rate_fields(standings))


@routes.get("/harbours/{code}")
async def get_harbour(request: web.Request) -> web.Response:
    """Show a harbour."""
    code = request.match_info["code"]
    if code not in harbours.HARBOURS:
        raise web.HTTPNotFound
    return web.json_response(harbours.HARBOURS[code]._asdict())


@routes.post("/routes")
@limit_routes
async def post_route(request: web.Request) -> web.Response:
    """Plan a route: the shortest of all orders."""
    route_input = await read_json(request, RouteInput)
    route = await asyncio.to_thread(harbours.plan_route, route_input.stops)
    return web.json_response(route._asdict())


def prepare() -> None:
    """There is nothing to make."""


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    app = web.Application(middlewares=[answer_problems, limit_requests])
    app[COUNTER] = Counter()
    app.on_response_prepare.append(add_fields)
    app.add_routes(routes)
    return app
