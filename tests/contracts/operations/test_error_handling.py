"""The contract of `error_handling`: told to the client, found by its id."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Json = dict[str, Any]
type Ask = tuple[str, str, Json]

FACTOR = 20
MARK = "hunter2-4711"
GOOD = "USD 1.0842\nGBP 0.8523\nJPY 171.35\n"
WRONG = {
    "no file": None,
    "half a line": b"USD\n",
    "a line too long": f"USD 1.0 {MARK}\n".encode(),
    "no number": f"USD {MARK}\n".encode(),
    "no text": b"\xff\xfe USD\n",
    "no end": b"\x00" * 5000,
}
JSON = {"content-type": "application/json"}
CONVERT = "/rates/USD/conversions"
MISTAKES: dict[str, tuple[int, Ask]] = {
    "half a body": (
        400,
        ("POST", CONVERT, {"content": b'{"amount": ', "headers": JSON}),
    ),
    "nothing there": (404, ("GET", "/nothing/is/here", {})),
    "an unknown currency": (404, ("GET", "/rates/XXX", {})),
    "a method": (405, ("DELETE", "/rates/USD", {})),
    "another method": (405, ("PATCH", "/rates", {})),
    "too much": (
        413,
        (
            "POST",
            CONVERT,
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
            CONVERT,
            {
                "content": b'{"amount": 1}',
                "headers": {"content-type": "text/plain"},
            },
        ),
    ),
    "no amount": (422, ("POST", CONVERT, {"json": {}})),
    "an amount of nothing": (422, ("POST", CONVERT, {"json": {"amount": 0}})),
    "too large an amount": (
        422,
        ("POST", CONVERT, {"json": {"amount": 10**9}}),
    ),
}
FAILING: dict[str, Ask] = {
    "one rate": ("GET", "/rates/USD", {}),
    "a conversion": ("POST", CONVERT, {"json": {"amount": 1}}),
}


class Rates:
    """The file of rates, which a test may break."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, content: bytes | None) -> None:
        """Have these bytes in the file, or no file."""
        if content is None:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_bytes(content)


class Tracker:
    """An error tracker that takes Sentry's envelopes.

    `status` is what it answers; while `held`, it does not answer at all.
    """

    def __init__(self) -> None:
        self.events: list[Json] = []
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                # With Brotli at hand, Sentry's client packs with it.
                coding = {"content-encoding": self.headers["content-encoding"]}
                sent = httpx2.Response(200, headers=coding, content=body)
                tracker.events += events_in(sent.content)
                tracker.open.wait(60)
                self.send_response(tracker.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def dsn(self) -> str:
        """The address, as Sentry's clients take it."""
        return f"http://key@127.0.0.1:{self._server.server_port}/1"

    def close(self) -> None:
        """Let go of what is held, and stop."""
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def about(self, instance: str) -> list[Json]:
        """List the reports with the id of a failure."""
        wanted = UUID(instance)
        return [e for e in self.events if UUID(e["event_id"]) == wanted]


def events_in(envelope: bytes) -> list[Json]:
    """Read the error events of an envelope, leaving all else."""
    _, _, rest = envelope.partition(b"\n")
    found = []
    while rest.strip():
        head, _, rest = rest.partition(b"\n")
        item = json.loads(head)
        size = item.get("length", rest.find(b"\n"))
        payload, rest = rest[:size], rest[size:].lstrip(b"\n")
        if item["type"] == "event":
            found.append(json.loads(payload))
    return found


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    """A tracker that answers at once."""
    tracker = Tracker()
    yield tracker
    tracker.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the service reads its rates."""
    folder = tmp_path_factory.mktemp("rates")
    (folder / "rates.txt").write_text(GOOD)
    yield folder / "rates.txt"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def service(
    framework: Subject, file: Path, tracker: Tracker
) -> Iterator[Service]:
    """One service that reports to the tracker."""
    knobs = {"RATES_FILE": file, "SENTRY_DSN": tracker.dsn}
    with start("error_handling", framework, knobs) as running:
        yield running


@pytest.fixture
def rates(file: Path) -> Iterator[Rates]:
    """The file, mended afterwards."""
    rates = Rates(file)
    yield rates
    rates.write(GOOD.encode())


def send(service: Service, ask: Ask) -> httpx2.Response:
    """Send what a case says."""
    method, path, options = ask
    return service.request(method, path, **options)


def answered(service: Service, ask: Ask, status: int) -> httpx2.Response:
    """Send what must be answered, whole and with this status."""
    try:
        answer = send(service, ask)
    except httpx2.TransportError as error:
        raise AssertionError(f"no answer: {error}") from None
    assert status == answer.status_code
    return answer


def problem_in(answer: httpx2.Response) -> Json:
    """Read a problem document."""
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type, answer.text[:500]
    problem: Json = answer.json()
    assert isinstance(problem, dict), problem
    return problem


def failure_in(answer: httpx2.Response) -> str:
    """Read the instance of a failure."""
    assert 500 == answer.status_code, answer.text[:500]
    instance = problem_in(answer).get("instance")
    assert isinstance(instance, str), answer.text
    return instance


def fail(service: Service, rates: Rates) -> str:
    """Have the service fail, and take the instance of the failure."""
    rates.write(None)
    return failure_in(service.request("GET", "/rates/USD"))


def settle(service: Service, rates: Rates, tracker: Tracker) -> str:
    """Fail once more, and wait for its report: others came before it."""
    for _ in range(2):
        last = fail(service, rates)
    until(lambda: tracker.about(last), "a failure was not reported by its id")
    return last


def is_plain(service: Service, answer: httpx2.Response) -> bool:
    """Tell the declared 413 of a server, which is no problem document."""
    if answer.status_code == 413 and service.differs("plain-413"):
        assert answer.headers["content-type"].startswith("text/plain")
        return True
    return False


def stream(service: Service) -> tuple[httpx2.Response, list[Json], bool]:
    """Read the stream of rates: its lines, and whether it was whole."""
    text, whole = b"", True
    with (
        httpx2.Client(base_url=service.url, timeout=30) as client,
        client.stream("GET", "/rates") as answer,
    ):
        try:
            for chunk in answer.iter_raw():
                text += chunk
        except httpx2.TransportError:
            whole = False
    return answer, [json.loads(line) for line in text.splitlines()], whole


@pytest.mark.rule("problem-document")
@pytest.mark.parametrize("case", MISTAKES)
def test_what_a_client_does_wrong_is_answered_with_a_problem(
    service: Service, case: str
) -> None:
    """Whoever refuses it, framework or recipe, the shape is one."""
    status, ask = MISTAKES[case]
    answer = send(service, ask)
    assert status == answer.status_code
    if not is_plain(service, answer):
        problem = problem_in(answer)
        assert isinstance(problem.get("type"), str)
        assert problem.get("title")


@pytest.mark.rule("problem-document")
@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_failure_that_nobody_expected_is_a_problem(
    service: Service, rates: Rates, wrong: str, case: str
) -> None:
    """Whatever is wrong inside, outside it is a problem document."""
    rates.write(WRONG[wrong])
    answer = send(service, FAILING[case])
    assert 500 == answer.status_code
    problem = problem_in(answer)
    assert "about:blank" == problem.get("type")
    assert "Internal Server Error" == problem.get("title")


@pytest.mark.rule("problem-document")
def test_a_failure_is_a_problem_to_a_browser_too(
    service: Service, rates: Rates
) -> None:
    """A client that asks for HTML gets no page of the server's."""
    rates.write(None)
    headers = {"accept": "text/html"}
    answer = service.request("GET", "/rates/USD", headers=headers)
    assert "Internal Server Error" == problem_in(answer).get("title")


@pytest.mark.rule("true-status")
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_has_the_status_that_its_problem_says(
    service: Service, case: str
) -> None:
    """The document and the wire agree, on what the client can mend."""
    status, ask = MISTAKES[case]
    answer = send(service, ask)
    assert status == answer.status_code
    if not is_plain(service, answer):
        assert status == problem_in(answer).get("status")


@pytest.mark.rule("true-status")
@pytest.mark.parametrize("wrong", WRONG)
def test_a_failure_has_the_status_that_its_problem_says(
    service: Service, rates: Rates, wrong: str
) -> None:
    """The document and the wire agree that it is no client's fault."""
    rates.write(WRONG[wrong])
    answer = service.request("GET", "/rates/USD")
    assert 500 == answer.status_code
    assert 500 == problem_in(answer).get("status")


@pytest.mark.rule("true-status")
def test_what_works_has_no_problem(service: Service) -> None:
    """A good answer says so by its status, and has what was asked for."""
    answer = service.request("GET", "/rates/USD")
    assert 200 == answer.status_code
    assert {"currency": "USD", "rate": "1.0842"} == answer.json()
    answer = service.request("POST", CONVERT, json={"amount": 100})
    assert 200 == answer.status_code
    assert {"currency": "USD", "amount": 108} == answer.json()


@pytest.mark.rule("nothing-inside")
@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_failure_tells_nothing_of_the_inside(
    service: Service, rates: Rates, wrong: str, case: str
) -> None:
    """No exception, no data and no path, in the body or in a header."""
    rates.write(WRONG[wrong])
    answer = send(service, FAILING[case])
    problem = problem_in(answer)
    assert {"type", "title", "status", "instance"} == set(problem)
    told = f"{answer.text} {[*answer.headers.items()]}"
    for inside in (MARK, str(rates.path), "rates.txt", "Error:", ".py", "Tra"):
        assert inside not in told


@pytest.mark.rule("nothing-inside")
def test_a_failure_in_a_stream_tells_nothing_of_the_inside(
    service: Service, rates: Rates
) -> None:
    """The last line of a stream has no more than any failure."""
    rates.write(f"{GOOD}USD {MARK}\n".encode())
    _, lines, _ = stream(service)
    assert {"type", "title", "status", "instance"} == set(lines[-1])


@pytest.mark.rule("findable")
@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_failure_is_found_in_the_log_and_the_tracker(
    service: Service, rates: Rates, tracker: Tracker, wrong: str, case: str
) -> None:
    """What the client reads leads to the trace and to the report."""
    rates.write(WRONG[wrong])
    instance = failure_in(send(service, FAILING[case]))
    until(lambda: instance in service.log(), "the log does not have the id")
    until(
        lambda: "Traceback" in service.log().partition(instance)[2],
        "the log has no stack trace beside the id",
    )
    until(lambda: tracker.about(instance), "no report has the id")


@pytest.mark.rule("fresh-id")
def test_each_failure_has_an_id_of_its_own(
    service: Service, rates: Rates
) -> None:
    """The same cause many times is as many failures."""
    instances = [fail(service, rates) for _ in range(20)]
    assert len(instances) == len(set(instances))
    for instance in instances:
        assert UUID(instance).urn == instance


@pytest.mark.rule("fresh-id")
def test_what_a_client_sends_is_never_the_id(
    service: Service, rates: Rates
) -> None:
    """A planted id would hide one failure behind another."""
    rates.write(None)
    planted = uuid4()
    headers = {
        name: spelled
        for spelled in (str(planted),)
        for name in (
            *("x-request-id", "x-correlation-id", "x-error-id", "request-id"),
            *("instance", "x-trace-id", "x-amzn-trace-id", "traceparent"),
        )
    }
    headers["traceparent"] = f"00-{planted.hex}-00f067aa0ba902b7-01"
    headers["sentry-trace"] = f"{planted.hex}-00f067aa0ba902b7-1"
    answer = service.request(
        "GET",
        "/rates/USD",
        headers=headers,
        params={"instance": planted.urn, "error_id": str(planted)},
    )
    assert planted != UUID(failure_in(answer))


@pytest.mark.rule("reported-once")
@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_failure_is_reported_once(
    service: Service, rates: Rates, tracker: Tracker, wrong: str, case: str
) -> None:
    """One report, with the stack trace and the request."""
    settle(service, rates, tracker)
    before = len(tracker.events)
    rates.write(WRONG[wrong])
    assert 500 == send(service, FAILING[case]).status_code
    settle(service, rates, tracker)
    # The last two are those of `settle`.
    reports = tracker.events[before:-2]
    assert 1 == len(reports)
    (report,) = reports
    assert any(
        each.get("stacktrace", {}).get("frames")
        for each in report.get("exception", {}).get("values", [])
    )
    method, path, _ = FAILING[case]
    assert method == report.get("request", {}).get("method")
    assert path == urlsplit(report["request"]["url"]).path


@pytest.mark.rule("expected-quiet")
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_of_a_client_is_no_alarm(
    service: Service, rates: Rates, tracker: Tracker, case: str
) -> None:
    """It is neither reported nor in the log as a failure."""
    last = settle(service, rates, tracker)
    until(lambda: last in service.log(), "the log does not have the id")
    until(
        lambda: "Traceback" in service.log().partition(last)[2],
        "the log has no stack trace beside the id",
    )
    rates.write(GOOD.encode())
    reported = len(tracker.events)
    status, ask = MISTAKES[case]
    assert status == send(service, ask).status_code
    next_one = fail(service, rates)
    until(lambda: tracker.about(next_one), "the failure was not reported")
    assert reported + 1 == len(tracker.events)
    until(lambda: next_one in service.log(), "the log does not have the id")
    since = service.log().partition(last)[2].partition(next_one)[0]
    assert 1 == since.count("Traceback (most recent call last)")


@pytest.mark.rule("named-problems")
@pytest.mark.parametrize(
    ("ask", "status", "kind"),
    [
        (("GET", "/rates/XXX", {}), 404, "unknown-currency"),
        (
            ("POST", "/rates/XXX/conversions", {"json": {"amount": 1}}),
            404,
            "unknown-currency",
        ),
        (
            ("POST", CONVERT, {"json": {"amount": 1_000_001}}),
            422,
            "amount-too-large",
        ),
    ],
    ids=["a rate", "a conversion", "an amount"],
)
def test_what_the_domain_refuses_has_a_type_of_its_own(
    service: Service, ask: Ask, status: int, kind: str
) -> None:
    """The type is a URI that stays; title and detail are for people."""
    answer = send(service, ask)
    assert status == answer.status_code
    problem = problem_in(answer)
    assert f"https://example.com/problems/{kind}" == problem.get("type")
    assert status == problem.get("status")
    assert problem.get("title")
    assert problem.get("detail")


@pytest.mark.rule("named-problems")
def test_a_type_is_not_given_to_anything_else(service: Service) -> None:
    """A path that is not there is no unknown currency."""
    for path in ("/nothing", "/rates/USD/nothing", "/rates/"):
        answer = service.request("GET", path)
        if answer.status_code == 404:
            assert "about:blank" == problem_in(answer).get("type")
    body = {"amount": 0}
    answer = service.request("POST", CONVERT, json=body)
    assert "about:blank" == problem_in(answer).get("type")


@pytest.mark.rule("stream-broken")
def test_a_stream_that_works_is_whole(service: Service, rates: Rates) -> None:
    """It has every rate, and ends as a body ends."""
    rates.write(GOOD.encode() * 1000)
    answer, lines, whole = stream(service)
    assert 200 == answer.status_code
    assert whole
    assert 3000 == len(lines)
    assert {"currency": "USD", "rate": "1.0842"} == lines[0]


@pytest.mark.rule("stream-broken")
@pytest.mark.parametrize("count", [1, 1000])
def test_a_stream_that_fails_does_not_look_complete(
    service: Service, rates: Rates, count: int
) -> None:
    """A last line says what happened, and the body has no end."""
    rates.write(GOOD.encode() * count + f"CHF {MARK}\n".encode())
    answer, lines, whole = stream(service)
    assert 200 == answer.status_code
    assert "content-length" not in answer.headers
    assert 500 == lines[-1].get("status")
    assert 3 * count + 1 == len(lines)
    assert not whole


@pytest.mark.rule("stream-broken")
def test_a_failure_in_a_stream_is_found_and_reported_once(
    service: Service, rates: Rates, tracker: Tracker
) -> None:
    """The last line has the id that log and tracker have."""
    settle(service, rates, tracker)
    before = len(tracker.events)
    rates.write(f"{GOOD}CHF {MARK}\n".encode())
    _, lines, _ = stream(service)
    instance = lines[-1].get("instance")
    assert isinstance(instance, str)
    until(lambda: instance in service.log(), "the log does not have the id")
    until(lambda: tracker.about(instance), "no report has the id")
    settle(service, rates, tracker)
    assert 1 == len(tracker.events[before:-2])


@pytest.mark.rule("stream-broken")
def test_a_stream_that_cannot_begin_is_a_failure(
    service: Service, rates: Rates
) -> None:
    """Before the first byte the status can still tell the truth."""
    rates.write(None)
    failure_in(answered(service, ("GET", "/rates", {}), 500))


@pytest.mark.rule("stream-broken")
def test_others_are_answered_after_a_broken_stream(
    service: Service, rates: Rates
) -> None:
    """One connection is cut, and no other."""
    rates.write(f"{GOOD}CHF {MARK}\n".encode())
    for _ in range(20):
        stream(service)
        assert 200 == service.request("GET", "/rates/USD").status_code


@pytest.mark.rule("survives")
def test_only_the_head_of_a_stream_leaves_nothing_behind(
    service: Service,
) -> None:
    """After HEAD the connection has no lines that nobody asked for."""
    status = 405 if service.differs("no-head") else 200
    for _ in range(20):
        answered(service, ("HEAD", "/rates", {}), status)
        answered(service, FAILING["one rate"], 200)


def seconds(service: Service) -> float:
    """Measure how long a failure takes."""
    begun = perf_counter()
    failure_in(service.request("GET", "/rates/USD"))
    return perf_counter() - begun


@pytest.mark.rule("survives")
@pytest.mark.parametrize("case", FAILING)
@pytest.mark.parametrize("wrong", WRONG)
def test_the_next_request_is_answered(
    service: Service, rates: Rates, wrong: str, case: str
) -> None:
    """On the same connection or a new one, and rightly once mended."""
    for _ in range(5):
        rates.write(WRONG[wrong])
        answered(service, FAILING[case], 500)
        rates.write(GOOD.encode())
        answered(service, FAILING[case], 200)


@pytest.mark.rule("tracker-optional")
def test_a_slow_tracker_delays_no_answer(
    service: Service, framework: Subject, rates: Rates
) -> None:
    """A failure is answered while its report waits."""
    slow = Tracker()
    slow.open.clear()
    knobs = {"RATES_FILE": rates.path, "SENTRY_DSN": slow.dsn}
    try:
        with start("error_handling", framework, knobs) as waiting:
            rates.write(None)
            times = [(seconds(service), seconds(waiting)) for _ in range(9)]
            until(lambda: slow.events, "nothing was reported")
            slow.open.set()
    finally:
        slow.close()
    quick, delayed = (median(each) for each in zip(*times, strict=True))
    assert delayed < FACTOR * quick


@pytest.mark.rule("tracker-optional")
@pytest.mark.parametrize("status", [400, 429, 500, None])
def test_a_tracker_that_refuses_changes_no_answer(
    framework: Subject, rates: Rates, status: int | None
) -> None:
    """Refused or unreachable, the answers are as they were."""
    tracker = Tracker()
    dsn = tracker.dsn
    if status is None:
        tracker.close()
    else:
        tracker.status = status
    knobs = {"RATES_FILE": rates.path, "SENTRY_DSN": dsn}
    try:
        with start("error_handling", framework, knobs) as service:
            for _ in range(3):
                fail(service, rates)
            rates.write(GOOD.encode())
            answer = service.request("GET", "/rates/USD")
            assert {"currency": "USD", "rate": "1.0842"} == answer.json()
    finally:
        if status is not None:
            tracker.close()


@pytest.mark.rule("tracker-optional")
def test_without_a_tracker_a_failure_is_found_in_the_log(
    framework: Subject, rates: Rates
) -> None:
    """No tracker at all is the default."""
    knobs = {"RATES_FILE": rates.path}
    with start("error_handling", framework, knobs) as service:
        instance = fail(service, rates)
        until(lambda: instance in service.log(), "the log has not the id")
