"""Input validation in Litestar: Pydantic by its plugin, for all errors.

Idiom: handlers name what they need; plugins know how it is validated.
"""

import os
from datetime import date
from typing import Annotated, Any, Literal

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import Litestar, Request, Response, Router, get, post, put
from litestar.di import Provide
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import Parameter
from litestar.plugins.pydantic import PydanticPlugin
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
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from frameworks.litestar.problems import (
    ProblemPlugin,
    WholeProblem,
    convert_validation_error,
)
from shared import hotel
from shared.bookings import Base, Booking
from shared.database import async_url, sync_url
from shared.refusals import pydantic_refusals, refuse_body, refuse_query
from shared.spelled import Amount, FullDate, WholeNumber, coded

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bookings.db")
SEED = int(os.environ.get("SEED", "0"))
ERRORS_MAX = int(os.environ.get("ERRORS_MAX", "100"))

BookingId = Annotated[int, Parameter(ge=1, le=hotel.ID_MAX)]


class Strict(BaseModel):
    """What a client sends: nothing more; the plugin wants exact types."""

    model_config = ConfigDict(
        # rule: unknown-refused
        extra="forbid",
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


async def read_query(request: Request[Any, Any, Any]) -> BookingQuery:
    """Read the whole query, with what is unknown and what is repeated."""
    values: dict[str, Any] = {**request.query_params}
    # rule: query-strict
    for name, each in request.query_params.dict().items():
        values[name] = each if each[1:] else each[0]
    try:
        return BookingQuery.model_validate(values)
    except ValidationError as error:
        problem = refuse_query(pydantic_refusals(error.errors()), ERRORS_MAX)
        raise WholeProblem(status_code=400, extra={**problem}) from None


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


@get("/bookings", dependencies={"filters": Provide(read_query)})
async def list_bookings(
    filters: BookingQuery, session: AsyncSession
) -> dict[str, Any]:
    """List bookings, the newest first."""
    found = select(Booking).order_by(Booking.id.desc()).limit(filters.limit)
    if filters.arrival_from:
        found = found.where(Booking.arrival >= filters.arrival_from)
    if filters.arrival_before:
        found = found.where(Booking.arrival < filters.arrival_before)
    return {"items": [show_booking(b) for b in await session.scalars(found)]}


@post("/bookings")
async def create_booking(
    data: BookingInput, session: AsyncSession, request: Request[Any, Any, Any]
) -> Response[dict[str, Any]]:
    """Take a booking."""
    booking = Booking(**booking_values(data))
    session.add(booking)
    await session.commit()
    location = request.app.route_reverse("get_booking", booking_id=booking.id)
    return Response(show_booking(booking), headers={"Location": location})


async def find_booking(
    booking_id: BookingId, session: AsyncSession
) -> Booking:
    """Find a booking that the path names."""
    booking = await session.get(Booking, booking_id)
    if booking is None:
        raise NotFoundException
    return booking


@get("/bookings/{booking_id:int}", name="get_booking")
async def get_booking(
    booking_id: BookingId, session: AsyncSession
) -> dict[str, Any]:
    """Show one booking."""
    return show_booking(await find_booking(booking_id, session))


@put("/bookings/{booking_id:int}")
async def replace_booking(
    booking_id: BookingId,
    # rule: update-as-strict
    data: BookingInput,
    session: AsyncSession,
) -> dict[str, Any]:
    """Put another booking in the place of one."""
    booking = await find_booking(booking_id, session)
    for name, value in booking_values(data).items():
        setattr(booking, name, value)
    await session.commit()
    return show_booking(booking)


def answer_refusal(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[Any]:
    """Tell all that is wrong, and where; the rest the room answers."""
    # Between them is an exception of Litestar's, without the types.
    cause = error.__cause__ and error.__cause__.__cause__
    if not isinstance(cause, ValidationError):
        return convert_validation_error(error).to_response(request)
    problem = refuse_body(pydantic_refusals(cause.errors()), ERRORS_MAX)
    return WholeProblem(status_code=422, extra={**problem}).to_response(
        request
    )


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Booking.id))):
            connection.execute(insert(Booking), [*hotel.seed_bookings(SEED)])
    engine.dispose()


def create_app() -> Litestar:
    """Wire the application."""
    database = SQLAlchemyAsyncConfig(
        engine_instance=create_async_engine(async_url(DATABASE_URL)),
        session_config=AsyncSessionConfig(expire_on_commit=False),
        session_dependency_key="session",
    )
    bookings = Router(
        "/",
        route_handlers=[
            list_bookings,
            create_booking,
            get_booking,
            replace_booking,
        ],
        exception_handlers={ValidationException: answer_refusal},
    )
    return Litestar(
        [bookings],
        plugins=[
            ProblemPlugin(),
            SQLAlchemyInitPlugin(database),
            PydanticPlugin(
                # Its default would overrule the models' own strictness.
                # rule: typed
                validate_strict=True,
            ),
        ],
        request_max_body_size=2**20,
    )
