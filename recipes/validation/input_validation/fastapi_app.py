"""Input validation in FastAPI: strict models, one handler for all errors.

Idiom: annotated parameters are validated before a path function begins.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.fastapi.problems import (
    StrictRoute,
    answer_request_error,
    register_problems,
)
from shared import hotel
from shared.bookings import Base, Booking
from shared.database import async_url, sync_url
from shared.problems import MEDIA_TYPE
from shared.refusals import pydantic_refusals, refuse_body, refuse_query
from shared.spelled import Amount, FullDate, WholeNumber, coded

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bookings.db")
SEED = int(os.environ.get("SEED", "0"))
ERRORS_MAX = int(os.environ.get("ERRORS_MAX", "100"))


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with request.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
BookingId = Annotated[int, Path(ge=1, le=hotel.ID_MAX)]
bookings = APIRouter(route_class=StrictRoute)


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


def refuse_repeated(request: Request) -> None:
    """Refuse what is repeated; FastAPI would take the last."""
    errors = [
        {"type": "wrong_type", "loc": ("query", name), "msg": "Repeated"}
        for name in BookingQuery.model_fields
        if len(request.query_params.getlist(name)) > 1
    ]
    # rule: query-strict
    if errors:
        raise RequestValidationError(errors)


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


@bookings.get("/bookings", dependencies=[Depends(refuse_repeated)])
async def list_bookings(
    query: Annotated[BookingQuery, Query()], session: Session
) -> dict[str, Any]:
    """List bookings, the newest first."""
    found = select(Booking).order_by(Booking.id.desc()).limit(query.limit)
    if query.arrival_from:
        found = found.where(Booking.arrival >= query.arrival_from)
    if query.arrival_before:
        found = found.where(Booking.arrival < query.arrival_before)
    return {"items": [show_booking(b) for b in await session.scalars(found)]}


@bookings.post("/bookings", status_code=201)
async def create_booking(
    found: BookingInput, session: Session, response: Response
) -> dict[str, Any]:
    """Take a booking."""
    booking = Booking(**booking_values(found))
    session.add(booking)
    await session.commit()
    location = bookings.url_path_for("get_booking", booking_id=booking.id)
    response.headers["Location"] = location
    return show_booking(booking)


async def find_booking(booking_id: BookingId, session: Session) -> Booking:
    """Find a booking that the path names."""
    booking = await session.get(Booking, booking_id)
    if booking is None:
        raise HTTPException(404)
    return booking


FoundBooking = Annotated[Booking, Depends(find_booking)]


@bookings.get("/bookings/{booking_id}")
async def get_booking(booking: FoundBooking) -> dict[str, Any]:
    """Show one booking."""
    return show_booking(booking)


@bookings.put("/bookings/{booking_id}")
async def replace_booking(
    booking: FoundBooking,
    # rule: update-as-strict
    found: BookingInput,
    session: Session,
) -> dict[str, Any]:
    """Put another booking in the place of one."""
    for name, value in booking_values(found).items():
        setattr(booking, name, value)
    await session.commit()
    return show_booking(booking)


async def answer_refusal(
    request: Request, error: RequestValidationError
) -> Response:
    """Tell all that is wrong, and where; the rest the room answers."""
    response = await answer_request_error(request, error)
    found = pydantic_refusals(error.errors(), prefix=1)
    if error.errors()[0]["loc"][0] == "query":
        problem = refuse_query(found, ERRORS_MAX)
    elif response.status_code == 422:
        problem = refuse_body(found, ERRORS_MAX)
    else:
        return response
    return JSONResponse(problem, problem["status"], None, MEDIA_TYPE)


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Booking.id))):
            connection.execute(insert(Booking), [*hotel.seed_bookings(SEED)])
    engine.dispose()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
    await engine.dispose()


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        lifespan=lifespan, max_body_size=2**20, redirect_slashes=False
    )
    register_problems(app)
    app.exception_handler(RequestValidationError)(answer_refusal)
    app.include_router(bookings)
    return app
