"""A hotel that takes bookings: what a booking may be, and a seed of them."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

# No control character, no separator of lines, no space at either end.
NAME = re.compile(
    r"^(?!\s)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*(?<!\s)\Z"
)
NAME_LENGTH = 80
# What a browser takes in a field for an address (WHATWG, "valid e-mail").
EMAIL = re.compile(
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+"
    r"@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\Z"
)
EMAIL_LENGTH = 254
PHONE = re.compile(r"^\+[1-9][0-9]{6,14}\Z")
DOOR_CODE = re.compile(r"^[0-9]{6}\Z")
ROOM_GUESTS = {"single": 1, "double": 2, "suite": 4}
ROOMS_MAX = 10
GUESTS_MAX = 20
NIGHTS_MAX = 30
DEPOSIT_MAX = Decimal(10_000)
ID_MAX = 2**31 - 1

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,8})\.[0-9]{2}")
_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


def read_date(text: str) -> date:
    """Read a full-date of RFC 3339, of all that ISO 8601 has."""
    # rule: syntax
    if not _DATE.fullmatch(text):
        raise ValueError("no date")
    return date.fromisoformat(text)


def read_amount(text: str) -> Decimal:
    """Read an amount of money, to the cent, in its only spelling."""
    # rule: syntax
    if not _AMOUNT.fullmatch(text):
        raise ValueError("no amount")
    return Decimal(text)


def read_number(text: str) -> int:
    """Read a whole number, in its only spelling."""
    # rule: query-strict
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    return int(text)


def seed_bookings(count: int) -> Iterator[dict[str, Any]]:
    """Yield `count` bookings, the same each time."""
    for number in range(count):
        arrival = date(2027, 1, 1) + timedelta(days=number * 7 % 365)
        document = {
            "guest": {
                "name": f"Guest {number}",
                "email": f"guest-{number}@example.com",
                "phone": None,
            },
            "arrival": arrival.isoformat(),
            "departure": (arrival + timedelta(days=2)).isoformat(),
            "rooms": [{"type": "double", "guests": 1 + number % 2}],
            "deposit": "0.00",
            "newsletter": False,
        }
        yield {
            "arrival": arrival,
            "door_code": f"{number * 7919 % 1_000_000:06}",
            "document": document,
        }
