"""Rate limiting in Flask: a hook before every request, a decorator for one.

Idiom: `before_request` runs for paths that lead nowhere, too.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from math import ceil

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from flask.typing import ResponseReturnValue
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from marshmallow import Schema, fields
from marshmallow.validate import Length, Regexp
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from werkzeug.wrappers import Response as BaseResponse

from frameworks.flask.problems import problem_response, register_problems
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

passage = Blueprint("passage", __name__)

type View = Callable[..., ResponseReturnValue]


class RouteInput(Schema):
    """The stops of a route, as a client sends them; the first is first."""

    stops = fields.List(
        fields.String(validate=Regexp(harbours.CODE)),
        required=True,
        validate=Length(harbours.STOPS_MIN, harbours.STOPS_MAX),
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


def count_request(policy: Policy) -> Standing | None:
    """Count a request, or refuse it; without the store, do neither."""
    counter: Counter = current_app.extensions["counter"]
    # rule: store-down
    if not counter.outage.lets_ask():
        return None
    item, name = policy.item, g.client.name
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
    g.standings.append(standing)
    if standing.is_refused:
        raise TooManyRequests
    return standing


def log(news: str | None) -> None:
    """Write what is news about the store."""
    if news:
        current_app.logger.warning(news)


def limit_requests() -> None:
    """Count every request, whatever it asks for."""
    g.standings = []
    g.client = CLIENTS.find(
        request.headers.getlist("Authorization"),
        request.remote_addr,
        request.headers.getlist("X-Forwarded-For"),
    )
    # rule: all-count
    count_request(GENERAL)
    # rule: known-keys
    if g.client.is_forged:
        raise Unauthorized(www_authenticate=WWWAuthenticate("Bearer"))


def limit_routes(view: View) -> View:
    """Have a view counted by the costly policy, too."""

    @wraps(view)
    def limited(*args: object, **kwargs: object) -> ResponseReturnValue:
        # rule: two-policies
        # rule: before-the-body
        standing = count_request(COSTLY)
        # rule: store-down
        if standing is None:
            raise ServiceUnavailable(retry_after=ceil(STORE_PAUSE))
        return view(*args, **kwargs)

    return limited


def answer_refusal(_error: TooManyRequests) -> BaseResponse:
    """Say which policies refused, and when to come again."""
    response = Response(status=429)
    # rule: retry-after
    response.headers["Retry-After"] = retry_after(g.standings)
    # rule: quota-exceeded
    return problem_response(response, quota_exceeded(g.standings))


def add_fields(response: Response) -> Response:
    """Tell a client where it stands, whatever the answer is."""
    # rule: rate-fields
    response.headers.update(rate_fields(g.standings))
    return response


@passage.get("/harbours/<code>")
def get_harbour(code: str) -> ResponseReturnValue:
    """Show a harbour."""
    if code not in harbours.HARBOURS:
        abort(404)
    return harbours.HARBOURS[code]._asdict()


@passage.post("/routes")
@limit_routes
def post_route() -> ResponseReturnValue:
    """Plan a route: the shortest of all orders."""
    route_input = RouteInput().load(request.get_json())
    return harbours.plan_route(route_input["stops"])._asdict()


def prepare() -> None:
    """There is nothing to make."""


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.extensions["counter"] = Counter()
    app.before_request(limit_requests)
    app.after_request(add_fields)
    register_problems(app)
    app.register_error_handler(TooManyRequests, answer_refusal)
    app.register_blueprint(passage)
    return app
