"""Input validation in Flask: marshmallow schemas, whose messages are codes.

Idiom: schemas load what views store; one error handler tells what is wrong.
"""

import os
from typing import Any

import marshmallow as ma
from flask import Blueprint, Flask, abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, OneOf, Range, Regexp
from sqlalchemy import func, insert, select
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from frameworks.flask.problems import (
    QueryError,
    QuerySchema,
    problem_response,
    register_problems,
)
from shared import hotel
from shared.bookings import Base, Booking
from shared.database import sync_url
from shared.exact_fields import CHOICE, FIELD, SCHEMA, Flag, Spelled
from shared.refusals import marshmallow_refusals, refuse_body, refuse_query

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bookings.db")
SEED = int(os.environ.get("SEED", "0"))
ERRORS_MAX = int(os.environ.get("ERRORS_MAX", "100"))
REQUIRED: dict[str, Any] = {"required": True, "error_messages": FIELD}

db = SQLAlchemy()
bookings = Blueprint("bookings", __name__)


class RoomList(fields.List[Any]):
    """A list that is looked into only where it is not too long."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        # rule: bounded
        if isinstance(value, list) and len(value) > hotel.ROOMS_MAX:
            raise ValidationError("too_long")
        return super()._deserialize(value, *args, **options)


class GuestInput(Schema):
    """Who comes."""

    error_messages = SCHEMA

    name = fields.String(
        **REQUIRED,
        validate=[
            Length(min=1, error="too_short"),
            # rule: bounded
            Length(max=hotel.NAME_LENGTH, error="too_long"),
            # rule: syntax
            Regexp(hotel.NAME, error="bad_format"),
        ],
    )
    email = fields.String(
        **REQUIRED,
        validate=[
            # rule: bounded
            Length(max=hotel.EMAIL_LENGTH, error="too_long"),
            # rule: syntax
            Regexp(hotel.EMAIL, error="bad_format"),
        ],
    )
    phone = fields.String(
        load_default=None,
        error_messages=FIELD,
        # rule: syntax
        validate=Regexp(hotel.PHONE, error="bad_format"),
    )


class RoomInput(Schema):
    """A room, and how many sleep in it."""

    error_messages = SCHEMA

    type = fields.String(
        required=True,
        error_messages=CHOICE,
        # rule: syntax
        validate=OneOf(hotel.ROOM_GUESTS, error="not_one_of"),
    )
    guests = fields.Integer(
        **REQUIRED,
        # rule: typed
        strict=True,
        validate=[
            # rule: meaning
            Range(min=1, error="too_small"),
            Range(max=max(hotel.ROOM_GUESTS.values()), error="too_large"),
        ],
    )

    @ma.validates_schema(
        # rule: all-at-once
        skip_on_field_errors=False,
    )
    def fit_guests(self, data: dict[str, Any], **_: Any) -> None:
        """Judge the room and its guests together, where both are right."""
        if not {"type", "guests"} <= data.keys():
            return
        # rule: meaning
        if data["guests"] > hotel.ROOM_GUESTS[data["type"]]:
            raise ValidationError("too_large", "guests")


def seat_all(rooms: list[dict[str, Any]]) -> None:
    """Bound the guests of all rooms together."""
    # rule: meaning
    if sum(room["guests"] for room in rooms) > hotel.GUESTS_MAX:
        raise ValidationError("too_large")


class BookingInput(Schema):
    """A booking as a client sends it, and as it is shown."""

    error_messages = SCHEMA

    guest = fields.Nested(GuestInput, **REQUIRED)
    arrival = Spelled(hotel.read_date, required=True)
    departure = Spelled(hotel.read_date, required=True)
    rooms = RoomList(
        fields.Nested(RoomInput, error_messages=FIELD),
        **REQUIRED,
        validate=[Length(min=1, error="too_short"), seat_all],
    )
    deposit = Spelled(
        hotel.read_amount,
        required=True,
        # rule: meaning
        validate=Range(max=hotel.DEPOSIT_MAX, error="too_large"),
    )
    newsletter = Flag(load_default=False, error_messages=FIELD)
    door_code = fields.String(
        **REQUIRED,
        # rule: secret-never-echoed
        load_only=True,
        # rule: syntax
        validate=Regexp(hotel.DOOR_CODE, error="bad_format"),
    )

    @ma.validates_schema(
        # rule: all-at-once
        skip_on_field_errors=False,
    )
    def count_nights(self, data: dict[str, Any], **_: Any) -> None:
        """Judge both dates together, where both are dates."""
        if not {"arrival", "departure"} <= data.keys():
            return
        nights = (data["departure"] - data["arrival"]).days
        # rule: meaning
        if nights < 1:
            raise ValidationError("not_after", "departure")
        # rule: meaning
        if nights > hotel.NIGHTS_MAX:
            raise ValidationError("too_long", "departure")


class BookingQuery(QuerySchema):
    """Which bookings, and how many."""

    # rule: query-strict
    class Meta:
        unknown = ma.RAISE

    error_messages = SCHEMA

    limit = Spelled(
        hotel.read_number,
        load_default=20,
        validate=[
            # rule: query-strict
            Range(min=1, error="too_small"),
            # rule: query-strict
            Range(max=100, error="too_large"),
        ],
    )
    arrival_from = Spelled(hotel.read_date, load_default=None)
    arrival_before = Spelled(hotel.read_date, load_default=None)

    # rule: query-strict
    @ma.pre_load
    def keep_all(self, data: MultiDict[str, str], **_: Any) -> dict[str, Any]:
        """Hand on what is repeated as a list, which no parameter takes."""
        return {
            name: values if values[1:] else values[0]
            for name, values in data.lists()
        }

    @ma.validates_schema(skip_on_field_errors=False)
    def order_period(self, data: dict[str, Any], **_: Any) -> None:
        """Judge both ends of the period together."""
        since, until = data.get("arrival_from"), data.get("arrival_before")
        # rule: query-strict
        if since and until and until <= since:
            raise ValidationError("not_after", "arrival_before")


def booking_values(found: dict[str, Any]) -> dict[str, Any]:
    """Make a row of what was loaded: the secret beside the document."""
    return {
        "arrival": found["arrival"],
        "door_code": found["door_code"],
        "document": BookingInput().dump(found),
    }


def show_booking(booking: Booking) -> dict[str, Any]:
    """Show a booking."""
    return {"id": booking.id, **booking.document}


def find_booking(number: int) -> Booking:
    """Find a booking; a number that no row can have is nobody's."""
    if number > hotel.ID_MAX:
        abort(404)
    return db.session.get(Booking, number) or abort(404)


@bookings.get("/bookings")
def list_bookings() -> ResponseReturnValue:
    """List bookings, the newest first."""
    query = BookingQuery().load(request.args)
    found = select(Booking).order_by(Booking.id.desc()).limit(query["limit"])
    if query["arrival_from"]:
        found = found.where(Booking.arrival >= query["arrival_from"])
    if query["arrival_before"]:
        found = found.where(Booking.arrival < query["arrival_before"])
    return {"items": [show_booking(one) for one in db.session.scalars(found)]}


@bookings.post("/bookings")
def create_booking() -> ResponseReturnValue:
    """Take a booking."""
    # rule: nothing-stored
    found = BookingInput().load(request.get_json())
    booking = Booking(**booking_values(found))
    db.session.add(booking)
    db.session.commit()
    location = url_for("bookings.get_booking", booking_id=booking.id)
    return show_booking(booking), 201, {"Location": location}


@bookings.get("/bookings/<int:booking_id>")
def get_booking(booking_id: int) -> ResponseReturnValue:
    """Show one booking."""
    return show_booking(find_booking(booking_id))


@bookings.put("/bookings/<int:booking_id>")
def replace_booking(booking_id: int) -> ResponseReturnValue:
    """Put another booking in the place of one."""
    booking = find_booking(booking_id)
    # rule: update-as-strict
    found = BookingInput().load(request.get_json())
    for name, value in booking_values(found).items():
        setattr(booking, name, value)
    db.session.commit()
    return show_booking(booking)


def answer_refusal(error: ValidationError | QueryError) -> Response:
    """Tell all that is wrong, and where."""
    refuse = refuse_query if isinstance(error, QueryError) else refuse_body
    problem = refuse(marshmallow_refusals(error.messages), ERRORS_MAX)
    return problem_response(Response(status=problem["status"]), problem)


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    with create_app().app_context(), db.engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Booking.id))):
            connection.execute(insert(Booking), [*hotel.seed_bookings(SEED)])


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.config["SQLALCHEMY_ENGINES"] = {"default": sync_url(DATABASE_URL)}
    db.init_app(app)
    register_problems(app)
    for kind in (ValidationError, QueryError):
        app.register_error_handler(kind, answer_refusal)
    app.register_blueprint(bookings)
    return app
