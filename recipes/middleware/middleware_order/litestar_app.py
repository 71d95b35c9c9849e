"""Middleware order in Litestar: ASGI layers around it, one in a router.

Idiom: middleware belongs to a layer; around all there is only ASGI.
"""

import os
from typing import Annotated, Any

from litestar import Litestar, Request, Router, get, post
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Meta, Struct, structs

from frameworks.litestar.problems import ProblemPlugin
from shared import tariff
from shared.access_lines import HEADERS, InHand, configure_log, write_line
from shared.request_context import choose_id
from shared.signed_users import read_user

TARIFF_FILE = os.environ.get("TARIFF_FILE", "tariff.json")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]


class ParcelInput(Struct, forbid_unknown_fields=True):
    """A parcel, as a client sends it."""

    depot: Annotated[str, Meta(min_length=1, max_length=40)]
    weight: Annotated[int, Meta(ge=1, le=tariff.WEIGHT_MAX)]


@get("/tariff", sync_to_thread=True)
def get_tariff() -> dict[str, str]:
    """Show the tariff to everybody."""
    return tariff.show_tariff(TARIFF_FILE)


@get("/depots/{depot:str}", sync_to_thread=True)
def get_depot(depot: str, request: Request[str, None, Any]) -> dict[str, str]:
    """Show what a depot adds."""
    try:
        surcharge = tariff.find_surcharge(TARIFF_FILE, depot)
    except tariff.UnknownDepot:
        raise NotFoundException from None
    return {"depot": depot, "surcharge": surcharge, "user": request.user}


@post("/quotes", status_code=200, sync_to_thread=True)
def make_quote(
    data: ParcelInput, request: Request[str, None, Any]
) -> dict[str, Any]:
    """Say what a parcel would cost."""
    asked = structs.asdict(data)
    try:
        price = tariff.find_price(TARIFF_FILE, **asked)
    except tariff.UnknownDepot:
        raise NotFoundException from None
    return {**asked, "price": price, "user": request.user}


def identify(app: ASGIApp) -> ASGIApp:
    """Know the request by its id, and tell the client."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        sent = sent_headers(scope, b"x-request-id")
        request_id = choose_id(sent)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                # rule: id-on-all
                headers["X-Request-ID"] = request_id
            await send(message)

        await app(scope, receive, send_id)

    return middleware


def log_request(app: ASGIApp) -> ASGIApp:
    """Write what came and what goes, once."""
    in_hand = InHand()

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        status: int | None = None

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        in_hand.take()
        try:
            await app(scope, receive, note_status)
        finally:
            # rule: logged-once
            write_line(
                scope["state"]["request_id"],
                Request(scope).method,
                scope["path"],
                status,
                scope.get("user"),
                in_hand.count,
            )
            # rule: unwinds
            in_hand.leave()

    return middleware


def add_headers(app: ASGIApp) -> ASGIApp:
    """Say what holds for every answer."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                # rule: headers-on-all
                headers.update(HEADERS)
            await send(message)

        await app(scope, receive, send_headers)

    return middleware


def authenticate(app: ASGIApp) -> ASGIApp:
    """Know the user, or refuse; the body has not been read."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        sent = sent_headers(scope, b"authorization")
        # rule: known-before-read
        scope["user"] = read_user(sent, TOKEN_SECRET)
        # rule: known-before-read
        if scope["user"] is None:
            raise NotAuthorizedException(
                headers={"WWW-Authenticate": "Bearer"}
            )
        await app(scope, receive, send)

    return middleware


def sent_headers(scope: Scope, name: bytes) -> list[str]:
    """List the values of a header, in the order they were sent."""
    headers = scope["headers"]
    return [value.decode("latin-1") for key, value in headers if key == name]


def around_http(app: ASGIApp) -> ASGIApp:
    """Put the outer layers around what answers HTTP."""
    layered = identify(log_request(add_headers(app)))

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        handle = layered if scope["type"] == ScopeType.HTTP else app
        await handle(scope, receive, send)

    return choose


def prepare() -> None:
    """Make the tariff, once, before any worker starts."""
    tariff.write_seed(TARIFF_FILE)


def create_app() -> Litestar:
    """Wire the application: the layers, from the outside in."""
    configure_log()
    private = Router(
        "/", route_handlers=[get_depot, make_quote], middleware=[authenticate]
    )
    app = Litestar(
        [get_tariff, private],
        plugins=[ProblemPlugin()],
        request_max_body_size=2**20,
    )
    # Litestar's own middleware runs after routing: a 404 passes it by.
    # rule: nowhere-too
    app.asgi_handler = around_http(app.asgi_handler)
    return app
