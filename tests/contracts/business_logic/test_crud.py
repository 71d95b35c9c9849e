"""The contract of `crud`: five operations that many use at once."""

import select
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Product = dict[str, Any]

CHANGES = ("PUT", "PATCH", "DELETE")
MERGE = "application/merge-patch+json"
READING = """
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1], timeout=0)
rows.execute("SELECT count(*) FROM products").fetchone()
"""
ROUNDS = 12
AT_ONCE = 6
WRONG_IDS = (
    *("0", "-1", "-0", "abc", "1.5", "1e0", "0x1", "null", "None", "%00"),
    *("2147483648", "4294967297", "9223372036854775807"),
    *("9223372036854775808", "18446744073709551617", "1" + "0" * 30),
    *("9" * 400, "%20", "1;2", "1,2", "*", "' OR 1=1 --", "..", "1/2"),
)
MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "no sku": ({"sku": ...}, "/sku"),
    "no name": ({"name": ...}, "/name"),
    "no price": ({"price": ...}, "/price"),
    "sku null": ({"sku": None}, "/sku"),
    "name null": ({"name": None}, "/name"),
    "price null": ({"price": None}, "/price"),
    "sku empty": ({"sku": ""}, "/sku"),
    "sku of a space": ({"sku": " "}, "/sku"),
    "sku with a space": ({"sku": "A 1"}, "/sku"),
    "sku before a line feed": ({"sku": "A-1\n"}, "/sku"),
    "sku not ASCII": ({"sku": "\u212aETTLE"}, "/sku"),
    "sku full width": ({"sku": "\uff21-1"}, "/sku"),
    "sku too long": ({"sku": "A" * 41}, "/sku"),
    "sku a number": ({"sku": 1}, "/sku"),
    "sku a list": ({"sku": ["A-1"]}, "/sku"),
    "name empty": ({"name": ""}, "/name"),
    "name too long": ({"name": "x" * 201}, "/name"),
    "name with NUL": ({"name": "a\x00b"}, "/name"),
    "name a number": ({"name": 7}, "/name"),
    "price negative": ({"price": -1}, "/price"),
    "price too large": ({"price": 1_000_000_001}, "/price"),
    "price of 20 digits": ({"price": 10**20}, "/price"),
    "price broken": ({"price": 12.5}, "/price"),
    "price true": ({"price": True}, "/price"),
    "price a list": ({"price": [1]}, "/price"),
    "note a number": ({"note": 1}, "/note"),
    "note false": ({"note": False}, "/note"),
    "note empty": ({"note": ""}, "/note"),
    "note too long": ({"note": "x" * 201}, "/note"),
}
OWNED = {
    "id": 1,
    "version": 1,
    "created_at": "2020-01-01T00:00:00Z",
    "nothing": None,
    "__class__": "x",
    "Name": "x",
}


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service for the tests that bring their own products."""
    with start("crud", framework) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(framework: Subject) -> Iterator[Service]:
    """A service of two workers, for requests that race."""
    with start("crud", framework, workers=2) as running:
        yield running


def sku() -> str:
    """A SKU that no other test has."""
    return f"T-{uuid4().hex}"


def new(**members: Any) -> Product:
    """A product as a client may send it; `...` leaves a member out."""
    body = {"sku": sku(), "name": "Copper Kettle", "price": 2450} | members
    return {name: value for name, value in body.items() if value is not ...}


def create(service: Service, **members: Any) -> Product:
    """Create a product that must be taken."""
    answer = service.request("POST", "/products", json=new(**members))
    assert 201 == answer.status_code, answer.text
    made: Product = answer.json()
    return made


def path(product: Product) -> str:
    """Where a product is."""
    return f"/products/{product['id']}"


def tag(product: Product) -> str:
    """The entity tag of a product as it was shown."""
    return f'"{product["version"]}"'


def show(service: Service, product: Product) -> Product:
    """Show a product that must be there, as it is now."""
    answer = service.request("GET", path(product))
    assert 200 == answer.status_code, answer.text
    assert tag(answer.json()) == answer.headers.get("etag")
    found: Product = answer.json()
    return found


def change(
    service: Service,
    method: str,
    product: Product,
    body: Any = None,
    if_match: str | None = "",
) -> httpx2.Response:
    """Change a product; with its ETag unless another is given."""
    headers = {}
    if if_match is not None:
        headers["If-Match"] = if_match or tag(product)
    if method != "DELETE":
        media_type = MERGE if method == "PATCH" else "application/json"
        headers["Content-Type"] = media_type
    options = {} if method == "DELETE" else {"json": body}
    return service.request(method, path(product), headers=headers, **options)


def body_for(method: str) -> Any:
    """A body that a method takes."""
    return {"PUT": new(), "PATCH": {"price": 1}}.get(method)


def problem_in(answer: httpx2.Response, status: int) -> Any:
    """A problem document with this status, on the wire too."""
    assert status == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem = answer.json()
    assert status == problem["status"]
    return problem


def assert_misfit(answer: httpx2.Response, pointer: str) -> None:
    """422, and the problem points at the member."""
    errors = problem_in(answer, 422)["errors"]
    assert pointer in [error["pointer"] for error in errors]


def race(service: Service, requests: Sequence[httpx2.Request]) -> list[int]:
    """Let requests end at one moment; give their statuses.

    Each goes by a connection of its own. All but its last byte is sent
    first, so that the service has the rest of all before it has one.
    """
    address = urlsplit(service.url)
    made = [
        socket.create_connection((address.hostname, address.port), 30)
        for _ in requests
    ]
    try:
        texts = [raw_request(request) for request in requests]
        for raw, text in zip(made, texts, strict=True):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.sendall(text[:-1])
        # An answer shows that there was time to read what came before.
        service.request("GET", "/products/0")
        for raw, text in zip(made, texts, strict=True):
            raw.sendall(text[-1:])
        return [int(raw.recv(65536).split(b" ", 2)[1]) for raw in made]
    finally:
        for raw in made:
            raw.close()


def raw_request(request: httpx2.Request) -> bytes:
    """Write a request as it goes over the wire."""
    lines = [
        f"{request.method} {request.url.raw_path.decode()} HTTP/1.1",
        *(f"{name}: {value}" for name, value in request.headers.items()),
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.content


def ask(
    service: Service, method: str, where: str, body: Any, **headers: str
) -> httpx2.Request:
    """Describe a request for a race."""
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    named.setdefault("Content-Type", "application/json")
    return httpx2.Request(
        method, f"{service.url}{where}", headers=named, json=body
    )


# created


@pytest.mark.rule("created")
def test_what_was_created_is_where_location_says(service: Service) -> None:
    """`Location` leads to it, with the body and the ETag of the answer."""
    body = new(note="While stocks last.")
    answer = service.request("POST", "/products", json=body)
    assert 201 == answer.status_code
    assert "application/json" == answer.headers["content-type"].split(";")[0]
    location = answer.headers.get("location", "")
    found = service.request("GET", str(answer.url.join(location)))
    assert 200 == found.status_code
    assert answer.json() == found.json()
    assert tag(found.json()) == answer.headers.get("etag")
    assert tag(found.json()) == found.headers.get("etag")
    assert f"/products/{answer.json()['id']}" == urlsplit(location).path


@pytest.mark.rule("created")
def test_a_product_has_what_was_sent_and_what_the_service_gives(
    service: Service,
) -> None:
    """Sent members as sent, an id, version 1, the time in UTC."""
    before = datetime.now(UTC)
    body = new()
    made = create(service, **body)
    kept = {"id", "version", "created_at"}
    expected = body | {"note": None} | {name: made[name] for name in kept}
    assert expected == made
    assert isinstance(made["id"], int)
    assert 1 <= made["id"]
    assert 1 == made["version"]
    created_at = datetime.fromisoformat(made["created_at"])
    assert timedelta(0) == created_at.utcoffset()
    second = timedelta(seconds=1)
    assert before - second <= created_at <= datetime.now(UTC) + second


@pytest.mark.rule("created")
@pytest.mark.parametrize(
    "members",
    [
        {"price": 0},
        {"price": 1_000_000_000},
        {"name": "x" * 200, "note": "y" * 200},
        {"name": "é", "note": "e\u0301"},
        {"name": "😀 日本 \u202e ß"},
        {"name": "'; DROP TABLE products; --", "note": "{{7*7}} %s \\"},
        {"name": " spaces ", "note": "null"},
        {"note": None},
    ],
    ids=str,
)
def test_what_was_sent_is_kept_to_the_letter(
    service: Service, members: Product
) -> None:
    """Nothing is trimmed, folded, normalized or understood."""
    made = create(service, **members)
    found = show(service, made)
    assert members == {name: found[name] for name in members}


@pytest.mark.rule("created")
@pytest.mark.parametrize("case", MISFITS)
def test_what_cannot_be_a_product_is_refused(
    service: Service, case: str
) -> None:
    """422 points at the member, and the SKU is still free."""
    members, pointer = MISFITS[case]
    body = new(**members)
    answer = service.request("POST", "/products", json=body)
    assert_misfit(answer, pointer)
    if "sku" not in members:
        create(service, sku=body["sku"])


@pytest.mark.rule("created")
@pytest.mark.parametrize("price", ["1250", 1250.0])
def test_a_number_is_not_guessed(service: Service, price: Any) -> None:
    """A text is no number, and neither is a fraction."""
    answer = service.request("POST", "/products", json=new(price=price))
    if service.differs("lax-numbers"):
        assert 201 == answer.status_code
        assert 1250 == answer.json()["price"]
    else:
        assert_misfit(answer, "/price")


@pytest.mark.rule("created")
@pytest.mark.parametrize("body", ["[]", '"x"', "1", "true"])
def test_what_is_no_object_is_no_product(service: Service, body: str) -> None:
    """Other JSON is not taken."""
    headers = {"Content-Type": "application/json"}
    answer = service.request(
        "POST", "/products", headers=headers, content=body
    )
    problem_in(answer, 422)


# server-owned


@pytest.mark.rule("server-owned")
@pytest.mark.parametrize("name", OWNED)
def test_a_client_cannot_set_what_is_not_its_own_on_creation(
    service: Service, name: str
) -> None:
    """POST refuses the member, and makes nothing."""
    body = new(**{name: OWNED[name]})
    answer = service.request("POST", "/products", json=body)
    assert_misfit(answer, f"/{name}")
    create(service, sku=body["sku"])


@pytest.mark.rule("server-owned")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("name", OWNED)
def test_a_client_cannot_set_what_is_not_its_own_on_a_change(
    service: Service, method: str, name: str
) -> None:
    """PUT and PATCH refuse the member, and change nothing."""
    made = create(service)
    sent = {"price": 1, name: OWNED[name]}
    body = new(**sent) if method == "PUT" else sent
    assert_misfit(change(service, method, made, body), f"/{name}")
    assert made == show(service, made)


@pytest.mark.rule("server-owned")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_leaves_the_time_of_creation(
    service: Service, method: str
) -> None:
    """Nothing but what was sent is changed, and the version."""
    made = create(service)
    body = new(**made | {"id": ..., "version": ..., "created_at": ...})
    body["price"] = 7
    answer = change(service, method, made, body)
    assert 200 == answer.status_code
    changed = {"price": 7, "version": answer.json()["version"]}
    assert made | changed == answer.json()
    assert made["version"] != answer.json()["version"]


# not-found


@pytest.mark.rule("not-found")
@pytest.mark.parametrize("number", WRONG_IDS, ids=lambda text: text[:20])
def test_an_id_that_cannot_be_is_not_found(
    service: Service, number: str
) -> None:
    """404 as for any id that is not there, and never a failure."""
    where = {"id": number}
    for method in ("GET", *CHANGES):
        answer = change(service, method, where, body_for(method), "*")
        problem_in(answer, 404)


@pytest.mark.rule("not-found")
@pytest.mark.parametrize("method", ["GET", *CHANGES])
def test_an_id_of_thousands_of_digits_is_no_failure(
    service: Service, method: str
) -> None:
    """404 as for any id that is not there, and never a failure."""
    where = {"id": "9" * 5000}
    problem_in(change(service, method, where, body_for(method), "*"), 404)


@pytest.mark.rule("not-found")
@pytest.mark.parametrize("if_match", ["*", '"1"'])
@pytest.mark.parametrize("method", ["GET", *CHANGES])
def test_nothing_is_made_where_nothing_is(
    service: Service, method: str, if_match: str
) -> None:
    """404, for PUT too, and still 404 afterwards."""
    where = {"id": create(service)["id"] + 1000}
    body = body_for(method)
    problem_in(change(service, method, where, body, if_match), 404)
    problem_in(service.request("GET", path(where)), 404)
    if method == "PUT":
        create(service, sku=body["sku"])


# replaced


@pytest.mark.rule("replaced")
def test_put_replaces_every_member(service: Service) -> None:
    """All that was there before is gone."""
    made = create(service, note="While stocks last.")
    body = new(name="Amber Lamp", price=1, note="New.")
    answer = change(service, "PUT", made, body)
    assert 200 == answer.status_code, answer.text
    found = show(service, made)
    assert body == {name: found[name] for name in body}


@pytest.mark.rule("replaced")
def test_what_put_leaves_out_goes_back_to_its_default(
    service: Service,
) -> None:
    """A note that is not sent is no note."""
    made = create(service, note="While stocks last.")
    answer = change(service, "PUT", made, new())
    assert 200 == answer.status_code, answer.text
    assert show(service, made)["note"] is None


@pytest.mark.rule("replaced")
@pytest.mark.parametrize("case", MISFITS)
def test_what_cannot_be_a_product_replaces_none(
    service: Service, case: str
) -> None:
    """422 points at the member; a required one may not be left out."""
    made = create(service, note="While stocks last.")
    members, pointer = MISFITS[case]
    assert_misfit(change(service, "PUT", made, new(**members)), pointer)
    assert made == show(service, made)


# merged


@pytest.mark.rule("merged")
@pytest.mark.parametrize(
    "patch",
    [
        {"name": "Amber Lamp"},
        {"price": 0},
        {"note": "New."},
        {"note": None},
        {"name": "Amber Lamp", "price": 1, "note": None},
        {},
    ],
    ids=str,
)
def test_patch_changes_what_it_names(service: Service, patch: Product) -> None:
    """What is absent stays as it is, null takes away."""
    made = create(service, note="While stocks last.")
    answer = change(service, "PATCH", made, patch)
    assert 200 == answer.status_code, answer.text
    found = show(service, made)
    assert made | patch | {"version": found["version"]} == found


@pytest.mark.rule("merged")
def test_patch_may_change_the_sku(service: Service) -> None:
    """The new one is taken, the old one free."""
    made, other = create(service), sku()
    answer = change(service, "PATCH", made, {"sku": other})
    assert 200 == answer.status_code, answer.text
    assert other == show(service, made)["sku"]
    create(service, sku=made["sku"])


@pytest.mark.rule("merged")
@pytest.mark.parametrize(
    "case", [case for case in MISFITS if ... not in MISFITS[case][0].values()]
)
def test_what_would_be_no_product_is_not_merged(
    service: Service, case: str
) -> None:
    """What is required cannot be taken away; nothing else is changed."""
    made = create(service, note="While stocks last.")
    members, pointer = MISFITS[case]
    patch = {"name": "Amber Lamp", "price": 1} | members
    assert_misfit(change(service, "PATCH", made, patch), pointer)
    assert made == show(service, made)


@pytest.mark.rule("merged")
@pytest.mark.parametrize("patch", [[], "x", 1, True, [{"price": 1}]], ids=str)
def test_a_patch_is_an_object(service: Service, patch: Any) -> None:
    """Anything else would replace the whole, by what is no product."""
    made = create(service)
    problem_in(change(service, "PATCH", made, patch), 422)
    assert made == show(service, made)


@pytest.mark.rule("merged")
@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "application/json-patch+json", "text/plain"),
        *("application/x-www-form-urlencoded", "application/merge-patch", ""),
        "application/vnd.merge-patch+json",
    ],
)
def test_a_patch_of_another_kind_is_refused(
    service: Service, media_type: str
) -> None:
    """415 says which kind is taken, and nothing is changed."""
    made = create(service)
    answer = service.request(
        "PATCH",
        path(made),
        headers={"If-Match": tag(made), "Content-Type": media_type},
        content=b'{"price": 1}',
    )
    problem_in(answer, 415)
    assert MERGE == answer.headers.get("accept-patch")
    assert made == show(service, made)


@pytest.mark.rule("merged")
def test_a_patch_of_the_right_kind_has_parameters_and_capitals(
    service: Service,
) -> None:
    """A media type is compared as media types are."""
    made = create(service)
    kind = "Application/Merge-Patch+JSON; charset=utf-8"
    answer = service.request(
        "PATCH",
        path(made),
        headers={"If-Match": tag(made), "Content-Type": kind},
        content=b'{"price": 1}',
    )
    assert 200 == answer.status_code, answer.text


@pytest.mark.rule("merged")
def test_a_product_says_how_it_is_patched(service: Service) -> None:
    """GET names the kind of patch that is taken."""
    answer = service.request("GET", path(create(service)))
    assert MERGE == answer.headers.get("accept-patch")


# shown


@pytest.mark.rule("shown")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_is_answered_with_what_is_there_now(
    service: Service, method: str
) -> None:
    """The body is that of GET, and `Content-Location` says so."""
    made = create(service)
    answer = change(service, method, made, body_for(method))
    assert 200 == answer.status_code, answer.text
    assert show(service, made) == answer.json()
    location = answer.headers.get("content-location", "")
    assert path(made) == urlsplit(str(answer.url.join(location))).path
    assert location


@pytest.mark.rule("shown")
def test_patch_names_the_new_etag_and_put_none(service: Service) -> None:
    """The ETag of a PUT would say that it was stored byte by byte."""
    made = create(service)
    answer = change(service, "PUT", made, new())
    assert "etag" not in answer.headers
    answer = change(service, "PATCH", answer.json(), {"price": 1})
    assert tag(show(service, made)) == answer.headers.get("etag")


# deleted


@pytest.mark.rule("deleted")
def test_what_was_deleted_is_gone(service: Service) -> None:
    """204 and no body; then 404, whatever is asked."""
    made = create(service)
    answer = change(service, "DELETE", made)
    assert 204 == answer.status_code
    assert b"" == answer.content
    for method in ("GET", *CHANGES):
        gone = change(service, method, made, body_for(method))
        problem_in(gone, 404)
    problem_in(change(service, "DELETE", made, if_match="*"), 404)


@pytest.mark.rule("deleted")
def test_an_id_is_not_given_out_again(service: Service) -> None:
    """The id of what was deleted last leads nowhere, for ever."""
    given = set()
    for _ in range(3):
        made = create(service)
        assert made["id"] not in given
        given.add(made["id"])
        assert 204 == change(service, "DELETE", made).status_code
    assert create(service)["id"] not in given


@pytest.mark.rule("deleted")
def test_what_was_deleted_leaves_its_sku(service: Service) -> None:
    """Another product may have it, under another id."""
    made = create(service)
    assert 204 == change(service, "DELETE", made).status_code
    again = create(service, sku=made["sku"])
    assert made["id"] != again["id"]
    problem_in(service.request("GET", path(made)), 404)


@pytest.mark.rule("deleted")
def test_a_delete_takes_one_product(service: Service) -> None:
    """Its neighbours stay as they are."""
    kept = [create(service) for _ in range(2)]
    gone = create(service)
    kept.append(create(service))
    assert 204 == change(service, "DELETE", gone).status_code
    assert kept == [show(service, each) for each in kept]


# unique


def assert_taken(answer: httpx2.Response) -> None:
    """409, with a type of its own, that points at the SKU."""
    problem = problem_in(answer, 409)
    assert "https://example.com/problems/sku-taken" == problem["type"]
    assert ["/sku"] == [error["pointer"] for error in problem["errors"]]


@pytest.mark.rule("unique")
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
def test_a_sku_is_taken_once(service: Service, spell: Any) -> None:
    """The second to want it is refused, in whatever case."""
    made = create(service, sku=f"Ab-{uuid4().hex}")
    body = new(sku=spell(made["sku"]))
    assert_taken(service.request("POST", "/products", json=body))
    assert made == show(service, made)


@pytest.mark.rule("unique")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_a_change_cannot_take_a_sku(
    service: Service, method: str, spell: Any
) -> None:
    """The SKU of another is refused, and nothing is changed."""
    other, made = create(service, sku=f"Ab-{uuid4().hex}"), create(service)
    body = {"sku": spell(other["sku"]), "price": 1}
    if method == "PUT":
        body = new(**body)
    assert_taken(change(service, method, made, body))
    assert made == show(service, made)
    assert 200 == change(service, method, made, body_for(method)).status_code


@pytest.mark.rule("unique")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_product_may_keep_its_sku(service: Service, method: str) -> None:
    """As it is or in another case, it is no conflict with itself."""
    made = create(service, sku=f"Ab-{uuid4().hex}")
    for spelled in (made["sku"], made["sku"].upper(), made["sku"].lower()):
        body = new(sku=spelled) if method == "PUT" else {"sku": spelled}
        answer = change(service, method, made, body)
        assert 200 == answer.status_code, answer.text
        made = show(service, made)
        assert spelled == made["sku"]


@pytest.mark.rule("unique")
def test_of_many_who_want_a_sku_at_once_one_gets_it(crowd: Service) -> None:
    """One 201, and 409 for all others, in whatever case."""
    for _ in range(2 * ROUNDS):
        wanted = f"ab-{uuid4().hex}"
        asks = [
            ask(
                crowd,
                "POST",
                "/products",
                new(sku=wanted.upper() if number % 2 else wanted),
            )
            for number in range(AT_ONCE)
        ]
        expected = [201] + [409] * (AT_ONCE - 1)
        assert expected == sorted(race(crowd, asks))


@pytest.mark.rule("unique")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_of_many_who_change_to_a_sku_at_once_one_gets_it(
    crowd: Service, method: str
) -> None:
    """One 200, and 409 for all others."""
    media_type = MERGE if method == "PATCH" else "application/json"
    for _ in range(ROUNDS // 4):
        wanted = sku()
        asks = [
            ask(
                crowd,
                method,
                path(made),
                new(sku=wanted),
                If_Match=tag(made),
                Content_Type=media_type,
            )
            for made in [create(crowd) for _ in range(AT_ONCE)]
        ]
        expected = [200] + [409] * (AT_ONCE - 1)
        assert expected == sorted(race(crowd, asks))


# precondition


@pytest.mark.rule("precondition")
@pytest.mark.parametrize("method", CHANGES)
def test_a_change_without_a_condition_is_refused(
    service: Service, method: str
) -> None:
    """428, and nothing is changed."""
    made = create(service)
    body = body_for(method)
    problem_in(change(service, method, made, body, None), 428)
    assert made == show(service, made)


@pytest.mark.rule("precondition")
@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize("between", ["PUT", "PATCH"])
def test_a_change_of_what_has_changed_is_refused(
    service: Service, method: str, between: str
) -> None:
    """412 for the ETag of yesterday, and what is there stays."""
    made = create(service)
    first = change(service, between, made, body_for(between))
    assert 200 == first.status_code, first.text
    problem_in(change(service, method, made, body_for(method)), 412)
    assert first.json() == show(service, made)


@pytest.mark.rule("precondition")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("if_match", [None, '"x"', "*"])
@pytest.mark.parametrize("there", [True, False])
def test_a_precondition_counts_for_what_could_be_done(
    service: Service, method: str, if_match: str | None, *, there: bool
) -> None:
    """The form of the body comes first, its values come last."""
    # RFC 9110, 13.2.1: a precondition is ignored where the answer without
    # it would be an error, before the content is processed.
    made = create(service)
    place = path(made) if there else "/products/999999"
    right = MERGE if method == "PATCH" else "application/json"
    met = {None: 428, '"x"': 412, "*": 422}[if_match] if there else 404
    for media_type, body, expected in (
        ("text/plain", b'{"name": "x"}', 415),
        ("text/plain", b'{"name', 415),
        (right, b'{"name', 400),
        (right, b'{"price": "x"}', met),
        (right, b"[]", met),
    ):
        headers = {"Content-Type": media_type}
        headers |= {"If-Match": if_match} if if_match else {}
        answer = service.request(method, place, headers=headers, content=body)
        problem_in(answer, expected)
    assert made == show(service, made)


@pytest.mark.rule("precondition")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_every_change_makes_another_etag(
    service: Service, method: str
) -> None:
    """No ETag comes back, even when the values do."""
    made = create(service)
    seen = [tag(made)]
    for name in ("a", "b", "a", "a"):
        body = new(sku=made["sku"], name=name)
        answer = change(service, method, made, body)
        assert 200 == answer.status_code, answer.text
        made = show(service, made)
        seen.append(tag(made))
    assert len(seen) == len(set(seen))


@pytest.mark.rule("precondition")
@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize(
    "if_match",
    [
        *("{tag}", "*", '"x" , {tag}', '{tag},"x"', '"x",{tag},"y"'),
        *('W/"1", {tag}', '"x",, {tag}', '"*", {tag}', "{tag}, {tag}"),
    ],
)
def test_a_condition_that_holds_lets_a_change_through(
    service: Service, method: str, if_match: str
) -> None:
    """The ETag, a list that has it, or `*` for whatever is there."""
    made = create(service)
    given = if_match.replace("{tag}", tag(made))
    answer = change(service, method, made, body_for(method), given)
    expected = 204 if method == "DELETE" else 200
    assert expected == answer.status_code, answer.text


@pytest.mark.rule("precondition")
def test_a_condition_may_be_spread_over_two_lines(service: Service) -> None:
    """Lines of one name are one list."""
    made = create(service)
    headers = [("If-Match", '"x"'), ("If-Match", tag(made))]
    answer = service.request("DELETE", path(made), headers=headers)
    assert 204 == answer.status_code, answer.text


@pytest.mark.rule("precondition")
@pytest.mark.parametrize(
    "if_match",
    [
        *("W/{tag}", 'W/"1", "x"', '"x"', '"0"', '"01"', '"1.0"', '" 1"'),
        *('"*"', '""', '"-1"', '"1', "'1'", "None", '"{tag}', '"1" OR 1=1'),
        *('"9223372036854775808"', '"%31"', '"x", "y"', '"+1"', '"1e0"'),
        '"' + "9" * 5000 + '"',
        ", ".join(f'"{number}"' for number in range(2, 900)),
    ],
    ids=lambda text: text[:12],
)
def test_a_condition_that_does_not_hold_stops_a_change(
    service: Service, if_match: str
) -> None:
    """412 for another ETag, a weak one, and what is none at all."""
    made = create(service)
    given = if_match.replace("{tag}", tag(made))
    for method in CHANGES:
        answer = change(service, method, made, body_for(method), given)
        problem_in(answer, 412)
    assert made == show(service, made)


@pytest.mark.rule("precondition")
@pytest.mark.parametrize("method", CHANGES)
def test_a_tag_without_quotation_marks_is_none(
    service: Service, method: str
) -> None:
    """What is no entity tag matches nothing."""
    made = create(service)
    answer = change(service, method, made, body_for(method), "1")
    if service.differs("lenient-tags"):
        assert answer.is_success
    else:
        problem_in(answer, 412)


# one-winner


@pytest.mark.rule("one-winner")
@pytest.mark.parametrize("method", CHANGES)
def test_of_many_changes_at_once_one_is_done(
    crowd: Service, method: str
) -> None:
    """Who comes second has not seen what the first one did."""
    done = 204 if method == "DELETE" else 200
    media_type = MERGE if method == "PATCH" else "application/json"
    for _ in range(ROUNDS):
        made = create(crowd)
        asks = [
            ask(
                crowd,
                method,
                path(made),
                None if method == "DELETE" else new(price=number),
                If_Match=tag(made),
                Content_Type=media_type,
            )
            for number in range(AT_ONCE)
        ]
        statuses = sorted(race(crowd, asks))
        assert [done] == [each for each in statuses if each < 300]
        late = {404, 412} if method == "DELETE" else {412}
        assert late >= {*statuses[1:]}


@pytest.mark.rule("one-winner")
def test_of_a_change_and_a_deletion_at_once_one_is_done(
    crowd: Service,
) -> None:
    """Either it is changed and there, or deleted and gone."""
    for number in range(ROUNDS):
        made = create(crowd)
        asks = [
            ask(crowd, "DELETE", path(made), None, If_Match=tag(made)),
            ask(crowd, "PUT", path(made), new(), If_Match=tag(made)),
        ]
        statuses = race(crowd, asks[:: 1 if number % 2 else -1])
        won = [each for each in statuses if each < 300]
        assert 1 == len(won)
        after = crowd.request("GET", path(made)).status_code
        assert (404 if won == [204] else 200) == after


@pytest.mark.rule("one-winner")
def test_changes_that_want_no_version_are_all_done(crowd: Service) -> None:
    """With `*` each member has the value of some request, and none is lost."""
    made = create(crowd)
    patches: list[Product] = [
        {"price": 7},
        {"name": "Amber Lamp"},
        {"note": "New."},
    ]
    asks = [
        ask(crowd, "PATCH", path(made), p, If_Match="*", Content_Type=MERGE)
        for p in patches * 2
    ]
    assert [200] * len(asks) == race(crowd, asks)
    found = show(crowd, made)
    for patch in patches:
        assert patch == {name: found[name] for name in patch}
    assert made["version"] + len(asks) == found["version"]


# kept


def is_deaf(service: Service) -> bool:
    """Tell whether nobody listens any more."""
    address = urlsplit(service.url)
    try:
        with socket.create_connection((address.hostname, address.port), 30):
            return False
    except ConnectionResetError:
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.rule("kept")
def test_what_was_answered_outlives_the_process(framework: Subject) -> None:
    """After `kill -9` it is created, changed and deleted as it was told."""
    with start("crud", framework) as service:
        service.needs("the process")
        put, patched, gone = (create(service) for _ in range(3))
        body = new(name="Amber Lamp")
        put = change(service, "PUT", put, body).json()
        patched = change(service, "PATCH", patched, {"price": 1}).json()
        assert 204 == change(service, "DELETE", gone).status_code
        made = create(service)
        service.kill()
        until(lambda: is_deaf(service), "it still answers after kill -9")
        service.restart()
        for each in (put, patched, made):
            assert each == show(service, each)
        problem_in(service.request("GET", path(gone)), 404)
        problem_in(service.request("GET", f"/products/{made['id'] + 1}"), 404)
        body = new(sku=made["sku"])
        assert_taken(service.request("POST", "/products", json=body))


@pytest.mark.rule("kept")
@pytest.mark.parametrize("method", ["POST", *CHANGES])
def test_nothing_is_answered_before_it_is_kept(
    framework: Subject, tmp_path: Path, method: str
) -> None:
    """While the database holds a commit up, there is no answer."""
    database = tmp_path / "service.db"
    knobs = {"DATABASE_URL": f"sqlite:///{database}"}
    with start("crud", framework, knobs) as service:
        made = create(service)
        if not database.exists():
            pytest.skip("not checked: needs the default database")
        where = "/products" if method == "POST" else path(made)
        body = new() if method == "POST" else body_for(method)
        media_type = MERGE if method == "PATCH" else "application/json"
        asked = ask(
            service,
            method,
            where,
            body,
            If_Match=tag(made),
            Content_Type=media_type,
        )
        address = urlsplit(service.url)
        place = (address.hostname, address.port)
        with (
            closing(sqlite3.connect(database)) as reader,
            socket.create_connection(place, 30) as raw,
        ):
            # Who reads holds up a commit, and whoever comes behind it.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM products").fetchone()
            raw.sendall(raw_request(asked))
            until(lambda: is_committing(database), "nothing is committed")
            early, _, _ = select.select([raw], [], [], 0)
            reader.rollback()
            answer = raw.recv(65536)
        assert answer.split(b" ", 2)[1][:2] == b"20"
        assert not early


def is_committing(database: Path) -> bool:
    """Tell whether somebody waits for the readers, to commit."""
    # In another process: locks of one process are no matter to itself.
    asked = [sys.executable, "-c", READING, str(database)]
    done = subprocess.run(asked, capture_output=True, check=False)
    return done.returncode != 0


@pytest.mark.rule("kept")
def test_every_worker_has_what_one_was_told(crowd: Service) -> None:
    """What one worker answered, two answer with."""
    made = create(crowd)
    made = change(crowd, "PATCH", made, {"note": "New."}).json()
    for answer in crowd.ask_every_worker(2, "GET", path(made)):
        assert 200 == answer.status_code
        assert made == answer.json()
