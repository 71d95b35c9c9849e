"""Request context in aiohttp: a middleware, a variable set in it.

Idiom: the outermost middleware sets, a signal names the answers; tasks and
threads copy.
"""

import asyncio
import logging
import os
from logging.config import dictConfig
from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import cafe
from shared.json_logs import logging_config
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
RECEIPTS = web.AppKey("RECEIPTS", set[asyncio.Task[None]])

logger = logging.getLogger(__name__)
routes = web.RouteTableDef()


class OrderInput(BaseModel):
    """What a customer would like."""

    model_config = ConfigDict(extra="forbid", strict=True)

    items: Annotated[
        list[cafe.Item], Field(min_length=1, max_length=cafe.ITEMS_MAX)
    ]


@routes.get("/menu")
async def get_menu(request: web.Request) -> web.Response:
    """Show the menu."""
    return web.json_response(
        await asyncio.to_thread(cafe.read_menu, PRICES_FILE)
    )


@routes.post("/orders")
async def place_order(request: web.Request) -> web.Response:
    """Take an order: prices side by side, the receipt afterwards."""
    wanted = await read_json(request, OrderInput)
    async with asyncio.TaskGroup() as group:
        prices = [
            group.create_task(
                # rule: carried
                asyncio.to_thread(cafe.read_price, PRICES_FILE, item)
            )
            for item in wanted.items
        ]
    order = cafe.take_order([price.result() for price in prices])
    # rule: after-answer
    send_later(request.app[RECEIPTS], order)
    return web.json_response(order)


def send_later(receipts: set[asyncio.Task[None]], order: cafe.Order) -> None:
    """Send the receipt in a task; one that nobody keeps may vanish."""
    task = asyncio.create_task(asyncio.to_thread(cafe.send_receipt, order))
    receipts.add(task)
    task.add_done_callback(receipts.discard)


async def finish_receipts(app: web.Application) -> None:
    """Wait for what is still to be sent."""
    await asyncio.gather(*app[RECEIPTS])


def read_context(request: web.BaseRequest) -> RequestContext:
    """Read what the headers say, as far as they are to be believed."""
    headers = request.headers
    return RequestContext(
        method=request.method,
        path=request.path,
        # rule: bounded-id
        request_id=choose_id(headers.getall("X-Request-ID", [])),
        # rule: proven-user
        user=read_user(headers.getall("Authorization", []), TOKEN_SECRET),
        # rule: locale
        locale=choose_locale(",".join(headers.getall("Accept-Language", []))),
    )


@web.middleware
async def carry_context(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Set the context; it ends with the task that the server has made."""
    # rule: every-line
    # rule: kept-apart
    CONTEXT.set(read_context(request))
    # rule: every-line
    logger.info("request begun")
    return await handler(request)


@web.middleware
async def refuse_forgery(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Refuse whoever claims to be somebody and does not prove it."""
    # rule: proven-user
    if "Authorization" in request.headers and current_user() is None:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
    return await handler(request)


async def answer_request(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Say which request is answered, errors too, and in which language."""
    context = CONTEXT.get()
    if context is None:
        # An unknown `Expect` is refused before any middleware is called.
        context = read_context(request)
        CONTEXT.set(context)
    # rule: answered-id
    response.headers["X-Request-ID"] = context.request_id
    written = context.locale if response.status < 400 else DEFAULT
    # rule: locale
    response.headers["Content-Language"] = written
    # rule: locale
    response.headers.add("Vary", "Accept-Language")
    # rule: every-line
    logger.info("request answered", extra={"status": response.status})


def prepare() -> None:
    """Write the prices, once, before any worker starts."""
    cafe.write_seed(PRICES_FILE)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    dictConfig(logging_config({"aiohttp.access": "WARNING"}))
    app = web.Application(
        middlewares=[carry_context, answer_problems, refuse_forgery]
    )
    app[RECEIPTS] = set()
    app.on_response_prepare.append(answer_request)
    app.on_cleanup.append(finish_receipts)
    app.add_routes(routes)
    logger.info("service ready")
    return app
