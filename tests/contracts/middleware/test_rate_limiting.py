"""The contract of `rate_limiting`: exact, shared, told, and survivable."""

import os
import re
import select
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from statistics import median
from threading import Barrier
from time import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import (
    Service,
    StartError,
    Subject,
    breakable,
    figure,
    start,
    until,
)

QUOTA = 12
ROUTES = 3
LONG = 3600
AT_ONCE = 50
FEW = 3
WINDOW = 2
PAUSE = 0.1
EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
TITLE = "Too Many Requests"
ITEM = re.compile(r'"(\w+)"((?:; *[a-z]+=[^,;"]+)+)')
STOPS = {"stops": ["dover", "cork", "leith"]}
FIELDS = ("ratelimit", "ratelimit-policy")
FAILS = "The store of the limits fails: "
IS_BACK = "The store of the limits is back"
TOKEN = uuid4().hex[:12]
KEYS = [f"{TOKEN}-{number}" for number in range(3000)]
UNUSED = iter(KEYS[1:])
NUMBERS = count()
REGULAR = {"Authorization": f"Bearer {KEYS[0]}"}
PROXIES = "127.0.0.1,10.0.0.0/8,2001:db8:ffff::/48"
QUIET: dict[str, object] = {
    "LIMIT_REQUESTS": QUOTA,
    "LIMIT_SECONDS": LONG,
    "ROUTE_LIMIT_REQUESTS": ROUTES,
    "ROUTE_LIMIT_SECONDS": LONG,
    "API_KEYS": ",".join(KEYS),
    "FORWARDED_ALLOW_IPS": PROXIES,
    # A busy machine is no outage.
    "STORE_TIMEOUT_SECONDS": 20,
}
BROKEN = QUIET | {"STORE_TIMEOUT_SECONDS": 0.5, "STORE_PAUSE_SECONDS": PAUSE}


class Timed(NamedTuple):
    """An answer, and between which times it was made."""

    sent: float
    got: float
    answer: httpx2.Response


class Item(NamedTuple):
    """An item of one of the two fields: a policy and its parameters."""

    name: str
    numbers: dict[str, int]


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """A service whose windows outlast every test: each has its own key."""
    with start("rate_limiting", framework, QUIET) as running:
        yield running


@pytest.fixture(scope="module")
def quick(framework: Subject) -> Iterator[Service]:
    """A service whose general window is over in a second."""
    knobs = QUIET | {"LIMIT_REQUESTS": FEW, "LIMIT_SECONDS": 1}
    with start("rate_limiting", framework, knobs) as running:
        yield running


@pytest.fixture(scope="module")
def slower(framework: Subject) -> Iterator[Service]:
    """A service whose general window has room for whole seconds."""
    knobs = QUIET | {"LIMIT_REQUESTS": FEW, "LIMIT_SECONDS": WINDOW}
    with start("rate_limiting", framework, knobs) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(framework: Subject) -> Iterator[Service]:
    """Two instances of two workers, and one store."""
    with start(
        "rate_limiting",
        framework,
        QUIET,
        workers=2,
        instances=2,
        parts=["redis"],
    ) as running:
        yield running


def known() -> dict[str, str]:
    """Headers of a client whose key nobody has used."""
    return {"Authorization": f"Bearer {next(UNUSED)}"}


def somewhere() -> dict[str, str]:
    """Headers of a client whose address nobody has used."""
    return {"X-Forwarded-For": address()}


def address() -> str:
    """Give one that nobody has had, of those for tests (RFC 2544)."""
    return f"198.18.{'.'.join(map(str, divmod(next(NUMBERS), 256)))}"


def ask(
    service: Service,
    client: dict[str, str],
    path: str = "/harbours/dover",
    method: str = "GET",
    **options: Any,
) -> httpx2.Response:
    """Send a request as a client."""
    headers = client | options.pop("headers", {})
    return service.request(method, path, headers=headers, **options)


def plan(service: Service, client: dict[str, str]) -> httpx2.Response:
    """Ask for what is costly."""
    return ask(service, client, "/routes", "POST", json=STOPS)


def timed(service: Service, client: dict[str, str]) -> Timed:
    """Send a request, and look at the clock before and after."""
    sent = time()
    answer = ask(service, client)
    return Timed(sent, time(), answer)


def use_up(service: Service, client: dict[str, str], times: int) -> None:
    """Use what a client is let."""
    for _ in range(times):
        assert 200 == ask(service, client).status_code


def until_refused(service: Service, client: dict[str, str]) -> Timed:
    """Ask until nothing is left; give the refusal."""
    tries: list[Timed] = []

    def is_refused() -> bool:
        tries.append(timed(service, client))
        return tries[-1].answer.status_code == 429

    until(is_refused, "nobody is refused")
    return tries[-1]


def items(answer: httpx2.Response, field: str) -> list[Item]:
    """Read a field, which is a list of texts with numbers (RFC 9651)."""
    found = []
    for text in answer.headers.get(field, "").split(","):
        match = ITEM.fullmatch(text.strip())
        assert match, f"{field}: {answer.headers.get(field)}"
        named = [one.strip().split("=") for one in match[2].split(";") if one]
        found.append(Item(match[1], {n: int(value) for n, value in named}))
    return found


def left(answer: httpx2.Response, policy: str = "default") -> int:
    """How many more requests a policy lets through."""
    return dict(items(answer, "ratelimit"))[policy]["r"]


def policies_of(answer: httpx2.Response) -> list[str]:
    """Which policies were asked."""
    return [each.name for each in items(answer, "ratelimit")]


def wait_of(answer: httpx2.Response) -> int:
    """In how many seconds to come again."""
    assert 429 == answer.status_code, answer.text
    text = answer.headers.get("retry-after", "")
    assert re.fullmatch("[0-9]+", text), text
    return int(text)


def refused_by(answer: httpx2.Response) -> Any:
    """Which policies refused, by the problem document."""
    assert 429 == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem = answer.json()
    assert 429 == problem["status"]
    assert EXCEEDED == problem["type"]
    assert TITLE == problem["title"]
    return problem["violated-policies"]


def at_once[T](number: int, act: Callable[[int], T]) -> list[T]:
    """Do something many times at one moment."""
    gate = Barrier(number)

    def pass_gate(index: int) -> T:
        gate.wait()
        return act(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(pass_gate, range(number)))


def pass_time(until_when: float) -> None:
    """Wait for a time to come."""
    until(lambda: time() >= until_when, "time stands still")


# exact


def assert_exact(statuses: list[int], quota: int) -> None:
    """So many were let through, all others refused; and say so."""
    let_in = statuses.count(200)
    figure("requests fired at once", len(statuses))
    figure("let through beyond the limit", max(0, let_in - quota))
    assert quota == let_in
    assert len(statuses) - quota == statuses.count(429)


@pytest.mark.rule("exact")
def test_of_many_at_once_the_quota_is_let_through(service: Service) -> None:
    """Of fifty at one moment exactly the quota is let through."""
    client = known()
    ask(service, known())
    answers = at_once(AT_ONCE, lambda _: ask(service, client))
    assert_exact([each.status_code for each in answers], QUOTA)


@pytest.mark.rule("exact")
def test_of_many_at_once_the_costly_quota_is_let_through(
    service: Service,
) -> None:
    """Of many at one moment exactly the costly quota is let through."""
    client = known()
    ask(service, known())
    answers = at_once(QUOTA, lambda _: plan(service, client))
    assert_exact([each.status_code for each in answers], ROUTES)


@pytest.mark.rule("exact")
def test_of_many_at_once_to_all_workers_the_quota_is_let_through(
    crowd: Service,
) -> None:
    """Of fifty at once, to all instances and workers, not one too many."""
    for each in crowd.instances:
        assert 2 <= len(each.ask_every_worker(2, "GET", "/harbours/dover"))
    client = known() | {"Connection": "close"}
    answers = at_once(AT_ONCE, lambda n: ask(crowd.instances[n % 2], client))
    assert_exact([each.status_code for each in answers], QUOTA)


# shared


@pytest.mark.rule("shared")
def test_whoever_answers_counts_on(crowd: Service) -> None:
    """From worker to worker one allowance is counted down."""
    client = known() | {"Connection": "close"}
    answers = [ask(crowd.instances[n % 2], client) for n in range(QUOTA)]
    assert [*reversed(range(QUOTA))] == [left(each) for each in answers]
    for each in crowd.instances:
        assert 429 == ask(each, client).status_code


@pytest.mark.rule("shared")
def test_a_process_that_is_killed_takes_no_count_with_it(
    framework: Subject,
) -> None:
    """`kill -9` of a worker, or of all, gives nobody a new allowance."""
    with start(
        "rate_limiting",
        framework,
        QUIET,
        workers=2,
        instances=2,
        parts=["redis"],
    ) as running:
        stays, dies = running.instances
        client = known() | {"Connection": "close"}
        numbers = count()

        def attack(index: int) -> int:
            if next(numbers) == QUOTA // 2:
                os.kill(dies.pids()[-1], signal.SIGKILL)
            try:
                return ask(running.instances[index % 2], client).status_code
            except httpx2.TransportError:
                return 0

        statuses = at_once(AT_ONCE, attack)
        let_in, lost = statuses.count(200), statuses.count(0)
        figure("requests fired while a worker was killed", len(statuses))
        figure("let through beyond the limit", max(0, let_in - QUOTA))
        assert let_in <= QUOTA <= let_in + lost
        dies.kill()
        until(lambda: is_deaf(dies), "it still answers after kill -9")
        dies.restart()
        for each in (dies, stays):
            assert 429 == ask(each, client).status_code


def is_deaf(service: Service) -> bool:
    """Tell whether nobody answers any more."""
    try:
        service.request("GET", "/harbours/dover")
    except httpx2.TransportError:
        return True
    return False


# sliding


@pytest.mark.rule("sliding")
def test_no_stretch_has_more_than_the_quota(quick: Service) -> None:
    """To wait for the edge gives no second quota; to press on costs none."""
    client = known()
    let_in = [timed(quick, client)]
    pass_time(let_in[0].sent + 0.6)
    let_in += [timed(quick, client) for _ in range(FEW - 1)]
    end = let_in[0].got + 1.5

    def press_on() -> bool:
        let_in.append(timed(quick, client))
        return time() > end

    until(press_on, "time stands still")
    let_in = [each for each in let_in if each.answer.status_code == 200]
    assert len(let_in) > FEW
    for first, beyond in zip(let_in, let_in[FEW:], strict=False):
        assert beyond.got - first.sent >= 1


# retry-after


@pytest.mark.rule("retry-after")
def test_no_answer_says_to_come_too_early(slower: Service) -> None:
    """Every promise is kept, and late by less than a second."""
    client = known()
    first = timed(slower, client)
    use_up(slower, client, FEW - 1)
    refused: list[Timed] = []

    def is_let_in() -> bool:
        refused.append(timed(slower, client))
        return refused[-1].answer.status_code == 200

    until(is_let_in, "nobody is let in again")
    refused.pop()
    assert refused
    for each in refused:
        promised = wait_of(each.answer)
        assert each.got + promised >= first.sent + WINDOW
        assert each.sent + promised < first.got + WINDOW + 1.01


@pytest.mark.rule("retry-after")
def test_who_waits_as_long_as_told_is_let_in(quick: Service) -> None:
    """Who waits the whole seconds, and not a moment more, is let in."""
    client = known()
    refused = until_refused(quick, client)
    pass_time(refused.got + wait_of(refused.answer))
    assert 200 == ask(quick, client).status_code


@pytest.mark.rule("retry-after")
def test_who_waits_is_let_in_by_every_policy(framework: Subject) -> None:
    """The policy that takes longest counts, though another refused."""
    knobs = QUIET | {
        "LIMIT_REQUESTS": 3,
        "ROUTE_LIMIT_REQUESTS": 1,
        "ROUTE_LIMIT_SECONDS": 60,
    }
    with start("rate_limiting", framework, knobs) as running:
        client = known()
        assert 200 == plan(running, client).status_code
        soon, late = plan(running, client), plan(running, client)
        assert [1, 0] == [left(soon), left(late)]
        assert [0, 0] == [left(each, "routes") for each in (soon, late)]
        assert 0 < wait_of(soon) <= 60
        assert LONG - 60 < wait_of(late) <= LONG


# quota-exceeded


@pytest.mark.rule("quota-exceeded")
def test_a_refusal_names_the_policy(service: Service) -> None:
    """429, and a problem document that names the policy."""
    client = known()
    use_up(service, client, QUOTA)
    answer = ask(service, client)
    assert ["default"] == refused_by(answer)
    assert 0 < wait_of(answer) <= LONG


@pytest.mark.rule("quota-exceeded")
def test_a_refusal_names_the_costly_policy(service: Service) -> None:
    """The policy that refused is named, and not the other."""
    client = known()
    for _ in range(ROUTES):
        assert 200 == plan(service, client).status_code
    assert ["routes"] == refused_by(plan(service, client))


# rate-fields


def assert_told(answer: httpx2.Response, remaining: int) -> None:
    """Both fields tell the general policy, and how the client stands."""
    expected = [Item("default", {"q": QUOTA, "w": LONG})]
    assert expected == items(answer, "ratelimit-policy")
    (item,) = items(answer, "ratelimit")
    assert "default" == item.name
    assert {"r", "t"} == set(item.numbers)
    assert remaining == item.numbers["r"]
    assert LONG - 60 < item.numbers["t"] <= LONG


@pytest.mark.rule("rate-fields")
def test_every_good_answer_tells_what_is_left(service: Service) -> None:
    """One less is left each time, and none when it is used up."""
    client = known()
    for used in range(QUOTA):
        answer = ask(service, client)
        assert 200 == answer.status_code
        assert "Dover" == answer.json()["name"]
        assert_told(answer, QUOTA - used - 1)
    answer = ask(service, client)
    assert 429 == answer.status_code
    assert_told(answer, 0)


@pytest.mark.rule("rate-fields")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/harbours/atlantis", 404),
        ("GET", "/nothing/is/here", 404),
        ("DELETE", "/harbours/dover", 405),
    ],
)
def test_every_bad_answer_tells_what_is_left(
    service: Service, method: str, path: str, status: int
) -> None:
    """An error tells as much as a good answer."""
    answer = ask(service, known(), path, method)
    assert status == answer.status_code
    assert_told(answer, QUOTA - 1)


@pytest.mark.rule("rate-fields")
def test_who_shows_a_made_up_key_is_told_what_is_left(
    service: Service,
) -> None:
    """With a made-up key it is the address's allowance that is told."""
    forged = somewhere() | {"Authorization": f"Bearer {uuid4().hex}"}
    answer = ask(service, forged)
    assert 401 == answer.status_code
    assert_told(answer, QUOTA - 1)


@pytest.mark.rule("rate-fields")
def test_the_costly_policy_is_told_beside_the_general_one(
    service: Service,
) -> None:
    """Two policies are two items in each field, in refusals too."""
    client = known()
    policies = {
        "default": {"q": QUOTA, "w": LONG},
        "routes": {"q": ROUTES, "w": LONG},
    }
    for used in range(ROUTES + 2):
        answer = plan(service, client)
        assert (200 if used < ROUTES else 429) == answer.status_code
        assert policies == dict(items(answer, "ratelimit-policy"))
        assert QUOTA - used - 1 == left(answer)
        assert max(ROUTES - used - 1, 0) == left(answer, "routes")
    assert_told(ask(service, client), QUOTA - ROUTES - 3)


@pytest.mark.rule("rate-fields")
def test_what_is_left_is_left_for_as_long_as_told(slower: Service) -> None:
    """`t` is the time until the oldest request leaves, rounded up."""
    client = known()
    first = timed(slower, client)
    pass_time(first.got + 0.6 * WINDOW)
    again = timed(slower, client)
    (item,) = items(again.answer, "ratelimit")
    assert again.got + item.numbers["t"] >= first.sent + WINDOW
    assert again.sent + item.numbers["t"] < first.got + WINDOW + 1.01


# known-keys


@pytest.mark.rule("known-keys")
def test_a_key_has_an_allowance_of_its_own(service: Service) -> None:
    """Neither its address nor another key uses up what a key has."""
    place = somewhere()
    use_up(service, place, QUOTA)
    assert 429 == ask(service, place).status_code
    one, other = place | known(), place | known()
    use_up(service, one, QUOTA)
    assert 429 == ask(service, one).status_code
    assert QUOTA - 1 == left(ask(service, other))


@pytest.mark.rule("known-keys")
def test_a_key_has_one_allowance_wherever_it_comes_from(
    service: Service,
) -> None:
    """A key has one allowance, from whatever address it comes."""
    key = known()
    told = [left(ask(service, key | somewhere())) for _ in range(QUOTA)]
    assert [*reversed(range(QUOTA))] == told
    assert 429 == ask(service, key | somewhere()).status_code


@pytest.mark.rule("known-keys")
def test_a_made_up_key_gives_no_allowance(service: Service) -> None:
    """A made-up key is 401, counted for the address; and then 429."""
    place = somewhere()
    for used in range(QUOTA):
        forged = place | {"Authorization": f"Bearer {uuid4().hex}"}
        answer = ask(service, forged)
        assert 401 == answer.status_code
        assert answer.headers.get("www-authenticate", "").startswith("Bearer")
        assert QUOTA - used - 1 == left(answer)
    forged = place | {"Authorization": f"Bearer {uuid4().hex}"}
    assert 429 == ask(service, forged).status_code
    assert 429 == ask(service, place).status_code


@pytest.mark.rule("known-keys")
@pytest.mark.parametrize(
    "form",
    ["Bearer {}x", "Bearer x{}", "Bearer", "Basic {}", "{}", "Bearer {},{}"],
)
def test_what_is_like_a_key_is_none(service: Service, form: str) -> None:
    """What is like a key is 401, and takes nothing from the key."""
    key = known()
    value = key["Authorization"].partition(" ")[2]
    wrong = {"Authorization": form.replace("{}", value)}
    answer = ask(service, somewhere() | wrong)
    assert 401 == answer.status_code
    assert QUOTA - 1 == left(ask(service, key))


# true-address


def told_by(service: Service, *lines: str) -> int:
    """Ask by way of a proxy; give what is left."""
    headers = [("X-Forwarded-For", line) for line in lines]
    answer = service.request("GET", "/harbours/dover", headers=headers)
    assert 200 == answer.status_code
    return left(answer)


@pytest.mark.rule("true-address")
def test_two_addresses_are_two_clients(service: Service) -> None:
    """One address does not use up what another has."""
    one, other = somewhere(), somewhere()
    use_up(service, one, QUOTA)
    assert 429 == ask(service, one).status_code
    assert QUOTA - 1 == left(ask(service, other))


@pytest.mark.rule("true-address")
@pytest.mark.parametrize(
    "way",
    [
        "{}",
        "{}, 10.1.2.3",
        "{} ,10.1.2.3,127.0.0.1",
        "{other}, {}",
        "{other}, {}, 10.1.2.3",
        "10.9.9.9, {other}, {}, 10.1.2.3",
        "127.0.0.1, {}",
        "nonsense, {}",
        "{}:4711, 10.1.2.3",
        "::ffff:{}, 2001:db8:ffff::7",
        "[2001:db8:ffff::7]:80, {other}, {}, [2001:db8:ffff::8]:80",
    ],
)
def test_a_client_is_who_the_last_proxy_heard_of(
    service: Service, way: str
) -> None:
    """What stands before the proxy's entry is nobody's address."""
    place = address()
    for used in range(3):
        path = way.replace("{other}", address()).replace("{}", place)
        assert QUOTA - used - 1 == told_by(service, path)
    assert QUOTA - 4 == told_by(service, place)


@pytest.mark.rule("true-address")
def test_a_line_of_its_own_gives_no_allowance(service: Service) -> None:
    """Several lines are one list, and the proxy's is the last."""
    place = address()
    for used in range(3):
        assert QUOTA - used - 1 == told_by(service, address(), place)


@pytest.mark.rule("true-address")
def test_a_network_of_ipv6_is_one_client(service: Service) -> None:
    """Whoever has one address of a /64 has all of them."""
    network = f"2001:db8:0:{next(NUMBERS):x}"
    for used, host in enumerate(("::1", "::2", ":dead:beef:0:1")):
        assert QUOTA - used - 1 == told_by(service, f"{network}{host}")


@pytest.mark.rule("true-address")
def test_nobody_else_is_believed(framework: Subject) -> None:
    """From an address that is no known proxy the header is nothing."""
    knobs = QUIET | {"FORWARDED_ALLOW_IPS": "203.0.113.7"}
    with start("rate_limiting", framework, knobs) as running:
        before = left(running.request("GET", "/harbours/dover"))
        told = [told_by(running, address()) for _ in range(3)]
        assert [before - 1, before - 2, before - 3] == told


@pytest.mark.rule("true-address")
def test_to_believe_everybody_is_no_setting(framework: Subject) -> None:
    """A service that is told to believe everybody does not start."""
    knobs = QUIET | {"FORWARDED_ALLOW_IPS": "*"}
    with (
        pytest.raises(StartError),
        start("rate_limiting", framework, knobs),
    ):
        pass


# all-count

ALL = {
    "unknown path": ("GET", "/nothing/is/here", 404),
    "unknown path, posted": ("POST", "/nothing/is/here", 404),
    "root": ("GET", "/", 404),
    "static file": ("GET", "/static/nothing.css", 404),
    "path that is no text": ("GET", "/%FF/%00", 404),
    "unknown harbour": ("GET", "/harbours/atlantis", 404),
    "refused method": ("DELETE", "/harbours/dover", 405),
    "refused method of a costly path": ("GET", "/routes", 405),
    "HEAD": ("HEAD", "/harbours/dover", None),
    "OPTIONS": ("OPTIONS", "/harbours/dover", None),
    "OPTIONS *": ("OPTIONS", "/routes", None),
}
BODIES = {
    "no JSON": ({"content": b"{"}, "application/json", 400),
    "another type": ({"content": b"{}"}, "text/plain", 415),
    "no stops": ({"content": b"{}"}, "application/json", 422),
    "nothing": ({}, "application/json", 400),
}


@pytest.mark.rule("all-count")
@pytest.mark.parametrize("case", ALL)
def test_whatever_is_asked_for_counts(service: Service, case: str) -> None:
    """Whatever is asked for counts, though it comes to nothing."""
    method, path, status = ALL[case]
    client = known()
    assert QUOTA - 1 == left(ask(service, client))
    answer = ask(service, client, path, method)
    if status is not None:
        assert status == answer.status_code
    assert QUOTA - 2 == left(answer)
    assert QUOTA - 3 == left(ask(service, client))


@pytest.mark.rule("all-count")
@pytest.mark.parametrize("case", ALL)
def test_whatever_is_asked_for_is_refused(service: Service, case: str) -> None:
    """Where nothing is left, whatever is asked for is 429."""
    method, path, _ = ALL[case]
    client = known()
    use_up(service, client, QUOTA)
    assert 429 == ask(service, client, path, method).status_code


@pytest.mark.rule("all-count")
@pytest.mark.parametrize("case", BODIES)
def test_whatever_is_sent_counts(service: Service, case: str) -> None:
    """A body that cannot be read counts, by both policies."""
    body, media_type, status = BODIES[case]
    client = known()
    headers = {"Content-Type": media_type}
    answer = ask(service, client, "/routes", "POST", headers=headers, **body)
    assert status == answer.status_code
    assert QUOTA - 1 == left(answer)
    assert ROUTES - 1 == left(answer, "routes")
    assert QUOTA - 2 == left(ask(service, client))


@pytest.mark.rule("all-count")
def test_a_key_that_was_made_up_counts(service: Service) -> None:
    """Who tries keys does not try for long."""
    place = somewhere()
    forged = place | {"Authorization": f"Bearer {uuid4().hex}"}
    assert 401 == ask(service, forged, "/nothing/is/here").status_code
    assert QUOTA - 2 == left(ask(service, place))


# before-the-body

LENGTHS = {
    "a length": "Content-Length: 4000",
    "chunks": "Transfer-Encoding: chunked",
}


@contextmanager
def head_alone(
    service: Service, client: dict[str, str], length: str
) -> Iterator[socket.socket]:
    """Send the head of a request, and nothing of its body."""
    where = urlsplit(service.url)
    lines = [
        "POST /routes HTTP/1.1",
        f"Host: {where.netloc}",
        "Content-Type: application/json",
        LENGTHS[length],
        *(f"{name}: {value}" for name, value in client.items()),
    ]
    with socket.create_connection((where.hostname, where.port), 30) as raw:
        raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        yield raw


def assert_refused_at_once(raw: socket.socket) -> None:
    """The answer is there, though the body is not."""
    until(
        lambda: select.select([raw], [], [], 0)[0],
        "the body is waited for",
    )
    assert b"429" == raw.recv(65536).split(b" ", 2)[1]


@pytest.mark.rule("before-the-body")
@pytest.mark.parametrize("length", LENGTHS)
def test_the_general_refusal_waits_for_no_body(
    service: Service, length: str
) -> None:
    """The general policy refuses while no byte of the body has come."""
    client = known()
    use_up(service, client, QUOTA)
    with head_alone(service, client, length) as raw:
        assert_refused_at_once(raw)


@pytest.mark.rule("before-the-body")
@pytest.mark.parametrize("length", LENGTHS)
def test_the_costly_refusal_waits_for_no_body(
    service: Service, length: str
) -> None:
    """The costly policy refuses while no byte of the body has come."""
    client = known()
    for _ in range(ROUTES):
        assert 200 == plan(service, client).status_code
    with head_alone(service, client, length) as raw:
        assert_refused_at_once(raw)


# two-policies


@pytest.mark.rule("two-policies")
def test_the_costly_quota_leaves_the_rest_open(service: Service) -> None:
    """With the costly quota used up, what is cheap goes on."""
    client = known()
    for _ in range(ROUTES):
        assert 200 == plan(service, client).status_code
    answer = plan(service, client)
    assert 429 == answer.status_code
    assert ["default", "routes"] == policies_of(answer)
    use_up(service, client, QUOTA - ROUTES - 1)
    for answer in (ask(service, client), plan(service, client)):
        assert 429 == answer.status_code
        assert ["default"] == policies_of(answer)


@pytest.mark.rule("two-policies")
def test_what_is_cheap_takes_nothing_from_what_is_costly(
    service: Service,
) -> None:
    """What is cheap takes nothing from the costly quota."""
    client = known()
    use_up(service, client, 2)
    answer = ask(service, client, "/routes")
    assert 405 == answer.status_code
    assert ["default"] == policies_of(answer)
    answer = plan(service, client)
    assert 200 == answer.status_code
    assert ["dover", "leith", "cork"] == answer.json()["stops"]
    assert ROUTES - 1 == left(answer, "routes")
    assert QUOTA - 4 == left(answer)


@pytest.mark.rule("two-policies")
def test_a_general_refusal_takes_nothing_from_the_costly_quota(
    quick: Service,
) -> None:
    """What is refused in general takes nothing from the costly quota."""
    client = known()
    answers = [plan(quick, client)]
    until_refused(quick, client)

    def is_let_in() -> bool:
        answers.append(plan(quick, client))
        return answers[-1].status_code == 200

    until(is_let_in, "nobody is let in again")
    refused = [each for each in answers if each.status_code == 429]
    assert all(["default"] == policies_of(each) for each in refused)
    assert ROUTES - 2 == left(answers[-1], "routes")


# store-down


@pytest.fixture(scope="module")
def lined(framework: Subject) -> Iterator[tuple[Service, Any]]:
    """A service whose way to the store can be broken."""
    with breakable("redis") as line:
        with start(
            "rate_limiting", framework, BROKEN, parts=[line]
        ) as running:
            yield running, line


@pytest.fixture(params=["cut", "hang"])
def breaking(
    request: pytest.FixtureRequest, lined: tuple[Service, Any]
) -> Iterator[Callable[[], None]]:
    """What breaks the line; it is whole before and after."""
    service, line = lined
    yield getattr(line, request.param)
    line.restore()
    until(
        lambda: is_counted(ask(service, REGULAR)),
        "the limits do not come back",
    )


def is_counted(answer: httpx2.Response) -> bool:
    """Tell whether the fields are there."""
    return all(name in answer.headers for name in FIELDS)


def assert_uncounted(answer: httpx2.Response, status: int) -> None:
    """The status, and no field that would not be true."""
    assert status == answer.status_code
    assert not any(name in answer.headers for name in FIELDS)


@pytest.mark.rule("store-down")
def test_without_the_store_what_is_cheap_goes_on(
    lined: tuple[Service, Any], breaking: Callable[[], None]
) -> None:
    """What is cheap goes on: no limit, no fields, and no waiting."""
    service, _ = lined
    client = known()
    before = [timed(service, client) for _ in range(QUOTA - 1)]
    assert all(is_counted(each.answer) for each in before)
    breaking()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(timed, service, client) for _ in range(40)]
        until(
            lambda: all(each.done() for each in asked),
            "a request waits for the store",
        )
    for each in asked:
        assert_uncounted(each.result().answer, 200)
    during = [timed(service, client) for _ in range(21)]
    usual, now = (
        median(each.got - each.sent for each in some)
        for some in (before, during)
    )
    assert now < 20 * usual


@pytest.mark.rule("store-down")
def test_without_the_store_what_is_costly_is_shut(
    lined: tuple[Service, Any], breaking: Callable[[], None]
) -> None:
    """What is costly is 503, which says when to come again."""
    service, _ = lined
    client = known()
    assert 200 == plan(service, client).status_code
    breaking()
    for _ in range(5):
        answer = plan(service, client)
        assert_uncounted(answer, 503)
        media_type = answer.headers["content-type"].partition(";")[0]
        assert "application/problem+json" == media_type
        assert 503 == answer.json()["status"]
        wait = answer.headers.get("retry-after", "")
        assert re.fullmatch("[1-9][0-9]*", wait)


@pytest.mark.rule("store-down")
def test_the_limits_come_back_with_the_store(
    lined: tuple[Service, Any], breaking: Callable[[], None]
) -> None:
    """The limits come back in the same processes; the log says so once."""
    service, line = lined
    client = known()
    use_up(service, client, 3)
    pids, log = service.pids(), service.log()
    breaking()
    end = time() + 5 * PAUSE
    until(
        lambda: ask(service, client) and time() > end,
        "time stands still",
    )
    line.restore()
    until(
        lambda: is_counted(ask(service, client)),
        "the limits do not come back",
    )
    until(
        lambda: plan(service, REGULAR).status_code != 503,
        "the costly is shut for ever",
    )
    assert left(ask(service, client)) < QUOTA - 3
    assert set(pids) == set(service.pids())
    news = service.log()[len(log) :]
    assert 1 <= news.count(FAILS) <= len(pids)
    assert 1 <= news.count(IS_BACK) <= len(pids)


@pytest.mark.rule("store-down")
def test_a_service_starts_without_its_store(framework: Subject) -> None:
    """A service starts without its store, and counts when it is there."""
    with breakable("redis") as line:
        line.cut()
        with start(
            "rate_limiting", framework, BROKEN, parts=[line]
        ) as service:
            client = known()
            assert_uncounted(ask(service, client), 200)
            line.restore()
            until(
                lambda: is_counted(ask(service, client)),
                "the limits never come",
            )
