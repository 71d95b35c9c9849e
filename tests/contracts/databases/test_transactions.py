"""The contract of `transactions`: money is moved whole, or stays."""

import json
import select
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import psycopg
import pytest

from cookbook.contract import Service, Subject, figure, start, until

type Json = dict[str, Any]

RECIPE = "transactions"
POSTGRESQL = ("postgresql",)
JSON = {"Content-Type": "application/json"}
HANDS = 8
"""How many clients of a crowd there are."""

MEETING = 6
"""How many requests meet; fewer than any worker has threads."""

LOOKS = 50
"""How often one looks at what others change meanwhile."""

PATIENT = {"LOCK_SECONDS": 60}
"""Settings of a service that waits longer than any test."""

HASTY = {"LOCK_SECONDS": 0.2, "TRANSACTION_ATTEMPTS": 3}
"""Settings of a service that soon gives up."""

BREAKING_OFF = """
CREATE SEQUENCE attempts;
CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('attempts') <= {times} THEN
    RAISE EXCEPTION 'broken off by a test' USING ERRCODE = '{code}';
  END IF;
  RETURN NULL;
END $$;
"""
HOLDING_UP = """
CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1);
  RETURN NULL;
END $$;
"""
AT_COMMIT = """
CREATE CONSTRAINT TRIGGER break_off AFTER INSERT ON transfers
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION break_off();
"""
NO_MORE = """
DROP TRIGGER break_off ON transfers;
DROP FUNCTION break_off;
DROP SEQUENCE IF EXISTS attempts;
"""
LOCK = "SELECT id FROM accounts WHERE id = ANY(%s) FOR UPDATE"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
READING = """
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1], timeout=0)
rows.execute("SELECT count(*) FROM transfers").fetchone()
"""
NO_AMOUNTS: dict[str, Any] = {
    "nothing": ...,
    "null": None,
    "zero": 0,
    "negative": -100,
    "too large": 1_000_000_001,
    "beyond 64 bits": 2**63,
    "of 30 digits": 10**30,
    "broken": 12.5,
    "a little more than a cent": 1.000001,
    "a very small number": 1e-9,
    "a very large number": 1e300,
    "a text": "abc",
    "an empty text": "",
    "true": True,
    "a list": [100],
    "an object": {"cents": 100},
}
NO_ACCOUNTS: dict[str, Any] = {
    "nothing": ...,
    "null": None,
    "zero": 0,
    "negative": -1,
    "not there": 999_999_999,
    "the last of 64 bits": 2**63 - 1,
    "beyond 64 bits": 2**63,
    "of 30 digits": 10**30,
    "broken": 1.5,
    "a text": "abc",
    "true": True,
    "a list": [1],
}
WRONG_IDS = (
    *("0", "-1", "abc", "1.5", "0x1", "null", "%00", "999999999"),
    *("9223372036854775807", "9223372036854775808", "1" + "0" * 30),
    "9" * 400,
)
MISFITS: dict[str, tuple[Json, str]] = {
    "no owner": ({"owner": ...}, "/owner"),
    "owner null": ({"owner": None}, "/owner"),
    "owner empty": ({"owner": ""}, "/owner"),
    "owner too long": ({"owner": "x" * 101}, "/owner"),
    "owner with NUL": ({"owner": "a\x00b"}, "/owner"),
    "owner before a line feed": ({"owner": "Anna\n"}, "/owner"),
    "owner a number": ({"owner": 7}, "/owner"),
    "opening negative": ({"opening": -1}, "/opening"),
    "opening too large": ({"opening": 1_000_000_001}, "/opening"),
    "opening broken": ({"opening": 12.5}, "/opening"),
    "opening null": ({"opening": None}, "/opening"),
    "overdraft negative": ({"overdraft": -1}, "/overdraft"),
    "overdraft too large": ({"overdraft": 10**20}, "/overdraft"),
    "overdraft true": ({"overdraft": True}, "/overdraft"),
    "a balance": ({"balance": 100}, "/balance"),
    "an id": ({"id": 1}, "/id"),
}


class Order(NamedTuple):
    """A transfer as a client orders it."""

    payer: int
    payee: int
    amount: int


class Told(NamedTuple):
    """What a client was told: status 0 where there was no answer."""

    order: Order
    status: int
    body: Json


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service for the tests that bring their own accounts."""
    with start(RECIPE, framework) as running:
        yield running


@pytest.fixture(scope="module")
def pair(framework: Subject) -> Iterator[Service]:
    """A service of two workers, on the database that is there anyway."""
    with start(RECIPE, framework, PATIENT, workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def strict(framework: Subject) -> Iterator[Service]:
    """A service of two workers, on a database that breaks work off."""
    with start(
        RECIPE, framework, PATIENT, workers=2, parts=POSTGRESQL
    ) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(framework: Subject) -> Iterator[Service]:
    """A service on such a database, that soon gives up."""
    with start(RECIPE, framework, HASTY, parts=POSTGRESQL) as running:
        yield running


@pytest.fixture(params=["pair", "strict"])
def crowded(request: pytest.FixtureRequest, framework: Subject) -> Service:
    """A service of two workers, on each of its databases."""
    assert framework
    running: Service = request.getfixturevalue(request.param)
    return running


def open_account(
    service: Service, opening: int = 10_000, **members: Any
) -> int:
    """Open an account that must be taken; of somebody new, unless told."""
    body = {"owner": f"owner {uuid4().hex}", "opening": opening} | members
    answer = service.request("POST", "/accounts", json=body)
    assert 201 == answer.status_code, answer.text
    number: int = answer.json()["id"]
    return number


def show(service: Service, account: int) -> Json:
    """Show an account that must be there, and whose books must agree."""
    answer = service.request("GET", f"/accounts/{account}")
    assert 200 == answer.status_code, answer.text
    shown: Json = answer.json()
    assert drawn(shown) == shown["balance"]
    return shown


def drawn(shown: Json) -> int:
    """What the entries of an account say that it holds."""
    held: int = shown["opening"] + shown["credits"] - shown["debits"]
    return held


def balance(service: Service, account: int) -> int:
    """What an account holds."""
    held: int = show(service, account)["balance"]
    return held


def order(
    service: Service, payer: Any, payee: Any, amount: Any, **others: Any
) -> httpx2.Response:
    """Order a transfer; `...` leaves a member out."""
    body = {"payer": payer, "payee": payee, "amount": amount} | others
    body = {name: each for name, each in body.items() if each is not ...}
    return service.request("POST", "/transfers", json=body)


def problem_in(
    answer: httpx2.Response, status: int, name: str | None = None
) -> Any:
    """A problem document with this status, of this type."""
    assert status == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem = answer.json()
    assert status == problem["status"]
    if name is not None:
        assert f"https://example.com/problems/{name}" == problem["type"]
    return problem


def assert_misfit(answer: httpx2.Response, pointer: str) -> None:
    """422, and the problem points at the member."""
    errors = problem_in(answer, 422)["errors"]
    assert pointer in [error["pointer"] for error in errors]


def assert_busy(answer: httpx2.Response) -> None:
    """503 that says when to come again."""
    problem_in(answer, 503)
    assert answer.headers.get("retry-after", "").isdecimal()


def made_or_lost(service: Service) -> int:
    """How much there is that nobody has brought in; less than 0: is lost."""
    answer = service.request("GET", "/trial-balance")
    assert 200 == answer.status_code, answer.text
    sums = answer.json()
    assert sums["credits"] == sums["debits"]
    difference: int = sums["balances"] - sums["openings"]
    return difference


class Teller:
    """A client with a connection of its own, until it is lost."""

    def __init__(self, service: Service) -> None:
        address = urlsplit(service.url)
        assert address.hostname
        self._connection = HTTPConnection(
            address.hostname, address.port, timeout=30
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask, and read the answer: its status and its JSON."""
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, text, JSON if text else {})
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (HTTPException, OSError):
            return 0, {}

    def work_off(self, orders: Sequence[Order], told: list[Told]) -> None:
        """Order one transfer after the other, until one has no answer."""
        with closing(self._connection):
            for each in orders:
                status, body = self.ask("POST", "/transfers", each._asdict())
                told.append(Told(each, status, body))
                if not status:
                    return


def work_off(service: Service, orders: Sequence[Order]) -> list[Told]:
    """Have many clients order all that, at the same time."""
    told: list[Told] = []
    with ThreadPoolExecutor(HANDS) as pool:
        for hand in range(HANDS):
            mine = orders[hand::HANDS]
            pool.submit(Teller(service).work_off, mine, told)
    assert len(orders) == len(told)
    return told


def drawn_at_random(accounts: Sequence[int], count: int) -> list[Order]:
    """Make orders between accounts, the same each time."""
    chance = Random(count)
    pairs = [chance.sample(range(len(accounts)), 2) for _ in range(count)]
    return [
        Order(accounts[a], accounts[b], chance.randrange(1, 100))
        for a, b in pairs
    ]


def raw_request(service: Service, each: Order) -> bytes:
    """Write an order as it goes over the wire."""
    body = json.dumps(each._asdict()).encode()
    lines = [
        "POST /transfers HTTP/1.1",
        f"Host: {urlsplit(service.url).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@contextmanager
def sent(service: Service, each: Order) -> Iterator[socket.socket]:
    """Send an order; the answer is for the test to read."""
    address = urlsplit(service.url)
    place = (address.hostname, address.port)
    with socket.create_connection(place, 30) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(raw_request(service, each))
        yield raw


def status_of(raw: socket.socket) -> int:
    """Read the status of an answer."""
    return int(raw.recv(65536).split(b" ", 2)[1])


def is_answered(raw: socket.socket) -> bool:
    """Tell whether an answer has begun to come."""
    readable, _, _ = select.select([raw], [], [], 0)
    return bool(readable)


def at_once(service: Service, orders: Sequence[Order]) -> list[int]:
    """Have orders meet in the database; give their statuses.

    Until all have come there, everybody may read and nobody write.
    """
    with ExitStack() as stack:
        with writes_held(service) as are_all_there:
            made = [stack.enter_context(sent(service, o)) for o in orders]
            are_all_there(len(orders))
        return [status_of(raw) for raw in made]


@contextmanager
def writes_held(service: Service) -> Iterator[Callable[[int], None]]:
    """Let everybody read the database and nobody write.

    Gives what waits until so many are there who want to.
    """
    database = sqlite_of(service)
    if database is None:
        with (
            connected(service) as eyes,
            connected(service) as holder,
            holder.transaction(),
        ):
            holder.execute("LOCK TABLE accounts IN EXCLUSIVE MODE")
            yield lambda count: wait_until_waiting(eyes, count)
    else:
        with closing(sqlite3.connect(database)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            # Nothing shows it; but who has answered had time to come.
            yield lambda count: answer_often(service, 2 * count)
            writer.rollback()


def answer_often(service: Service, count: int) -> None:
    """Have a service answer what it needs no account for."""
    for _ in range(count):
        assert 404 == service.request("GET", "/transfers/0").status_code


@contextmanager
def rows_held(service: Service, *accounts: int) -> Iterator[None]:
    """Have somebody else hold the rows of some accounts."""
    with connected(service) as holder, holder.transaction():
        holder.execute(LOCK, [list(accounts)])
        yield


def database_of(service: Service) -> str:
    """The address of a service's database."""
    service.needs("its database")
    return service.server.launch.env["DATABASE_URL"]


def sqlite_of(service: Service) -> Path | None:
    """The file of a service's database, if it is one that is used."""
    address = database_of(service)
    if not address.startswith("sqlite:"):
        return None
    database = Path(address.removeprefix("sqlite:///"))
    if not database.exists():
        pytest.skip("not checked: needs the default database")
    return database


def connected(service: Service) -> psycopg.Connection:
    """Connect to a service's PostgreSQL; each statement is committed."""
    return psycopg.connect(database_of(service), autocommit=True)


def wait_until_waiting(eyes: psycopg.Connection, count: int) -> None:
    """Wait until so many transactions wait for a lock."""
    until(
        lambda: eyes.execute(WAITING).fetchone() == (count,),
        f"not {count} transactions wait for a lock",
    )


@contextmanager
def breaking_off(
    service: Service, code: str, times: int
) -> Iterator[Callable[[], int]]:
    """Break so many commits of transfers off; tell how many were tried."""
    with connected(service) as eyes:
        eyes.execute(BREAKING_OFF.format(code=code, times=times) + AT_COMMIT)
        try:
            yield lambda: tried_in(eyes)
        finally:
            eyes.execute(NO_MORE)


def tried_in(eyes: psycopg.Connection) -> int:
    """How many commits of transfers were tried."""
    found = eyes.execute("SELECT last_value, is_called FROM attempts")
    for last, is_called in found:
        return int(last) if is_called else 0
    return 0


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


# booked


@pytest.mark.rule("booked")
def test_a_transfer_is_where_location_says(service: Service) -> None:
    """`Location` leads to it, with the body of the answer."""
    payer, payee = open_account(service), open_account(service)
    answer = order(service, payer, payee, 300)
    assert 201 == answer.status_code, answer.text
    location = answer.headers.get("location", "")
    found = service.request("GET", str(answer.url.join(location)))
    assert 200 == found.status_code
    assert answer.json() == found.json()
    made = answer.json()
    assert f"/transfers/{made['id']}" == urlsplit(location).path
    sent = {"payer": payer, "payee": payee, "amount": 300}
    assert {"id": made["id"]} | sent == made


@pytest.mark.rule("booked")
@pytest.mark.parametrize("backwards", [False, True])
def test_a_transfer_moves_its_amount_and_no_more(
    service: Service, backwards: bool
) -> None:
    """One gives, one gets, and both have an entry of it."""
    two = open_account(service), open_account(service)
    payer, payee = reversed(two) if backwards else two
    for amount in (1, 300):
        assert 201 == order(service, payer, payee, amount).status_code
    given, got = show(service, payer), show(service, payee)
    assert (9_699, 0, 301) == tuple(
        given[name] for name in ("balance", "credits", "debits")
    )
    assert (10_301, 301, 0) == tuple(
        got[name] for name in ("balance", "credits", "debits")
    )


@pytest.mark.rule("booked")
@pytest.mark.parametrize("case", NO_AMOUNTS)
def test_what_is_no_amount_is_refused(service: Service, case: str) -> None:
    """422 points at it, and nothing is moved."""
    payer, payee = open_account(service), open_account(service)
    answer = order(service, payer, payee, NO_AMOUNTS[case])
    assert_misfit(answer, "/amount")
    for account in (payer, payee):
        assert 10_000 == balance(service, account)


@pytest.mark.rule("booked")
@pytest.mark.parametrize("amount", ["100", 100.0])
def test_an_amount_is_not_guessed(service: Service, amount: Any) -> None:
    """A text is no amount, and neither is a fraction."""
    payer, payee = open_account(service), open_account(service)
    answer = order(service, payer, payee, amount)
    if service.differs("lax-numbers"):
        assert 201 == answer.status_code
        assert 100 == answer.json()["amount"]
    else:
        assert_misfit(answer, "/amount")
        assert 10_000 == balance(service, payer)


@pytest.mark.rule("booked")
def test_the_largest_amount_is_exact(service: Service) -> None:
    """To the cent, however much it is."""
    most = 1_000_000_000
    payer, payee = (open_account(service, most) for _ in range(2))
    assert 201 == order(service, payer, payee, most - 1).status_code
    assert 1 == balance(service, payer)
    assert 201 == order(service, payee, payer, most).status_code
    assert most - 1 == balance(service, payee)


@pytest.mark.rule("booked")
@pytest.mark.parametrize("member", ["payer", "payee"])
@pytest.mark.parametrize("case", NO_ACCOUNTS)
def test_there_have_to_be_two_accounts(
    service: Service, case: str, member: str
) -> None:
    """422 points at the one that is none, and the other stays."""
    known = open_account(service, overdraft=10_000)
    two = {"payer": known, "payee": known} | {member: NO_ACCOUNTS[case]}
    assert_misfit(order(service, **two, amount=100), f"/{member}")
    assert 10_000 == balance(service, known)


@pytest.mark.rule("booked")
def test_nobody_pays_themselves(service: Service) -> None:
    """422 points at the payee."""
    account = open_account(service)
    assert_misfit(order(service, account, account, 100), "/payee")
    shown = show(service, account)
    assert (0, 0) == (shown["credits"], shown["debits"])


@pytest.mark.rule("booked")
@pytest.mark.parametrize("body", ["[]", '"x"', "1", "true", "null"])
def test_what_is_no_object_is_no_transfer(service: Service, body: str) -> None:
    """Other JSON is not taken."""
    answer = service.request("POST", "/transfers", headers=JSON, content=body)
    problem_in(answer, 422)


@pytest.mark.rule("booked")
def test_what_is_not_known_is_refused(service: Service) -> None:
    """A member of another name is no part of a transfer."""
    payer, payee = open_account(service), open_account(service)
    answer = order(service, payer, payee, 1, Amount=2)
    assert_misfit(answer, "/Amount")
    assert 10_000 == balance(service, payer)


@pytest.mark.rule("booked")
def test_an_account_is_where_location_says(service: Service) -> None:
    """It has what was sent, and nothing was booked on it."""
    body = {"owner": "Anna \u00e9 '; --", "opening": 700, "overdraft": 50}
    answer = service.request("POST", "/accounts", json=body)
    assert 201 == answer.status_code, answer.text
    location = answer.headers.get("location", "")
    found = service.request("GET", str(answer.url.join(location)))
    assert answer.json() == found.json()
    made = answer.json()
    rest = {"id": made["id"], "balance": 700, "credits": 0, "debits": 0}
    assert body | rest == made
    assert f"/accounts/{made['id']}" == urlsplit(location).path


@pytest.mark.rule("booked")
def test_an_account_begins_with_nothing(service: Service) -> None:
    """What is not sent is nought."""
    body = {"owner": "Ben"}
    made = service.request("POST", "/accounts", json=body).json()
    assert (0, 0) == (made["opening"], made["overdraft"])


@pytest.mark.rule("booked")
@pytest.mark.parametrize("case", MISFITS)
def test_what_cannot_be_an_account_is_refused(
    service: Service, case: str
) -> None:
    """422 points at the member."""
    members, pointer = MISFITS[case]
    body = {"owner": "Anna", "opening": 1, "overdraft": 1} | members
    body = {name: each for name, each in body.items() if each is not ...}
    answer = service.request("POST", "/accounts", json=body)
    assert_misfit(answer, pointer)


@pytest.mark.rule("booked")
@pytest.mark.parametrize("kind", ["accounts", "transfers"])
@pytest.mark.parametrize("number", WRONG_IDS, ids=lambda text: text[:20])
def test_what_is_not_there_is_not_found(
    service: Service, number: str, kind: str
) -> None:
    """404, also for an id that cannot be."""
    problem_in(service.request("GET", f"/{kind}/{number}"), 404)
    if kind == "accounts":
        problem_in(service.request("DELETE", f"/{kind}/{number}"), 404)


# all-or-nothing


@pytest.mark.rule("all-or-nothing")
@pytest.mark.parametrize("who", ["payer", "payee"])
def test_a_leg_that_cannot_be_booked_undoes_the_other(
    service: Service, who: str
) -> None:
    """An account that is not there leaves the other as it was."""
    first = open_account(service, overdraft=500)
    gone, last = open_account(service), open_account(service, overdraft=500)
    path = f"/accounts/{gone}"
    assert 204 == service.request("DELETE", path).status_code
    for known in (first, last):
        payer, payee = (gone, known) if who == "payer" else (known, gone)
        problem_in(order(service, payer, payee, 100), 422)
        shown = show(service, known)
        assert (10_000, 0, 0) == tuple(
            shown[name] for name in ("balance", "credits", "debits")
        )
    assert 0 == made_or_lost(service)


@pytest.mark.rule("all-or-nothing")
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("overdraft", [0, 100_000])
def test_what_is_refused_late_is_undone_from_the_start(
    service: Service, overdraft: int, backwards: bool
) -> None:
    """A transfer that is not covered has never been there."""
    two = [open_account(service, overdraft=overdraft) for _ in range(2)]
    payer, payee = reversed(two) if backwards else two
    problem_in(order(service, payer, payee, 10_001), 409)
    for account in two:
        shown = show(service, account)
        assert (10_000, 0, 0) == tuple(
            shown[name] for name in ("balance", "credits", "debits")
        )


# covered


@pytest.mark.rule("covered")
def test_an_account_goes_down_to_its_overdraft(service: Service) -> None:
    """To the last cent; the next one is 409."""
    owner = uuid4().hex
    open_account(service, 10_000, owner=owner)
    payer = open_account(service, 300, owner=owner, overdraft=200)
    payee = open_account(service)
    assert 201 == order(service, payer, payee, 499).status_code
    answer = order(service, payer, payee, 2)
    problem_in(answer, 409, "insufficient-funds")
    assert -199 == balance(service, payer)
    assert 201 == order(service, payer, payee, 1).status_code
    problem_in(order(service, payer, payee, 1), 409, "insufficient-funds")
    assert -200 == balance(service, payer)


@pytest.mark.rule("covered")
def test_who_has_enough_again_can_pay_again(service: Service) -> None:
    """A refusal is about the moment, not about the account."""
    payer, payee = open_account(service, 0), open_account(service)
    problem_in(order(service, payer, payee, 10), 409, "insufficient-funds")
    assert 201 == order(service, payee, payer, 10).status_code
    assert 201 == order(service, payer, payee, 10).status_code


@pytest.mark.rule("covered")
def test_money_is_spent_once(crowded: Service) -> None:
    """Of many at once, so many are done as the account covers."""
    owner = uuid4().hex
    open_account(crowded, 100_000, owner=owner)
    payer = open_account(crowded, 300, owner=owner)
    payees = [open_account(crowded) for _ in range(MEETING)]
    orders = [Order(payer, payee, 100) for payee in payees]
    statuses = at_once(crowded, orders)
    assert [201] * 3 + [409] * (MEETING - 3) == sorted(statuses)
    assert 0 == balance(crowded, payer)
    got = [balance(crowded, payee) - 10_000 for payee in payees]
    assert [100 if status == 201 else 0 for status in statuses] == got


# together


@pytest.mark.rule("together")
def test_one_account_stands_for_the_other(service: Service) -> None:
    """Below nought is who holds less than nothing in all of them."""
    owner = uuid4().hex
    first = open_account(service, 100, owner=owner, overdraft=1000)
    second = open_account(service, 100, owner=owner, overdraft=1000)
    payee = open_account(service, overdraft=1000)
    assert 201 == order(service, first, payee, 150).status_code
    answer = order(service, second, payee, 51)
    problem_in(answer, 409, "insufficient-funds")
    assert 201 == order(service, second, payee, 50).status_code
    for payer in (first, second):
        answer = order(service, payer, payee, 1)
        problem_in(answer, 409, "insufficient-funds")
    assert [-50, 50] == [balance(service, each) for each in (first, second)]


@pytest.mark.rule("together")
def test_money_may_be_moved_between_ones_own(service: Service) -> None:
    """With nothing in all of them, too."""
    owner = uuid4().hex
    first = open_account(service, 0, owner=owner, overdraft=1000)
    second = open_account(service, 0, owner=owner)
    assert 201 == order(service, first, second, 700).status_code
    assert [-700, 700] == [balance(service, each) for each in (first, second)]


@pytest.mark.rule("together")
def test_accounts_stand_for_each_other_at_once_too(crowded: Service) -> None:
    """However many are ordered from however many of them."""
    owner = uuid4().hex
    payers = [
        open_account(crowded, 100, owner=owner, overdraft=1000)
        for _ in range(2)
    ]
    orders = [
        Order(payers[hand % 2], open_account(crowded), 100)
        for hand in range(MEETING)
    ]
    statuses = at_once(crowded, orders)
    assert [201] * 2 + [409] * (MEETING - 2) == sorted(statuses)
    assert 0 == sum(balance(crowded, payer) for payer in payers)


@pytest.mark.rule("together")
def test_two_that_do_not_see_each_other_are_not_both_done(
    strict: Service,
) -> None:
    """Neither account is written by both, and the sum still holds."""
    owner = uuid4().hex
    payers = [
        open_account(strict, 100, owner=owner, overdraft=1000)
        for _ in range(2)
    ]
    payees = [open_account(strict) for _ in range(2)]
    pairs = zip(payers, payees, strict=True)
    orders = [Order(payer, payee, 150) for payer, payee in pairs]
    with connected(strict) as eyes, ExitStack() as stack:
        # Each has taken from its payer when it waits for its payee.
        with rows_held(strict, *payees):
            made = [stack.enter_context(sent(strict, o)) for o in orders]
            wait_until_waiting(eyes, 2)
        statuses = [status_of(raw) for raw in made]
    assert [201, 409] == sorted(statuses)
    assert 50 == sum(balance(strict, payer) for payer in payers)


# conserved


@pytest.mark.rule("conserved")
def test_no_cent_is_made_or_lost_by_a_crowd(crowded: Service) -> None:
    """Each account has what its transfers say, to the cent."""
    accounts = [open_account(crowded) for _ in range(6)]
    told = work_off(crowded, drawn_at_random(accounts, 20 * HANDS))
    assert {201, 409, 503} >= {each.status for each in told}
    booked = [each.order for each in told if each.status == 201]
    assert len(told) < 2 * len(booked)
    for account in accounts:
        got = sum(each.amount for each in booked if each.payee == account)
        gave = sum(each.amount for each in booked if each.payer == account)
        shown = show(crowded, account)
        assert (got, gave) == (shown["credits"], shown["debits"])
        assert 10_000 + got - gave == shown["balance"]
    figure("transfers ordered at once", len(told))
    figure("transfers booked", len(booked))
    figure("cents made or lost", made_or_lost(crowded))
    assert 0 == made_or_lost(crowded)


@pytest.mark.rule("conserved")
def test_changes_that_meet_are_all_counted(crowded: Service) -> None:
    """None goes by what the balance was before the others."""
    payer, payee = open_account(crowded), open_account(crowded)
    orders = [Order(payer, payee, 10)] * MEETING
    statuses = at_once(crowded, orders)
    assert [201] * MEETING == statuses
    assert 10_000 - 10 * MEETING == balance(crowded, payer)
    assert 10_000 + 10 * MEETING == balance(crowded, payee)


# after-commit


@pytest.mark.rule("after-commit")
def test_what_fails_at_the_commit_was_not_done(crowded: Service) -> None:
    """An account with entries is 409, and still there."""
    payer, payee = open_account(crowded), open_account(crowded)
    assert 201 == order(crowded, payer, payee, 100).status_code
    for account in (payer, payee):
        answer = crowded.request("DELETE", f"/accounts/{account}")
        problem_in(answer, 409, "account-in-use")
    assert [9_900, 10_100] == [balance(crowded, a) for a in (payer, payee)]
    assert 201 == order(crowded, payee, payer, 100).status_code


@pytest.mark.rule("after-commit")
def test_an_account_that_nobody_used_can_go(service: Service) -> None:
    """204, then 404; its id and its money are not seen again."""
    account = open_account(service)
    path = f"/accounts/{account}"
    answer = service.request("DELETE", path)
    assert 204 == answer.status_code
    assert b"" == answer.content
    problem_in(service.request("GET", path), 404)
    problem_in(service.request("DELETE", path), 404)
    assert account < open_account(service)
    assert 0 == made_or_lost(service)


@pytest.mark.rule("after-commit")
@pytest.mark.parametrize("closing_first", [False, True])
def test_an_account_is_closed_or_paid_into(
    strict: Service, closing_first: bool
) -> None:
    """Who comes second is refused: 409, or 422 for there is no payee."""
    payee, payer = open_account(strict), open_account(strict)
    held = payee if closing_first else payer
    each = Order(payer, payee, 100)
    with ExitStack() as stack:
        eyes = stack.enter_context(connected(strict))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        with rows_held(strict, held):
            asks = [
                lambda: strict.request("DELETE", f"/accounts/{payee}"),
                lambda: order(strict, *each),
            ]
            asked = []
            for ask in asks if closing_first else asks[::-1]:
                asked.append(pool.submit(ask))
                wait_until_waiting(eyes, len(asked))
        statuses = [future.result().status_code for future in asked]
    assert ([204, 422] if closing_first else [201, 409]) == statuses
    assert 0 == made_or_lost(strict)


@pytest.mark.rule("after-commit")
def test_nothing_is_answered_while_a_commit_is_held_up(
    pair: Service,
) -> None:
    """Who reads holds a commit up, and the answer with it."""
    payer, payee = open_account(pair), open_account(pair)
    database = sqlite_of(pair)
    if database is None:
        pytest.skip("not checked: needs the default database")
    with (
        closing(sqlite3.connect(database)) as reader,
        ExitStack() as stack,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM transfers").fetchone()
        raw = stack.enter_context(sent(pair, Order(payer, payee, 100)))
        until(lambda: is_committing(database), "nothing is committed")
        early = is_answered(raw)
        reader.rollback()
        assert 201 == status_of(raw)
    assert not early


def is_committing(database: Path) -> bool:
    """Tell whether somebody waits for the readers, to commit."""
    # In another process: locks of one process are no matter to itself.
    asked = [sys.executable, "-c", READING, str(database)]
    done = subprocess.run(asked, capture_output=True, check=False)
    return done.returncode != 0


@pytest.mark.rule("after-commit")
def test_nothing_is_answered_before_the_last_constraint(
    strict: Service,
) -> None:
    """What is checked at the commit holds up the answer."""
    payer, payee = open_account(strict), open_account(strict)
    with connected(strict) as eyes, ExitStack() as stack:
        eyes.execute(HOLDING_UP + AT_COMMIT)
        stack.callback(eyes.execute, NO_MORE)
        with connected(strict) as holder:
            holder.execute("SELECT pg_advisory_lock(1)")
            raw = stack.enter_context(sent(strict, Order(payer, payee, 100)))
            wait_until_waiting(eyes, 1)
            early = is_answered(raw)
        assert 201 == status_of(raw)
    assert not early


# kept


@pytest.mark.rule("kept")
def test_what_was_answered_outlives_kill_9(crowded: Service) -> None:
    """After `kill -9` under load it is there, and nothing by half."""
    accounts = [open_account(crowded, overdraft=9999) for _ in range(8)]
    told = kill_under_load(crowded, accounts)
    check_books(crowded, accounts, told)
    figure("transfers answered before kill -9", len(told) - HANDS)
    figure("cents made or lost", made_or_lost(crowded))


def kill_under_load(service: Service, accounts: Sequence[int]) -> list[Told]:
    """Kill all processes while all hands are at work, and start again."""
    orders = drawn_at_random(accounts, 200 * HANDS)
    told: list[Told] = []
    with ThreadPoolExecutor(HANDS) as pool:
        for hand in range(HANDS):
            mine = orders[hand::HANDS]
            pool.submit(Teller(service).work_off, mine, told)
        until(lambda: len(told) > 10 * HANDS, "hardly anything is answered")
        service.kill()
    until(lambda: is_deaf(service), "it still answers after kill -9")
    service.restart()
    return told


def check_books(
    service: Service, accounts: Sequence[int], told: Sequence[Told]
) -> None:
    """What was answered is there; of the rest each is there or not."""
    for each in told:
        if each.status == 201:
            answer = service.request("GET", f"/transfers/{each.body['id']}")
            assert 200 == answer.status_code
            assert each.body == answer.json()
    for account in accounts:
        shown = show(service, account)
        mine = [each for each in told if each.order.payee == account]
        sure = sum(e.order.amount for e in mine if e.status == 201)
        open_ = sum(e.order.amount for e in mine if e.status == 0)
        assert sure <= shown["credits"] <= sure + open_
    assert 0 == made_or_lost(service)


@pytest.mark.rule("kept")
def test_every_worker_has_what_one_was_told(crowded: Service) -> None:
    """What one worker answered, two answer with."""
    payer, payee = open_account(crowded), open_account(crowded)
    made = order(crowded, payer, payee, 100).json()
    path = f"/transfers/{made['id']}"
    for answer in crowded.ask_every_worker(2, "GET", path):
        assert 200 == answer.status_code
        assert made == answer.json()


# retried


@pytest.mark.rule("retried")
def test_transfers_that_meet_are_all_booked(crowded: Service) -> None:
    """Each gets its turn, whichever way the money goes."""
    first, second = open_account(crowded), open_account(crowded)
    orders = [Order(first, second, 20), Order(second, first, 10)]
    orders *= MEETING // 2
    for _ in range(3):
        assert [201] * MEETING == at_once(crowded, orders)
    figure("transfers that met", 3 * MEETING)
    moved = 3 * 10 * (MEETING // 2)
    assert 10_000 - moved == balance(crowded, first)
    assert 10_000 + moved == balance(crowded, second)


@pytest.mark.rule("retried")
@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_was_broken_off_is_begun_again(
    strict: Service, code: str
) -> None:
    """A serialization failure or a deadlock is nobody's answer."""
    payer, payee = open_account(strict), open_account(strict)
    with breaking_off(strict, code, times=2) as attempts:
        answer = order(strict, payer, payee, 100)
        assert 201 == answer.status_code, answer.text
        assert 3 == attempts()
    given, got = show(strict, payer), show(strict, payee)
    assert (100, 100) == (given["debits"], got["credits"])
    found = strict.request("GET", answer.headers["location"])
    assert answer.json() == found.json()


# from-the-start


@pytest.mark.rule("from-the-start")
def test_what_was_read_before_is_read_again(strict: Service) -> None:
    """The second attempt decides by what is there by then."""
    payer = open_account(strict, 1000, overdraft=5000)
    payee = open_account(strict)
    with connected(strict) as eyes, ExitStack() as stack:
        with connected(strict) as other, other.transaction():
            # Somebody else is at it, and takes most of it away.
            other.execute(
                "UPDATE accounts SET balance = balance - 900, "
                "opening = opening - 900 WHERE id = %s",
                [payer],
            )
            each = Order(payer, payee, 500)
            raw = stack.enter_context(sent(strict, each))
            wait_until_waiting(eyes, 1)
        assert 409 == status_of(raw)
    assert 100 == balance(strict, payer)
    assert 10_000 == balance(strict, payee)


@pytest.mark.rule("from-the-start")
def test_the_second_attempt_is_as_whole_as_the_first(
    strict: Service,
) -> None:
    """What comes of it is there once, and the books agree."""
    payer, payee = open_account(strict), open_account(strict)
    with connected(strict) as eyes, ExitStack() as stack:
        with connected(strict) as other, other.transaction():
            other.execute(
                "UPDATE accounts SET balance = balance + 1, "
                "opening = opening + 1 WHERE id = %s",
                [payee],
            )
            # It has taken from the payer when it waits for the payee.
            each = Order(payer, payee, 500)
            raw = stack.enter_context(sent(strict, each))
            wait_until_waiting(eyes, 1)
        assert 201 == status_of(raw)
    assert 9_500 == balance(strict, payer)
    assert 10_501 == balance(strict, payee)


# bounded


@pytest.mark.rule("bounded")
@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_attempts_are_counted(hasty: Service, code: str) -> None:
    """After so many of them 503, when to come again, and nothing done."""
    payer, payee = open_account(hasty), open_account(hasty)
    with (
        breaking_off(hasty, code, times=1_000_000) as attempts,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(order, hasty, payer, payee, 100)
        until(lambda: asked.done() or attempts() > 9, "it tries no more")
        assert 3 >= attempts()
        assert_busy(asked.result())
        assert 3 == attempts()
    assert [10_000] * 2 == [balance(hasty, a) for a in (payer, payee)]
    assert 201 == order(hasty, payer, payee, 100).status_code


@pytest.mark.rule("bounded")
def test_who_waits_for_a_lock_waits_no_longer_than_that(
    hasty: Service,
) -> None:
    """Behind one who does not let go: 503, and nothing done."""
    payer, payee = open_account(hasty), open_account(hasty)
    with ThreadPoolExecutor(1) as pool, rows_held(hasty, payer):
        asked = pool.submit(order, hasty, payer, payee, 100)
        until(asked.done, "it waits and waits")
        assert_busy(asked.result())
    assert [10_000] * 2 == [balance(hasty, a) for a in (payer, payee)]
    assert 201 == order(hasty, payer, payee, 100).status_code


@pytest.mark.rule("bounded")
def test_who_waits_for_the_file_waits_no_longer_than_that(
    framework: Subject,
) -> None:
    """A database that is locked is 503, no failure."""
    with start(RECIPE, framework, HASTY) as hasty:
        payer, payee = open_account(hasty), open_account(hasty)
        if sqlite_of(hasty) is None:
            pytest.skip("not checked: needs the default database")
        with ThreadPoolExecutor(1) as pool, writes_held(hasty):
            asked = pool.submit(order, hasty, payer, payee, 100)
            until(asked.done, "it waits and waits")
            assert_busy(asked.result())
        assert [10_000] * 2 == [balance(hasty, a) for a in (payer, payee)]
        assert 201 == order(hasty, payer, payee, 100).status_code


# one-order


@pytest.mark.rule("one-order")
@pytest.mark.parametrize("backwards", [False, True])
def test_who_waits_for_the_first_account_does_not_hold_the_second(
    strict: Service, backwards: bool
) -> None:
    """Locks are taken in one order, whichever way the money goes."""
    first, second = open_account(strict), open_account(strict)
    each = Order(first, second, 100)
    if backwards:
        each = Order(second, first, 100)
    with connected(strict) as eyes, ExitStack() as stack:
        with rows_held(strict, first):
            raw = stack.enter_context(sent(strict, each))
            wait_until_waiting(eyes, 1)
            found = eyes.execute(f"{LOCK} SKIP LOCKED", [[second]])
            free = found.fetchone()
        assert 201 == status_of(raw)
    assert (second,) == free


# one-snapshot


@pytest.mark.rule("one-snapshot")
def test_a_balance_and_its_entries_are_of_one_moment(
    crowded: Service,
) -> None:
    """However much is booked between looking here and looking there."""
    first, second = open_account(crowded), open_account(crowded)
    ways = [Order(first, second, 1), Order(second, first, 1)]
    path = f"/accounts/{first}"
    told: list[Told] = []
    seen: list[Json] = []
    with ThreadPoolExecutor(HANDS) as pool:
        for hand in range(HANDS - 2):
            mine = [ways[hand % 2]] * 25
            pool.submit(Teller(crowded).work_off, mine, told)
        for _ in range(2):
            pool.submit(look_often, Teller(crowded), path, seen)
    assert 2 * LOOKS == len(seen)
    torn = [each for each in seen if drawn(each) != each["balance"]]
    figure("accounts read while money was moved", len(seen))
    figure("balances that were not those of their entries", len(torn))
    assert [] == torn
    assert 1 < len({each["balance"] for each in seen})


def look_often(teller: Teller, path: str, seen: list[Json]) -> None:
    """Read a path again and again."""
    for _ in range(LOOKS):
        status, body = teller.ask("GET", path)
        assert 200 == status
        seen.append(body)


@pytest.mark.rule("one-snapshot")
def test_the_sum_of_all_is_of_one_moment(crowded: Service) -> None:
    """While money is moved there is no more of it and no less."""
    accounts = [open_account(crowded) for _ in range(6)]
    told: list[Told] = []
    seen: list[Json] = []
    orders = drawn_at_random(accounts, 20 * HANDS)
    with ThreadPoolExecutor(HANDS) as pool:
        for hand in range(HANDS - 1):
            mine = orders[hand::HANDS]
            pool.submit(Teller(crowded).work_off, mine, told)
        pool.submit(look_often, Teller(crowded), "/trial-balance", seen)
    assert LOOKS == len(seen)
    assert [each["openings"] for each in seen] == [
        each["balances"] for each in seen
    ]
    assert [each["credits"] for each in seen] == [
        each["debits"] for each in seen
    ]
