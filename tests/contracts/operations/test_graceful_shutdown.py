"""The contract of `graceful_shutdown`: it ends, and nobody notices."""

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    suppress,
)
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPMessage,
    HTTPResponse,
)
from itertools import count
from threading import Event
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

from cookbook.contract import Service, Subject, start, until

type Json = dict[str, Any]

RECIPE = "graceful_shutdown"
LATE = 10.0
"""For how many seconds a client waits before it takes a request for lost."""

QUICK = {"PAGE_SECONDS": 0.02, "EVENT_SECONDS": 0.05}
STAYS = QUICK | {"DRAIN_SECONDS": 600, "DEADLINE_SECONDS": 1200}
"""Settings of a drain that lasts as long as a test looks at it."""

GOES = QUICK | {"DRAIN_SECONDS": 0.3, "DEADLINE_SECONDS": 600}
"""Settings of a drain that is soon over, with time for what is left."""

HURRIES = {"DRAIN_SECONDS": 0.1, "DEADLINE_SECONDS": 3}
"""Settings of a process that has little time for what is left."""

DRAINING = {
    "type": "https://example.com/problems/draining",
    "title": "Draining",
    "status": 503,
    "detail": "This process takes no new clients.",
}
JSON = {"Content-Type": "application/json"}
PAGES = b'{"pages": 3}'
SIGNALS = [signal.SIGTERM, signal.SIGINT]
PAIRS = [(first, second) for first in SIGNALS for second in SIGNALS]

both = pytest.mark.parametrize("workers", [1, 2])


class Answer(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Json:
        """The body, read as JSON."""
        found: Json = json.loads(self.body)
        return found


def connect(service: Service) -> HTTPConnection:
    """Open a connection of its own."""
    address = urlsplit(service.url)
    assert address.hostname
    connection = HTTPConnection(address.hostname, address.port, timeout=LATE)
    connection.connect()
    return connection


def read(response: HTTPResponse) -> Answer:
    """Read an answer; what is cut off is an `HTTPException`."""
    body = response.read()
    return Answer(response.status, response.headers, body)


def ask(
    service: Service, method: str, path: str, content: Json | None = None
) -> Answer:
    """Ask on a connection of its own; status 0 where no answer comes."""
    body = None if content is None else json.dumps(content).encode()
    try:
        with closing(connect(service)) as connection:
            connection.request(method, path, body, JSON if body else {})
            return read(connection.getresponse())
    except (HTTPException, OSError) as error:
        return no_answer(error)


def no_answer(error: Exception) -> Answer:
    """Say that there was none, and why."""
    return Answer(0, HTTPMessage(), repr(error).encode())


def copy(service: Service, pages: int) -> Answer:
    """Have pages copied, and wait for them."""
    return ask(service, "POST", "/copies", {"pages": pages})


class Pending:
    """A request that has begun: for so many pages, or half of a body."""

    def __init__(self, service: Service, pages: int, sent: int) -> None:
        body = json.dumps({"pages": pages}).encode()
        self.rest = body[sent:]
        self.connection = connect(service)
        self.connection.putrequest("POST", "/copies")
        self.connection.putheader("Content-Type", "application/json")
        self.connection.putheader("Content-Length", str(len(body)))
        self.connection.endheaders(body[:sent])
        # A client lets go of a connection that is to be closed.
        self.socket = self.connection.sock.dup()

    def finish(self) -> Answer:
        """Send the rest, and wait for the answer."""
        try:
            self.connection.send(self.rest)
            return read(self.connection.getresponse())
        except (HTTPException, OSError) as error:
            return no_answer(error)

    def answer_to_the_rest(self) -> bytes:
        """Send the rest and nothing more; give all that comes back."""
        with suppress(OSError):
            self.connection.send(self.rest)
            self.socket.shutdown(socket.SHUT_WR)
            return self.socket.recv(65536)
        return b""

    def close(self) -> None:
        """Hang up."""
        self.connection.close()
        self.socket.close()


@contextmanager
def pending(service: Service, pages: int, sent: int) -> Iterator[Pending]:
    """Begin a request, and see that the service has read what was sent."""
    with closing(Pending(service, pages, sent)) as request:
        settle(service)
        yield request


def settle(service: Service) -> None:
    """Have those answered who come later: what came before was read."""
    for _ in range(8):
        assert 200 == ask(service, "GET", "/usage").status


def hold(service: Service) -> AbstractContextManager[Pending]:
    """Keep a service busy with half a body for as long as we like."""
    return pending(service, 3, sent=5)


def copying(service: Service, pages: int) -> AbstractContextManager[Pending]:
    """Have a client wait for its copies."""
    return pending(service, pages, sent=100)


def is_closed(sock: socket.socket) -> bool:
    """Tell whether the other side has hung up, without waiting."""
    readable, _, _ = select.select([sock], [], [], 0)
    if not readable:
        return False
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True


def is_refused(service: Service) -> bool:
    """Tell whether new connections are refused."""
    try:
        connect(service).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def are_unready(service: Service) -> bool:
    """Ask on several connections at once; tell whether all say 503."""
    with ThreadPoolExecutor(8) as pool:
        asks = [pool.submit(ask, service, "GET", "/readyz") for _ in range(8)]
    return {503} == {future.result().status for future in asks}


def end(
    service: Service,
    send: Callable[[Service, int], None] = Service.signal,
    number: int = signal.SIGTERM,
) -> None:
    """Signal, and wait until readiness fails."""
    send(service, number)
    until(lambda: are_unready(service), "readiness stays")


def status_of(service: Service) -> int:
    """Wait for the end, and give the exit status."""

    def look() -> list[int]:
        with suppress(TimeoutError):
            return [service.wait(0)]
        return []

    return until(look, "the service still runs")[0]


def usage_of(service: Service) -> int:
    """Have it end and start again, and read what was copied before."""
    service.signal(signal.SIGTERM)
    status_of(service)
    service.restart()
    pages: int = ask(service, "GET", "/usage").json["pages"]
    return pages


@pytest.fixture(scope="module", params=[1, 2], ids="{} workers".format)
def draining(
    request: pytest.FixtureRequest, framework: Subject
) -> Iterator[Service]:
    """A service that was told to end, and drains for a long time."""
    workers = request.param
    with start(RECIPE, framework, STAYS, workers=workers) as service:
        service.ask_every_worker(workers, "GET", "/readyz")
        end(service)
        yield service


# rule: unready-first


@pytest.mark.rule("unready-first")
def test_a_service_is_ready_until_it_is_told_to_end(
    framework: Subject,
) -> None:
    """Readiness is 200 before the signal, and 503 soon after it."""
    with start(RECIPE, framework, STAYS) as service:
        before = ask(service, "GET", "/readyz")
        assert (200, {"status": "ready"}) == (before.status, before.json)
        end(service)


@pytest.mark.rule("unready-first")
def test_readiness_fails_with_a_problem(draining: Service) -> None:
    """Not ready is 503 with a problem document, again and again."""
    for _ in range(10):
        answer = ask(draining, "GET", "/readyz")
        assert 503 == answer.status
        media_type = answer.headers["content-type"].partition(";")[0]
        assert "application/problem+json" == media_type
        assert DRAINING == answer.json


@pytest.mark.rule("unready-first")
def test_all_else_is_served_as_before(draining: Service) -> None:
    """New connections and new work are welcome for the whole drain."""
    for _ in range(10):
        assert (200, {"pages": 1}) == served(copy(draining, 1))
        assert 200 == ask(draining, "GET", "/usage").status
        job = ask(draining, "POST", "/jobs", {"pages": 1})
        assert 202 == job.status
        assert 200 == ask(draining, "GET", job.headers["location"]).status
        assert 404 == ask(draining, "GET", "/nothing").status


def served(answer: Answer) -> tuple[int, Json]:
    """Show the status, and the body of a success."""
    return answer.status, answer.json if answer.status == 200 else {}


@pytest.mark.rule("unready-first")
def test_jobs_are_printed_during_the_drain(draining: Service) -> None:
    """Work that was accepted goes on."""
    path = ask(draining, "POST", "/jobs", {"pages": 2}).headers["location"]
    until(lambda: is_printed(draining, path), "the job is not printed")


def is_printed(service: Service, path: str) -> bool:
    """Tell whether a job is done."""
    return "printed" == str(ask(service, "GET", path).json["state"])


# rule: nothing-lost


class Prober:
    """A client that asks all the time, each time on a new connection."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.answered = self.refused = 0
        self.lost: list[str] = []
        self.stopped = Event()

    def run(self) -> "Prober":
        """Ask until refused, or stopped."""
        for number in count():
            if self.stopped.is_set() or not self.ask(number):
                return self
        raise AssertionError

    def ask(self, number: int) -> bool:
        """Ask once; tell whether there is somebody."""
        try:
            connection = connect(self.service)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            self.lost.append(repr(error))
            return True
        with closing(connection):
            try:
                if number % 2:
                    connection.request("GET", "/usage")
                else:
                    connection.request("POST", "/copies", PAGES, JSON)
                if read(connection.getresponse()).status == 200:
                    self.answered += 1
                else:
                    self.refused += 1
            except TimeoutError:
                self.lost.append("no answer")
                self.stopped.set()
            except (HTTPException, OSError) as error:
                self.lost.append(repr(error))
        return True


@contextmanager
def probing(service: Service) -> Iterator[list[tuple[Prober, Future[Prober]]]]:
    """Have four clients ask all the time."""
    probers = [Prober(service) for _ in range(4)]
    with ThreadPoolExecutor(len(probers)) as pool:
        running = [(p, pool.submit(p.run)) for p in probers]
        try:
            until(lambda: all(p.answered > 2 for p in probers), "no answers")
            yield running
        finally:
            for prober in probers:
                prober.stopped.set()


@both
@pytest.mark.rule("nothing-lost")
def test_no_request_is_lost_from_the_signal_on(
    framework: Subject, workers: int
) -> None:
    """Who asks all the time is answered all the time."""
    with start(RECIPE, framework, STAYS, workers=workers) as service:
        with probing(service) as running:
            end(service)
            probers = [prober for prober, _ in running]
            goal = 20 + max(prober.answered for prober in probers)
            until(
                lambda: all(p.answered >= goal or p.lost for p in probers),
                "the clients are not served",
            )
        ended = [future.result() for _, future in running]
        assert [([], 0)] * 4 == [(p.lost, p.refused) for p in ended]


@both
@pytest.mark.rule("nothing-lost")
def test_no_request_is_lost_until_connections_are_refused(
    framework: Subject, workers: int
) -> None:
    """Only the instant of closing may cut one connection a worker."""
    with (
        start(RECIPE, framework, GOES, workers=workers) as service,
        hold(service),
        probing(service) as running,
    ):
        service.signal(signal.SIGTERM)
        for prober, future in running:
            until(future.done, "connections are accepted")
            assert 0 == prober.refused
            assert "no answer" not in prober.lost
            assert len(prober.lost) <= workers, prober.lost


# rule: connection-close

REQUESTS = {
    "unready": b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "found": b"GET /usage HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "not found": b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "not allowed": b"DELETE /usage HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no JSON": (
        b"POST /copies HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{"
    ),
    "no pages": (
        b"POST /copies HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ),
    "accepted": (
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n" + PAGES
    ),
    "kept": (
        b"GET /usage HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: keep-alive\r\n\r\n"
    ),
}


@pytest.mark.rule("connection-close")
@pytest.mark.parametrize("kind", REQUESTS)
def test_every_answer_of_the_drain_says_close_and_means_it(
    draining: Service, kind: str
) -> None:
    """Answers say `Connection: close`, errors too, and it is closed."""
    for _ in range(4):
        with closing(connect(draining)) as connection:
            assert_said_and_closed(connection.sock, REQUESTS[kind])


def assert_said_and_closed(sock: socket.socket, request: bytes) -> None:
    """The answer says `Connection: close`, and no other answer follows."""
    sock.sendall(request)
    response = HTTPResponse(sock)
    response.begin()
    assert "close" == response.headers.get("connection", "").lower()
    response.read()
    with suppress(ConnectionError):
        sock.sendall(request)
        assert b"" == sock.recv(65536)


@pytest.mark.rule("connection-close")
def test_a_kept_connection_is_closed_behind_its_next_answer(
    framework: Subject,
) -> None:
    """A connection from before the signal is told so by an answer."""
    with (
        start(RECIPE, framework, STAYS) as service,
        closing(connect(service)) as connection,
        closing(connection.sock.dup()) as sock,
    ):

        def is_told() -> bool:
            connection.request("GET", "/usage")
            answer = read(connection.getresponse())
            assert 200 == answer.status
            return answer.headers.get("connection", "").lower() == "close"

        assert not any(is_told() for _ in range(3))
        service.signal(signal.SIGTERM)
        until(is_told, "nobody says that it is closed")
        until(lambda: is_closed(sock), "it is kept open")


@pytest.mark.rule("connection-close")
def test_a_request_from_before_the_signal_is_told_to_close(
    framework: Subject,
) -> None:
    """What counts is when the answer is sent."""
    with start(RECIPE, framework, STAYS) as service, hold(service) as held:
        end(service)
        answer = held.finish()
        assert 200 == answer.status
        assert "close" == answer.headers.get("connection", "").lower()
        until(lambda: is_closed(held.socket), "it is kept open")


@pytest.mark.rule("connection-close")
def test_nobody_is_told_to_close_before_the_signal(framework: Subject) -> None:
    """A service that is not told to end keeps connections."""
    with (
        start(RECIPE, framework, STAYS) as service,
        closing(connect(service)) as connection,
    ):
        for _ in range(20):
            connection.request("GET", "/readyz")
            answer = read(connection.getresponse())
            assert "close" != answer.headers.get("connection", "").lower()


# rule: door-closes


@both
@pytest.mark.rule("door-closes")
def test_new_connections_are_refused_while_requests_finish(
    framework: Subject, workers: int
) -> None:
    """Refused, not accepted and left: there are other instances."""
    with (
        start(RECIPE, framework, GOES, workers=workers) as service,
        hold(service) as held,
    ):
        service.signal(signal.SIGTERM)
        until(lambda: is_refused(service), "connections are accepted")
        assert not is_closed(held.socket)
        assert all(is_refused(service) for _ in range(20))


@pytest.mark.rule("door-closes")
def test_idle_connections_are_closed_with_the_door(framework: Subject) -> None:
    """Who has asked before and waits is told that there is nobody."""
    with (
        start(RECIPE, framework, GOES) as service,
        closing(connect(service)) as idle,
    ):
        idle.request("GET", "/usage")
        assert 200 == read(idle.getresponse()).status
        with hold(service) as held:
            service.signal(signal.SIGTERM)
            until(lambda: is_closed(idle.sock), "it is kept open")
            assert not is_closed(held.socket)


# rule: in-flight


@both
@pytest.mark.rule("in-flight")
def test_a_body_on_its_way_is_waited_for(
    framework: Subject, workers: int
) -> None:
    """A request that came in half is finished behind the closed door."""
    with start(RECIPE, framework, GOES, workers=workers) as service:
        with hold(service) as held:
            service.signal(signal.SIGTERM)
            until(lambda: is_refused(service), "connections are accepted")
            if service.differs("body-cut"):
                assert b"" == held.answer_to_the_rest()
            else:
                assert (200, {"pages": 3}) == served(held.finish())
        assert 0 == status_of(service)


@both
@pytest.mark.rule("in-flight")
def test_slow_requests_are_finished(framework: Subject, workers: int) -> None:
    """Handlers that are at work are not interrupted."""
    with start(RECIPE, framework, GOES, workers=workers) as service:
        with ExitStack() as stack:
            requests = [
                stack.enter_context(copying(service, 100)) for _ in range(4)
            ]
            service.signal(signal.SIGTERM)
            for request in requests:
                assert (200, {"pages": 100}) == served(request.finish())
        assert 0 == status_of(service)


# rule: streams-end


class Stream:
    """A client of the event stream."""

    def __init__(self, service: Service) -> None:
        self.connection = connect(service)
        self.connection.request("GET", "/events")
        self.response = self.connection.getresponse()
        self.media_type = self.response.headers["content-type"]
        self.chunked = self.response.headers.get("transfer-encoding")

    def event(self) -> dict[str, str]:
        """Read one event; empty at the proper end of the body."""
        found: dict[str, str] = {}
        while line := self.line():
            name, _, value = line.rstrip("\r\n").partition(":")
            if name:
                found[name] = value.removeprefix(" ")
            elif found.get("event"):
                return found
        assert not found.get("event"), "cut off inside of an event"
        return {}

    def line(self) -> str:
        """Read one line; a body that is cut off is a failure."""
        try:
            return self.response.readline().decode()
        except (HTTPException, OSError) as error:
            raise AssertionError(f"cut off: {error!r}") from None

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


@contextmanager
def listening(service: Service, clients: int = 1) -> Iterator[list[Stream]]:
    """Have clients listen, and see that they hear something."""
    streams = []
    try:
        for _ in range(clients):
            streams.append(Stream(service))
        for stream in streams:
            assert 200 == stream.response.status
            assert stream.media_type.startswith("text/event-stream")
            event = stream.event()
            assert "waiting" == event["event"]
            assert {"waiting": 0} == json.loads(event["data"])
        yield streams
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.rule("streams-end")
def test_a_stream_goes_on_through_the_drain(framework: Subject) -> None:
    """It is not ended at the signal: its client would come back here."""
    with (
        start(RECIPE, framework, STAYS) as service,
        listening(service) as (stream,),
    ):
        end(service)
        for _ in range(10):
            assert "waiting" == stream.event()["event"]


@pytest.mark.rule("streams-end")
def test_a_stream_can_begin_during_the_drain(draining: Service) -> None:
    """It is answered like any other request."""
    with closing(Stream(draining)) as stream:
        assert "waiting" == stream.event()["event"]
        assert "waiting" == stream.event()["event"]


@pytest.mark.rule("streams-end")
def test_head_of_a_stream_holds_nothing(framework: Subject) -> None:
    """It is answered without a body, and keeps nobody from ending."""
    with (
        start(RECIPE, framework, GOES | {"EVENT_SECONDS": 0.01}) as service,
        closing(connect(service)) as kept,
    ):
        expected = 405 if service.differs("no-head") else 200
        for _ in range(20):
            answer = ask_by(kept, "HEAD", "/events")
            assert (expected, b"") == (answer.status, answer.body)
            # What was written behind it would be taken for this answer.
            answer = ask_by(kept, "GET", "/usage")
            assert 200 == answer.status, answer.body


def ask_by(connection: HTTPConnection, method: str, path: str) -> Answer:
    """Ask on a connection that is kept; status 0 where no answer comes."""
    try:
        connection.request(method, path)
        return read(connection.getresponse())
    except (HTTPException, OSError) as error:
        return no_answer(error)


@both
@pytest.mark.rule("streams-end")
def test_streams_end_with_a_last_event_and_an_end_of_body(
    framework: Subject, workers: int
) -> None:
    """A client can tell that nothing was cut off."""
    with (
        start(RECIPE, framework, GOES, workers=workers) as service,
    ):
        with listening(service, 3) as streams:
            service.signal(signal.SIGTERM)
            for stream in streams:
                assert "chunked" == stream.chunked
                assert_ended(stream)
        assert 0 == status_of(service)


def assert_ended(stream: Stream) -> None:
    """The last event is `bye`, and the body ends as it should."""

    def is_last() -> bool:
        event = stream.event()
        assert event.get("event") in ("waiting", "bye"), event
        assert {"waiting"} == set(json.loads(event["data"]))
        return event["event"] == "bye"

    until(is_last, "the stream goes on")
    assert {} == stream.event()


@pytest.mark.rule("streams-end")
def test_a_stream_that_is_quiet_is_ended_too(framework: Subject) -> None:
    """The end does not wait for the next event."""
    with (
        start(RECIPE, framework, GOES | {"EVENT_SECONDS": 600}) as service,
        listening(service) as (stream,),
    ):
        service.signal(signal.SIGTERM)
        until(lambda: is_readable(stream), "the stream goes on")
        assert_ended(stream)
        assert 0 == status_of(service)


def is_readable(stream: Stream) -> bool:
    """Tell whether there is something to read, without waiting."""
    return bool(select.select([stream.response], [], [], 0)[0])


# rule: work-kept


@both
@pytest.mark.rule("work-kept")
def test_work_is_finished_or_handed_back(
    framework: Subject, workers: int
) -> None:
    """Each page of each job is printed once, across a restart."""
    sizes = [100, 1, 2, 40]
    with start(RECIPE, framework, GOES, workers=workers) as service:
        paths = [
            ask(service, "POST", "/jobs", {"pages": size}).headers["location"]
            for size in sizes
        ]
        until(lambda: done(service, paths) > 1, "nothing is printed")
        service.signal(signal.SIGTERM)
        assert 0 == status_of(service)
        service.restart()
        until(
            lambda: all(is_printed(service, path) for path in paths),
            "a job is lost",
        )
        jobs = [ask(service, "GET", path).json for path in paths]
        assert sizes == [job["done"] for job in jobs]
        assert sum(sizes) == usage_of(service)


def done(service: Service, paths: list[str]) -> int:
    """Count the pages that are printed."""
    return sum(ask(service, "GET", path).json["done"] for path in paths)


@pytest.mark.rule("work-kept")
def test_work_of_the_drain_is_kept(framework: Subject) -> None:
    """What is accepted at the last moment is accepted."""
    with start(RECIPE, framework, GOES, workers=2) as service:
        service.signal(signal.SIGTERM)
        paths = []

        def is_over() -> bool:
            job = ask(service, "POST", "/jobs", {"pages": 1})
            if job.status == 202:
                paths.append(job.headers["location"])
            return is_refused(service)

        until(is_over, "connections are accepted")
        assert 0 == status_of(service)
        service.restart()
        assert paths
        until(
            lambda: all(is_printed(service, path) for path in paths),
            "a job is lost",
        )


# rule: resources-last


@pytest.mark.rule("resources-last")
def test_the_last_request_still_has_its_resources(framework: Subject) -> None:
    """What ends behind the closed door is counted like the rest."""
    with start(RECIPE, framework, GOES) as service:
        assert 200 == copy(service, 2).status
        with copying(service, 80) as last:
            service.signal(signal.SIGTERM)
            until(lambda: is_refused(service), "connections are accepted")
            assert (200, {"pages": 80}) == served(last.finish())
        assert 0 == status_of(service)
        assert 82 == usage_of(service)


@both
@pytest.mark.rule("resources-last")
def test_what_a_resource_holds_is_written(
    framework: Subject, workers: int
) -> None:
    """Each worker closes what it has opened."""
    with start(RECIPE, framework, GOES, workers=workers) as service:
        for _ in range(30):
            assert 200 == copy(service, 1).status
        assert 30 == usage_of(service)
        assert 0 == len(wrong_lines(service))


@pytest.mark.rule("resources-last")
def test_the_last_piece_of_work_is_waited_for(framework: Subject) -> None:
    """A page that is in print is finished and counted."""
    slow = {"PAGE_SECONDS": 0.5, "DRAIN_SECONDS": 0.1, "DEADLINE_SECONDS": 600}
    with start(RECIPE, framework, slow) as service:
        job = ask(service, "POST", "/jobs", {"pages": 1000})
        paths = [job.headers["location"]]
        before = until(lambda: done(service, paths), "nothing is printed")
        service.signal(signal.SIGTERM)
        assert 0 == status_of(service)
        pages = usage_of(service)
        assert pages > before


def wrong_lines(service: Service) -> list[str]:
    """Find what the log says of exceptions."""
    return [line for line in service.log().splitlines() if "Trace" in line]


# rule: deadline


@contextmanager
def stuck(service: Service, kind: str) -> Iterator[None]:
    """Keep the service from ending, in one way or another."""
    if kind == "slow work":
        with copying(service, 10_000):
            yield
    elif kind == "half a body":
        with hold(service):
            yield
    else:
        with closing(connect(service)) as connection:
            connection.sock.sendall(b"GET /us")
            settle(service)
            yield


@pytest.mark.rule("deadline")
@pytest.mark.parametrize("kind", ["slow work", "half a body", "half a head"])
def test_the_deadline_holds_against_what_is_stuck(
    framework: Subject, kind: str
) -> None:
    """It ends, cleanly; and what was done before is not lost."""
    with start(RECIPE, framework, HURRIES) as service:
        assert 200 == copy(service, 2).status
        with stuck(service, kind):
            service.signal(signal.SIGTERM)
            assert 0 == status_of(service)
        assert 2 == usage_of(service)


@pytest.mark.rule("deadline")
def test_the_deadline_holds_with_two_workers(framework: Subject) -> None:
    """One worker that is stuck keeps nobody."""
    with start(RECIPE, framework, HURRIES, workers=2) as service:
        before = service.pids()
        with stuck(service, "slow work"):
            service.signal(signal.SIGTERM)
            assert 0 == status_of(service)
        until(lambda: not any(map(psutil.pid_exists, before)), "one is left")


@pytest.mark.rule("deadline")
def test_the_deadline_holds_against_a_process_that_hangs(
    framework: Subject,
) -> None:
    """A worker that does nothing at all is ended for it."""
    with start(RECIPE, framework, HURRIES) as service:
        before = service.pids()
        for worker in before[1:]:
            os.kill(worker, signal.SIGSTOP)
        service.signal(signal.SIGTERM)
        assert 0 == status_of(service)
        until(lambda: not any(map(psutil.pid_exists, before)), "one is left")


# rule: second-signal


@pytest.mark.rule("second-signal")
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_second_signal_ends_the_drain(
    framework: Subject, first: int, second: int
) -> None:
    """Whoever asks twice does not want to wait."""
    with start(RECIPE, framework, STAYS, workers=2) as service:
        before = service.pids()
        with hold(service), listening(service):
            end(service, number=first)
            service.signal(second)
            assert 0 == status_of(service)
        until(lambda: not any(map(psutil.pid_exists, before)), "one is left")


@pytest.mark.rule("second-signal")
def test_a_second_signal_ends_the_wait_for_requests(
    framework: Subject,
) -> None:
    """Nor behind the closed door."""
    with start(RECIPE, framework, GOES) as service, hold(service):
        service.signal(signal.SIGTERM)
        until(lambda: is_refused(service), "connections are accepted")
        service.signal(signal.SIGTERM)
        assert 0 == status_of(service)


# rule: either-signal


@pytest.mark.rule("either-signal")
def test_an_interrupt_drains_too(framework: Subject) -> None:
    """SIGINT makes unready, drains, finishes and ends with 0."""
    with start(RECIPE, framework, GOES) as service:
        with copying(service, 80) as last:
            service.signal(signal.SIGINT)
            until(lambda: is_no_more_ready(service), "readiness stays")
            until(lambda: is_refused(service), "connections are accepted")
            assert (200, {"pages": 80}) == served(last.finish())
        assert 0 == status_of(service)


@pytest.mark.rule("either-signal")
def test_an_interrupt_leaves_the_door_open(framework: Subject) -> None:
    """After SIGINT new work is welcome for the whole drain."""
    with start(RECIPE, framework, STAYS) as service:
        end(service, number=signal.SIGINT)
        for _ in range(10):
            assert (200, {"pages": 1}) == served(copy(service, 1))


def is_no_more_ready(service: Service) -> bool:
    """Tell whether nobody new is welcome."""
    return 503 == ask(service, "GET", "/readyz").status or is_refused(service)


def to_all(service: Service, number: int) -> None:
    """Signal each process of the service, as a terminal does."""
    for pid in service.pids():
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@both
@pytest.mark.rule("either-signal")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_the_whole_group_is_one_signal(
    framework: Subject, number: int, workers: int
) -> None:
    """Ctrl-C reaches every process: that is no second signal."""
    with start(RECIPE, framework, STAYS, workers=workers) as service:
        with hold(service) as held:
            end(service, to_all, number)
            for _ in range(20):
                assert 200 == ask(service, "GET", "/usage").status
            assert (200, {"pages": 3}) == served(held.finish())


@pytest.mark.rule("either-signal")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_the_whole_group_ends_it_cleanly(
    framework: Subject, number: int
) -> None:
    """It drains once, and nothing that was done is lost."""
    with start(RECIPE, framework, GOES, workers=2) as service:
        for _ in range(10):
            assert 200 == copy(service, 1).status
        to_all(service, number)
        assert 0 == status_of(service)
        assert 10 == usage_of(service)


# rule: clean-exit


@both
@pytest.mark.rule("clean-exit")
@pytest.mark.parametrize("number", SIGNALS)
def test_it_ends_with_nothing_left(
    framework: Subject, number: int, workers: int
) -> None:
    """Status 0, no process, no trace; and the port is free at once."""
    with start(RECIPE, framework, GOES, workers=workers) as service:
        before = service.pids()
        assert 200 == copy(service, 1).status
        service.signal(number)
        assert 0 == status_of(service)
        until(lambda: not any(map(psutil.pid_exists, before)), "one is left")
        assert [] == wrong_lines(service)
        service.restart()
        assert 200 == ask(service, "GET", "/readyz").status
