"""Input validation in aiohttp: Pydantic models, read by the handlers.

Idiom: handlers read what they take, and raise the answer that refuses it.
"""

import json
import logging
import os
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import JSON_TYPE, answer_problems
from shared import hotel, strict_json
from shared.bookings import Base, Booking
from shared.database import async_url, sync_url
from shared.problems import MEDIA_TYPE, Problem
from shared.refusals import pydantic_refusals, refuse_body, refuse_query
from shared.spelled import Amount, FullDate, WholeNumber, coded

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bookings.db")
SEED = int(os.environ.get("SEED", "0"))
ERRORS_MAX = int(os.environ.get("ERRORS_MAX", "100"))

SESSIONS = web.AppKey("SESSIONS", async_sessionmaker[AsyncSession])
SESSION = web.RequestKey("SESSION", AsyncSession)
routes = web.RouteTableDef()


class Strict(BaseModel):
    """What a client sends: exact types, and nothing more."""

    model_config = ConfigDict(
        # rule: unknown-refused
        extra="forbid",
        # rule: typed
        strict=True,
    )


class GuestInput(Strict):
    """Who comes."""

    name: str = Field(
        min_length=1,
        # rule: bounded
        max_length=hotel.NAME_LENGTH,
        # rule: syntax
        pattern=hotel.NAME,
    )
    email: str = Field(
        # rule: bounded
        max_length=hotel.EMAIL_LENGTH,
        # rule: syntax
        pattern=hotel.EMAIL,
    )
    phone: str | None = Field(
        None,
        # rule: syntax
        pattern=hotel.PHONE,
    )


class RoomInput(Strict):
    """A room, and how many sleep in it."""

    type: Literal["single", "double", "suite"]
    guests: int = Field(
        # rule: meaning
        ge=1,
        le=max(hotel.ROOM_GUESTS.values()),
    )

    @field_validator("guests")
    @classmethod
    def fit_guests(cls, guests: int, info: ValidationInfo) -> int:
        """Judge the room and its guests together, where both are right."""
        # rule: meaning
        if guests > hotel.ROOM_GUESTS.get(info.data.get("type", ""), guests):
            raise coded("too_large")
        return guests


def seat_all(rooms: list[RoomInput]) -> list[RoomInput]:
    """Bound the guests of all rooms together."""
    # rule: meaning
    if sum(room.guests for room in rooms) > hotel.GUESTS_MAX:
        raise coded("too_large")
    return rooms


class BookingInput(Strict):
    """A booking as a client sends it, and as it is shown."""

    guest: GuestInput
    arrival: FullDate
    departure: FullDate
    rooms: Annotated[
        list[RoomInput],
        Field(
            min_length=1,
            # rule: bounded
            max_length=hotel.ROOMS_MAX,
        ),
        AfterValidator(seat_all),
    ]
    deposit: Amount = Field(
        # rule: meaning
        le=hotel.DEPOSIT_MAX,
    )
    newsletter: bool = False
    door_code: str = Field(
        # rule: syntax
        pattern=hotel.DOOR_CODE,
        # rule: secret-never-echoed
        exclude=True,
        repr=False,
    )

    @field_validator("departure")
    @classmethod
    def count_nights(cls, departure: date, info: ValidationInfo) -> date:
        """Judge both dates together, where both are dates."""
        nights = (departure - info.data.get("arrival", departure)).days
        # rule: meaning
        if "arrival" in info.data and nights < 1:
            raise coded("not_after")
        # rule: meaning
        if nights > hotel.NIGHTS_MAX:
            raise coded("too_long")
        return departure


class BookingQuery(Strict):
    """Which bookings, and how many."""

    limit: WholeNumber = Field(
        20,
        # rule: query-strict
        ge=1,
        # rule: query-strict
        le=100,
    )
    arrival_from: FullDate | None = None
    arrival_before: FullDate | None = None

    @field_validator("arrival_before")
    @classmethod
    def order_period(cls, until: Any, info: ValidationInfo) -> Any:
        """Judge both ends of the period together."""
        since = info.data.get("arrival_from")
        # rule: query-strict
        if since and until and until <= since:
            raise coded("not_after")
        return until


def refusal(kind: type[web.HTTPError], problem: Problem) -> web.HTTPError:
    """Make the exception that is the answer."""
    return kind(text=json.dumps(problem), content_type=MEDIA_TYPE)


def read_query(request: web.Request) -> BookingQuery:
    """Read the whole query, with what is unknown and what is repeated."""
    values: dict[str, Any] = dict(request.query)
    # rule: query-strict
    for name in BookingQuery.model_fields:
        if len(found := request.query.getall(name, [])) > 1:
            values[name] = found
    try:
        return BookingQuery.model_validate(values)
    except ValidationError as error:
        problem = refuse_query(pydantic_refusals(error.errors()), ERRORS_MAX)
        raise refusal(web.HTTPBadRequest, problem) from None


async def read_booking(request: web.Request) -> BookingInput:
    """Read a booking, or refuse it."""
    if not JSON_TYPE.fullmatch(request.content_type):
        raise web.HTTPUnsupportedMediaType
    try:
        data = strict_json.loads(await request.read())
        return BookingInput.model_validate(data)
    except ValidationError as error:
        problem = refuse_body(pydantic_refusals(error.errors()), ERRORS_MAX)
        raise refusal(web.HTTPUnprocessableEntity, problem) from None
    except (ValueError, ConnectionError, web.RequestPayloadError):
        raise web.HTTPBadRequest from None


def booking_values(found: BookingInput) -> dict[str, Any]:
    """Make a row of what was taken: the secret beside the document."""
    return {
        "arrival": found.arrival,
        "door_code": found.door_code,
        "document": found.model_dump(mode="json"),
    }


def show_booking(booking: Booking) -> dict[str, Any]:
    """Show a booking."""
    return {"id": booking.id, **booking.document}


@routes.get("/bookings")
async def list_bookings(request: web.Request) -> web.Response:
    """List bookings, the newest first."""
    query = read_query(request)
    found = select(Booking).order_by(Booking.id.desc()).limit(query.limit)
    if query.arrival_from:
        found = found.where(Booking.arrival >= query.arrival_from)
    if query.arrival_before:
        found = found.where(Booking.arrival < query.arrival_before)
    rows = await request[SESSION].scalars(found)
    return web.json_response({"items": [show_booking(row) for row in rows]})


@routes.post("/bookings")
async def create_booking(request: web.Request) -> web.Response:
    """Take a booking."""
    # rule: nothing-stored
    found = await read_booking(request)
    booking = Booking(**booking_values(found))
    request[SESSION].add(booking)
    await request[SESSION].commit()
    location = request.app.router["booking"].url_for(id=str(booking.id))
    return web.json_response(
        show_booking(booking),
        status=201,
        headers={"Location": str(location)},
    )


async def find_booking(request: web.Request) -> Booking:
    """Find a booking that the path names."""
    number = int(request.match_info["id"])
    if number <= hotel.ID_MAX:
        booking = await request[SESSION].get(Booking, number)
        if booking is not None:
            return booking
    raise web.HTTPNotFound


@routes.get("/bookings/{id:[0-9]{1,10}}", name="booking")
async def get_booking(request: web.Request) -> web.Response:
    """Show one booking."""
    return web.json_response(show_booking(await find_booking(request)))


@routes.put("/bookings/{id:[0-9]{1,10}}", name="booking")
async def replace_booking(request: web.Request) -> web.Response:
    """Put another booking in the place of one."""
    booking = await find_booking(request)
    # rule: update-as-strict
    found = await read_booking(request)
    for name, value in booking_values(found).items():
        setattr(booking, name, value)
    await request[SESSION].commit()
    return web.json_response(show_booking(booking))


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Booking.id))):
            connection.execute(insert(Booking), [*hotel.seed_bookings(SEED)])
    engine.dispose()


async def keep_engine(app: web.Application) -> AsyncIterator[None]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    app[SESSIONS] = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


@web.middleware
async def open_session(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Open a session for one request."""
    async with request.app[SESSIONS]() as session:
        request[SESSION] = session
        return await handler(request)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(middlewares=[answer_problems, open_session])
    app.cleanup_ctx.append(keep_engine)
    app.add_routes(routes)
    return app
