"""Rate limiting in Django: a middleware outside, a decorator on a view.

Idiom: the outermost middleware sees each request, and each answer.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from math import ceil
from typing import Annotated, Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler, chunked_bodies
from shared import harbours
from shared.clients import Client, Clients
from shared.outages import Outage
from shared.problems import MEDIA_TYPE, problem_document
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

configure(
    __name__,
    "sqlite://:memory:",
    MIDDLEWARE=[
        # rule: all-count
        f"{__name__}.limit_requests",
        "frameworks.django.problems.ProblemMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
)

logger = logging.getLogger(__name__)


type Layer = Callable[[Any], HttpResponse]


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
            REDIS_URL,
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


class Request(HttpRequest):
    """A request that is being counted."""

    counter: Counter
    client: Client
    standings: list[Standing]


def count_request(request: Request, policy: Policy) -> Standing | None:
    """Count a request, if the store lets us."""
    counter = request.counter
    # rule: store-down
    if not counter.outage.lets_ask():
        return None
    item, name = policy.item, request.client.name
    try:
        # rule: exact
        # rule: sliding
        let_in = counter.limiter.hit(item, name)
        stats = counter.limiter.get_window_stats(item, name)
    # rule: store-down
    except StorageError as error:
        log(counter.outage.begin(error.storage_error))
        return None
    log(counter.outage.end())
    standing = stand(policy, let_in, stats)
    request.standings.append(standing)
    return standing


def log(news: str | None) -> None:
    """Write what is news about the store."""
    if news:
        logger.warning(news)


def limit_requests(get_response: Layer) -> Layer:
    """Count every request, whatever it asks for."""
    counter = Counter()

    def middleware(request: Request) -> HttpResponse:
        request.counter = counter
        request.standings = []
        request.client = CLIENTS.find(
            sent(request, "Authorization"),
            request.META.get("REMOTE_ADDR"),
            sent(request, "X-Forwarded-For"),
        )
        standing = count_request(request, GENERAL)
        if standing is not None and standing.is_refused:
            response = answer_refusal(request)
        # rule: known-keys
        elif request.client.is_forged:
            response = problem_response(problem_document(401))
            response.headers["WWW-Authenticate"] = "Bearer"
        else:
            response = get_response(request)
        add_fields(request, response)
        return response

    return middleware


def sent(request: HttpRequest, name: str) -> list[str]:
    """List what was sent under a name; WSGI has joined several lines."""
    return [request.headers[name]] if name in request.headers else []


def limit_routes(view: Layer) -> Layer:
    """Have a view counted by the costly policy, too."""

    @wraps(view)
    def limited(request: Request) -> HttpResponse:
        # rule: two-policies
        # rule: before-the-body
        standing = count_request(request, COSTLY)
        # rule: store-down
        if standing is None:
            response = problem_response(problem_document(503))
            response.headers["Retry-After"] = str(ceil(STORE_PAUSE))
            return response
        if standing.is_refused:
            return answer_refusal(request)
        return view(request)

    return limited


def answer_refusal(request: Request) -> HttpResponse:
    """Say which policies refused, and when to come again."""
    response = JsonResponse(
        # rule: quota-exceeded
        quota_exceeded(request.standings),
        status=429,
        content_type=MEDIA_TYPE,
    )
    # rule: retry-after
    response.headers["Retry-After"] = retry_after(request.standings)
    return response


def add_fields(request: Request, response: HttpResponse) -> None:
    """Tell a client where it stands, whatever the answer is."""
    # rule: rate-fields
    for name, value in rate_fields(request.standings).items():
        response.headers[name] = value


@require_safe
def get_harbour(request: HttpRequest, code: str) -> HttpResponse:
    """Show a harbour."""
    if code not in harbours.HARBOURS:
        raise Http404
    return JsonResponse(harbours.HARBOURS[code]._asdict())


@require_POST
@limit_routes
# Chunks are read here, behind the limit.
@chunked_bodies
def post_route(request: HttpRequest) -> HttpResponse:
    """Plan a route: the shortest of all orders."""
    route_input = read_json(request, RouteInput)
    return JsonResponse(harbours.plan_route(route_input.stops)._asdict())


urlpatterns = [
    path("harbours/<code>", get_harbour),
    path("routes", post_route),
]


def prepare() -> None:
    """There is nothing to make."""


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
