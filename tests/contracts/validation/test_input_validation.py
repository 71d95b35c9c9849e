"""The contract of `input_validation`: all or nothing, and told why."""

import copy
import json
import random
import string
from collections.abc import Iterator
from math import inf
from statistics import median
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start

type Booking = dict[str, Any]
type Errors = list[tuple[str, str]]

CODES = {
    *("missing", "unknown", "wrong_type", "bad_format", "not_one_of"),
    *("too_short", "too_long", "too_small", "too_large", "not_after"),
}
JSON = {"Content-Type": "application/json"}
ROUNDS = 5


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service for all that is sent to it."""
    with start("input_validation", framework) as running:
        yield running


def booking(**parts: Any) -> Booking:
    """Make a booking that can be, with some members in place of others.

    `guest__name` is a member of the guest, `room__type` of the only room.
    """
    made: Booking = {
        "guest": {
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "phone": "+442071234567",
        },
        "arrival": "2027-05-01",
        "departure": "2027-05-03",
        "rooms": [{"type": "double", "guests": 2}],
        "deposit": "120.00",
        "newsletter": True,
        "door_code": "314159",
    }
    for name, value in parts.items():
        place, _, member = name.rpartition("__")
        inner = {"": made, "guest": made["guest"], "room": made["rooms"][0]}
        inner[place][member] = value
    return made


def without(given: Booking, *names: str) -> Booking:
    """Leave members out."""
    return {name: each for name, each in given.items() if name not in names}


def shown(given: Booking) -> Booking:
    """Tell what is shown of a booking, its id aside."""
    seen = copy.deepcopy(without(given, "door_code"))
    seen["guest"].setdefault("phone", None)
    seen.setdefault("newsletter", False)
    return seen


def send(service: Service, body: Any) -> httpx2.Response:
    """Send something for a booking; bytes as they are."""
    if isinstance(body, bytes):
        return service.request("POST", "/bookings", content=body, headers=JSON)
    return service.request("POST", "/bookings", json=body)


def taken(service: Service, body: Booking) -> Booking:
    """Book, and see that the answer and the store have what was sent."""
    answer = send(service, body)
    assert 201 == answer.status_code, answer.text
    made: Booking = answer.json()
    assert f"/bookings/{made['id']}" == answer.headers["location"]
    assert {"id": made["id"], **shown(body)} == made
    assert made == show(service, made["id"])
    return made


def show(service: Service, number: int) -> Booking:
    """Get a booking that must be there."""
    answer = service.request("GET", f"/bookings/{number}")
    assert 200 == answer.status_code, answer.text
    found: Booking = answer.json()
    return found


def newest(service: Service, limit: int = 5) -> list[Booking]:
    """List the newest bookings."""
    answer = service.request("GET", f"/bookings?limit={limit}")
    assert 200 == answer.status_code, answer.text
    items: list[Booking] = answer.json()["items"]
    return items


def errors_of(answer: httpx2.Response, status: int, place: str) -> Errors:
    """Read the errors of a problem document, in its order."""
    assert status == answer.status_code, answer.text[:500]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem = answer.json()
    assert status == problem["status"]
    for error in problem["errors"]:
        assert {place, "code", "detail"} == set(error)
        assert error["code"] in CODES
        assert error["detail"]
    return [(error[place], error["code"]) for error in problem["errors"]]


def refused(service: Service, body: Any, *expected: tuple[str, str]) -> None:
    """All that is wrong is told, and nothing else."""
    found = errors_of(send(service, body), 422, "pointer")
    assert [*expected] == found


def refused_query(
    service: Service, query: str, *expected: tuple[str, str]
) -> None:
    """The query is refused with 400, by these parameters and codes."""
    answer = service.request("GET", f"/bookings?{query}")
    assert [*expected] == errors_of(answer, 400, "parameter")


def malformed(service: Service, body: bytes) -> None:
    """What is not JSON is refused with 400, and nothing is told of it."""
    for method, path in (("POST", "/bookings"), ("PUT", "/bookings/1")):
        answer = service.request(method, path, content=body, headers=JSON)
        expected = {400} if method == "POST" else {400, 404}
        assert answer.status_code in expected, answer.text[:500]
        media_type = answer.headers["content-type"].partition(";")[0]
        assert "application/problem+json" == media_type
        assert answer.status_code == answer.json()["status"]
        assert "errors" not in answer.json()


def written(given: Booking, old: str, new: str) -> bytes:
    """Write a booking as JSON, and replace a piece of the text."""
    text = json.dumps(given)
    assert 1 == text.count(old)
    return text.replace(old, new).encode()


# typed


@pytest.mark.rule("typed")
def test_what_was_asked_for_is_taken_and_shown(service: Service) -> None:
    """A booking is shown as it was sent, but for its secret."""
    made = taken(service, booking())
    assert made in newest(service)


@pytest.mark.rule("typed")
def test_what_may_be_left_out_has_its_default(service: Service) -> None:
    """No phone is null, and a newsletter is asked for, not assumed."""
    least = without(booking(), "newsletter")
    del least["guest"]["phone"]
    made = taken(service, least)
    assert made["newsletter"] is False
    assert made["guest"]["phone"] is None


@pytest.mark.rule("typed")
def test_null_stands_where_it_may(service: Service) -> None:
    """The phone may be null."""
    taken(service, booking(guest__phone=None))


@pytest.mark.rule("typed")
def test_null_is_refused_elsewhere(service: Service) -> None:
    """Null is no value of a member that has one."""
    for name in ["guest", "arrival", "departure", "rooms", "deposit"]:
        refused(service, booking(**{name: None}), (f"/{name}", "wrong_type"))


@pytest.mark.rule("typed")
def test_null_is_not_the_same_as_left_out(service: Service) -> None:
    """Null is refused, for a member with a default too."""
    for name in ["newsletter", "door_code"]:
        refused(service, booking(**{name: None}), (f"/{name}", "wrong_type"))


@pytest.mark.rule("typed")
def test_only_a_whole_number_is_one(service: Service) -> None:
    """Neither text, nor true, nor 1.0 is a number of guests."""
    for value in [
        True,
        False,
        "1",
        "",
        1.0,
        2.0,
        1.5,
        1e300,
        [],
        [1],
        {},
        None,
        "one",
    ]:
        body = booking(room__guests=value)
        refused(service, body, ("/rooms/0/guests", "wrong_type"))


@pytest.mark.rule("typed")
def test_a_number_with_a_fraction_or_exponent_is_not_whole(
    service: Service,
) -> None:
    """How a number is written decides: 1.0 is not 1."""
    for number in ["1.0", "1e0", "10e-1", "-0.0", "1E400"]:
        body = written(booking(), '"guests": 2', f'"guests": {number}')
        refused(service, body, ("/rooms/0/guests", "wrong_type"))


@pytest.mark.rule("typed")
def test_only_true_and_false_are_true_or_false(service: Service) -> None:
    """Neither 1 nor "true" asks for a newsletter."""
    for value in [
        1,
        0,
        1.0,
        "true",
        "false",
        "yes",
        "on",
        "1",
        "",
        None,
        [],
        {},
    ]:
        body = booking(newsletter=value)
        refused(service, body, ("/newsletter", "wrong_type"))


@pytest.mark.rule("typed")
def test_true_and_false_are_kept_apart(service: Service) -> None:
    """Both are taken, and stored as they are."""
    for value in [True, False]:
        assert value is taken(service, booking(newsletter=value))["newsletter"]


@pytest.mark.rule("typed")
def test_only_text_is_text(service: Service) -> None:
    """No number is read as text."""
    for value in [1, 1.5, True, [], ["Ada"], {}, None]:
        for name in ["name", "email"]:
            body = booking(**{f"guest__{name}": value})
            refused(service, body, (f"/guest/{name}", "wrong_type"))


@pytest.mark.rule("typed")
def test_what_is_written_as_text_is_no_number(service: Service) -> None:
    """A date is no count of seconds, an amount no float."""
    for value in [0, 1, 1.5, True, [], {}]:
        for name in ["arrival", "departure", "deposit", "door_code"]:
            refused(
                service, booking(**{name: value}), (f"/{name}", "wrong_type")
            )


@pytest.mark.rule("typed")
def test_a_code_is_no_number(service: Service) -> None:
    """Six digits are text; as a number they would lose zeros."""
    for value in [314159, 314159.0, ["314159"]]:
        refused(
            service, booking(door_code=value), ("/door_code", "wrong_type")
        )


@pytest.mark.rule("typed")
def test_only_a_list_is_a_list(service: Service) -> None:
    """One room is a list of one."""
    for value in [{}, "double", 1, True, {"0": {}}, None]:
        refused(service, booking(rooms=value), ("/rooms", "wrong_type"))


@pytest.mark.rule("typed")
def test_only_an_object_is_an_object(service: Service) -> None:
    """A guest is an object, and so is each room."""
    for value in [[], "Ada", 1, True, [{}], None]:
        refused(service, booking(guest=value), ("/guest", "wrong_type"))
        body = booking(rooms=[{"type": "single", "guests": 1}, value])
        refused(service, body, ("/rooms/1", "wrong_type"))


@pytest.mark.rule("typed")
def test_a_body_that_is_no_object_is_refused_as_a_whole(
    service: Service,
) -> None:
    """The empty pointer is the whole body."""
    for body in [
        b"[]",
        b'"text"',
        b"1",
        b"true",
        b"null",
        b"[{}]",
        b"0",
        b'""',
    ]:
        refused(service, body, ("", "wrong_type"))


# syntax


@pytest.mark.rule("syntax")
def test_a_name_is_stored_as_it_came(service: Service) -> None:
    """No character is trimmed, normalized or counted twice."""
    for name in [
        *("A", "Ada", "Ada  Lovelace", "O'Neill", "Nuñez", "Nu\u0303ez"),
        *("李小龍", "\U0001f600", "a/b~c", '"', "\\", "<b>", "%00", "null"),
        *("\ufeffA", "A\u200b", "-", "'; DROP TABLE bookings; --"),
        "x" * 80,
        "\U0001f600" * 80,
        "e\u0301" * 40,
    ]:
        made = taken(service, booking(guest__name=name))
        assert name == made["guest"]["name"]


@pytest.mark.rule("syntax")
def test_a_name_is_a_line_of_characters(service: Service) -> None:
    """No control characters, no space at its ends, 1 to 80 characters."""
    for name, code in [
        ("", "too_short"),
        ("x" * 81, "too_long"),
        ("\U0001f600" * 81, "too_long"),
        ("e\u0301" * 41, "too_long"),
        *((text, "bad_format") for text in (" ", " Ada", "Ada ", "\u3000A")),
        *((text, "bad_format") for text in ("A\u00a0", "\tA", "A\n", "A\r\n")),
        *((f"A{each}B", "bad_format") for each in "\0\n\r\t\x1b\x7f\x85\x9f"),
        *((f"A{each}B", "bad_format") for each in "\u2028\u2029"),
    ]:
        refused(service, booking(guest__name=name), ("/guest/name", code))


@pytest.mark.rule("syntax")
def test_an_address_is_what_a_browser_takes(service: Service) -> None:
    """What WHATWG calls a valid e-mail address is one, as it came."""
    for email in [
        *(
            "a@b",
            "ada@example.com",
            "a.b+c@x-y.example",
            "!#$%&'*+/=?^_`{|}~@b",
        ),
        *("A@EXAMPLE.COM", "1@2.3", ".a.@b", "a@" + "x" * 63),
        "a@" + ".".join(["x" * 62] * 4) + "x",
    ]:
        made = taken(service, booking(guest__email=email))
        assert email == made["guest"]["email"]


@pytest.mark.rule("syntax")
def test_what_is_no_address_is_refused(service: Service) -> None:
    """Matched from the first character to the last, line ends too."""
    for email, code in [
        ("a@" + ".".join(["x" * 62] * 4) + ".x", "too_long"),
        *(
            (text, "bad_format")
            for text in (
                *("", "ada", "@", "a@", "@b", "a@b@c", "a b@c", "a@b c"),
                *("a@b.", "a@.b", "a@b..c", "a@-b", "a@b-", "a@b_c", "ä@b"),
                *("a@ä", " a@b", "a@b ", "a@b\n", "a@b\n\n", "a\0@b", "a@b,c"),
                *("Ada <a@b>", "a@b\r\nBcc: c@d", "a@[127.0.0.1]", '"a"@b'),
                "a@" + "x" * 64,
            )
        ),
    ]:
        refused(service, booking(guest__email=email), ("/guest/email", code))


@pytest.mark.rule("syntax")
def test_a_phone_number_is_international(service: Service) -> None:
    """A plus sign and 7 to 15 digits."""
    for phone in ["+1234567", "+123456789012345"]:
        taken(service, booking(guest__phone=phone))


@pytest.mark.rule("syntax")
def test_what_is_no_phone_number_is_refused(service: Service) -> None:
    """Neither blanks nor the digits of other scripts."""
    for phone in [
        *("", "+", "442071234567", "+44 2071", "+0123456789", "+123456"),
        *(
            "+1234567890123456",
            "+1234567\n",
            "+\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
            "+1234567x",
            "00123",
        ),
    ]:
        body = booking(guest__phone=phone)
        refused(service, body, ("/guest/phone", "bad_format"))


@pytest.mark.rule("syntax")
def test_a_date_is_a_full_date(service: Service) -> None:
    """Of all ways to write a date, RFC 3339's alone; and it exists."""
    for name in ["arrival", "departure"]:
        for text in [
            *(
                "",
                "2027-5-1",
                "2027-05-1",
                "20270501",
                "2027-W17-6",
                "2027-121",
            ),
            *(
                "2027-02-29",
                "2027-04-31",
                "2027-13-01",
                "2027-00-01",
                "0000-01-01",
            ),
            *("2027-05-00", "2027-05-32", "2027-05-01T00:00:00", "01.05.2027"),
            *("2027-05-01 ", " 2027-05-01", "2027-05-01\n", "2027-05-01Z"),
            *(
                "+2027-05-01",
                "12027-05-01",
                "-2027-05-01",
                "\uff12\uff10\uff12\uff17-05-01",
            ),
            *(
                "2027/05/01",
                "today",
                "1777593600",
                "0",
                "2027-05-01T00:00:00Z",
            ),
        ]:
            refused(
                service, booking(**{name: text}), (f"/{name}", "bad_format")
            )


@pytest.mark.rule("syntax")
def test_a_leap_day_is_a_date(service: Service) -> None:
    """29 February is one in a leap year."""
    taken(service, booking(arrival="2028-02-29", departure="2028-03-01"))


@pytest.mark.rule("syntax")
def test_an_amount_is_kept_to_the_cent(service: Service) -> None:
    """It is shown with the digits that it came with."""
    for text in ["0.00", "0.01", "0.29", "1.15", "9.90", "10000.00"]:
        assert text == taken(service, booking(deposit=text))["deposit"]


@pytest.mark.rule("syntax")
def test_an_amount_has_one_spelling(service: Service) -> None:
    """Digits, a point and two digits; nothing that has to be guessed."""
    for text in [
        *("", "1", "1.", "1.0", "1.000", ".50", "01.00", "00.00", "+1.00"),
        *(
            "-1.00",
            "-0.00",
            "1,00",
            "1e2",
            "1.0e2",
            " 1.00",
            "1.00 ",
            "1.00\n",
        ),
        *("NaN", "Infinity", "-Infinity", "1_0.00", "1 000.00", "0x1.00"),
        *("\u0661.\u0660\u0660", "€1.00", "1.00 EUR", "1.0\uff10", "1'000.00"),
    ]:
        refused(service, booking(deposit=text), ("/deposit", "bad_format"))


@pytest.mark.rule("syntax")
def test_a_code_is_six_digits(service: Service) -> None:
    """Six of ten characters, and nothing around them."""
    for text in [
        *("", "12345", "1234567", "12345x", "12 345", " 123456", "123456 "),
        *(
            "123456\n",
            "-12345",
            "+12345",
            "12345.",
            "\u0661\u0662\u0663\u0664\u0665\u0666",
            "12345\uff16",
        ),
    ]:
        refused(service, booking(door_code=text), ("/door_code", "bad_format"))


@pytest.mark.rule("syntax")
def test_a_room_is_one_of_three(service: Service) -> None:
    """A choice is spelled as it is listed."""
    for value in ["attic", "", "Double", "double ", "doublé"]:
        body = booking(room__type=value)
        refused(service, body, ("/rooms/0/type", "not_one_of"))


@pytest.mark.rule("syntax")
def test_what_is_no_text_is_none_of_three(service: Service) -> None:
    """A choice is refused by one code, whatever stands there."""
    values: list[Any] = [None, 1, True, [], {}, ["double"]]
    for value in values:
        body = booking(room__type=value)
        refused(service, body, ("/rooms/0/type", "not_one_of"))


# meaning


@pytest.mark.rule("meaning")
def test_a_departure_comes_after_the_arrival(service: Service) -> None:
    """A stay has one night at least."""
    for arrival, departure in [
        ("2027-05-01", "2027-05-01"),
        ("2027-05-02", "2027-05-01"),
        ("2027-05-10", "2027-05-09"),
        ("2027-12-31", "2027-01-01"),
        ("9999-12-31", "0001-01-01"),
    ]:
        body = booking(arrival=arrival, departure=departure)
        refused(service, body, ("/departure", "not_after"))


@pytest.mark.rule("meaning")
def test_a_stay_has_at_most_30_nights(service: Service) -> None:
    """30 nights are taken, 31 are not, over the end of a year too."""
    taken(service, booking(arrival="2027-12-15", departure="2028-01-14"))
    body = booking(arrival="2027-12-15", departure="2028-01-15")
    refused(service, body, ("/departure", "too_long"))
    body = booking(arrival="0001-01-01", departure="9999-12-31")
    refused(service, body, ("/departure", "too_long"))


@pytest.mark.rule("meaning")
def test_a_room_holds_its_guests(service: Service) -> None:
    """A single room has no two guests, a double room no three."""
    for kind, most in [("single", 1), ("double", 2), ("suite", 4)]:
        taken(service, booking(rooms=[{"type": kind, "guests": most}]))
        body = booking(
            rooms=[
                {"type": "suite", "guests": 1},
                {"type": kind, "guests": most + 1},
            ]
        )
        refused(service, body, ("/rooms/1/guests", "too_large"))


@pytest.mark.rule("meaning")
def test_no_room_holds_fewer_than_one_or_more_than_four(
    service: Service,
) -> None:
    """Bounds hold for numbers of any size."""
    for guests, code in [
        *((0, "too_small"), (-1, "too_small"), (-(10**30), "too_small")),
        *((5, "too_large"), (2**31, "too_large"), (10**4000, "too_large")),
    ]:
        body = booking(rooms=[{"type": "suite", "guests": guests}])
        refused(service, body, ("/rooms/0/guests", code))


@pytest.mark.rule("meaning")
def test_a_booking_has_at_most_20_guests(service: Service) -> None:
    """Each room may be right, and all of them together too much."""
    suite = {"type": "suite", "guests": 4}
    taken(service, booking(rooms=[suite] * 5))
    one = {"type": "single", "guests": 1}
    refused(
        service, booking(rooms=[suite] * 5 + [one]), ("/rooms", "too_large")
    )


@pytest.mark.rule("meaning")
def test_a_deposit_has_an_upper_bound(service: Service) -> None:
    """What is well written may still be too much."""
    for text in ["10000.01", "99999.99", "999999999.00"]:
        refused(service, booking(deposit=text), ("/deposit", "too_large"))


@pytest.mark.rule("meaning")
def test_parts_that_are_right_are_judged_beside_others_that_are_not(
    service: Service,
) -> None:
    """A wrong name does not hide a departure before the arrival."""
    body = booking(
        guest__name="",
        arrival="2027-05-02",
        departure="2027-05-01",
        room__type="single",
        door_code="1",
    )
    refused(
        service,
        body,
        ("/departure", "not_after"),
        ("/door_code", "bad_format"),
        ("/guest/name", "too_short"),
        ("/rooms/0/guests", "too_large"),
    )


@pytest.mark.rule("meaning")
def test_parts_that_are_wrong_are_not_judged_together(
    service: Service,
) -> None:
    """Nothing follows from a date that is none, or a room of no kind."""
    body = booking(arrival="soon", departure="2027-05-01", room__type="attic")
    refused(
        service,
        body,
        ("/arrival", "bad_format"),
        ("/rooms/0/type", "not_one_of"),
    )
    rooms = [{"type": "suite", "guests": 4}] * 6 + [{"type": "suite"}]
    refused(service, booking(rooms=rooms), ("/rooms/6/guests", "missing"))


# unknown-refused


@pytest.mark.rule("unknown-refused")
def test_a_member_that_was_not_asked_for_is_refused(service: Service) -> None:
    """At every level, whatever it is called, and by its pointer."""
    for name, pointer in [
        *(("price", "/price"), ("id", "/id"), ("Guest", "/Guest"), ("", "/")),
        *(("a/b", "/a~1b"), ("m~n", "/m~0n"), ("~1", "/~01"), ("a.b", "/a.b")),
        *(("_schema", "/_schema"), ("__class__", "/__class__"), ("0", "/0")),
        *(("guest.name", "/guest.name"), ("data.x", "/data.x"), ("é", "/é")),
        *((" ", "/ "), ("a`b", "/a`b"), ("body", "/body"), ("\0", "/\0")),
        *(("document", "/document"), ("self", "/self"), ("[0]", "/[0]")),
    ]:
        for level in ["", "/guest", "/rooms/0"]:
            body = booking()
            inner = {
                "": body,
                "/guest": body["guest"],
                "/rooms/0": body["rooms"][0],
            }
            inner[level][name] = "x"
            refused(service, body, (f"{level}{pointer}", "unknown"))


@pytest.mark.rule("unknown-refused")
def test_an_unknown_member_is_refused_whatever_it_holds(
    service: Service,
) -> None:
    """Null is a member too."""
    values: list[Any] = [None, "", 0, False, [], {}, [[{}]]]
    for value in values:
        refused(service, booking(price=value), ("/price", "unknown"))


# all-at-once


@pytest.mark.rule("all-at-once")
def test_a_body_without_members_lacks_each_of_them(service: Service) -> None:
    """What is missing is told at once."""
    names = ("arrival", "departure", "deposit", "door_code", "guest", "rooms")
    refused(service, {}, *((f"/{name}", "missing") for name in names))
    body = booking(guest={}, rooms=[{}])
    refused(
        service,
        body,
        ("/guest/email", "missing"),
        ("/guest/name", "missing"),
        ("/rooms/0/guests", "missing"),
        ("/rooms/0/type", "missing"),
    )


def everything_wrong() -> tuple[Booking, Errors]:
    """Make a body that is wrong all over, and what is to be told of it."""
    body = booking(
        guest={"email": "x" * 255, "phone": 5, "a~/b": None, "_schema": 1},
        arrival="2027-02-30",
        departure=20270503,
        rooms=[
            {"type": "double", "guests": 3, "view": None},
            {"type": "attic", "guests": True, "view": "sea"},
            "suite",
            *[{"type": "single", "guests": 1}] * 6,
            {"guests": 0},
        ],
        deposit="10000.01",
        newsletter="no",
        zzz=1,
        Aaa=2,
    )
    return without(body, "door_code"), [
        ("/Aaa", "unknown"),
        ("/arrival", "bad_format"),
        ("/departure", "wrong_type"),
        ("/deposit", "too_large"),
        ("/door_code", "missing"),
        ("/guest/_schema", "unknown"),
        ("/guest/a~0~1b", "unknown"),
        ("/guest/email", "too_long"),
        ("/guest/name", "missing"),
        ("/guest/phone", "wrong_type"),
        ("/newsletter", "wrong_type"),
        ("/rooms/0/guests", "too_large"),
        ("/rooms/0/view", "unknown"),
        ("/rooms/1/guests", "wrong_type"),
        ("/rooms/1/type", "not_one_of"),
        ("/rooms/1/view", "unknown"),
        ("/rooms/2", "wrong_type"),
        ("/rooms/9/guests", "too_small"),
        ("/rooms/9/type", "missing"),
        ("/zzz", "unknown"),
    ]


@pytest.mark.rule("all-at-once")
def test_all_that_is_wrong_is_told_in_one_answer(service: Service) -> None:
    """Types, syntax, meaning and names, in the order of the pointers."""
    body, expected = everything_wrong()
    refused(service, body, *expected)


@pytest.mark.rule("all-at-once")
def test_no_error_waits_for_another_to_be_mended(service: Service) -> None:
    """What is wrong together is told beside what is wrong alone."""
    body = booking(departure="2027-04-30", deposit="", price=1)
    refused(
        service,
        body,
        ("/departure", "not_after"),
        ("/deposit", "bad_format"),
        ("/price", "unknown"),
    )


@pytest.mark.rule("all-at-once")
def test_the_order_of_members_changes_nothing(service: Service) -> None:
    """The same mistakes are told in the same way, however they come."""
    body, expected = everything_wrong()
    for _ in range(5):
        mixed = dict(random.sample([*body.items()], len(body)))
        guest = [*body["guest"].items()]
        mixed["guest"] = dict(random.sample(guest, len(guest)))
        refused(service, mixed, *expected)


@pytest.mark.rule("all-at-once")
def test_many_unknown_members_come_in_order(service: Service) -> None:
    """Names are sorted as text, by their code points."""
    names = ["b", "B", "a", "é", "10", "9", "aa", "_", "ab", "\U0001f600"]
    body = booking(**dict.fromkeys(names, 1))
    expected = [(f"/{name}", "unknown") for name in sorted(names)]
    refused(service, body, *expected)


# update-as-strict


@pytest.mark.rule("update-as-strict")
def test_an_update_replaces_the_booking(service: Service) -> None:
    """What is right is taken: all of it, defaults too."""
    made = taken(service, booking())
    changed = booking(guest={"name": "Bob", "email": "b@c"}, deposit="1.00")
    changed = without(changed, "newsletter")
    answer = put(service, made["id"], changed)
    assert 200 == answer.status_code, answer.text
    assert {"id": made["id"], **shown(changed)} == answer.json()
    assert answer.json() == show(service, made["id"])


def put(service: Service, number: int, body: Any) -> httpx2.Response:
    """Send something for a booking that is there."""
    return service.request("PUT", f"/bookings/{number}", json=body)


WRONG = [
    (booking(guest__name=""), ("/guest/name", "too_short")),
    (booking(guest__name=7), ("/guest/name", "wrong_type")),
    (booking(guest__email="ada"), ("/guest/email", "bad_format")),
    (booking(arrival="2027-5-1"), ("/arrival", "bad_format")),
    (booking(arrival=0), ("/arrival", "wrong_type")),
    (booking(departure="2027-05-01"), ("/departure", "not_after")),
    (booking(departure="2027-08-01"), ("/departure", "too_long")),
    (booking(rooms=[]), ("/rooms", "too_short")),
    (booking(room__guests="2"), ("/rooms/0/guests", "wrong_type")),
    (booking(room__guests=3), ("/rooms/0/guests", "too_large")),
    (booking(newsletter=1), ("/newsletter", "wrong_type")),
    (booking(deposit="1"), ("/deposit", "bad_format")),
    (booking(door_code="1"), ("/door_code", "bad_format")),
    (booking(price=1), ("/price", "unknown")),
    (booking(id=1), ("/id", "unknown")),
    (without(booking(), "door_code"), ("/door_code", "missing")),
    (without(booking(), "arrival"), ("/arrival", "missing")),
]


@pytest.mark.rule("update-as-strict")
def test_an_update_is_refused_like_a_create(service: Service) -> None:
    """PUT says what POST says, and nothing of the booking changes."""
    made = taken(service, booking())
    for body, expected in WRONG:
        answer = put(service, made["id"], body)
        assert [expected] == errors_of(answer, 422, "pointer")
        refused(service, body, expected)
    assert made == show(service, made["id"])


@pytest.mark.rule("update-as-strict")
def test_an_update_tells_all_that_is_wrong(service: Service) -> None:
    """All at once, in the same order."""
    made = taken(service, booking())
    body, expected = everything_wrong()
    answer = put(service, made["id"], body)
    assert expected == errors_of(answer, 422, "pointer")


@pytest.mark.rule("update-as-strict")
def test_what_is_not_there_is_not_updated(service: Service) -> None:
    """A number that no booking has, or can have, is 404."""
    for number in ["0", "-1", "x", "2147483648", "9" * 30, "%00"]:
        for method in ["GET", "PUT"]:
            body = None if method == "GET" else booking()
            answer = service.request(method, f"/bookings/{number}", json=body)
            assert 404 == answer.status_code


# nothing-stored


@pytest.mark.rule("nothing-stored")
def test_a_refused_booking_is_not_there(service: Service) -> None:
    """The list is as it was, and the next id is the next number."""
    before = taken(service, booking())
    listed = newest(service)
    for body, expected in WRONG:
        refused(service, body, expected)
        assert listed == newest(service)
    assert before["id"] + 1 == taken(service, booking())["id"]


@pytest.mark.rule("nothing-stored")
def test_a_body_that_cannot_be_read_leaves_nothing(service: Service) -> None:
    """What was read before the mistake is not there either."""
    before = taken(service, booking())
    listed = newest(service)
    for kind in ("half", "two", "one and more", "NaN", "a name twice"):
        malformed(service, NO_JSON[kind])
    assert listed == newest(service)
    assert before["id"] + 1 == taken(service, booking())["id"]


@pytest.mark.rule("nothing-stored")
def test_a_last_room_that_is_wrong_undoes_all_before_it(
    service: Service,
) -> None:
    """Nothing is half done when the last part is found wrong."""
    before = taken(service, booking())
    name = f"Half {uuid4()}"
    good = {"type": "single", "guests": 1}
    body = booking(
        guest__name=name, rooms=[*[good] * 9, {**good, "guests": 2}]
    )
    refused(service, body, ("/rooms/9/guests", "too_large"))
    answer = put(service, before["id"], body)
    assert 422 == answer.status_code
    assert name not in service.request("GET", "/bookings?limit=100").text
    assert before == show(service, before["id"])
    assert before["id"] + 1 == taken(service, booking())["id"]


# hostile-json


def in_booking(old: bytes, new: bytes) -> bytes:
    """Write a booking, and replace a piece of it."""
    text = json.dumps(booking()).encode()
    assert 1 == text.count(old)
    return text.replace(old, new)


NAME = b'"Ada Lovelace"'
DEPOSIT = b'"deposit": "120.00"'
WHOLE = json.dumps(booking()).encode()
NO_JSON = {
    "nothing": b"",
    "blanks": b" \n",
    "half": WHOLE[: len(WHOLE) // 2],
    "without its end": WHOLE[:-1],
    "two": WHOLE + WHOLE,
    "two lines": WHOLE + b"\n" + WHOLE,
    "one and more": WHOLE + b"x",
    "one and NUL": WHOLE + b"\0",
    "NaN": in_booking(b'"guests": 2', b'"guests": NaN'),
    "Infinity": in_booking(b'"guests": 2', b'"guests": Infinity'),
    "-Infinity": in_booking(b'"guests": 2', b'"guests": -Infinity'),
    "NaN in what is unknown": in_booking(DEPOSIT, DEPOSIT + b', "x": NaN'),
    "not UTF-8": in_booking(NAME, b'"Ada \xff"'),
    "Latin-1": in_booking(NAME, '"Nuñez"'.encode("latin-1")),
    "overlong": in_booking(NAME, b'"\xc0\xaf"'),
    "a surrogate in bytes": in_booking(NAME, b'"\xed\xa0\x80"'),
    "UTF-16": json.dumps(booking()).encode("utf-16"),
    "UTF-16 without a mark": json.dumps(booking()).encode("utf-16-le"),
    "UTF-32": json.dumps(booking()).encode("utf-32-be"),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "half a pair": in_booking(NAME, b'"\\ud83d"'),
    "the other half": in_booking(NAME, b'"\\uDE00"'),
    "a pair turned round": in_booking(NAME, b'"\\ude00\\ud83d"'),
    "half a pair in a name": in_booking(DEPOSIT, DEPOSIT + b', "\\udfff": 1'),
    "half a pair in a code": in_booking(b'"314159"', b'"31415\\ud800"'),
    "a name twice": in_booking(DEPOSIT, DEPOSIT + b', "deposit": "1.00"'),
    "a name twice, alike": in_booking(DEPOSIT, DEPOSIT + b", " + DEPOSIT),
    "a name twice, within": in_booking(
        b'"guests": 2', b'"guests":2,"guests":1'
    ),
    "a name twice, disguised": in_booking(
        DEPOSIT, DEPOSIT + b', "d\\u0065posit": "1.00"'
    ),
    "an unknown name twice": in_booking(DEPOSIT, DEPOSIT + b', "x":1, "x":2'),
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in a booking": in_booking(NAME, b"[" * 100_000 + b"]" * 100_000),
    "deep and never closed": b"[" * 100_000,
    "5,000 digits": in_booking(b'"guests": 2', b'"guests": ' + b"9" * 5_000),
    "-5,000 digits": in_booking(b'"guests": 2', b'"guests": -' + b"9" * 5_000),
    "single quotes": b"{'a': 1}",
    "a comment": b"/**/" + WHOLE,
    "a comma more": WHOLE[:-1] + b",}",
    "no quotes": b"{deposit: 1}",
    "a line break in text": in_booking(NAME, b'"Ada\nLovelace"'),
    "NUL in text": in_booking(NAME, b'"Ada\0"'),
    "a wrong escape": in_booking(NAME, b'"\\x41"'),
    "01": in_booking(b'"guests": 2', b'"guests": 01'),
    "+1": in_booking(b'"guests": 2', b'"guests": +1'),
    "0x1": in_booking(b'"guests": 2', b'"guests": 0x1'),
    ".5": in_booking(b'"guests": 2', b'"guests": .5'),
    "True": in_booking(b'"guests": 2', b'"guests": True'),
    "form": b"deposit=1",
}


@pytest.mark.rule("hostile-json")
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_not_json_is_refused_with_400(
    service: Service, body: bytes
) -> None:
    """It is the fault of the client, and no part of it is read."""
    malformed(service, body)


@pytest.mark.rule("hostile-json")
@pytest.mark.parametrize("depth", [2, 10, 100, 400, 900, 1_000, 3_000, 10_000])
def test_depth_is_an_error_of_the_client_at_every_step(
    service: Service, depth: int
) -> None:
    """Where a parser gives up is its own affair; it is never a 5xx."""
    deep = b"[" * depth + b"]" * depth
    for body in (deep, in_booking(NAME, deep), in_booking(b'"314159"', deep)):
        assert send(service, body).status_code in (400, 422)


@pytest.mark.rule("hostile-json")
def test_a_pair_of_escapes_is_one_character(service: Service) -> None:
    """Escapes are read, and a whole pair is no half of one."""
    body = in_booking(NAME, b'"\\uD83D\\uDE00 \\u0041\\/\\\\ud800"')
    answer = send(service, body)
    assert 201 == answer.status_code, answer.text
    assert "\U0001f600 A/\\ud800" == answer.json()["guest"]["name"]


@pytest.mark.rule("hostile-json")
def test_blanks_around_a_text_are_json(service: Service) -> None:
    """What RFC 8259 allows is taken."""
    assert 201 == send(service, b"\r\n\t " + WHOLE + b" \n").status_code


@pytest.mark.rule("hostile-json")
@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_body_in_chunks_is_read_whole(service: Service, size: int) -> None:
    """Without a length, in pieces of any size."""
    pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
    answer = service.request(
        "POST", "/bookings", content=iter(pieces), headers=JSON
    )
    assert 201 == answer.status_code, answer.text
    assert shown(booking()) == without(answer.json(), "id")


@pytest.mark.rule("hostile-json")
def test_chunks_that_are_no_json_together_are_refused(
    service: Service,
) -> None:
    """A first chunk that could stand alone is not the body."""
    for pieces in ([], [WHOLE, b"}"], [WHOLE, WHOLE], [b"", WHOLE[:-1]]):
        answer = service.request(
            "POST", "/bookings", content=iter(pieces), headers=JSON
        )
        assert 400 == answer.status_code, answer.text


@pytest.mark.rule("hostile-json")
def test_what_is_wrong_in_json_and_in_meaning_is_wrong_in_json(
    service: Service,
) -> None:
    """Nothing is told of a body that could not be read."""
    malformed(service, b'{"guest": 1, "deposit": 2, "deposit": NaN}')


# query-strict


@pytest.mark.rule("query-strict")
def test_a_limit_is_a_whole_number_in_its_only_spelling(
    service: Service,
) -> None:
    """From 1 to 100, written as anybody would write it."""
    for query, code in [
        *(("limit=0", "too_small"), ("limit=-1", "too_small")),
        *(("limit=101", "too_large"), ("limit=1000000000", "too_large")),
        *(
            (f"limit={'9' * 30}", "too_large"),
            (f"limit=-{10**30}", "too_small"),
        ),
        *(
            (f"limit={text}", "bad_format")
            for text in (
                *("", "x", "1.0", "1e1", "%2B1", "01", "1_0", "%201", "1%20"),
                *("true", "0x1", "%D9%A1", "1%0A", "1%00", "%00", "null"),
                *("--1", "-0", "%EF%BC%91", "-", "1,000", "1."),
            )
        ),
    ]:
        refused_query(service, query, ("limit", code))


@pytest.mark.rule("query-strict")
def test_a_date_in_a_query_is_as_strict_as_in_a_body(service: Service) -> None:
    """A full date, or 400."""
    for name in ["arrival_from", "arrival_before"]:
        for text in [
            *(
                "",
                "2027-5-1",
                "20270501",
                "2027-02-29",
                "0",
                "1777593600",
                "now",
            ),
            *(
                "2027-05-01T00:00:00",
                "2027-05-01%0A",
                "%D9%A2027-05-01",
                "%FF",
            ),
        ]:
            refused_query(service, f"{name}={text}", (name, "bad_format"))


@pytest.mark.rule("query-strict")
def test_an_unknown_parameter_is_refused(service: Service) -> None:
    """What would be ignored is a mistake that nobody sees."""
    for name in [
        "Limit",
        "offset",
        "arrival",
        "door_code",
        "limit[]",
        "_schema",
    ]:
        refused_query(service, f"{name}=1", (name, "unknown"))
        refused_query(service, f"limit=5&{name}", (name, "unknown"))


@pytest.mark.rule("query-strict")
def test_a_repeated_parameter_is_refused(service: Service) -> None:
    """Two readers would take two different ones."""
    for query in [
        "limit=1&limit=2",
        "limit=1&limit=1",
        "limit=2&limit=x",
        "limit=x&limit=2",
    ]:
        refused_query(service, query, ("limit", "wrong_type"))
        dates = "arrival_from=2027-01-01&arrival_from=2027-01-02"
        refused_query(service, dates, ("arrival_from", "wrong_type"))


@pytest.mark.rule("query-strict")
def test_all_that_is_wrong_with_a_query_is_told(service: Service) -> None:
    """In the order of the names."""
    refused_query(
        service,
        "limit=0&arrival_from=x&b=1&a=2",
        ("a", "unknown"),
        ("arrival_from", "bad_format"),
        ("b", "unknown"),
        ("limit", "too_small"),
    )


@pytest.mark.rule("query-strict")
def test_a_period_ends_after_it_begins(service: Service) -> None:
    """Parameters are judged together too."""
    for before in ["2027-05-01", "2027-04-30", "0001-01-01"]:
        query = f"arrival_from=2027-05-01&arrival_before={before}"
        refused_query(service, query, ("arrival_before", "not_after"))
        refused_query(
            service,
            f"{query}&limit=x",
            ("arrival_before", "not_after"),
            ("limit", "bad_format"),
        )


@pytest.mark.rule("query-strict")
def test_a_query_that_is_right_is_followed(framework: Subject) -> None:
    """The period has its first day and not its last; the limit holds."""
    with start("input_validation", framework, seed=30) as service:
        listed = service.request("GET", "/bookings?limit=100").json()["items"]
        assert 30 == len(listed)
        assert sorted(listed, key=lambda one: -one["id"]) == listed
        assert (
            listed[:20] == service.request("GET", "/bookings").json()["items"]
        )
        assert listed[:1] == newest(service, 1)
        days = sorted({one["arrival"] for one in listed})
        since, until = days[5], days[20]
        query = f"arrival_from={since}&arrival_before={until}&limit=100"
        found = service.request("GET", f"/bookings?{query}").json()["items"]
        expected = [b for b in listed if since <= b["arrival"] < until]
        assert expected == found


# secret-never-echoed


@pytest.mark.rule("secret-never-echoed")
def test_a_secret_that_is_refused_is_not_echoed(service: Service) -> None:
    """Neither the answer nor the log has it."""
    for secret in ["hunter2 {}", "12345{}", "x{}", "{}\n", "\U0001f600{}"]:
        mark = "".join(random.choices(string.ascii_letters, k=20))
        answers = [send(service, booking(door_code=secret.format(mark)))]
        made = taken(service, booking())
        answers.append(put(service, made["id"], booking(door_code=[mark])))
        answers.append(send(service, booking(door_code={mark[:9]: mark})))
        for answer in answers:
            assert 422 == answer.status_code
            assert mark not in answer.text
        assert mark not in service.log()


@pytest.mark.rule("secret-never-echoed")
def test_no_value_that_is_refused_is_echoed(service: Service) -> None:
    """A secret may stand in the wrong place; no value comes back."""
    mark = "".join(random.choices(string.ascii_letters, k=20))
    bodies = [
        booking(guest__email=mark),
        booking(arrival=mark),
        booking(deposit=mark),
        booking(newsletter=mark),
        booking(rooms=mark),
        booking(rooms=[mark]),
        booking(room__type=mark),
        booking(room__guests=mark),
        booking(price=mark),
        [mark],
        mark,
        f'{{"door_code": "{mark}", '.encode(),
        f'{{"door_code": "{mark}", "x": NaN}}'.encode(),
        f'{{"door_code": "{mark}", "door_code": 1}}'.encode(),
        f'{{"door_code": "{mark}\\ud800"}}'.encode(),
        f'{{"door_code": "{mark}"}}'.encode() + b"\xff",
    ]
    for body in bodies:
        answer = send(service, body)
        assert answer.status_code in (400, 422)
        assert mark not in answer.text
    # A query is in every log of requests: a secret has no place there.
    assert mark not in service.log()
    for query in (f"limit={mark}", f"x={mark}", f"arrival_from={mark}"):
        answer = service.request("GET", f"/bookings?{query}")
        assert 400 == answer.status_code
        assert mark not in answer.text


@pytest.mark.rule("secret-never-echoed")
def test_a_secret_that_is_taken_is_never_shown(service: Service) -> None:
    """No answer about the booking has it, nor any member for it."""
    code = f"{random.randrange(10**6):06}"
    answer = send(service, booking(door_code=code, deposit="1.00"))
    assert 201 == answer.status_code
    number = answer.json()["id"]
    changed = booking(door_code=code, deposit="2.00")
    answers = [
        answer,
        put(service, number, changed),
        put(service, number, booking(door_code=code, deposit=1)),
        send(service, booking(door_code=code, price=1)),
        service.request("GET", f"/bookings/{number}"),
        service.request("GET", "/bookings?limit=1"),
    ]
    for each in answers:
        assert each.status_code in (200, 201, 422)
        assert f'"{code}"' not in each.text
        assert "door_code" not in each.text
    assert code not in service.log()


# bounded


@pytest.mark.rule("bounded")
def test_a_list_that_is_too_long_is_not_looked_into(service: Service) -> None:
    """One error tells it, whatever the items are."""
    for count in [11, 12, 1_000]:
        good = {"type": "single", "guests": 1}
        for item in (good, {"type": 1}, None):
            body = booking(rooms=[item] * count)
            refused(service, body, ("/rooms", "too_long"))
        refused(
            service, booking(rooms=[{}] + [good] * 10), ("/rooms", "too_long")
        )


@pytest.mark.rule("bounded")
def test_ten_rooms_are_taken_and_none_are_not(service: Service) -> None:
    """A list has from 1 to 10 items."""
    taken(service, booking(rooms=[{"type": "single", "guests": 1}] * 10))
    refused(service, booking(rooms=[]), ("/rooms", "too_short"))


@pytest.mark.rule("bounded")
@pytest.mark.parametrize("count", [99, 100, 101, 10_000])
def test_the_first_hundred_errors_are_told(
    service: Service, count: int
) -> None:
    """The first by pointer, and the answer says that there are more."""
    names = [f"x{number:05}" for number in range(count)]
    random.shuffle(names)
    answer = send(service, booking(**dict.fromkeys(names, 1)))
    found = errors_of(answer, 422, "pointer")
    expected = [(f"/{name}", "unknown") for name in sorted(names)]
    assert expected[:100] == found
    assert (count > 100) == (str(count) in answer.json()["detail"])


@pytest.mark.rule("bounded")
def test_a_query_has_its_bound_too(service: Service) -> None:
    """Of 500 unknown parameters 100 are told."""
    query = "&".join(f"x{number:03}" for number in range(500))
    answer = service.request("GET", f"/bookings?{query}")
    assert 100 == len(errors_of(answer, 400, "parameter"))


@pytest.mark.rule("bounded")
def test_how_many_errors_are_told_is_a_setting(framework: Subject) -> None:
    """`ERRORS_MAX` bounds them."""
    with start("input_validation", framework, {"ERRORS_MAX": 3}) as service:
        body, expected = everything_wrong()
        refused(service, body, *expected[:3])


@pytest.mark.rule("bounded")
def test_a_text_that_is_too_long_is_refused_for_that(service: Service) -> None:
    """Half a megabyte is too long, whatever it says."""
    for name in ["guest__name", "guest__email"]:
        for text in ("x" * 500_000, "\0" * 10_000, "a@" * 250_000):
            found = send(service, booking(**{name: text}))
            pointer = "/" + name.replace("__", "/")
            assert [(pointer, "too_long")] == errors_of(found, 422, "pointer")


HOSTILE = (
    "a" * 30 + "!",
    "a" * 250 + "!@",
    "a@" + "a." * 120 + "!",
    "a@" + "a-" * 120 + "!",
    "a@" + ".".join(["a" * 30] * 8) + "!",
    "a@" + "a" * 240 + "!",
    "a@" * 126,
)


def cost(service: Service, body: Booking) -> float:
    """Measure a refusal; one that never comes costs without end."""
    begun = perf_counter()
    try:
        answer = send(service, body)
    except httpx2.TransportError:
        return inf
    assert 422 == answer.status_code
    return perf_counter() - begun


def ratio(service: Service, plain: Booking, hostile: Booking) -> float:
    """Compare the costs of two refusals, of medians taken in turn."""
    plainly, hostilely = [], []
    for _ in range(ROUNDS):
        plainly.append(cost(service, plain))
        hostilely.append(cost(service, hostile))
        if inf in hostilely:
            return inf
    return median(hostilely) / median(plainly)


@pytest.mark.rule("bounded")
def test_no_text_makes_a_pattern_slow(service: Service) -> None:
    """A text made to backtrack costs what another of its length costs."""
    for text in HOSTILE:
        plain = booking(guest__email="x" * len(text))
        assert 20 > ratio(service, plain, booking(guest__email=text)), text


@pytest.mark.rule("bounded")
def test_the_cost_of_a_text_grows_with_its_length_alone(
    service: Service,
) -> None:
    """Twenty times the text does not cost four hundred times as much."""
    for name in ("guest__name", "guest__email", "deposit"):
        short = booking(**{name: "a\u0301 " * 7_000})
        long = booking(**{name: "a\u0301 " * 140_000})
        assert 60 > ratio(service, short, long), name
