"""The contract of `idempotency_keys`: sent again, and done once."""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, figure, start, until

type Json = dict[str, Any]

RECIPE = "idempotency_keys"
CREDIT = 10_000
"""What a new wallet has, unless a test says otherwise."""

AMOUNT = 100
NOBODY = "w-ffffffffffffffff"
ROUNDS = 10
AT_ONCE = 6
KEYS = {
    "a letter": '"a"',
    "a UUID": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    "a space": '" "',
    "every character": '"'
    + "".join(map(chr, range(0x20, 0x7F)))
    .replace("\\", "\\\\")
    .replace('"', '\\"')
    + '"',
    "255 characters": '"' + "k" * 255 + '"',
    "255 escaped characters": '"' + '\\"' * 255 + '"',
    "a parameter after a space": '"around" ;  a',
    "a parameter": '"with";a=1;b="x\\"y";c;d=:YQ==:;e=?0;f=t/x:y',
}
NO_KEYS = {
    "none": [],
    "empty": [""],
    "an empty string": ['""'],
    "no quotation marks": ["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    "a number": ["17"],
    "other quotation marks": ["'a'"],
    "bytes": [":YQ==:"],
    "half a string": ['"a'],
    "the other half": ['a"'],
    "an escape of nothing": ['"a\\"'],
    "a wrong escape": ['"a\\n"'],
    "a tab": ['"a\tb"'],
    "not ASCII": ['"\u00e9"'],
    "something behind": ['"a" b'],
    "a parameter without a name": ['"a";'],
    "a parameter in capitals": ['"a";A=1'],
    "256 characters": ['"' + "k" * 256 + '"'],
    "8,000 characters": ['"' + "k" * 8000 + '"'],
    "a list": ['"a", "b"'],
    "the same twice": ['"a", "a"'],
    "two lines": ['"a"', '"b"'],
    "the same line twice": ['"a"', '"a"'],
}
UNBEGUN: dict[str, tuple[int, Json]] = {
    "half a body": (400, {"content": b'{"payee": '}),
    "no body": (400, {"content": b""}),
    "another type": (
        415,
        {"content": b"{}", "headers": {"content-type": "text/plain"}},
    ),
    "no payee": (422, {"json": {"amount": AMOUNT}}),
    "no wallet's name": (422, {"json": {"payee": "x", "amount": AMOUNT}}),
    "nothing": (422, {"json": {"payee": NOBODY, "amount": 0}}),
    "less than nothing": (422, {"json": {"payee": NOBODY, "amount": -1}}),
    "all there is": (422, {"json": {"payee": NOBODY, "amount": 10**20}}),
    "a list": (422, {"json": []}),
}


class Wallet(NamedTuple):
    """A wallet of a test's own."""

    id: str
    token: str


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service for the tests that bring their own wallets."""
    with start(RECIPE, framework) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(framework: Subject) -> Iterator[Service]:
    """A service of two instances, for requests that race."""
    with start(RECIPE, framework, instances=2) as running:
        yield running


@pytest.fixture(scope="module")
def screening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The screening list of `screened`."""
    file = tmp_path_factory.mktemp("screening") / "screening.txt"
    file.write_text("")
    return file


@pytest.fixture(scope="module")
def screened(framework: Subject, screening: Path) -> Iterator[Service]:
    """A service whose screening list a test can hold up, or take away."""
    with start(RECIPE, framework, {"SCREENING_FILE": screening}) as running:
        yield running


def new_key() -> str:
    """A key that no other request has."""
    return f'"{uuid4()}"'


def open_wallet(service: Service) -> Wallet:
    """Open a wallet, and see what is in it."""
    answer = service.request("POST", "/wallets")
    assert 201 == answer.status_code, answer.text
    opened = answer.json()
    return Wallet(opened["id"], opened["token"])


def as_user(wallet: Wallet, key: str | None = None) -> list[tuple[str, str]]:
    """The headers of the owner of a wallet, with a key."""
    headers = [("Authorization", f"Bearer {wallet.token}")]
    return headers if key is None else [*headers, ("Idempotency-Key", key)]


def send(
    service: Service,
    payer: Wallet,
    keys: Sequence[str],
    path: str = "/payments",
    **options: Any,
) -> httpx2.Response:
    """Send a POST with so many lines of `Idempotency-Key`."""
    headers = as_user(payer)
    headers += [("Idempotency-Key", key) for key in keys]
    if "content" in options:
        headers.append(("Content-Type", "application/json"))
    others = options.pop("headers", {})
    headers = [h for h in headers if h[0].lower() not in others]
    headers += others.items()
    # Undefined in HTTP, and sent all the same: not ASCII.
    raw = [(name.encode(), text.encode("latin-1")) for name, text in headers]
    return service.request("POST", path, headers=raw, **options)


def pay(
    service: Service,
    payer: Wallet,
    payee: Wallet | str,
    key: str,
    amount: int = AMOUNT,
) -> httpx2.Response:
    """Pay somebody."""
    to = payee if isinstance(payee, str) else payee.id
    body = {"payee": to, "amount": amount}
    return send(service, payer, [key], json=body)


def refund(
    service: Service, payee: Wallet, payment: Json, key: str
) -> httpx2.Response:
    """Give a payment back."""
    return send(service, payee, [key], f"/payments/{payment['id']}/refund")


def balance(service: Service, wallet: Wallet) -> int:
    """What is in a wallet."""
    answer = service.request(
        "GET", f"/wallets/{wallet.id}", headers=as_user(wallet)
    )
    assert 200 == answer.status_code, answer.text
    found: int = answer.json()["balance"]
    return found


def effects(service: Service, payer: Wallet) -> int:
    """How many payments of `AMOUNT` a wallet has made."""
    return (CREDIT - balance(service, payer)) // AMOUNT


def problem_in(answer: httpx2.Response, status: int, name: str = "") -> Json:
    """A problem document with this status, and of this type."""
    assert status == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem: Json = answer.json()
    assert status == problem["status"]
    if name:
        assert f"https://example.com/problems/{name}" == problem["type"]
    return problem


def is_replayed(answer: httpx2.Response) -> bool:
    """Tell whether an answer says that it was given before."""
    said = answer.headers.get_list("idempotent-replayed")
    assert said in ([], ["true"])
    return bool(said)


def assert_first(answer: httpx2.Response, status: int = 201) -> None:
    """An answer that was not given before."""
    assert status == answer.status_code, answer.text
    assert not is_replayed(answer)


def assert_same(first: httpx2.Response, again: httpx2.Response) -> None:
    """An answer that was given before, and is the same as then."""
    assert first.status_code == again.status_code, again.text
    assert is_replayed(again)
    assert first.content == again.content
    for name in ("content-type", "location"):
        assert first.headers.get(name) == again.headers.get(name)


def assert_known(first: httpx2.Response, again: httpx2.Response) -> None:
    """An answer that was given before: what it says is the same."""
    assert again.is_success, again.text
    assert is_replayed(again)
    assert first.json() == again.json()


def assert_refused(first: httpx2.Response, again: httpx2.Response) -> None:
    """A refusal that was given before: it is the same one."""
    assert is_replayed(again)
    assert first.status_code == again.status_code, again.text
    assert first.json() == again.json()


class Held(NamedTuple):
    """A request that waits for its screening."""

    answer: Future[httpx2.Response]
    let_go: Callable[[], None]


@contextmanager
def held(
    screening: Path, request: Callable[[], httpx2.Response]
) -> Iterator[Held]:
    """Have a request wait in its work, until it is let go.

    The list that it reads is a pipe; who comes later finds a file.
    """
    pipe = screening.with_name(f"pipe-{uuid4().hex}")
    os.mkfifo(pipe)
    lay(screening, lambda path: path.symlink_to(pipe))
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(request)
        ends: list[int] = []

        def let_go() -> None:
            while ends:
                os.close(ends.pop())

        try:
            until(
                lambda: is_read(pipe, ends) or pending.done(),
                "the screening list is not read",
            )
            lay(screening, lambda path: path.write_text(""))
            assert ends, "it was answered before its work was done"
            yield Held(pending, let_go)
        finally:
            lay(screening, lambda path: path.write_text(""))
            is_read(pipe, ends)
            let_go()


def lay(screening: Path, make: Callable[[Path], object]) -> None:
    """Put a list in the place of another, in one step."""
    draft = screening.with_name(f"draft-{uuid4().hex}")
    make(draft)
    draft.replace(screening)


def is_read(pipe: Path, ends: list[int]) -> bool:
    """Open our end of a pipe, if somebody has the other one."""
    with suppress(OSError):
        ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    return bool(ends)


def after_progress(
    ask: Callable[[], httpx2.Response],
) -> httpx2.Response:
    """Ask again as long as another request is said to be in progress."""

    def look() -> list[httpx2.Response]:
        answer = ask()
        if answer.status_code == 409:
            problem_in(answer, 409, "request-in-progress")
            return []
        return [answer]

    return until(look, "it is in progress for ever")[0]


def race(
    service: Service, payer: Wallet, payee: Wallet, key: str
) -> list[httpx2.Response]:
    """Let requests end at one moment, at all instances; give their answers.

    Each goes by a connection of its own. All but its last byte is sent
    first, so that the service has the rest of all before it has one.
    """
    places = [instance.url for instance in service.instances]
    with ExitStack() as stack:
        made = []
        for number in range(AT_ONCE):
            url = places[number % len(places)]
            text = raw_request(payment_request(url, payer, payee, key))
            raw = stack.enter_context(connect(url))
            raw.sendall(text[:-1])
            made.append((raw, text[-1:]))
        # An answer shows that there was time to read what came before.
        for instance in service.instances:
            instance.request("GET", "/wallets/w-0")
        for raw, last in made:
            raw.sendall(last)
        return [read_answer(raw) for raw, _ in made]


def connect(url: str) -> socket.socket:
    """Open a connection of its own."""
    address = urlsplit(url)
    raw = socket.create_connection((address.hostname, address.port), 30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def raw_request(request: httpx2.Request) -> bytes:
    """Write a request as it goes over the wire."""
    lines = [
        f"{request.method} {request.url.raw_path.decode()} HTTP/1.1",
        *(f"{name}: {value}" for name, value in request.headers.items()),
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.content


def read_answer(raw: socket.socket) -> httpx2.Response:
    """Read an answer to its end, which its length tells."""
    with HTTPResponse(raw, method="POST") as answer:
        answer.begin()
        headers = [*answer.headers.items()]
        body = answer.read()
    return httpx2.Response(answer.status, headers=headers, content=body)


def payment_request(
    url: str, payer: Wallet, payee: Wallet, key: str
) -> httpx2.Request:
    """Describe a payment."""
    return httpx2.Request(
        "POST",
        f"{url}/payments",
        headers=as_user(payer, key),
        json={"payee": payee.id, "amount": AMOUNT},
    )


# key-required


@pytest.mark.rule("key-required")
@pytest.mark.parametrize("kind", NO_KEYS)
def test_what_is_no_key_is_refused(service: Service, kind: str) -> None:
    """400 says what is wanted, and nothing is done."""
    payer, payee = open_wallet(service), open_wallet(service)
    body = {"payee": payee.id, "amount": AMOUNT}
    answer = send(service, payer, NO_KEYS[kind], json=body)
    problem_in(answer, 400, "idempotency-key-required")
    assert 0 == effects(service, payer)


@pytest.mark.rule("key-required")
@pytest.mark.parametrize("kind", KEYS)
def test_what_is_a_key_is_taken(service: Service, kind: str) -> None:
    """It is done, and done once."""
    payer, payee = open_wallet(service), open_wallet(service)
    first = pay(service, payer, payee, KEYS[kind])
    assert_first(first)
    assert_known(first, pay(service, payer, payee, KEYS[kind]))
    assert 1 == effects(service, payer)


@pytest.mark.rule("key-required")
def test_every_post_that_acts_wants_a_key(service: Service) -> None:
    """A refund without one is refused, and not done."""
    payer, payee = open_wallet(service), open_wallet(service)
    payment = pay(service, payer, payee, new_key()).json()
    path = f"/payments/{payment['id']}/refund"
    answer = send(service, payee, [], path)
    problem_in(answer, 400, "idempotency-key-required")
    assert 1 == effects(service, payer)


@pytest.mark.rule("key-required")
def test_keys_differ_by_every_character(service: Service) -> None:
    """Case, spaces and escapes tell keys apart."""
    payer, payee = open_wallet(service), open_wallet(service)
    name = uuid4().hex
    keys = [f'"{name}{end}"' for end in ("a", "A", "", " ", '\\"', "\\\\")]
    keys.append(f"{keys[0]} ;b")
    for key in keys:
        assert pay(service, payer, payee, key).is_success
    # A parameter is no part of the string.
    assert len(keys) - 1 == effects(service, payer)


# replayed


@pytest.mark.rule("replayed")
def test_a_repetition_hears_the_first_answer(service: Service) -> None:
    """Status, body and headers are those of the first, each time."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    first = pay(service, payer, payee, key)
    assert_first(first)
    for _ in range(3):
        assert_same(first, pay(service, payer, payee, key))
    assert 1 == effects(service, payer)
    assert CREDIT + AMOUNT == balance(service, payee)


@pytest.mark.rule("replayed")
def test_a_payment_is_where_both_answers_say(service: Service) -> None:
    """`Location` leads to it, with the body of the answer."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    for answer in [pay(service, payer, payee, key) for _ in range(2)]:
        payment = answer.json()
        location = answer.headers.get("location", "")
        assert f"/payments/{payment['id']}" == urlsplit(location).path
        for wallet in (payer, payee):
            found = service.request("GET", location, headers=as_user(wallet))
            assert 200 == found.status_code
            assert payment == found.json()


@pytest.mark.rule("replayed")
def test_a_repetition_hears_what_was_and_not_what_is(
    service: Service,
) -> None:
    """The first answer is not made anew from what has changed."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    first = pay(service, payer, payee, key)
    assert_first(refund(service, payee, first.json(), new_key()))
    path = f"/payments/{first.json()['id']}"
    found = service.request("GET", path, headers=as_user(payer))
    assert found.json()["refunded"]
    assert_same(first, pay(service, payer, payee, key))
    assert 0 == effects(service, payer)


@pytest.mark.rule("replayed")
def test_a_refund_is_repeated_like_a_payment(service: Service) -> None:
    """It can be done once only, and yet both hear that it was."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    payment = pay(service, payer, payee, new_key()).json()
    first = refund(service, payee, payment, key)
    assert_first(first)
    assert_same(first, refund(service, payee, payment, key))
    assert payment["id"] == first.json()["refund_of"]
    assert CREDIT == balance(service, payer) == balance(service, payee)


@pytest.mark.rule("replayed")
def test_who_hung_up_hears_the_answer_later(
    screened: Service, screening: Path
) -> None:
    """What was done for nobody to hear is not done again."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    with connect(screened.url) as raw:

        def ask_and_hang_up() -> httpx2.Response:
            ask = payment_request(screened.url, payer, payee, key)
            raw.sendall(raw_request(ask))
            raw.recv(1)
            return httpx2.Response(200)

        with held(screening, ask_and_hang_up) as first:
            raw.shutdown(socket.SHUT_RDWR)
            first.let_go()
    again = after_progress(lambda: pay(screened, payer, payee, key))
    assert 201 == again.status_code, again.text
    assert is_replayed(again)
    assert 1 == effects(screened, payer)


# refusals-kept


@pytest.mark.rule("refusals-kept")
def test_a_refusal_for_lack_of_credit_stays(service: Service) -> None:
    """The same key hears it again when there is enough by now."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    much = CREDIT + 1
    first = pay(service, payer, payee, key, much)
    detail = problem_in(first, 403, "out-of-credit")["detail"]
    assert str(CREDIT) in detail
    assert str(much) in detail
    assert not is_replayed(first)
    assert_first(pay(service, payee, payer, new_key()))
    assert_refused(first, pay(service, payer, payee, key, much))
    assert CREDIT + AMOUNT == balance(service, payer)
    assert_first(pay(service, payer, payee, new_key(), much))


@pytest.mark.rule("refusals-kept")
def test_a_refused_payment_takes_nothing(service: Service) -> None:
    """What was taken for nobody is given back, and the refusal kept."""
    payer, key = open_wallet(service), new_key()
    first = pay(service, payer, NOBODY, key)
    problem_in(first, 404, "no-such-wallet")
    assert CREDIT == balance(service, payer)
    assert_refused(first, pay(service, payer, NOBODY, key))
    assert CREDIT == balance(service, payer)


@pytest.mark.rule("refusals-kept")
def test_a_second_refund_is_refused_alike(service: Service) -> None:
    """409 of another type than that of a request in progress."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    payment = pay(service, payer, payee, new_key()).json()
    assert_first(refund(service, payee, payment, new_key()))
    first = refund(service, payee, payment, key)
    problem_in(first, 409, "already-refunded")
    assert not is_replayed(first)
    assert_refused(first, refund(service, payee, payment, key))
    assert CREDIT == balance(service, payer) == balance(service, payee)


@pytest.mark.rule("refusals-kept")
def test_a_refund_that_cannot_be_paid_leaves_no_mark(
    service: Service,
) -> None:
    """What the operation had begun is undone with its refusal."""
    payer, payee, other = (open_wallet(service) for _ in range(3))
    payment = pay(service, payer, payee, new_key(), AMOUNT).json()
    all_of_it = balance(service, payee)
    assert_first(pay(service, payee, other, new_key(), all_of_it))
    key = new_key()
    first = refund(service, payee, payment, key)
    problem_in(first, 403, "out-of-credit")
    assert_first(pay(service, other, payee, new_key(), all_of_it))
    assert_refused(first, refund(service, payee, payment, key))
    assert_first(refund(service, payee, payment, new_key()))


@pytest.mark.rule("refusals-kept")
def test_a_refund_of_what_was_never_received_is_refused_alike(
    service: Service,
) -> None:
    """Neither the payer nor a stranger gives a payment back."""
    payer, payee, other = (open_wallet(service) for _ in range(3))
    payment = pay(service, payer, payee, new_key()).json()
    for wallet, sought in (
        (payer, payment),
        (other, payment),
        (payee, {"id": str(uuid4())}),
    ):
        key = new_key()
        first = refund(service, wallet, sought, key)
        problem_in(first, 404, "no-such-payment")
        assert_refused(first, refund(service, wallet, sought, key))
    assert 1 == effects(service, payer)


@pytest.mark.rule("refusals-kept")
def test_who_is_screened_out_stays_so_for_the_key(
    screened: Service, screening: Path
) -> None:
    """Another list lets through another key, not the same."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    lay(screening, lambda path: path.write_text(f"{NOBODY}\n{payee.id}\n"))
    first = pay(screened, payer, payee, key)
    lay(screening, lambda path: path.write_text(""))
    problem_in(first, 403, "payee-blocked")
    assert_refused(first, pay(screened, payer, payee, key))
    assert 0 == effects(screened, payer)
    assert_first(pay(screened, payer, payee, new_key()))


# not-begun


@pytest.mark.rule("not-begun")
@pytest.mark.parametrize("kind", UNBEGUN)
def test_what_cannot_begin_leaves_the_key_free(
    service: Service, kind: str
) -> None:
    """The same key is good for what is right, and then taken."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    status, options = UNBEGUN[kind]
    for _ in range(2):
        answer = send(service, payer, [key], **options)
        problem_in(answer, status)
        assert not is_replayed(answer)
    first = pay(service, payer, payee, key)
    assert_first(first)
    assert_known(first, pay(service, payer, payee, key))
    assert 1 == effects(service, payer)


@pytest.mark.rule("not-begun")
def test_too_much_leaves_the_key_free(service: Service) -> None:
    """413, and the key is good for less."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    much = b'{"payee": "' + b"x" * 3_000_000 + b'"}'
    close = {"connection": "close", "content-type": "application/json"}
    answer = send(service, payer, [key], content=much, headers=close)
    assert 413 == answer.status_code
    assert_first(pay(service, payer, payee, key))
    assert 1 == effects(service, payer)


@pytest.mark.rule("not-begun")
@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer {id}", "Bearer {token}0", "Basic {token}"]
)
def test_nobody_uses_a_key_up(service: Service, token: str) -> None:
    """401 before anything else, and the owner has the key."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    shown = token.format(id=payer.id, token=payer.token)
    headers = {"authorization": shown} if token else {"authorization": "x"}
    body = {"payee": payee.id, "amount": AMOUNT}
    answer = send(service, payer, [key], json=body, headers=headers)
    problem_in(answer, 401)
    assert "Bearer" == answer.headers.get("www-authenticate")
    assert_first(pay(service, payer, payee, key))


# other-request


@pytest.mark.rule("other-request")
def test_a_key_is_good_for_one_body(service: Service) -> None:
    """Another amount, another payee: 422, and nothing is done."""
    payer, payee, other = (open_wallet(service) for _ in range(3))
    key = new_key()
    first = pay(service, payer, payee, key)
    for answer in (
        pay(service, payer, payee, key, AMOUNT + 1),
        pay(service, payer, other, key),
        send(service, payer, [key], content=b'{"amount": '),
        send(service, payer, [key], content=b""),
    ):
        problem_in(answer, 422, "idempotency-key-reused")
        assert not is_replayed(answer)
    assert_known(first, pay(service, payer, payee, key))
    assert 1 == effects(service, payer)
    assert CREDIT == balance(service, other)


@pytest.mark.rule("other-request")
def test_a_key_is_good_for_the_bytes_that_were_sent(
    service: Service,
) -> None:
    """Other spaces and another order make another request."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    members = [f'"payee": "{payee.id}"', f'"amount": {AMOUNT}']
    text = "{" + ", ".join(members) + "}"
    first = send(service, payer, [key], content=text.encode())
    assert_first(first)
    for other in (
        "{" + ", ".join(reversed(members)) + "}",
        "{" + ",".join(members) + "}",
        text + "\n",
    ):
        answer = send(service, payer, [key], content=other.encode())
        problem_in(answer, 422, "idempotency-key-reused")
    again = send(service, payer, [key], content=text.encode())
    assert_known(first, again)


@pytest.mark.rule("other-request")
def test_a_key_is_good_for_one_path(service: Service) -> None:
    """Two refunds have the same body, none, and are not the same."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    paid = [pay(service, payer, payee, new_key()).json() for _ in range(2)]
    first = refund(service, payee, paid[0], key)
    assert_first(first)
    answer = refund(service, payee, paid[1], key)
    problem_in(answer, 422, "idempotency-key-reused")
    assert_known(first, refund(service, payee, paid[0], key))
    assert 1 == effects(service, payer)
    assert_first(refund(service, payee, paid[1], new_key()))


@pytest.mark.rule("other-request")
def test_a_key_is_good_for_one_query(service: Service) -> None:
    """What is asked behind the question mark is asked, too."""
    payer, payee, key = open_wallet(service), open_wallet(service), new_key()
    body = {"payee": payee.id, "amount": AMOUNT}
    assert_first(send(service, payer, [key], "/payments?a=1", json=body))
    answer = send(service, payer, [key], "/payments?a=2", json=body)
    problem_in(answer, 422, "idempotency-key-reused")
    assert 1 == effects(service, payer)


@pytest.mark.rule("other-request")
def test_a_key_at_work_is_good_for_one_request(
    screened: Service, screening: Path
) -> None:
    """422 as well, while the first has no answer."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    with held(screening, lambda: pay(screened, payer, payee, key)) as first:
        answer = pay(screened, payer, payee, key, AMOUNT + 1)
        problem_in(answer, 422, "idempotency-key-reused")
        first.let_go()
        assert_first(first.answer.result())
    assert 1 == effects(screened, payer)


@pytest.mark.rule("other-request")
def test_a_key_that_was_abandoned_is_good_for_one_request(
    framework: Subject, tmp_path: Path
) -> None:
    """What begins anew after a lease is the same, and nothing else."""
    screening = tmp_path / "screening.txt"
    screening.write_text("")
    knobs = {"SCREENING_FILE": screening, "IDEMPOTENCY_LEASE_SECONDS": 0.2}
    with start(RECIPE, framework, knobs) as service:
        payer, payee = open_wallet(service), open_wallet(service)
        key, later = (
            partial(pay, service, payer, payee, new_key()) for _ in range(2)
        )
        with held(screening, key) as first, held(screening, later) as second:
            # The second lease is over, so the first one is, too.
            assert_first(after_progress(later))
            answer = key(amount=AMOUNT + 1)
            problem_in(answer, 422, "idempotency-key-reused")
            assert_first(key())
            first.let_go()
            second.let_go()


# in-flight


@pytest.mark.rule("in-flight")
def test_a_repetition_is_told_that_the_first_is_at_work(
    screened: Service, screening: Path
) -> None:
    """409 while it lasts, as often as it is asked; then the answer."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    with held(screening, lambda: pay(screened, payer, payee, key)) as first:
        for _ in range(3):
            answer = pay(screened, payer, payee, key)
            problem_in(answer, 409, "request-in-progress")
            assert int(answer.headers["retry-after"]) > 0
            assert not is_replayed(answer)
        assert 0 == effects(screened, payer)
        first.let_go()
        done = first.answer.result()
    assert_first(done)
    assert_known(done, pay(screened, payer, payee, key))
    assert 1 == effects(screened, payer)


@pytest.mark.rule("in-flight")
def test_nobody_else_waits_for_a_request_at_work(
    screened: Service, screening: Path
) -> None:
    """Others pay meanwhile, and so does the same with another key."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    with held(screening, lambda: pay(screened, payer, payee, key)) as first:
        assert_first(pay(screened, payer, payee, new_key()))
        assert_first(pay(screened, payee, payer, new_key()))
        assert not first.answer.done()
        first.let_go()
        assert_first(first.answer.result())
    assert CREDIT - AMOUNT == balance(screened, payer)


# own-keys


@pytest.mark.rule("own-keys")
def test_the_same_key_of_another_is_another(service: Service) -> None:
    """Each acts, each hears their own answer, again and again."""
    payee, key = open_wallet(service), new_key()
    payers = [open_wallet(service) for _ in range(6)]
    first = [pay(service, payer, payee, key) for payer in payers]
    for payer, answer in zip(payers, first, strict=True):
        assert_first(answer)
        assert payer.id == answer.json()["payer"]
    for payer, answer in zip(payers, first, strict=True):
        assert_known(answer, pay(service, payer, payee, key))
        assert 1 == effects(service, payer)


@pytest.mark.rule("own-keys")
def test_a_key_tells_nothing_of_what_others_did(service: Service) -> None:
    """Neither that it was used, nor for something else."""
    payer, other, payee = (open_wallet(service) for _ in range(3))
    key = new_key()
    assert_first(pay(service, payer, payee, key))
    assert_first(pay(service, other, payee, key, AMOUNT + 1))
    assert CREDIT - AMOUNT - 1 == balance(service, other)


@pytest.mark.rule("own-keys")
def test_a_key_at_work_is_in_nobodys_way(
    screened: Service, screening: Path
) -> None:
    """Others use the same one meanwhile."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    with held(screening, lambda: pay(screened, payer, payee, key)) as first:
        assert_first(pay(screened, payee, payer, key))
        first.let_go()
        assert_first(first.answer.result())


@pytest.mark.rule("own-keys")
def test_a_payment_is_shown_to_nobody_else(service: Service) -> None:
    """404 for who was not in it, 401 for who is nobody."""
    payer, payee, other = (open_wallet(service) for _ in range(3))
    path = pay(service, payer, payee, new_key()).headers["location"]
    for where in (path, f"/wallets/{payer.id}"):
        problem_in(service.request("GET", where, headers=as_user(other)), 404)
        problem_in(service.request("GET", where), 401)


# one-effect


@pytest.mark.rule("one-effect")
def test_of_many_at_once_one_acts(crowd: Service) -> None:
    """One new answer; the others hear the same, or 409."""
    payer, payee = open_wallet(crowd), open_wallet(crowd)
    fired = acted = 0
    for _ in range(ROUNDS):
        key = new_key()
        answers = race(crowd, payer, payee, key)
        fired += len(answers)
        made = [each for each in answers if each.is_success]
        for answer in answers:
            if answer not in made:
                problem_in(answer, 409, "request-in-progress")
        new = [each for each in made if not is_replayed(each)]
        acted += len(new)
        assert 1 == len(new)
        for answer in made:
            assert new[0].json() == answer.json()
        assert_known(new[0], pay(crowd, payer, payee, key))
        assert acted == effects(crowd, payer)
    figure("requests fired at once", fired)
    figure("of them with an effect", acted)
    figure("duplicates found", effects(crowd, payer) - ROUNDS)


@pytest.mark.rule("one-effect")
def test_every_instance_knows_every_key(crowd: Service) -> None:
    """What one of them answered, all answer again."""
    payer, payee, key = open_wallet(crowd), open_wallet(crowd), new_key()
    first = pay(crowd, payer, payee, key)
    for again in race(crowd, payer, payee, key):
        assert_known(first, again)
    assert 1 == effects(crowd, payer)


# together


@pytest.mark.rule("together")
def test_a_failure_leaves_the_key_free_at_once(
    screened: Service, screening: Path
) -> None:
    """500 is not kept: the same request is done when it can be."""
    payer, payee, key = (
        open_wallet(screened),
        open_wallet(screened),
        new_key(),
    )
    screening.unlink()
    try:
        for _ in range(2):
            answer = pay(screened, payer, payee, key)
            problem_in(answer, 500)
            assert not is_replayed(answer)
    finally:
        lay(screening, lambda path: path.write_text(""))
    assert 0 == effects(screened, payer)
    first = pay(screened, payer, payee, key)
    assert_first(first)
    assert_known(first, pay(screened, payer, payee, key))
    assert 1 == effects(screened, payer)


@pytest.mark.rule("together")
def test_a_step_that_fails_takes_all_others_back(
    framework: Subject, tmp_path: Path
) -> None:
    """Whichever table cannot be written: nothing is done, then once."""
    database = tmp_path / "service.db"
    knobs = {"DATABASE_URL": f"sqlite:///{database}"}
    with start(RECIPE, framework, knobs) as service:
        payee = open_wallet(service)
        if not database.exists():
            pytest.skip("not checked: needs the default database")
        failed = 0
        for table in tables(database):
            for event in ("INSERT", "UPDATE", "DELETE"):
                payer, key = open_wallet(service), new_key()
                with failing(database, table, event):
                    answer = pay(service, payer, payee, key)
                failed += answer.is_error
                again = pay(service, payer, payee, key)
                assert again.is_success, (table, event, again.text)
                assert answer.is_success == is_replayed(again)
                assert 1 == effects(service, payer), (table, event)
        # The wallets, the payment, the answer: each was put to the test.
        assert failed >= 3


def tables(database: Path) -> list[str]:
    """List the tables of a service, whatever they are called."""
    with closing(sqlite3.connect(database)) as reader:
        found = reader.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            " AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'django%'"
        ).fetchall()
    return [name for (name,) in found]


@contextmanager
def failing(database: Path, table: str, event: str) -> Iterator[None]:
    """Have every statement of a kind fail at a table, as on a full disk."""
    with closing(sqlite3.connect(database, autocommit=True)) as writer:
        writer.execute(
            f'CREATE TRIGGER broken BEFORE {event} ON "{table}"'
            " BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
        try:
            yield
        finally:
            writer.execute("DROP TRIGGER broken")


# killed


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


def revive(service: Service) -> None:
    """Start again what was killed."""
    until(lambda: is_deaf(service), "it still answers after kill -9")
    service.restart()


@pytest.mark.rule("killed")
@pytest.mark.parametrize("lease", [0.2, 600])
def test_a_claim_of_the_dead_ends_with_its_lease(
    framework: Subject, tmp_path: Path, lease: float
) -> None:
    """Until then 409; then the same request is done, and done once."""
    screening = tmp_path / "screening.txt"
    screening.write_text("")
    knobs = {"SCREENING_FILE": screening, "IDEMPOTENCY_LEASE_SECONDS": lease}
    with start(RECIPE, framework, knobs) as service:
        service.needs("the process")
        payer, payee = open_wallet(service), open_wallet(service)
        key = new_key()
        with held(screening, lambda: pay(service, payer, payee, key)) as dead:
            service.kill()
            with pytest.raises(httpx2.TransportError):
                dead.answer.result()
        revive(service)
        assert 0 == effects(service, payer)
        if lease > 1:
            for _ in range(3):
                answer = pay(service, payer, payee, key)
                problem_in(answer, 409, "request-in-progress")
            assert 0 == effects(service, payer)
            return
        first = after_progress(lambda: pay(service, payer, payee, key))
        assert_first(first)
        assert_known(first, pay(service, payer, payee, key))
        assert 1 == effects(service, payer)


@pytest.mark.rule("killed")
@pytest.mark.parametrize("killed", [1, 2], ids="{} of 2 killed".format)
def test_after_a_kill_under_load_all_is_done_once(
    framework: Subject, killed: int
) -> None:
    """No payment is lost and none is made twice."""
    knobs = {"IDEMPOTENCY_LEASE_SECONDS": 0.3}
    with start(RECIPE, framework, knobs, instances=2) as service:
        service.needs("the process")
        clients = [Client(service.instances) for _ in range(AT_ONCE)]
        dead = service.instances[-killed:]
        pay_until_killed(clients, dead)
        if killed == len(service.instances):
            for instance in dead:
                revive(instance)
        sent = done = 0
        for client in clients:
            client.send_again(service)
            sent += len(client.sent)
            done += effects(service, client.payer)
            assert len(client.sent) == effects(service, client.payer)
        figure("payments sent around a kill -9", sent)
        figure("payments lost", max(sent - done, 0))
        figure("duplicates found", max(done - sent, 0))


class Client:
    """Somebody who pays and pays, each time with another key."""

    def __init__(self, instances: Sequence[Service]) -> None:
        self.instances = instances
        self.payer = open_wallet(instances[0])
        self.payee = open_wallet(instances[0])
        self.sent: dict[str, httpx2.Response | None] = {}

    def run(self, killed: Event) -> None:
        """Pay at each instance in turn, until one is gone."""
        for number in range(CREDIT // AMOUNT):
            instance = self.instances[number % len(self.instances)]
            key = new_key()
            self.sent[key] = None
            try:
                answer = pay(instance, self.payer, self.payee, key)
            except httpx2.TransportError:
                return
            assert_first(answer)
            self.sent[key] = answer
            if killed.is_set():
                return

    def send_again(self, service: Service) -> None:
        """Send all that was sent once more, until it is answered."""
        for key, answer in self.sent.items():
            ask = partial(pay, service, self.payer, self.payee, key)
            again = after_progress(ask)
            assert again.is_success, again.text
            if answer is not None:
                assert_known(answer, again)


def pay_until_killed(
    clients: Sequence[Client], instances: Sequence[Service]
) -> None:
    """Have clients pay at once, and kill instances on the way."""

    def answered() -> int:
        answers = [a for c in clients for a in [*c.sent.values()]]
        return len(answers) - answers.count(None)

    killed = Event()
    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(client.run, killed) for client in clients]
        try:
            until(lambda: answered() >= 4 * AT_ONCE, "too little is answered")
        finally:
            for instance in instances:
                instance.kill()
            killed.set()
        for one in running:
            one.result()


# overtaken


@pytest.mark.rule("overtaken")
def test_who_comes_back_too_late_has_no_effect(
    framework: Subject, tmp_path: Path
) -> None:
    """Its key was claimed anew and answered: 409, and one payment."""
    screening = tmp_path / "screening.txt"
    screening.write_text("")
    knobs = {"SCREENING_FILE": screening, "IDEMPOTENCY_LEASE_SECONDS": 0.2}
    with start(RECIPE, framework, knobs) as service:
        payer, payee = open_wallet(service), open_wallet(service)
        key = new_key()
        with held(screening, lambda: pay(service, payer, payee, key)) as late:
            first = after_progress(lambda: pay(service, payer, payee, key))
            assert_first(first)
            late.let_go()
            answer = late.answer.result()
        problem_in(answer, 409, "request-in-progress")
        assert 1 == effects(service, payer)
        assert_known(first, pay(service, payer, payee, key))


@pytest.mark.rule("overtaken")
def test_who_comes_back_too_late_is_in_nobodys_way(
    framework: Subject, tmp_path: Path
) -> None:
    """Its key was claimed anew and is at work: that one is answered."""
    screening = tmp_path / "screening.txt"
    screening.write_text("")
    knobs = {"SCREENING_FILE": screening, "IDEMPOTENCY_LEASE_SECONDS": 0.2}
    with start(RECIPE, framework, knobs) as service:
        payer, payee = open_wallet(service), open_wallet(service)
        key = new_key()

        def ask() -> httpx2.Response:
            return pay(service, payer, payee, key)

        with held(screening, ask) as late:
            with held(screening, lambda: after_progress(ask)) as now:
                late.let_go()
                answer = late.answer.result()
                problem_in(answer, 409, "request-in-progress")
                assert 0 == effects(service, payer)
                now.let_go()
                first = now.answer.result()
        assert_first(first)
        assert_known(first, ask())
        assert 1 == effects(service, payer)


# expiry


@pytest.mark.rule("expiry")
@pytest.mark.parametrize("amount", [AMOUNT, 2 * AMOUNT])
def test_a_key_is_free_after_its_time(framework: Subject, amount: int) -> None:
    """The same request is done anew, and so is another one."""
    with start(RECIPE, framework, {"IDEMPOTENCY_TTL_SECONDS": 0.3}) as service:
        payer, payee = open_wallet(service), open_wallet(service)
        key = new_key()
        first = pay(service, payer, payee, key)
        assert_first(first)

        def look() -> list[httpx2.Response]:
            answer = pay(service, payer, payee, key, amount)
            if amount != AMOUNT and answer.status_code == 422:
                return []
            assert answer.is_success, answer.text
            return [] if is_replayed(answer) else [answer]

        again = until(look, "the key is never free")[0]
        assert first.json()["id"] != again.json()["id"]
        spent = AMOUNT + amount
        assert CREDIT - spent == balance(service, payer)


@pytest.mark.rule("expiry")
def test_a_refusal_ends_with_its_key(framework: Subject) -> None:
    """What can be done by now is done, with the same key."""
    with start(RECIPE, framework, {"IDEMPOTENCY_TTL_SECONDS": 0.3}) as service:
        payer, payee = open_wallet(service), open_wallet(service)
        key, much = new_key(), CREDIT + 1
        first = pay(service, payer, payee, key, much)
        problem_in(first, 403, "out-of-credit")
        assert_first(pay(service, payee, payer, new_key()))
        until(
            lambda: pay(service, payer, payee, key, much).status_code == 201,
            "the refusal is never forgotten",
        )
        assert CREDIT + AMOUNT - much == balance(service, payer)
