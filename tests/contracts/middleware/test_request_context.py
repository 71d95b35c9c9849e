"""The contract of `request_context`: who asks, in every line, and no other."""

import hmac
import json
import re
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Json = dict[str, Any]
type Ask = tuple[str, str, Json]

SECRET = secrets.token_hex(32)
PRICES = "tea 3.20\ncoffee 2.80\nwedding-cake 1250.00\n"
TAKEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
CONTEXT = ("request_id", "user", "locale", "method", "path")
JSON = {"content-type": "application/json"}
ORDER: Json = {"json": {"items": ["tea", "wedding-cake"]}}
THANKS = {
    "en": "Thank you{}. That is €1,253.20.",
    "de": "Danke{}. Das macht 1.253,20\xa0€.",
    "pt": "Obrigado{}. São 1\xa0253,20\xa0€.",
    "pt-BR": "Obrigado{}. Deu €\xa01.253,20.",
}
CAKE = {
    "en": "€1,250.00",
    "de": "1.250,00\xa0€",
    "pt": "1\xa0250,00\xa0€",
    "pt-BR": "€\xa01.250,00",
}
CASES: dict[str, tuple[int, Ask]] = {
    "the menu": (200, ("GET", "/menu", {})),
    "an order": (200, ("POST", "/orders", ORDER)),
    "half a body": (
        400,
        ("POST", "/orders", {"content": b'{"items": ', "headers": JSON}),
    ),
    "a false user": (
        401,
        ("GET", "/menu", {"headers": {"authorization": "Bearer ada"}}),
    ),
    "nothing there": (404, ("GET", "/nothing/is/here", {})),
    "a method": (405, ("DELETE", "/menu", {})),
    "another method": (405, ("GET", "/orders", {})),
    "too much": (
        413,
        (
            "POST",
            "/orders",
            {
                "content": b" " * 3_000_000,
                "headers": {**JSON, "connection": "close"},
            },
        ),
    ),
    "another type": (
        415,
        (
            "POST",
            "/orders",
            {
                "content": b'{"items": ["tea"]}',
                "headers": {"content-type": "text/plain"},
            },
        ),
    ),
    "an empty order": (422, ("POST", "/orders", {"json": {"items": []}})),
}
NO_IDS: dict[str, bytes] = {
    "empty": b"",
    "seven": b"MARK123",
    "too long": b"MARK" + b"x" * 61,
    "much too long": b"MARK" + b"x" * 4000,
    "a space": b"MARK 1234567",
    "a tab": b"MARK\t1234567",
    "a comma": b"MARK1234,MARK5678",
    "a quote": b'MARK","user":"root',
    "markup": b"<script>MARK</script>",
    "a slash": b"../../MARK/passwd",
    "a line that is escaped": b"MARK%0d%0aforged",
    "a format": b"%(MARK)s-%s-%s-%s",
    "a lookup": b"${jndi:ldap://MARK/a}",
    "latin-1": b"MARK-\xe9\xe8\xe7-1234",
    "UTF-8": "MARK-éèçàù".encode(),
    "digits of another script": "MARK\u0661\u0662\u0663\u0664".encode(),
    "no UTF-8": b"MARK\xff\xfe\xff\xfe",
}
LOCALES: dict[str, str] = {
    "": "en",
    "de": "de",
    "DE": "de",
    "PT-br": "pt-BR",
    "en-GB": "en",
    "de-AT": "de",
    "de-Latn-AT-1996": "de",
    "de-x-regional": "de",
    "pt-PT": "pt",
    "pt-BR": "pt-BR",
    "pt-BR-x-old": "pt-BR",
    "de-": "en",
    "deutsch": "en",
    "d": "en",
    "nl, pt-PT, de": "pt",
    "de-AT, en;q=0.9": "de",
    "pt;q=0.5, de;q=0.6": "de",
    "de;q=0.001, pt;q=0.002": "pt",
    "de;q=0.1, pt;q=1.000": "pt",
    "de, pt": "de",
    "pt, de": "pt",
    "nl ,,, de ; q=0.3 ,": "de",
    "de;Q=0.3, nl": "de",
    "de;q=0": "en",
    "de;q=0, pt;q=0.1": "pt",
    "de;q=0.000, *": "en",
    "de-AT, de;q=0": "en",
    "pt-BR, pt;q=0": "pt-BR",
    "pt-BR;q=0, pt": "pt",
    "en;q=0": "en",
    "*": "en",
    "*, de;q=0.5": "de",
    "nl, *;q=0.1": "en",
    "*;q=0": "en",
    "de;q=2": "en",
    "de;q=-1": "en",
    "de;q=nan": "en",
    "de;q=": "en",
    "de;q": "en",
    "de;q=0.5555": "en",
    "de;q=1.5": "en",
    "de q=1": "en",
    "de;level=1": "en",
    '"de"': "en",
    "../de": "en",
    ";;q=x": "en",
    ",,,": "en",
    "x" * 4000: "en",
    "-".join(["de"] + ["x"] * 1000): "en",
    "de-a-b-c-d-e-f": "de",
    "pt;q=1;q=0.1, de;q=0.5": "de",
    "de;q=0, de": "en",
    "sl-rozaj-biske-1994, PT-AO-x-abc": "pt",
    "nl," * 1000 + "de": "de",
}


def sign(user: str, secret: str = SECRET, how: str = "sha256") -> str:
    """Make the token of a user."""
    proof = hmac.new(secret.encode(), user.encode(), how).hexdigest()
    return f"{user}.{proof}"


FORGED: dict[str, str] = {
    "nothing": "",
    "a scheme": "Bearer",
    "a name": "Bearer ada",
    "a name and a point": "Bearer ada.",
    "zeros": f"Bearer ada.{'0' * 64}",
    "another's signature": f"Bearer ada.{sign('bob').partition('.')[2]}",
    "another secret": f"Bearer {sign('ada', 'guessed')}",
    "no secret": f"Bearer {sign('ada', '')}",
    "another hash": f"Bearer {sign('ada', how='sha512')}",
    "half a signature": f"Bearer {sign('ada')[:-32]}",
    "more than a signature": f"Bearer {sign('ada')}0",
    "the signature in capitals": f"Bearer ada.{sign('ada')[4:].upper()}",
    "another name before": f"Bearer root.{sign('ada')}",
    "two tokens": f"Bearer {sign('ada')}, Bearer {sign('ada')}",
    "no scheme": sign("ada"),
    "another scheme": f"Token {sign('ada')}",
    "Basic": "Basic YWRhOmFkYQ==",
    "letters of another script": f"Bearer {sign('\u0430da')}",
    "a name that is none": f"Bearer {sign('Ada Lovelace')}",
}
CLAIMS: dict[str, Json] = {
    "X-User": {"headers": {"x-user": "ada"}},
    "X-User-ID": {"headers": {"x-user-id": "ada"}},
    "X-Forwarded-User": {"headers": {"x-forwarded-user": "ada"}},
    "Remote-User": {"headers": {"remote-user": "ada"}},
    "From": {"headers": {"from": "ada@example.com"}},
    "a cookie": {"headers": {"cookie": "user=ada; session=ada"}},
    "a parameter": {"params": {"user": "ada"}},
}


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service reads its prices."""
    file = tmp_path_factory.mktemp("cafe") / "prices.txt"
    file.write_text(PRICES)
    return file


@pytest.fixture(scope="module")
def service(framework: Subject, prices: Path) -> Iterator[Service]:
    """One service for all."""
    knobs = {"PRICES_FILE": prices, "TOKEN_SECRET": SECRET}
    with start("request_context", framework, knobs) as running:
        yield running


@pytest.fixture
def no_prices(prices: Path) -> Iterator[None]:
    """The prices are gone, for the time of a test."""
    prices.unlink()
    yield
    prices.write_text(PRICES)


def new_id() -> str:
    """Make an id as a client may."""
    return f"test-{uuid4().hex}"


def headers_of(
    name: str, user: str | None = None, locale: str | None = None
) -> dict[str, str]:
    """Write the headers of somebody."""
    headers = {"x-request-id": name}
    if user:
        headers["authorization"] = f"Bearer {sign(user)}"
    if locale:
        headers["accept-language"] = locale
    return headers


def send(service: Service, ask: Ask, more: Json) -> httpx2.Response:
    """Send what a case says, with more headers."""
    method, path, options = ask
    headers = {**more, **options.get("headers", {})}
    return service.request(method, path, **{**options, "headers": headers})


@cache
def parse(line: str) -> Json:
    """Read a line; it is looked at many times, while one waits for others."""
    parsed: Json = json.loads(line)
    return parsed


def lines(service: Service) -> list[Json]:
    """Read the lines of the log that are JSON, as far as they are whole."""
    text, _, _ = service.log().rpartition("\n")
    return [parse(one) for one in text.splitlines() if one[:1] == "{"]


def lines_of(service: Service, name: str) -> list[Json]:
    """List the lines that have the id of a request."""
    return [one for one in lines(service) if one["request_id"] == name]


def events(found: list[Json]) -> Counter[str]:
    """Count what happened."""
    return Counter(one["event"] for one in found)


def answered(service: Service, name: str) -> list[Json]:
    """Wait until a request is answered, and list its lines."""
    until(
        lambda: "request answered" in events(lines_of(service, name)),
        "no line says that the request was answered",
    )
    return lines_of(service, name)


def line_about(service: Service, event: str, order: str) -> Json:
    """Wait for the line that says something of an order."""

    def found() -> list[Json]:
        return [
            one
            for one in lines(service)
            if one["event"] == event and one.get("order") == order
        ]

    (line,) = until(found, f"no line says of an order: {event}")
    return line


def place(service: Service, headers: Json, items: int = 2) -> Json:
    """Place an order and wait for its receipt."""
    wanted = {"items": ["tea", "wedding-cake", *["tea"] * (items - 2)]}
    answer = service.request("POST", "/orders", json=wanted, headers=headers)
    assert 200 == answer.status_code, answer.text[:500]
    order: Json = answer.json()
    line_about(service, "receipt sent", order["id"])
    return order


def context_of(line: Json) -> Json:
    """Take out of a line what it says of the request."""
    return {name: line[name] for name in CONTEXT}


def about(
    name: str, user: str | None, locale: str, ask: str = "POST /orders"
) -> Json:
    """Say what every line of a request should have."""
    method, _, path = ask.partition(" ")
    values = (name, user, locale, method, path)
    return dict(zip(CONTEXT, values, strict=True))


def problem_in(answer: httpx2.Response) -> Json:
    """Read a problem document."""
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type, answer.text[:500]
    problem: Json = answer.json()
    return problem


class Connection:
    """A connection of one's own, written to byte by byte."""

    def __init__(self, service: Service) -> None:
        self.address = urlsplit(service.url)
        self.socket = socket.create_connection(
            (self.address.hostname, self.address.port), 30
        )

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def begin(self, ask: str, headers: Json, body: bytes = b"") -> None:
        """Send the head of a request, and nothing of its body."""
        head = [f"{ask} HTTP/1.1", f"Host: {self.address.netloc}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            head.append("Content-Type: application/json")
            head.append(f"Content-Length: {len(body)}")
        self.socket.sendall(("\r\n".join(head) + "\r\n\r\n").encode())

    def read(self) -> HTTPResponse:
        """Read the head of an answer; its body is still to be read."""
        answer = HTTPResponse(self.socket)
        answer.begin()
        return answer


@pytest.mark.rule("answered-id")
@pytest.mark.parametrize("case", CASES)
def test_every_answer_names_its_request(service: Service, case: str) -> None:
    """Good or bad, refused here or by the framework: one id."""
    status, ask = CASES[case]
    name = new_id()
    answer = send(service, ask, {"x-request-id": name})
    assert status == answer.status_code
    assert [name] == answer.headers.get_list("x-request-id")


@pytest.mark.rule("answered-id")
@pytest.mark.parametrize("case", CASES)
def test_an_answer_to_a_request_without_an_id_has_one(
    service: Service, case: str
) -> None:
    """Who brings no id is given one."""
    status, ask = CASES[case]
    answer = send(service, ask, {})
    assert status == answer.status_code
    (name,) = answer.headers.get_list("x-request-id") or [""]
    assert TAKEN.fullmatch(name)


@pytest.mark.rule("answered-id")
@pytest.mark.usefixtures("no_prices")
@pytest.mark.parametrize("case", ["the menu", "an order"])
def test_a_failure_names_its_request(service: Service, case: str) -> None:
    """The answer that is needed most has the id, too."""
    name = new_id()
    answer = send(service, CASES[case][1], {"x-request-id": name})
    assert 500 == answer.status_code
    assert [name] == answer.headers.get_list("x-request-id")
    assert 500 == problem_in(answer)["status"]


@pytest.mark.rule("answered-id")
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_an_answer_by_the_framework_names_its_request(
    service: Service, method: str
) -> None:
    """What no handler is written for has the id as well."""
    name = new_id()
    answer = send(service, (method, "/menu", {}), {"x-request-id": name})
    assert [name] == answer.headers.get_list("x-request-id")


@pytest.mark.rule("bounded-id")
@pytest.mark.parametrize(
    "name",
    ["a" * 8, "z" * 64, "12345678", "A.b_c-9Z", "........", "7" * 36],
)
def test_the_id_of_a_client_is_taken_over(service: Service, name: str) -> None:
    """An id that is one goes through, unchanged."""
    answer = send(service, ("GET", "/menu", {}), {"x-request-id": name})
    assert [name] == answer.headers.get_list("x-request-id")
    assert "request begun" in events(answered(service, name))


@pytest.mark.rule("bounded-id")
@pytest.mark.parametrize("case", NO_IDS)
def test_what_is_no_id_is_not_taken_over(service: Service, case: str) -> None:
    """Nothing of it is in the answer or in the log."""
    mark = secrets.token_hex(3)
    sent = NO_IDS[case].replace(b"MARK", mark.encode())
    # As long as before: seven characters are one too few.
    sent = sent[:7] if case == "seven" else sent
    answer = service.request("GET", "/menu", headers={b"x-request-id": sent})
    assert 200 == answer.status_code
    (name,) = answer.headers.get_list("x-request-id") or [""]
    assert TAKEN.fullmatch(name)
    assert mark not in name
    answered(service, name)
    assert mark not in service.log()


@pytest.mark.rule("bounded-id")
@pytest.mark.parametrize("same", [True, False])
def test_two_ids_are_none(service: Service, same: bool) -> None:
    """Of two nobody can say which one a proxy has set."""
    first = new_id()
    second = first if same else new_id()
    headers = [("x-request-id", first), ("x-request-id", second)]
    answer = service.request("GET", "/menu", headers=headers)
    (name,) = answer.headers.get_list("x-request-id") or [""]
    assert TAKEN.fullmatch(name)
    assert name not in (first, second)


@pytest.mark.rule("bounded-id")
def test_an_id_that_is_made_is_another_each_time(service: Service) -> None:
    """Thirty requests without an id have thirty."""
    answers = [service.request("GET", "/menu") for _ in range(30)]
    names = {answer.headers.get("x-request-id") for answer in answers}
    assert 30 == len(names)


@pytest.mark.rule("every-line")
def test_all_that_an_order_logs_has_its_id(service: Service) -> None:
    """No line is without it, and none is missing."""
    place(service, headers_of(new_id()))
    before = len(lines(service))
    name = new_id()
    place(service, headers_of(name))
    answered(service, name)
    found = lines(service)[before:]
    expected = about(name, None, "en")
    assert [expected] * len(found) == [context_of(one) for one in found]
    assert events(found) == Counter(
        {
            "request begun": 1,
            "price read": 2,
            "order taken": 1,
            "request answered": 1,
            "receipt sent": 1,
        }
    )


@pytest.mark.rule("every-line")
def test_all_that_the_menu_logs_has_its_id(service: Service) -> None:
    """It is logged once that a request is answered, by nobody twice."""
    name = new_id()
    send(service, ("GET", "/menu", {}), headers_of(name))
    found = answered(service, name)
    expected = about(name, None, "en", "GET /menu")
    assert [expected] * 5 == [context_of(one) for one in found]
    assert 3 == events(found)["price read"]


@pytest.mark.rule("every-line")
@pytest.mark.parametrize("case", CASES)
def test_a_request_is_logged_with_its_beginning_and_its_end(
    service: Service, case: str
) -> None:
    """One line for each, and the end has the status."""
    status, ask = CASES[case]
    name = new_id()
    send(service, ask, {"x-request-id": name})
    found = answered(service, name)
    assert 1 == events(found)["request begun"]
    ends = [one for one in found if one["event"] == "request answered"]
    assert [status] == [one["status"] for one in ends]
    method, path, _ = ask
    for one in found:
        assert about(name, None, "en", f"{method} {path}") == context_of(one)


@pytest.mark.rule("every-line")
@pytest.mark.usefixtures("no_prices")
@pytest.mark.parametrize("case", ["the menu", "an order"])
def test_a_failure_is_logged_with_its_request(
    service: Service, case: str
) -> None:
    """The stack trace is in a line that has the id."""
    name = new_id()
    method, path, _ = ask = CASES[case][1]
    send(service, ask, headers_of(name, "ada", "de"))

    def failures() -> list[Json]:
        return [
            one
            for one in lines_of(service, name)
            if "FileNotFoundError" in str(one.get("exception"))
        ]

    until(failures, "no line with the id has the stack trace")
    for one in lines_of(service, name):
        expected = about(name, "ada", "de", f"{method} {path}")
        assert expected == context_of(one)
    assert "\nTraceback" not in service.log()


@pytest.mark.rule("every-line")
def test_a_path_cannot_write_a_line_of_its_own(service: Service) -> None:
    """What a client sends is a value, whatever is in it."""
    forged = new_id()
    name = new_id()
    path = f"/%0A%7B%22request_id%22:%20%22{forged}%22%7D%0A"
    send(service, ("GET", path, {}), headers_of(name))
    answered(service, name)
    assert [] == lines_of(service, forged)


@pytest.mark.rule("every-line")
def test_a_line_outside_of_any_request_has_none(service: Service) -> None:
    """The line of the start says that it belongs to nobody."""
    (ready,) = [e for e in lines(service) if e["event"] == "service ready"]
    assert dict.fromkeys(CONTEXT) == context_of(ready)


@pytest.mark.rule("proven-user")
@pytest.mark.parametrize("user", ["ada", "bob", "x", "r2-d2"])
def test_a_user_is_known_by_a_signature(service: Service, user: str) -> None:
    """The deep code thanks by name, and the log has it."""
    name = new_id()
    order = place(service, headers_of(name, user))
    assert THANKS["en"].format(f", {user}") == order["message"]
    found = answered(service, name)
    assert {user} == {one["user"] for one in found}
    assert 6 == len(found)


@pytest.mark.rule("proven-user")
def test_a_scheme_is_written_in_any_case(service: Service) -> None:
    """Schemes are compared without case."""
    headers = {"authorization": f"bEARER {sign('ada')}"}
    assert THANKS["en"].format(", ada") == place(service, headers)["message"]


@pytest.mark.rule("proven-user")
def test_who_brings_nothing_is_nobody(service: Service) -> None:
    """Nobody is allowed, and is null."""
    name = new_id()
    order = place(service, headers_of(name))
    assert THANKS["en"].format("") == order["message"]
    assert [None] * 6 == [one["user"] for one in answered(service, name)]


@pytest.mark.rule("proven-user")
@pytest.mark.parametrize("case", FORGED)
def test_a_user_who_is_not_proven_is_refused(
    service: Service, case: str
) -> None:
    """401 says how to prove it, nothing is done, and nobody is logged."""
    name = new_id()
    headers: Json = {**headers_of(name)}
    headers["authorization"] = FORGED[case].encode()
    answer = send(service, ("POST", "/orders", ORDER), headers)
    assert 401 == answer.status_code
    assert "bearer" == answer.headers["www-authenticate"].lower()
    assert 401 == problem_in(answer)["status"]
    found = answered(service, name)
    assert ["request begun", "request answered"] == [e["event"] for e in found]
    assert [None, None] == [one["user"] for one in found]


@pytest.mark.rule("proven-user")
def test_two_users_at_once_are_refused(service: Service) -> None:
    """Nobody is two people."""
    headers = [
        ("authorization", f"Bearer {sign('ada')}"),
        ("authorization", f"Bearer {sign('bob')}"),
    ]
    answer = service.request("GET", "/menu", headers=headers)
    assert 401 == answer.status_code


@pytest.mark.rule("proven-user")
@pytest.mark.parametrize("case", CLAIMS)
def test_a_user_who_is_only_claimed_is_nobody(
    service: Service, case: str
) -> None:
    """Anyone can write a header, a cookie or a parameter."""
    options = CLAIMS[case]
    name = new_id()
    headers = headers_of(name) | options.get("headers", {})
    options = {**ORDER, **options, "headers": headers}
    answer = service.request("POST", "/orders", **options)
    assert 200 == answer.status_code
    assert THANKS["en"].format("") == answer.json()["message"]
    assert {None} == {one["user"] for one in answered(service, name)}


@pytest.mark.rule("locale")
@pytest.mark.parametrize("header", LOCALES, ids=lambda text: text[:30])
def test_the_locale_is_looked_up(service: Service, header: str) -> None:
    """Best first, and from the whole tag to its beginning."""
    locale = LOCALES[header]
    name = new_id()
    headers = {"x-request-id": name, "accept-language": header}
    answer = service.request("GET", "/menu", headers=headers)
    assert 200 == answer.status_code
    assert [locale] == answer.headers.get_list("content-language")
    dishes = {dish["item"]: dish for dish in answer.json()["items"]}
    assert CAKE[locale] == dishes["wedding-cake"]["price"]
    assert {locale} == {one["locale"] for one in answered(service, name)}


@pytest.mark.rule("locale")
@pytest.mark.parametrize("locale", THANKS)
def test_an_order_is_answered_in_its_locale(
    service: Service, locale: str
) -> None:
    """Deep code and receipt speak the language that was asked for."""
    name = new_id()
    order = place(service, headers_of(name, "ada", locale))
    assert THANKS[locale].format(", ada") == order["message"]
    line = line_about(service, "receipt sent", order["id"])
    assert THANKS[locale].format("") == line["text"]


@pytest.mark.rule("locale")
def test_without_a_wish_it_is_the_default(service: Service) -> None:
    """No header is English."""
    with Connection(service) as connection:
        connection.begin("GET /menu", {})
        assert "en" == connection.read().getheader("content-language")


@pytest.mark.rule("locale")
def test_a_list_may_come_in_several_headers(service: Service) -> None:
    """Two lines of a header are one list."""
    headers = [("accept-language", "nl"), ("accept-language", "pt, de")]
    answer = service.request("GET", "/menu", headers=headers)
    assert "pt" == answer.headers["content-language"]


@pytest.mark.rule("locale")
@pytest.mark.parametrize("case", CASES)
def test_a_cache_is_told_what_the_answer_depends_on(
    service: Service, case: str
) -> None:
    """`Vary` has the header, and the language is that of the text."""
    status, ask = CASES[case]
    answer = send(service, ask, {"accept-language": "de"})
    assert status == answer.status_code
    varies = answer.headers.get("vary", "").lower().split(",")
    assert 1 == [name.strip() for name in varies].count("accept-language")
    written = "de" if status < 400 else "en"
    assert [written] == answer.headers.get_list("content-language")


@pytest.mark.rule("locale")
@pytest.mark.parametrize(
    "ask",
    [
        ("GET", "/menu", {"headers": {"cookie": "django_language=de"}}),
        ("GET", "/menu", {"headers": {"cookie": "lang=de; locale=de"}}),
        ("GET", "/menu", {"params": {"lang": "de", "locale": "de"}}),
    ],
    ids=["django_language", "cookies", "parameters"],
)
def test_nothing_else_chooses_the_locale(service: Service, ask: Ask) -> None:
    """What `Vary` does not name cannot change the answer."""
    answer = send(service, ask, {"accept-language": "pt"})
    assert "pt" == answer.headers["content-language"]


@pytest.mark.rule("kept-apart")
@pytest.mark.parametrize("last_first", [False, True])
def test_requests_that_wait_for_their_bodies_are_kept_apart(
    service: Service, last_first: bool
) -> None:
    """Each goes on with its own, when all the others have begun."""
    people = [
        (new_id(), user, locale)
        for user, locale in zip(
            ["ada", "bob", None, "eve", "joe", None],
            ["de", "en", "pt", "pt-BR", "de", "en"],
            strict=True,
        )
    ]
    body = json.dumps(ORDER["json"]).encode()
    connections = [Connection(service) for _ in people]
    both = list(zip(people, connections, strict=True))
    try:
        for person, connection in both:
            connection.begin("POST /orders", headers_of(*person), body)
        for name, _, _ in people:
            until(partial(lines_of, service, name), "it has not begun")
        for person, connection in both[:: -1 if last_first else 1]:
            connection.socket.sendall(body)
            check_order(service, person, connection.read())
    finally:
        for connection in connections:
            connection.socket.close()


def check_order(
    service: Service,
    person: tuple[str, str | None, str],
    answer: HTTPResponse,
) -> None:
    """Find one person in an answer, and in all that was logged for it."""
    name, user, locale = person
    assert 200 == answer.status
    assert name == answer.getheader("x-request-id")
    assert locale == answer.getheader("content-language")
    order = json.loads(answer.read())
    thanked = f", {user}" if user else ""
    assert THANKS[locale].format(thanked) == order["message"]
    line_about(service, "receipt sent", order["id"])
    found = answered(service, name)
    assert [about(*person)] * 6 == [context_of(one) for one in found]


@pytest.mark.rule("kept-apart")
def test_many_requests_at_once_are_kept_apart(service: Service) -> None:
    """Sixty orders of many people at once, and none has another's line."""

    def order(number: int) -> None:
        locale = list(THANKS)[number % 4]
        person = (new_id(), f"user-{number}" if number % 3 else None, locale)
        with Connection(service) as connection:
            body = json.dumps(ORDER["json"]).encode()
            connection.begin("POST /orders", headers_of(*person), body)
            connection.socket.sendall(body)
            check_order(service, person, connection.read())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(order, range(60)))


@pytest.mark.rule("carried")
@pytest.mark.parametrize("items", [2, 10])
def test_what_is_done_side_by_side_knows_its_request(
    service: Service, items: int
) -> None:
    """Each price is read for a request, a user and a locale."""
    name = new_id()
    place(service, headers_of(name, "ada", "pt-BR"), items)
    found = answered(service, name)
    read = [context_of(e) for e in found if e["event"] == "price read"]
    assert [about(name, "ada", "pt-BR")] * items == read


@pytest.mark.rule("after-answer")
def test_a_receipt_knows_its_request(service: Service) -> None:
    """Sent after the answer, it has id, user and language of the order."""
    name = new_id()
    order = place(service, headers_of(name, "ada", "de"))
    line = line_about(service, "receipt sent", order["id"])
    assert about(name, "ada", "de") == context_of(line)
    assert THANKS["de"].format("") == line["text"]


@pytest.mark.rule("after-answer")
def test_a_receipt_knows_its_request_while_others_are_served(
    service: Service,
) -> None:
    """The next request on the connection changes nothing of it."""
    sent: dict[str, Json] = {}
    for number in range(12):
        name, user = new_id(), f"user-{number}"
        headers = headers_of(name, user, "de")
        answer = send(service, ("POST", "/orders", ORDER), headers)
        sent[answer.json()["id"]] = about(name, user, "de")
        send(service, ("GET", "/menu", {}), headers_of(new_id(), None, "pt"))
    for order, expected in sent.items():
        line = line_about(service, "receipt sent", order)
        assert expected == context_of(line)
        assert THANKS["de"].format("") == line["text"]


@pytest.mark.rule("nothing-remains")
def test_the_next_request_on_a_connection_is_nobodys(
    service: Service,
) -> None:
    """After a user and a language come neither of them."""
    with Connection(service) as connection:
        for number in range(6):
            known = number % 2 == 0
            name = new_id()
            person = (name, "ada", "de") if known else (name, None, "en")
            body = json.dumps(ORDER["json"]).encode()
            headers = headers_of(*person) if known else headers_of(name)
            connection.begin("POST /orders", headers, body)
            connection.socket.sendall(body)
            check_order(service, person, connection.read())


@pytest.mark.rule("nothing-remains")
def test_after_a_large_body_comes_a_request_of_nobody(
    service: Service,
) -> None:
    """A body that a server reads in parts leaves nothing behind."""
    body = json.dumps(ORDER["json"]).encode() + b" " * 300_000
    with Connection(service) as connection:
        for _ in range(2):
            person = (new_id(), "ada", "de")
            connection.begin("POST /orders", headers_of(*person), body)
            connection.socket.sendall(body)
            check_order(service, person, connection.read())
            name = new_id()
            connection.begin("GET /menu", headers_of(name))
            connection.read().read()
            expected = about(name, None, "en", "GET /menu")
            found = answered(service, name)
            assert [expected] * 5 == [context_of(one) for one in found]


@pytest.mark.rule("nothing-remains")
def test_a_request_without_an_id_does_not_take_the_last_one(
    service: Service,
) -> None:
    """The id of a request ends with it."""
    name = new_id()
    with Connection(service) as connection:
        connection.begin("GET /menu", headers_of(name, "ada", "de"))
        connection.read().read()
        connection.begin("GET /menu", {})
        answer = connection.read()
        fresh = answer.getheader("x-request-id") or ""
    assert name != fresh
    expected = about(fresh, None, "en", "GET /menu")
    assert [expected] * 5 == [context_of(e) for e in answered(service, fresh)]


@pytest.mark.rule("nothing-remains")
def test_requests_sent_at_once_on_a_connection_are_two(
    service: Service,
) -> None:
    """The second was there before the first was answered."""
    names = [new_id(), new_id()]
    head = "GET /menu HTTP/1.1\r\nHost: localhost\r\n"
    first = f"X-Request-ID: {names[0]}\r\nAccept-Language: de\r\n"
    first += f"Authorization: Bearer {sign('ada')}\r\n\r\n"
    second = f"X-Request-ID: {names[1]}\r\n\r\n"
    with Connection(service) as connection:
        connection.socket.sendall((head + first + head + second).encode())
        expected = about(names[1], None, "en", "GET /menu")
        found = answered(service, names[1])
    assert [expected] * 5 == [context_of(one) for one in found]


@pytest.mark.rule("nothing-remains")
def test_what_is_no_request_is_logged_for_nobody(service: Service) -> None:
    """What a server says on a thread is not of the request before."""
    for _ in range(3):
        name = new_id()
        place(service, headers_of(name, "ada", "de"))
        answered(service, name)
        before = len(lines(service))
        with Connection(service) as connection:
            connection.socket.sendall(b"NONSENSE\x01 / HTTP/9\r\n\r\n")
            connection.socket.recv(65536)
        nobodys = [dict.fromkeys(CONTEXT)]
        found = lines(service)[before:]
        assert nobodys * len(found) == [context_of(one) for one in found]
