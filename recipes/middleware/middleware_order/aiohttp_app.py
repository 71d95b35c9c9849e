"""Middleware order in aiohttp: a list of coroutines, signals for headers.

Idiom: the first middleware is the outermost; answers are raised, too.
"""

import asyncio
import os
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import tariff
from shared.access_lines import HEADERS, InHand, configure_log, write_line
from shared.request_context import choose_id
from shared.signed_users import read_user

TARIFF_FILE = os.environ.get("TARIFF_FILE", "tariff.json")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
PRIVATE = ("/depots/", "/quotes")
IN_HAND = web.AppKey("in_hand", InHand)

routes = web.RouteTableDef()


class ParcelInput(BaseModel):
    """A parcel, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    depot: str = Field(min_length=1, max_length=40)
    weight: int = Field(ge=1, le=tariff.WEIGHT_MAX)


@routes.get("/tariff")
async def get_tariff(_request: web.Request) -> web.Response:
    """Show the tariff to everybody."""
    found = await asyncio.to_thread(tariff.show_tariff, TARIFF_FILE)
    return web.json_response(found)


@routes.get("/depots/{depot}")
async def get_depot(request: web.Request) -> web.Response:
    """Show what a depot adds."""
    depot = request.match_info["depot"]
    try:
        surcharge = await asyncio.to_thread(
            tariff.find_surcharge, TARIFF_FILE, depot
        )
    except tariff.UnknownDepot:
        raise web.HTTPNotFound from None
    return web.json_response(
        {"depot": depot, "surcharge": surcharge, "user": request["user"]}
    )


@routes.post("/quotes")
async def make_quote(request: web.Request) -> web.Response:
    """Say what a parcel would cost."""
    # rule: judged-before-done
    parcel = await read_json(request, ParcelInput)
    asked: dict[str, Any] = parcel.model_dump()
    try:
        price = await asyncio.to_thread(
            tariff.find_price, TARIFF_FILE, **asked
        )
    except tariff.UnknownDepot:
        raise web.HTTPNotFound from None
    return web.json_response(
        {**asked, "price": price, "user": request["user"]}
    )


@web.middleware
async def identify(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Know the request by its id, before anything can answer it."""
    sent = request.headers.getall("X-Request-ID", [])
    request["request_id"] = choose_id(sent)
    request["user"] = None
    return await handler(request)


async def answer_with_id(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Tell the client the id."""
    # What `Expect` cannot have is refused before the first middleware.
    request_id = request.get("request_id") or choose_id([])
    # rule: id-on-all
    response.headers["X-Request-ID"] = request_id


@web.middleware
async def log_request(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Write what came and what goes, once."""
    in_hand = request.app[IN_HAND]
    status: int | None = None
    in_hand.take()
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        # rule: logged-once
        write_line(
            request["request_id"],
            request.method,
            request.path,
            status,
            request["user"],
            in_hand.count,
        )
        # rule: unwinds
        in_hand.leave()
    return response


async def add_headers(
    _request: web.Request, response: web.StreamResponse
) -> None:
    """Say what holds for every answer."""
    # rule: headers-on-all
    response.headers.update(HEADERS)


@web.middleware
async def authenticate(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Know the user, or refuse; the body has not been read."""
    if request.path.startswith(PRIVATE):
        sent = request.headers.getall("Authorization", [])
        # rule: known-before-read
        request["user"] = read_user(sent, TOKEN_SECRET)
        # rule: known-before-read
        if request["user"] is None:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
    return await handler(request)


def prepare() -> None:
    """Make the tariff, once, before any worker starts."""
    tariff.write_seed(TARIFF_FILE)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application: the layers, from the outside in."""
    configure_log()
    app = web.Application(
        middlewares=[
            identify,
            log_request,
            # rule: errors-inside
            answer_problems,
            authenticate,
        ]
    )
    app[IN_HAND] = InHand()
    app.on_response_prepare.append(answer_with_id)
    app.on_response_prepare.append(add_headers)
    app.add_routes(routes)
    return app
