"""The contract of `middleware_order`: each answer has passed each layer."""

import hmac
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from select import select
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Json = dict[str, Any]
type Ask = tuple[str, str, Json]

SECRET = uuid4().hex
FRESH = re.compile(r"[A-Za-z0-9._-]{8,64}")
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
PARCEL = {"depot": "north", "weight": 3}
USER = "ada"
JSON = {"content-type": "application/json"}
CLOSE = {"connection": "close"}


def token(user: str, secret: str = SECRET) -> str:
    """Sign the name of a user, by the standard library."""
    signature = hmac.new(secret.encode(), user.encode(), "sha256")
    return f"Bearer {user}.{signature.hexdigest()}"


KNOWN = {"authorization": token(USER)}
TOO_MUCH = b" " * 3_000_000
KINDS: dict[str, tuple[int, str | None, Ask]] = {
    "all is well": (200, None, ("GET", "/tariff", {})),
    "a quote": (200, USER, ("POST", "/quotes", {"json": PARCEL})),
    "a depot": (200, USER, ("GET", "/depots/north", {})),
    "a user that is not known": (
        401,
        None,
        ("POST", "/quotes", {"json": PARCEL, "headers": {}}),
    ),
    "half a body": (
        400,
        USER,
        ("POST", "/quotes", {"content": b'{"a', "headers": JSON}),
    ),
    "a depot that is not there": (404, USER, ("GET", "/depots/x", {})),
    "nothing there": (404, None, ("GET", "/nothing/is/here", {})),
    "a method": (405, None, ("DELETE", "/tariff", {})),
    "too much": (
        413,
        USER,
        ("POST", "/quotes", {"content": TOO_MUCH, "headers": JSON | CLOSE}),
    ),
    "another type": (
        415,
        USER,
        ("POST", "/quotes", {"content": b"{}", "headers": {}}),
    ),
    "no parcel": (422, USER, ("POST", "/quotes", {"json": {}})),
}
every_kind = pytest.mark.parametrize(
    ("status", "user", "asked"), KINDS.values(), ids=KINDS
)


@pytest.fixture(scope="module")
def service(
    framework: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose tariff is as it was made."""
    file = tmp_path_factory.mktemp("good") / "tariff.json"
    knobs = {"TOKEN_SECRET": SECRET, "TARIFF_FILE": file}
    with start("middleware_order", framework, knobs) as running:
        yield running


@pytest.fixture(scope="module")
def failing(
    framework: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose tariff cannot be read."""
    file = tmp_path_factory.mktemp("bad") / "tariff.json"
    file.write_text('{"base": ')
    knobs = {"TOKEN_SECRET": SECRET, "TARIFF_FILE": file}
    with start("middleware_order", framework, knobs) as running:
        yield running


def fresh_id() -> str:
    """An id that no other request has."""
    return f"test-{uuid4()}"


def send(
    service: Service, asked: Ask, user: str | None, request_id: str
) -> httpx2.Response:
    """Ask as a user, or as nobody, with an id."""
    method, path, options = asked
    headers = {**options.get("headers", {}), "x-request-id": request_id}
    if user is not None:
        headers["authorization"] = token(user)
    return service.request(method, path, **{**options, "headers": headers})


def lines(service: Service) -> list[Json]:
    """Read the lines that requests have left in the log."""
    found = []
    for line in service.log().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "request":
            found.append(event)
    return found


def lines_of(service: Service, request_id: str) -> list[Json]:
    """Read the lines of one request."""
    return [e for e in lines(service) if e["request_id"] == request_id]


def line_of(service: Service, request_id: str) -> Json:
    """Wait for the line of a request, and then for a later one's."""
    until(lambda: lines_of(service, request_id), "it left no line")
    later = fresh_id()
    service.request("GET", "/tariff", headers={"x-request-id": later})
    until(lambda: lines_of(service, later), "the next one left no line")
    found = lines_of(service, request_id)
    assert 1 == len(found)
    return found[0]


def assert_marked(answer: httpx2.Response, request_id: str) -> None:
    """The answer has its id and the headers that all have, once each."""
    expected = {**HEADERS, "x-request-id": request_id}
    for name, value in expected.items():
        assert [value] == answer.headers.get_list(name), name


def problem(answer: httpx2.Response, status: int) -> Json:
    """Read a problem document of this status."""
    assert status == answer.status_code, answer.text[:300]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    document: Json = answer.json()
    assert status == document["status"]
    return document


class Held:
    """A request that has been begun and not sent whole."""

    def __init__(
        self, service: Service, head: str, body: bytes, length: str
    ) -> None:
        address = urlsplit(service.url)
        self._raw = socket.create_connection(
            (address.hostname, address.port), 30
        )
        self._raw.sendall(
            f"{head} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Content-Type: application/json\r\n{length}\r\n\r\n".encode()
            + body
        )

    def finish(self, rest: bytes) -> tuple[str, bytes]:
        """Send the rest; give the head and the body of the answer."""
        self._raw.sendall(rest)
        return self.answer()

    def status(self) -> int:
        """Wait for the status of the answer."""
        received = b""
        while b"\r\n" not in received:
            received += self._receive()
        return int(received.split()[1])

    def answer(self) -> tuple[str, bytes]:
        """Wait for an answer, of which a length is known."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        assert found, head
        while len(body) < int(found[1]):
            body += self._receive()
        return head.decode("latin-1"), body

    def _receive(self) -> bytes:
        readable = [self._raw]
        until(lambda: select(readable, [], [], 0)[0], "no answer came")
        received = self._raw.recv(65536)
        assert received, "the connection was closed"
        return received

    def close(self) -> None:
        """Abandon it."""
        self._raw.close()


def hold(service: Service, user: str | None, request_id: str) -> Held:
    """Begin to ask for a quote, and stop in the middle of the body."""
    head = f"POST /quotes HTTP/1.1\r\nX-Request-ID: {request_id}"
    if user is not None:
        head += f"\r\nAuthorization: {token(user)}"
    first, _, rest = head.partition(" HTTP/1.1")
    body = json.dumps(PARCEL).encode()
    return Held(
        service,
        first,
        body[:5],
        f"Content-Length: {len(body)}{rest}",
    )


REST = json.dumps(PARCEL).encode()[5:]


# id-on-all


@pytest.mark.rule("id-on-all")
@every_kind
def test_every_answer_carries_the_id_of_its_request(
    service: Service, status: int, user: str | None, asked: Ask
) -> None:
    """Whichever layer answers, the client reads the id that it sent."""
    request_id = fresh_id()
    answer = send(service, asked, user, request_id)
    assert status == answer.status_code
    assert [request_id] == answer.headers.get_list("x-request-id")


@pytest.mark.rule("id-on-all")
def test_a_failure_carries_the_id_of_its_request(failing: Service) -> None:
    """A 500 too."""
    request_id = fresh_id()
    answer = send(failing, ("GET", "/tariff", {}), None, request_id)
    assert 500 == answer.status_code
    assert [request_id] == answer.headers.get_list("x-request-id")


@pytest.mark.rule("id-on-all")
def test_who_sends_no_id_is_given_one(service: Service) -> None:
    """A fresh one for each request, of the form that is taken."""
    asked = [("GET", "/tariff"), ("GET", "/nowhere"), ("POST", "/quotes")] * 3
    answers = [service.request(method, path) for method, path in asked]
    found = [answer.headers["x-request-id"] for answer in answers]
    assert all(FRESH.fullmatch(one) for one in found), found
    assert len(found) == len(set(found))


# bounded-id

BAD_IDS = {
    "nothing": b"",
    "short": b"a" * 7,
    "long": b"a" * 65,
    "very long": b"a" * 4000,
    "a space": b"order 4711 x",
    "a tab": b"order\t4711",
    "quotes": b'order"4711"',
    "a comma": b"order-4711,order-4712",
    "a slash": b"../../etc/passwd",
    "markup": b"<script>alert</script>",
    "latin-1": b"ordre-n\xe9-4711",
    "UTF-8": "bestellung-größe".encode(),
    "another script": "٤٧١١٤٧١١٤٧".encode(),
    "a line": b"order-4711\\n",
}


@pytest.mark.rule("bounded-id")
@pytest.mark.parametrize("sent", BAD_IDS.values(), ids=BAD_IDS)
@pytest.mark.parametrize("path", ["/tariff", "/nowhere"])
def test_an_id_that_is_none_is_replaced(
    service: Service, path: str, sent: bytes
) -> None:
    """It is in no answer and in no line; the request has a fresh one."""
    answer = service.request("GET", path, headers=[(b"x-request-id", sent)])
    assert answer.status_code in (200, 404)
    (found,) = answer.headers.get_list("x-request-id")
    assert FRESH.fullmatch(found)
    assert sent.decode("latin-1") != found
    until(lambda: lines_of(service, found), "it left no line")
    written = [line["request_id"] for line in lines(service)]
    assert all(FRESH.fullmatch(one) for one in written)


@pytest.mark.rule("bounded-id")
@pytest.mark.parametrize("sent", ["a" * 8, "a" * 64, "A.b-c_d9", "-------."])
def test_an_id_of_the_right_form_is_taken(service: Service, sent: str) -> None:
    """From eight characters to sixty-four."""
    answer = service.request("GET", "/tariff", headers={"x-request-id": sent})
    assert sent == answer.headers["x-request-id"]


@pytest.mark.rule("bounded-id")
def test_of_two_ids_none_is_taken(service: Service) -> None:
    """Whoever sends two has none."""
    sent = [fresh_id(), fresh_id()]
    headers = [("x-request-id", one) for one in sent]
    answer = service.request("GET", "/tariff", headers=headers)
    (found,) = answer.headers.get_list("x-request-id")
    assert FRESH.fullmatch(found)
    assert found not in sent


# headers-on-all


@pytest.mark.rule("headers-on-all")
@every_kind
def test_every_answer_has_the_same_headers(
    service: Service, status: int, user: str | None, asked: Ask
) -> None:
    """A refusal is an answer like any other."""
    request_id = fresh_id()
    answer = send(service, asked, user, request_id)
    assert status == answer.status_code
    assert_marked(answer, request_id)


# logged-once


@pytest.mark.rule("logged-once")
@every_kind
def test_every_request_leaves_one_line(
    service: Service, status: int, user: str | None, asked: Ask
) -> None:
    """It says what was asked, by whom, and what was on the wire."""
    request_id = fresh_id()
    answer = send(service, asked, user, request_id)
    line = line_of(service, request_id)
    assert answer.status_code == line["status"] == status
    assert asked[:2] == (line["method"], line["path"])
    assert user == line["user"]


@pytest.mark.rule("logged-once")
@pytest.mark.parametrize("kind", ["a path", "an agent"])
def test_a_line_cannot_be_forged(service: Service, kind: str) -> None:
    """What a client sends ends no line and begins none."""
    request_id, forged = fresh_id(), fresh_id()
    event = f'{{"event": "request", "request_id": "{forged}"}}'
    path, headers = "/tariff", {"x-request-id": request_id}
    if kind == "a path":
        path = f"/%0A{event.replace(' ', '%20')}%0A"
    else:
        headers["user-agent"] = event
    service.request("GET", path, headers=headers)
    assert line_of(service, request_id)
    assert [] == lines_of(service, forged)


# errors-inside


@pytest.mark.rule("errors-inside")
@pytest.mark.parametrize("user", [None, USER])
def test_a_failure_is_marked_and_logged_like_any_answer(
    failing: Service, user: str | None
) -> None:
    """500 with id and headers, and a line that says 500."""
    asked: Ask = ("GET", "/tariff", {})
    if user is not None:
        asked = ("POST", "/quotes", {"json": PARCEL})
    request_id = fresh_id()
    answer = send(failing, asked, user, request_id)
    problem(answer, 500)
    assert_marked(answer, request_id)
    until(lambda: lines_of(failing, request_id), "it left no line")
    send(failing, asked, user, later := fresh_id())
    until(lambda: lines_of(failing, later), "the next one left no line")
    (line,) = lines_of(failing, request_id)
    assert (500, user) == (line["status"], line["user"])


# known-before-read

NOBODY: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "no token": [("authorization", "Bearer")],
    "a name alone": [("authorization", f"Bearer {USER}")],
    "no signature": [("authorization", f"Bearer {USER}.")],
    "another secret": [("authorization", token(USER, "another"))],
    "another's signature": [
        ("authorization", token("bob").replace("bob", USER))
    ],
    "another scheme": [
        ("authorization", token(USER).replace("Bearer", "Basic"))
    ],
    "twice": [("authorization", token(USER)), ("authorization", token("bob"))],
    "in capitals": [("authorization", f"Bearer {token(USER)[7:].upper()}")],
    "more after it": [("authorization", token(USER) + " x")],
    "in the query": [],
}
BODIES: dict[str, Json] = {
    "a parcel": {"json": PARCEL},
    "no parcel": {"json": {"weight": "much"}},
    "half a body": {"content": b'{"a', "headers": JSON},
    "another type": {"content": b"<a/>", "headers": {"content-type": "x/y"}},
    "no body": {},
}


def assert_unknown(answer: httpx2.Response) -> None:
    """401, with a challenge, as a problem document."""
    problem(answer, 401)
    challenge = answer.headers["www-authenticate"]
    assert "bearer" == challenge.split()[0].lower()


@pytest.mark.rule("known-before-read")
@pytest.mark.parametrize("sent", NOBODY.values(), ids=NOBODY)
def test_who_is_nobody_is_told_so(
    service: Service, sent: list[tuple[str, str]]
) -> None:
    """Only the signature of the name proves it."""
    path = f"/depots/north?user={USER}&authorization={token(USER)[7:]}"
    answer = service.request("GET", path, headers=sent)
    assert_unknown(answer)


@pytest.mark.rule("known-before-read")
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_nobodys_body_is_not_judged(service: Service, body: Json) -> None:
    """401, never 400, 415 or 422."""
    assert_unknown(service.request("POST", "/quotes", **body))


@pytest.mark.rule("known-before-read")
def test_for_nobody_nothing_is_looked_up(
    service: Service, failing: Service
) -> None:
    """401, whether there is such a depot or not, or the tariff is broken."""
    for path in ("/depots/north", "/depots/nowhere"):
        assert_unknown(service.request("GET", path))
        assert_unknown(failing.request("GET", path))
    assert_unknown(failing.request("POST", "/quotes", json=PARCEL))


@pytest.mark.rule("known-before-read")
@pytest.mark.parametrize(
    "length",
    ["Content-Length: 9000", "Transfer-Encoding: chunked"],
    ids=["a length", "chunks"],
)
def test_nobodys_body_is_not_waited_for(service: Service, length: str) -> None:
    """401 comes while the body is still on its way."""
    body = b"1\r\n{\r\n" if "chunked" in length else b'{"depot": '
    held = Held(service, "POST /quotes", body, length)
    status = held.status()
    held.close()
    assert 401 == status


@pytest.mark.rule("known-before-read")
def test_who_is_known_is_let_in(service: Service) -> None:
    """The name of a scheme is the same in any case."""
    for scheme in ("Bearer", "bearer", "BEARER"):
        sent = token(USER).replace("Bearer", scheme)
        answer = service.request(
            "GET", "/depots/north", headers={"authorization": sent}
        )
        assert 200 == answer.status_code
        assert USER == answer.json()["user"]


# judged-before-done

WRONG: dict[str, Json] = {
    "no depot": {"weight": 3},
    "no weight": {"depot": "north"},
    "a weight of nothing": {"depot": "north", "weight": 0},
    "too heavy": {"depot": "north", "weight": 31},
    "true": {"depot": "north", "weight": True},
    "half a kilogram": {"depot": "north", "weight": 0.5},
    "a depot without a name": {"depot": "", "weight": 3},
    "a user": {"depot": "north", "weight": 3, "user": "bob"},
}


@pytest.mark.rule("judged-before-done")
@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_parcel_that_is_none_is_refused_before_the_handler_begins(
    failing: Service, body: Json
) -> None:
    """Where the handler would fail, the body is told to be wrong."""
    answer = failing.request("POST", "/quotes", json=body, headers=KNOWN)
    problem(answer, 422)


@pytest.mark.rule("judged-before-done")
def test_a_body_that_is_no_json_is_refused_before_the_handler_begins(
    failing: Service,
) -> None:
    """400 for half a body, 415 for another type, 500 for a parcel."""
    for status, content, media_type in (
        (400, b'{"depot": ', "application/json"),
        (415, b'{"depot": "north", "weight": 3}', "text/plain"),
        (500, b'{"depot": "north", "weight": 3}', "application/json"),
    ):
        headers = {**KNOWN, "content-type": media_type}
        answer = failing.request(
            "POST", "/quotes", content=content, headers=headers
        )
        problem(answer, status)


@pytest.mark.rule("judged-before-done")
@pytest.mark.parametrize(
    ("weight", "price"), [(1, "6.00"), (3, "9.00"), (30, "49.50")]
)
def test_a_parcel_has_a_price(
    service: Service, weight: int, price: str
) -> None:
    """4.00 and 1.50 for each kilogram, and what the depot adds."""
    parcel = {**PARCEL, "weight": weight}
    answer = service.request("POST", "/quotes", json=parcel, headers=KNOWN)
    assert {**parcel, "price": price, "user": USER} == answer.json()


@pytest.mark.rule("judged-before-done")
def test_a_parcel_may_come_from_nowhere(service: Service) -> None:
    """Its form is right: it is the handler that finds no depot."""
    parcel = {**PARCEL, "depot": "nowhere"}
    answer = service.request("POST", "/quotes", json=parcel, headers=KNOWN)
    problem(answer, 404)


# unwinds


def active_alone(service: Service) -> int:
    """Ask alone; read how many requests there were, with this one."""
    request_id = fresh_id()
    send(service, ("GET", "/tariff", {}), None, request_id)
    active: int = line_of(service, request_id)["active"]
    return active


@pytest.mark.rule("unwinds")
@every_kind
def test_what_is_over_is_not_in_hand(
    service: Service, status: int, user: str | None, asked: Ask
) -> None:
    """After an answer of any kind, the next request is alone."""
    for _ in range(3):
        answer = send(service, asked, user, fresh_id())
        assert status == answer.status_code
    until(lambda: 1 == active_alone(service), "something is left in hand")


@pytest.mark.rule("unwinds")
def test_what_has_failed_is_not_in_hand(failing: Service) -> None:
    """After failures, the next one is alone."""
    for _ in range(3):
        answer = send(failing, ("GET", "/tariff", {}), None, fresh_id())
        assert 500 == answer.status_code
    until(lambda: 1 == active_alone(failing), "something is left in hand")


@pytest.mark.rule("unwinds")
def test_what_is_in_hand_is_counted_until_it_is_abandoned(
    service: Service,
) -> None:
    """A client that goes away leaves one line and nothing in hand."""
    request_id = fresh_id()
    held = hold(service, USER, request_id)
    until(lambda: 2 == active_alone(service), "it was not counted")
    assert [] == lines_of(service, request_id)
    held.close()
    until(lambda: 1 == active_alone(service), "it is in hand for ever")
    assert USER == line_of(service, request_id)["user"]


# nowhere-too

NOWHERE = (
    *("/nothing-is-here", "/nothing/is/here", "/tariff/x", "/x" * 200),
    *("/depot", "/%2e%2e/tariff", "/Tariff", "/tariff.json"),
)


@pytest.mark.rule("nowhere-too")
@pytest.mark.parametrize("path", NOWHERE, ids=lambda path: path[:20])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_passes_every_layer(
    service: Service, method: str, path: str
) -> None:
    """404 has its id, the headers and a line."""
    request_id = fresh_id()
    answer = send(service, (method, path, {}), None, request_id)
    problem(answer, 404)
    assert_marked(answer, request_id)
    assert 404 == line_of(service, request_id)["status"]


@pytest.mark.rule("nowhere-too")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_method_that_is_not_allowed_passes_every_layer(
    service: Service, method: str
) -> None:
    """405 has its id, the headers and a line."""
    request_id = fresh_id()
    answer = send(service, (method, "/tariff", {}), None, request_id)
    problem(answer, 405)
    assert "allow" in answer.headers
    assert_marked(answer, request_id)
    line = line_of(service, request_id)
    assert (method, 405) == (line["method"], line["status"])


# apart


@pytest.mark.rule("apart")
def test_what_is_known_of_one_request_is_not_told_to_another(
    service: Service,
) -> None:
    """While one is in the middle, another comes and goes."""
    ids = {user: fresh_id() for user in ("ada", "bob", "cleo")}
    held = [(user, hold(service, user, ids[user])) for user in ("ada", "bob")]
    until(lambda: 3 == active_alone(service), "they were not counted")
    answer = send(service, ("GET", "/depots/north", {}), "cleo", ids["cleo"])
    assert_marked(answer, ids["cleo"])
    assert "cleo" == answer.json()["user"]
    for user, one in held:
        head, body = one.finish(REST)
        one.close()
        assert f"x-request-id: {ids[user]}\r\n" in f"{head}\r\n".lower()
        assert user == json.loads(body)["user"]
    for user, request_id in ids.items():
        assert user == line_of(service, request_id)["user"]


@pytest.mark.rule("apart")
def test_requests_at_once_are_told_apart(service: Service) -> None:
    """Each answer and each line has the user and the id of its request."""
    ids = {f"user-{number}": fresh_id() for number in range(60)}

    def ask(user: str) -> httpx2.Response:
        return send(service, ("GET", "/depots/south", {}), user, ids[user])

    with ThreadPoolExecutor(6) as pool:
        answers = dict(zip(ids, pool.map(ask, ids), strict=True))
    for user, answer in answers.items():
        assert_marked(answer, ids[user])
        assert user == answer.json()["user"]
        assert user == line_of(service, ids[user])["user"]


@pytest.mark.rule("apart")
def test_the_next_on_a_connection_is_nobody_again(service: Service) -> None:
    """What one request has proven, the next has not."""
    with httpx2.Client(base_url=service.url, trust_env=False) as client:
        first = client.get("/depots/north", headers=KNOWN)
        assert 200 == first.status_code
        request_id = fresh_id()
        second = client.get("/tariff", headers={"x-request-id": request_id})
        assert 200 == second.status_code
        assert_unknown(client.get("/depots/north"))
    assert line_of(service, request_id)["user"] is None
