"""Request context in Litestar: an ASGI middleware, a variable set in it.

Idiom: a pure ASGI middleware sets; tasks and the thread pool copy.
"""

import asyncio
import logging
import os
from typing import Annotated, Any

from litestar import Litestar, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.logging import LoggingConfig
from litestar.types import (
    ASGIApp,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)
from msgspec import Meta, Struct

from frameworks.litestar.problems import ProblemPlugin
from shared import cafe
from shared.json_logs import ContextFilter, JsonFormatter
from shared.locales import DEFAULT, choose_locale
from shared.request_context import (
    CONTEXT,
    RequestContext,
    choose_id,
    current_user,
)
from shared.signed_users import read_user

PRICES_FILE = os.environ.get("PRICES_FILE", "prices.txt")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]

logger = logging.getLogger(__name__)


class OrderInput(Struct, forbid_unknown_fields=True):
    """What a customer would like."""

    items: Annotated[
        list[cafe.Item], Meta(min_length=1, max_length=cafe.ITEMS_MAX)
    ]


@get("/menu", sync_to_thread=True)
def get_menu() -> cafe.Menu:
    """Show the menu."""
    return cafe.read_menu(PRICES_FILE)


@post("/orders", status_code=200)
async def place_order(data: OrderInput) -> Response[cafe.Order]:
    """Take an order: prices side by side, the receipt afterwards."""
    async with asyncio.TaskGroup() as group:
        prices = [
            group.create_task(
                # rule: carried
                sync_to_thread(cafe.read_price, PRICES_FILE, item)
            )
            for item in data.items
        ]
    order = cafe.take_order([price.result() for price in prices])
    return Response(
        order,
        # rule: after-answer
        background=BackgroundTask(cafe.send_receipt, order),
    )


def read_context(scope: HTTPScope) -> RequestContext:
    """Read what the headers say, as far as they are to be believed."""
    headers = Headers.from_scope(scope)
    return RequestContext(
        method=scope["method"],
        path=scope["path"],
        # rule: bounded-id
        request_id=choose_id(headers.getall("X-Request-ID", [])),
        # rule: proven-user
        user=read_user(headers.getall("Authorization", []), TOKEN_SECRET),
        # rule: locale
        locale=choose_locale(",".join(headers.getall("Accept-Language", []))),
    )


class ContextMiddleware:
    """Set the context; it ends with the task that the server has made."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let pass what is no request."""
        if scope["type"] != ScopeType.HTTP:
            return await self.app(scope, receive, send)
        context = read_context(scope)
        # rule: every-line
        # rule: kept-apart
        CONTEXT.set(context)
        # rule: every-line
        logger.info("request begun")

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer_request(message, context)
            await send(message)

        return await self.app(scope, receive, send_named)


def refuse_forgery(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Refuse whoever claims to be somebody and does not prove it."""
    # rule: proven-user
    if "Authorization" in connection.headers and current_user() is None:
        raise NotAuthorizedException(headers={"WWW-Authenticate": "Bearer"})


def answer_request(
    message: HTTPResponseStartEvent, context: RequestContext
) -> None:
    """Say which request is answered, errors too, and in which language."""
    headers = MutableScopeHeaders.from_message(message)
    # rule: answered-id
    headers["X-Request-ID"] = context.request_id
    written = context.locale if message["status"] < 400 else DEFAULT
    # rule: locale
    headers["Content-Language"] = written
    # rule: locale
    headers.extend_header_value("Vary", "Accept-Language")
    # rule: every-line
    logger.info("request answered", extra={"status": message["status"]})


def prepare() -> None:
    """Write the prices, once, before any worker starts."""
    cafe.write_seed(PRICES_FILE)


def configure_logging() -> LoggingConfig:
    """Write lines in another thread, filled in before they go there."""
    return LoggingConfig(
        filters={"context": {"()": ContextFilter}},
        formatters={
            "json": {"()": JsonFormatter},
            "standard": {"format": "%(message)s"},
        },
        handlers={
            "queue_listener": {
                "class": "logging.handlers.QueueHandler",
                "queue": {"()": "queue.Queue"},
                "listener": "litestar.logging.standard.LoggingQueueListener",
                "handlers": ["console"],
                # rule: every-line
                "filters": ["context"],
                "formatter": "json",
            }
        },
    )


def create_app() -> Litestar:
    """Wire the application."""
    app = Litestar(
        [get_menu, place_order],
        guards=[refuse_forgery],
        logging_config=configure_logging(),
        plugins=[ProblemPlugin()],
        request_max_body_size=2**20,
    )
    # Around the router too, which answers 404 and 405 by itself.
    # rule: answered-id
    app.asgi_handler = ContextMiddleware(app.asgi_handler)
    logger.info("service ready")
    return app
