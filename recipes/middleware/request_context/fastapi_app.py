"""Request context in FastAPI: an ASGI middleware, a variable set in it.

Idiom: a pure ASGI middleware sets; tasks and the thread pool copy.
"""

import asyncio
import logging
import os
from logging.config import dictConfig
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frameworks.fastapi.problems import StrictRoute, register_problems
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

logger = logging.getLogger(__name__)
counter = APIRouter(route_class=StrictRoute)


class OrderInput(BaseModel):
    """What a customer would like."""

    model_config = ConfigDict(extra="forbid", strict=True)

    items: Annotated[
        list[cafe.Item], Field(min_length=1, max_length=cafe.ITEMS_MAX)
    ]


@counter.get("/menu")
def get_menu() -> cafe.Menu:
    """Show the menu."""
    return cafe.read_menu(PRICES_FILE)


@counter.post("/orders")
async def place_order(
    wanted: OrderInput, background: BackgroundTasks
) -> cafe.Order:
    """Take an order: prices side by side, the receipt afterwards."""
    async with asyncio.TaskGroup() as group:
        prices = [
            group.create_task(
                # rule: carried
                run_in_threadpool(cafe.read_price, PRICES_FILE, item)
            )
            for item in wanted.items
        ]
    order = cafe.take_order([price.result() for price in prices])
    # rule: after-answer
    background.add_task(cafe.send_receipt, order)
    return order


def read_context(request: HTTPConnection) -> RequestContext:
    """Read what the headers say, as far as they are to be believed."""
    headers = request.headers
    return RequestContext(
        method=request.scope["method"],
        path=request.scope["path"],
        # rule: bounded-id
        request_id=choose_id(headers.getlist("X-Request-ID")),
        # rule: proven-user
        user=read_user(headers.getlist("Authorization"), TOKEN_SECRET),
        # rule: locale
        locale=choose_locale(",".join(headers.getlist("Accept-Language"))),
    )


class ContextMiddleware:
    """Set the context; it ends with the task that the server has made."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let pass what is no request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        context = read_context(HTTPConnection(scope))
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


async def refuse_forgery(request: Request) -> None:
    """Refuse whoever claims to be somebody and does not prove it."""
    # rule: proven-user
    if "Authorization" in request.headers and current_user() is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})


def answer_request(message: Message, context: RequestContext) -> None:
    """Say which request is answered, errors too, and in which language."""
    headers = MutableHeaders(scope=message)
    # rule: answered-id
    headers["X-Request-ID"] = context.request_id
    written = context.locale if message["status"] < 400 else DEFAULT
    # rule: locale
    headers["Content-Language"] = written
    # rule: locale
    headers.add_vary_header("Accept-Language")
    # rule: every-line
    logger.info("request answered", extra={"status": message["status"]})


class Application(FastAPI):
    """An application whose answers to 413 and 500 have a context too."""

    def build_middleware_stack(self) -> ASGIApp:
        """Go around all; `add_middleware` would be inside of those."""
        # rule: answered-id
        return ContextMiddleware(super().build_middleware_stack())


def prepare() -> None:
    """Write the prices, once, before any worker starts."""
    cafe.write_seed(PRICES_FILE)


def create_app() -> FastAPI:
    """Wire the application."""
    dictConfig(
        logging_config({"uvicorn": "INFO", "uvicorn.access": "WARNING"})
    )
    app = Application(
        dependencies=[Depends(refuse_forgery)],
        max_body_size=2**20,
        redirect_slashes=False,
    )
    register_problems(app)
    app.include_router(counter)
    logger.info("service ready")
    return app
