"""Input validation in Django: Pydantic models read what views take.

Idiom: views take a request and return a response; forms would coerce.
"""

import os
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connection, models, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.views import View
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from frameworks.django.config import configure
from frameworks.django.problems import ProblemError, is_json
from frameworks.django.wsgi import Handler
from shared import hotel, strict_json
from shared.problems import Problem
from shared.refusals import pydantic_refusals, refuse_body, refuse_query
from shared.spelled import Amount, FullDate, WholeNumber, coded

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bookings.db")
SEED = int(os.environ.get("SEED", "0"))
ERRORS_MAX = int(os.environ.get("ERRORS_MAX", "100"))

configure(__name__, DATABASE_URL)


class Booking(models.Model):
    """A booking: the document that is shown, and what is not shown."""

    arrival = models.DateField(db_index=True)
    door_code = models.TextField()
    document = models.JSONField()

    objects: ClassVar[models.Manager["Booking"]] = models.Manager()

    class Meta:
        db_table = "bookings"


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


class Refused(ProblemError):
    """A request that is refused, and all that is wrong with it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem["status"])
        self.problem = problem


def read_query(request: HttpRequest) -> BookingQuery:
    """Read the whole query, with what is unknown and what is repeated."""
    values: dict[str, Any] = request.GET.dict()
    # rule: query-strict
    for name, each in request.GET.lists():
        values[name] = each if each[1:] else each[0]
    try:
        return BookingQuery.model_validate(values)
    except ValidationError as error:
        found = pydantic_refusals(error.errors())
        raise Refused(refuse_query(found, ERRORS_MAX)) from None


def read_booking(request: HttpRequest) -> BookingInput:
    """Read a booking, or refuse it."""
    if not is_json(request.content_type or ""):
        raise ProblemError(415)
    try:
        return BookingInput.model_validate(strict_json.loads(request.body))
    except ValidationError as error:
        found = pydantic_refusals(error.errors())
        raise Refused(refuse_body(found, ERRORS_MAX)) from None
    except ValueError:
        raise ProblemError(400, "The body is not JSON.") from None


def booking_values(found: BookingInput) -> dict[str, Any]:
    """Make a row of what was taken: the secret beside the document."""
    return {
        "arrival": found.arrival,
        "door_code": found.door_code,
        "document": found.model_dump(mode="json"),
    }


def show_booking(booking: Booking) -> dict[str, Any]:
    """Show a booking."""
    return {"id": booking.pk, **booking.document}


def list_bookings(request: HttpRequest) -> HttpResponse:
    """List bookings, the newest first."""
    query = read_query(request)
    found = Booking.objects.order_by("-id")
    if query.arrival_from:
        found = found.filter(arrival__gte=query.arrival_from)
    if query.arrival_before:
        found = found.filter(arrival__lt=query.arrival_before)
    items = [show_booking(booking) for booking in found[: query.limit]]
    return JsonResponse({"items": items})


def create_booking(request: HttpRequest) -> HttpResponse:
    """Take a booking."""
    # rule: nothing-stored
    found = read_booking(request)
    booking = Booking.objects.create(**booking_values(found))
    location = reverse("booking", args=[booking.pk])
    return JsonResponse(
        show_booking(booking), status=201, headers={"Location": location}
    )


def find_booking(number: int) -> Booking:
    """Find a booking that the path names."""
    found = Booking.objects.filter(id=number).first()
    if found is None:
        raise Http404
    return found


def get_booking(request: HttpRequest, number: int) -> HttpResponse:
    """Show one booking."""
    return JsonResponse(show_booking(find_booking(number)))


def replace_booking(request: HttpRequest, number: int) -> HttpResponse:
    """Put another booking in the place of one."""
    booking = find_booking(number)
    # rule: update-as-strict
    found = read_booking(request)
    for name, value in booking_values(found).items():
        setattr(booking, name, value)
    booking.save()
    return JsonResponse(show_booking(booking))


class BookingsView(View):
    """All bookings."""

    get = staticmethod(list_bookings)
    post = staticmethod(create_booking)


class BookingView(View):
    """One booking."""

    get = staticmethod(get_booking)
    put = staticmethod(replace_booking)


urlpatterns = [
    path("bookings", BookingsView.as_view()),
    path("bookings/<int:number>", BookingView.as_view(), name="booking"),
]


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        if SEED and not Booking.objects.exists():
            rows = hotel.seed_bookings(SEED)
            Booking.objects.bulk_create(Booking(**row) for row in rows)
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
