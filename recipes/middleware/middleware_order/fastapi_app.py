"""Middleware order in FastAPI: ASGI functions, each around the next.

Idiom: `middleware=[...]` is the order; the first is the outermost.
"""

import logging
import os
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
)
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frameworks.fastapi.problems import (
    StrictRoute,
    answer_failure,
    register_problems,
)
from shared import tariff
from shared.access_lines import HEADERS, InHand, configure_log, write_line
from shared.failures import failure_id
from shared.request_context import choose_id
from shared.signed_users import read_user

TARIFF_FILE = os.environ.get("TARIFF_FILE", "tariff.json")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]

logger = logging.getLogger("uvicorn.error")


class PrivateRoute(StrictRoute):
    """A route that knows the user before it reads the body.

    A dependency would be late: the body is read before the first one.
    """

    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Authenticate before all else."""
        handle = super().get_route_handler()

        async def handle_user(request: Request) -> Response:
            authenticate(request)
            return await handle(request)

        return handle_user


public = APIRouter()
# A limit of the application would answer outside of all layers.
private = APIRouter(route_class=PrivateRoute, max_body_size=2**20)


class ParcelInput(BaseModel):
    """A parcel, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    depot: Annotated[str, Field(min_length=1, max_length=40)]
    weight: Annotated[int, Field(ge=1, le=tariff.WEIGHT_MAX)]


def current_user(request: Request) -> str:
    """Give the user of a private route."""
    user: str = request.state.user
    return user


type User = Annotated[str, Depends(current_user)]


@public.get("/tariff")
def get_tariff() -> dict[str, str]:
    """Show the tariff to everybody."""
    return tariff.show_tariff(TARIFF_FILE)


@private.get("/depots/{depot}")
def get_depot(depot: str, user: User) -> dict[str, str]:
    """Show what a depot adds."""
    try:
        surcharge = tariff.find_surcharge(TARIFF_FILE, depot)
    except tariff.UnknownDepot:
        raise HTTPException(404) from None
    return {"depot": depot, "surcharge": surcharge, "user": user}


@private.post("/quotes")
def make_quote(parcel: ParcelInput, user: User) -> dict[str, Any]:
    """Say what a parcel would cost."""
    asked = parcel.model_dump()
    try:
        price = tariff.find_price(TARIFF_FILE, **asked)
    except tariff.UnknownDepot:
        raise HTTPException(404) from None
    return {**asked, "price": price, "user": user}


def identify(app: ASGIApp) -> ASGIApp:
    """Know the request by its id, and tell the client."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope)
        sent = request.headers.getlist("X-Request-ID")
        request.state.request_id = choose_id(sent)
        request.state.user = None

        async def send_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # rule: id-on-all
                headers["X-Request-ID"] = request.state.request_id
            await send(message)

        await app(scope, receive, send_id)

    return middleware


def log_request(app: ASGIApp) -> ASGIApp:
    """Write what came and what goes, once."""
    in_hand = InHand()

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request, status = Request(scope), None

        async def note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        in_hand.take()
        try:
            await app(scope, receive, note_status)
        finally:
            # rule: logged-once
            write_line(
                request.state.request_id,
                request.method,
                request.url.path,
                status,
                request.state.user,
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
                # rule: headers-on-all
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await app(scope, receive, send_headers)

    return middleware


def answer_failures(app: ASGIApp) -> ASGIApp:
    """Answer failures here; FastAPI would, outside of all layers."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await app(scope, receive, note_start)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            urn = failure_id(error).urn
            logger.exception("Failure in %s %s", scope["path"], urn)
            response = await answer_failure(Request(scope), error)
            await response(scope, receive, send)

    return middleware


def authenticate(request: Request) -> None:
    """Know the user, or refuse; the body has not been read."""
    sent = request.headers.getlist("Authorization")
    # rule: known-before-read
    request.state.user = read_user(sent, TOKEN_SECRET)
    # rule: known-before-read
    if request.state.user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})


def prepare() -> None:
    """Make the tariff, once, before any worker starts."""
    tariff.write_seed(TARIFF_FILE)


def create_app() -> FastAPI:
    """Wire the application: the layers, from the outside in."""
    configure_log()
    app = FastAPI(
        redirect_slashes=False,
        middleware=[
            Middleware(identify),
            Middleware(log_request),
            Middleware(add_headers),
            # rule: errors-inside
            Middleware(answer_failures),
        ],
    )
    register_problems(app)
    app.include_router(public)
    app.include_router(private)
    return app
