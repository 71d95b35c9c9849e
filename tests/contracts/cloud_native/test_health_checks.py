"""The contract of `health_checks`: live, started and ready, told cheaply."""

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Json = dict[str, Any]

LIMIT = 0.4
INTERVAL = 0.05
FOR_EVER = 3600
SOME_TIME = 30
DEADLINE = 10
AT_ONCE = 50
PROBES = ("/livez", "/startupz", "/readyz")
PASSWORD = "hunter2-4711"
HIDDEN = "_hidden"
NOT_STARTED = {
    "type": "https://example.com/problems/not-started",
    "title": "Not started",
    "status": 503,
    "detail": "It is warming up.",
}
COLD = {"type": "about:blank", "title": "Service Unavailable", "status": 503}
NOT_READY = {
    "type": "https://example.com/problems/not-ready",
    "title": "Not ready",
    "status": 503,
}
NEEDED = NOT_READY | {"detail": "Something that is needed fails."}
OLD = NOT_READY | {"detail": "No report is fresh."}
READY = {
    "status": "ready",
    "checks": {"database": "pass", "rates": "pass"},
}
DEGRADED = {
    "status": "degraded",
    "checks": {"database": "pass", "rates": "fail"},
}
LIVE = {"status": "live"}
STARTED = {"status": "started"}
BAD_ANSWERS = {
    "an error": "500",
    "no entry": "401",
    "a redirect": "302",
    "another redirect": "307",
    "not modified": "304",
    "hung up": "hang up",
    "no HTTP": "nonsense",
}


class QuietServer(ThreadingHTTPServer):
    """A server to which a client that hangs up is no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


class Rates:
    """The optional part: a real server, which a test may spoil.

    `mode` is what it answers: a status, or how it misbehaves. `asked` are
    the times of the requests, `open` is how many wait for their answer
    now, `hanging` how many of them hang, `most_open` how many ever waited
    at once; `followed` counts who came by a redirect.
    """

    def __init__(self) -> None:
        self.mode = "200"
        self.asked: list[float] = []
        self.open = self.most_open = self.followed = 0
        self.hanging = 0
        self._lock = threading.Lock()
        self._release = threading.Event()
        self._serve(0)

    def _serve(self, port: int) -> None:
        rates = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with rates.opened():
                    rates.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = QuietServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        """The address, with a password that belongs to nobody else."""
        return f"http://probe:{PASSWORD}@127.0.0.1:{self.port}/ping"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Count a request while it is open."""
        with self._lock:
            self.asked.append(monotonic())
            self.open += 1
            self.most_open = max(self.open, self.most_open)
        try:
            yield
        finally:
            with self._lock:
                self.open -= 1

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request as the mode says."""
        mode, release = self.mode, self._release
        handler.close_connection = True
        if handler.path != "/ping":
            self.followed += 1
            mode = "200"
        if mode == "hang":
            with self._lock:
                self.hanging += 1
            release.wait(60)
            with self._lock:
                self.hanging -= 1
        elif mode == "drip":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drops: ")
            while not release.wait(0.02):
                handler.wfile.write(b".")
            handler.wfile.write(b"\r\n")
        elif mode == "nonsense":
            handler.wfile.write(b"220 welcome to this mail server\r\n\r\n")
        if mode.isdecimal():
            handler.send_response(int(mode))
            if mode.startswith("3"):
                handler.send_header("location", "/elsewhere")
            handler.send_header("connection", "close")
            if mode not in ("204", "304"):
                handler.send_header("content-length", "2")
            handler.end_headers()
            if mode not in ("204", "304"):
                handler.wfile.write(b"{}")

    def release(self) -> None:
        """Let go of what hangs and what drips."""
        self._release.set()
        self._release = threading.Event()

    def spoil(self, mode: str) -> None:
        """Misbehave, or be gone."""
        self.mode = mode
        if mode == "gone":
            self.vanish()

    def vanish(self) -> None:
        """Be gone: nobody listens."""
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def mend(self) -> None:
        """Answer as one should."""
        self.mode = "200"
        self.release()
        if not self._thread.is_alive():
            self._serve(self.port)

    def gaps(self) -> list[float]:
        """List the times between one request and the next."""
        return [after - before for before, after in pairwise(self.asked)]


class Database:
    """The required part: a file, which a test may spoil."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = b""
        self._holder: sqlite3.Connection | None = None

    @property
    def url(self) -> str:
        """The address, as the service takes it."""
        return f"sqlite:///{self.path}"

    def hold(self) -> None:
        """Have everybody wait who reads."""
        self._holder = sqlite3.connect(
            self.path, timeout=10, isolation_level=None
        )
        try:
            self._holder.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise AssertionError("a check keeps its lock") from None

    def spoil(self) -> None:
        """Put nonsense into the file."""
        self._content = self.path.read_bytes()
        self._write(b"\xa5" * len(self._content))

    def _write(self, content: bytes) -> None:
        # In place: who has the file open would go on with the old one.
        with self.path.open("r+b") as file:
            file.write(content)

    def hide(self) -> None:
        """Have no table under its name."""
        self._rename({name: f"{name}{HIDDEN}" for name in self._tables()})

    def _tables(self) -> list[str]:
        with closing(sqlite3.connect(self.path, timeout=15)) as connection:
            names = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall()
        return [name for (name,) in names if not name.startswith("sqlite_")]

    def _rename(self, names: Mapping[str, str]) -> None:
        with (
            closing(sqlite3.connect(self.path, timeout=15)) as connection,
            connection,
        ):
            for old, new in names.items():
                connection.execute(f'ALTER TABLE "{old}" RENAME TO "{new}"')

    def mend(self) -> None:
        """Be as before."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        if self._content:
            self._write(self._content)
            self._content = b""
        self._rename(
            {
                name: name.removesuffix(HIDDEN)
                for name in self._tables()
                if name.endswith(HIDDEN)
            }
        )


SPOILS: dict[str, Callable[[Database], None]] = {
    "held": Database.hold,
    "nonsense": Database.spoil,
    "no table": Database.hide,
}


def knobs(
    rates: Rates,
    database: Database,
    limit: float = LIMIT,
    interval: float = INTERVAL,
) -> Mapping[str, object]:
    """Write the settings of a service that has these two parts."""
    return {
        "RATES_URL": rates.url,
        "DATABASE_URL": database.url,
        "CHECK_TIMEOUT_SECONDS": limit,
        "CHECK_INTERVAL_SECONDS": interval,
    }


@contextmanager
def running(
    framework: Subject,
    folder: Path,
    limit: float = LIMIT,
    interval: float = INTERVAL,
    workers: int = 1,
) -> Iterator[tuple[Service, Rates, Database]]:
    """Start a service of its own, with parts of its own."""
    rates, database = Rates(), Database(folder / "prices.db")
    settings = knobs(rates, database, limit, interval)
    try:
        with start(
            "health_checks", framework, settings, workers=workers
        ) as service:
            yield service, rates, database
    finally:
        database.mend()
        rates.vanish()


@pytest.fixture(scope="module")
def shared(
    framework: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Rates, Database]]:
    """One service for most tests, which looks often."""
    folder = tmp_path_factory.mktemp("prices")
    with running(framework, folder) as parts:
        yield parts


@pytest.fixture
def parts(
    shared: tuple[Service, Rates, Database],
) -> Iterator[tuple[Service, Rates, Database]]:
    """The service and its parts, all well before and afterwards."""
    service, rates, database = shared
    database.mend()
    rates.mend()
    until_ready(service)
    rates.asked.clear()
    rates.followed = 0
    yield shared
    database.mend()
    rates.mend()


@pytest.fixture(scope="module")
def seldom(
    framework: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Rates, Database]]:
    """A service that looks once and not again."""
    folder = tmp_path_factory.mktemp("prices")
    with running(framework, folder, SOME_TIME, FOR_EVER) as parts:
        until_ready(parts[0])
        yield parts


def get(service: Service, path: str) -> httpx2.Response:
    """Ask, and have an answer."""
    try:
        return service.request("GET", path)
    except httpx2.TransportError as error:
        raise AssertionError(f"no answer from {path}: {error!r}") from None


def read(answer: httpx2.Response) -> Json:
    """Read a document, which is a problem where the status says so."""
    bad = answer.status_code >= 400
    expected = "application/problem+json" if bad else "application/json"
    media_type = answer.headers["content-type"].partition(";")[0]
    assert expected == media_type, answer.text[:500]
    document: Json = answer.json()
    return document


def told(service: Service, path: str = "/readyz") -> tuple[int, Json]:
    """Ask a probe: its status, and what it says."""
    answer = get(service, path)
    return answer.status_code, read(answer)


def checks(service: Service) -> Json:
    """Read the results, if there are any."""
    results: Json = told(service)[1].get("checks", {})
    return results


def until_ready(service: Service) -> None:
    """Wait until all is well."""
    until(lambda: told(service) == (200, READY), "it did not become ready")


def told_until(
    service: Service, wanted: tuple[int, Json]
) -> list[tuple[int, Json]]:
    """Ask for readiness until it is as wanted; list all that was told."""
    seen: list[tuple[int, Json]] = []

    def look() -> bool:
        seen.append(told(service))
        return seen[-1] == wanted

    until(look, f"it was never told {wanted}")
    return seen


def turn_a_round(service: Service, database: Database) -> None:
    """See at least two rounds go by: the database falls, and rises."""
    database.spoil()
    until(
        lambda: checks(service).get("database") == "fail",
        "the database was not missed",
    )
    database.mend()
    until(
        lambda: checks(service).get("database") == "pass",
        "the database was not found again",
    )


def ask_anew(service: Service, path: str) -> tuple[int, Json]:
    """Ask by a connection of its own; status 0 where no answer comes."""
    address = urlsplit(service.url)
    connection = HTTPConnection(
        str(address.hostname), address.port, timeout=DEADLINE
    )
    with closing(connection):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException) as error:
            return 0, {"error": repr(error)}


def ask_at_once(service: Service, paths: list[str]) -> set[int]:
    """Send many requests at once; tell which statuses came."""
    with ThreadPoolExecutor(len(paths)) as pool:
        asked = [pool.submit(ask_anew, service, path) for path in paths]
        return {each.result()[0] for each in asked}


def has_ended(service: Service) -> bool:
    """Tell whether a service ends by itself."""
    try:
        service.wait(DEADLINE)
    except TimeoutError:
        return False
    return True


@contextmanager
def frozen(service: Service) -> Iterator[None]:
    """Stop all processes of a service, and let them go on."""
    pids = service.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# live-alone


@pytest.mark.rule("live-alone")
@pytest.mark.parametrize("case", SPOILS)
def test_it_lives_whatever_fails(
    parts: tuple[Service, Rates, Database], case: str
) -> None:
    """With both dependencies gone the process is live, and stays itself."""
    service, rates, database = parts
    pids = service.pids()
    rates.vanish()
    SPOILS[case](database)
    until(lambda: 503 == told(service)[0], "the database was not missed")
    for _ in range(5):
        assert (200, LIVE) == told(service, "/livez")
    assert pids == service.pids()


@pytest.mark.rule("live-alone")
def test_it_lives_while_all_hangs(
    parts: tuple[Service, Rates, Database],
) -> None:
    """Liveness is told while a check waits, and does not wait for it."""
    service, rates, database = parts
    rates.mode = "hang"
    database.hold()
    until(lambda: rates.hanging, "the rates were not asked")
    until(lambda: 503 == told(service)[0], "the database was not missed")
    assert {200} == ask_at_once(service, ["/livez"] * AT_ONCE)


# started-first


@pytest.mark.rule("started-first")
def test_until_it_has_started_it_lives_and_is_not_ready(
    framework: Subject, tmp_path: Path
) -> None:
    """While the warm-up waits, no request is welcome and none is lost."""
    with running(framework, tmp_path) as (service, _, database):
        until_ready(service)
        database.hold()
        service.restart()
        for _ in range(3):
            assert (200, LIVE) == told(service, "/livez")
            assert (503, NOT_STARTED) == told(service, "/startupz")
            assert (503, NOT_STARTED) == told(service, "/readyz")
            assert (503, COLD) == told(service, "/prices/a1")
        database.mend()
        until(
            lambda: (200, STARTED) == told(service, "/startupz"),
            "it did not start",
        )
        assert {"article": "a1", "cents": 465} == told(service, "/prices/a1")[
            1
        ]
        until_ready(service)


@pytest.mark.rule("started-first")
@pytest.mark.parametrize("case", ["nonsense", "no table"])
def test_a_warm_up_that_fails_is_tried_again(
    framework: Subject, tmp_path: Path, case: str
) -> None:
    """It starts by itself, in the same process, once it can."""
    with running(framework, tmp_path) as (service, _, database):
        SPOILS[case](database)
        service.restart()
        pids = service.pids()
        until(
            lambda: "prices fails" in service.log(),
            "no warm-up has failed",
        )
        for _ in range(5):
            assert (200, LIVE) == told(service, "/livez")
            assert (503, NOT_STARTED) == told(service, "/startupz")
            assert (503, NOT_STARTED) == told(service, "/readyz")
        database.mend()
        seen: list[tuple[int, int]] = []

        def look() -> bool:
            ready, started = (
                told(service, path)[0] for path in ("/readyz", "/startupz")
            )
            seen.append((ready, started))
            return ready == 200

        until(look, "it did not become ready")
        assert (200, 503) not in seen
        assert 200 == told(service, "/prices/a1")[0]
        assert pids == service.pids()


@pytest.mark.rule("started-first")
def test_what_has_started_stays_so(
    parts: tuple[Service, Rates, Database],
) -> None:
    """A dependency that fails later undoes no start."""
    service, _, database = parts
    database.spoil()
    until(lambda: 503 == told(service)[0], "the database was not missed")
    assert (200, STARTED) == told(service, "/startupz")
    assert 200 == told(service, "/prices/a1")[0]


@pytest.mark.rule("started-first")
def test_each_worker_starts_for_itself(
    framework: Subject, tmp_path: Path
) -> None:
    """A probe tells of the process that answers; each becomes ready."""
    with running(framework, tmp_path, SOME_TIME, workers=2) as (service, _, _):

        def all_ready() -> bool:
            # A worker that is just starting may not be found out.
            with suppress(AssertionError):
                answers = service.ask_every_worker(2, "GET", "/readyz")
                return all(answer.status_code == 200 for answer in answers)
            return False

        until(all_ready, "not all workers became ready")


# required-decides


@pytest.mark.rule("required-decides")
@pytest.mark.parametrize("case", SPOILS)
def test_without_the_database_it_is_not_ready(
    parts: tuple[Service, Rates, Database], case: str
) -> None:
    """It says which part fails, and is ready again when that is mended."""
    service, _, database = parts
    pids = service.pids()
    failing = NEEDED | {"checks": {"database": "fail", "rates": "pass"}}
    for _ in range(2):
        SPOILS[case](database)
        told_until(service, (503, failing))
        database.mend()
        told_until(service, (200, READY))
    assert pids == service.pids()


@pytest.mark.rule("required-decides")
def test_the_database_decides_whatever_the_rates_do(
    parts: tuple[Service, Rates, Database],
) -> None:
    """With both gone it is not ready; with one back it is degraded."""
    service, rates, database = parts
    rates.mode = "500"
    database.spoil()
    failing = NEEDED | {"checks": {"database": "fail", "rates": "fail"}}
    told_until(service, (503, failing))
    database.mend()
    told_until(service, (200, DEGRADED))


# optional-degrades


@pytest.mark.rule("optional-degrades")
@pytest.mark.parametrize("mode", ["500", "hang up", "hang", "drip", "gone"])
def test_without_the_rates_it_is_degraded(
    parts: tuple[Service, Rates, Database], mode: str
) -> None:
    """Not for one answer it is unready, and it is told when it is mended."""
    service, rates, _ = parts
    rates.spoil(mode)
    seen = told_until(service, (200, DEGRADED))
    rates.mend()
    seen += told_until(service, (200, READY))
    assert all(each in ((200, READY), (200, DEGRADED)) for each in seen)


@pytest.mark.rule("optional-degrades")
def test_rates_that_nobody_named_are_not_checked(
    framework: Subject, tmp_path: Path
) -> None:
    """Without an address there is one part, and nothing degraded."""
    database = Database(tmp_path / "prices.db")
    settings = {"DATABASE_URL": database.url, "CHECK_INTERVAL_SECONDS": 0.05}
    with start("health_checks", framework, settings) as service:
        alone = {"status": "ready", "checks": {"database": "pass"}}
        told_until(service, (200, alone))


# good-answer


@pytest.mark.rule("good-answer")
@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_only_a_2xx_passes(
    parts: tuple[Service, Rates, Database], case: str
) -> None:
    """All else is a failure, and a redirect is not followed."""
    service, rates, _ = parts
    rates.mode = BAD_ANSWERS[case]
    told_until(service, (200, DEGRADED))
    asked = len(rates.asked)
    until(lambda: len(rates.asked) > asked + 1, "the rates were left alone")
    assert (200, DEGRADED) == told(service)
    assert 0 == rates.followed


@pytest.mark.rule("good-answer")
@pytest.mark.parametrize("status", ["201", "204"])
def test_any_2xx_passes(
    parts: tuple[Service, Rates, Database], status: str
) -> None:
    """What a good answer says is not the matter of a check."""
    service, rates, _ = parts
    rates.mode = "500"
    told_until(service, (200, DEGRADED))
    rates.mode = status
    told_until(service, (200, READY))


# time-limit


@pytest.mark.rule("time-limit")
@pytest.mark.parametrize("mode", ["hang", "drip", "200"])
def test_what_hangs_has_failed_in_time(
    parts: tuple[Service, Rates, Database], mode: str
) -> None:
    """Nobody waits for it: every report on the way is a fresh one."""
    service, rates, database = parts
    rates.mode = mode
    database.hold()
    rate = "pass" if mode == "200" else "fail"
    failing = NEEDED | {"checks": {"database": "fail", "rates": rate}}
    assert (503, OLD) not in told_until(service, (503, failing))


@pytest.mark.rule("time-limit")
def test_two_that_hang_cost_one_limit(
    parts: tuple[Service, Rates, Database],
) -> None:
    """The rounds take no longer when the database hangs beside the rates."""
    service, rates, database = parts
    rates.mode = "hang"
    told_until(service, (200, DEGRADED))
    rates.asked.clear()
    until(lambda: len(rates.asked) > 2, "the rates were left alone")
    alone = min(rates.gaps())
    database.hold()
    until(lambda: 503 == told(service)[0], "the database was not missed")
    rates.asked.clear()
    until(
        lambda: rates.gaps() and min(rates.gaps()) < 1.5 * alone,
        "two that hang cost more than one",
    )


@pytest.mark.rule("time-limit")
def test_what_hangs_is_not_begun_again_beside_itself(
    parts: tuple[Service, Rates, Database],
) -> None:
    """Round after round there is one request that waits, not one more."""
    service, rates, database = parts
    rates.mode = "drip"
    told_until(service, (200, DEGRADED))
    rates.most_open = 0
    for _ in range(2):
        turn_a_round(service, database)
    # One more may be closing.
    assert rates.most_open <= 2


@pytest.mark.rule("time-limit")
@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_what_hung_once_hangs_no_longer_than_it_must(
    parts: tuple[Service, Rates, Database], mode: str
) -> None:
    """A new request passes though the old one was never answered."""
    service, rates, database = parts
    rates.mode = mode
    told_until(service, (200, DEGRADED))
    rates.mode = "200"
    if mode == "drip" and service.differs("stuck-check"):
        turn_a_round(service, database)
        assert (200, DEGRADED) == told(service)
        rates.release()
    told_until(service, (200, READY))


@pytest.mark.rule("time-limit")
def test_what_hangs_does_not_hold_up_the_end(
    framework: Subject, tmp_path: Path
) -> None:
    """A process that is told to end does, in the middle of a check."""
    with running(framework, tmp_path, limit=120) as (service, rates, _):
        until_ready(service)
        rates.mode = "hang"
        until(lambda: rates.hanging, "the rates were not asked")
        service.signal(signal.SIGTERM)
        assert has_ended(service)


# cheap-probes


@pytest.mark.rule("cheap-probes")
def test_many_probes_make_no_check(
    seldom: tuple[Service, Rates, Database],
) -> None:
    """However many ask, the last report is what they are given."""
    service, rates, _ = seldom
    assert {200} == ask_at_once(service, ["/readyz"] * AT_ONCE)
    assert {200} == ask_at_once(service, [*PROBES] * 10)
    assert 1 == len(rates.asked)


@pytest.mark.rule("cheap-probes")
def test_a_check_that_hangs_holds_up_nobody(
    framework: Subject, tmp_path: Path
) -> None:
    """All are answered while one check waits, and goes on waiting."""
    with running(framework, tmp_path, limit=120) as (service, rates, database):
        until_ready(service)
        rates.mode = "hang"
        database.hold()
        until(lambda: rates.hanging, "the rates were not asked")
        asked = len(rates.asked)
        paths = [*PROBES, "/prices/a1"] * 12
        assert {200} == ask_at_once(service, paths)
        assert 1 == rates.open
        assert asked == len(rates.asked)


# no-old-report


@pytest.mark.rule("no-old-report")
def test_an_old_report_counts_for_nothing(
    framework: Subject, tmp_path: Path
) -> None:
    """A process that was stopped is ready when it has looked again."""
    with running(framework, tmp_path, 0.5, 0.25) as (service, rates, _):
        until_ready(service)
        # What is told anew was found just now: it does not look meanwhile.
        rates.mode = "500"
        told_until(service, (200, DEGRADED))
        with ThreadPoolExecutor(1) as pool:
            with frozen(service):
                rates.mode = "hang"
                end = monotonic() + 3.2 * (0.5 + 0.25)
                later = pool.submit(ask_anew, service, "/readyz")
                until(lambda: monotonic() > end, "time stands still")
            assert (503, OLD) == later.result()
        rates.mend()
        until_ready(service)


# never-cached


def assert_not_kept(answer: httpx2.Response) -> None:
    """No cache may keep the answer."""
    directives = answer.headers.get("cache-control", "").split(",")
    assert "no-store" in [each.strip().lower() for each in directives]


@pytest.mark.rule("never-cached")
@pytest.mark.parametrize("path", PROBES)
def test_a_good_answer_is_not_kept(
    parts: tuple[Service, Rates, Database], path: str
) -> None:
    """What was true a minute ago is nobody's answer."""
    service, _, _ = parts
    answer = get(service, path)
    assert 200 == answer.status_code
    assert_not_kept(answer)


@pytest.mark.rule("never-cached")
def test_a_bad_answer_is_not_kept(
    parts: tuple[Service, Rates, Database],
) -> None:
    """A failure that is kept outlives what it tells of."""
    service, _, database = parts
    database.spoil()
    until(lambda: 503 == told(service)[0], "the database was not missed")
    assert_not_kept(get(service, "/readyz"))


@pytest.mark.rule("never-cached")
def test_a_start_that_takes_long_is_not_kept(
    framework: Subject, tmp_path: Path
) -> None:
    """Nor is that it has not started."""
    with running(framework, tmp_path) as (service, _, database):
        database.spoil()
        service.restart()
        for path in ("/startupz", "/readyz"):
            answer = get(service, path)
            assert 503 == answer.status_code
            assert_not_kept(answer)


# pass-or-fail


@pytest.mark.rule("pass-or-fail")
@pytest.mark.parametrize(
    ("case", "mode"),
    [("held", "hang"), ("nonsense", "500"), ("no table", "gone")],
)
def test_a_reader_learns_pass_or_fail(
    parts: tuple[Service, Rates, Database], case: str, mode: str
) -> None:
    """No address, no error and no version is in an answer."""
    service, rates, database = parts
    rates.spoil(mode)
    SPOILS[case](database)
    failing = NEEDED | {"checks": {"database": "fail", "rates": "fail"}}
    told_until(service, (503, failing))
    for path in PROBES:
        answer = get(service, path)
        text = f"{answer.text} {[*answer.headers.items()]}".lower()
        for inside in (
            *(str(database.path), "prices.db", "sqlite", "127.0.0.1"),
            *(str(rates.port), PASSWORD, "error", "exception", "timeout"),
            *("refused", "locked", "malformed", ".py"),
        ):
            assert inside.lower() not in text


@pytest.mark.rule("pass-or-fail")
def test_what_fails_is_logged_once(
    parts: tuple[Service, Rates, Database],
) -> None:
    """Not round after round: when it begins, and when it ends."""
    service, rates, database = parts
    before = service.log()
    rates.mode = "500"
    told_until(service, (200, DEGRADED))
    turn_a_round(service, database)
    turn_a_round(service, database)
    rates.mend()
    until_ready(service)
    until(
        lambda: "rates passes" in service.log()[len(before) :],
        "the log does not say that it is over",
    )
    since = service.log()[len(before) :]
    assert 1 == since.count("rates fails: ")
    assert 1 == since.count("rates passes")
    assert 2 == since.count("database fails: ")


@pytest.mark.rule("pass-or-fail")
@pytest.mark.parametrize("mode", ["500", "302", "gone"])
def test_the_log_has_no_address(
    parts: tuple[Service, Rates, Database], mode: str
) -> None:
    """However it fails, neither where it is nor its password is logged."""
    service, rates, _ = parts
    rates.spoil(mode)
    told_until(service, (200, DEGRADED))
    rates.mend()
    until_ready(service)
    log = service.log()
    assert PASSWORD not in log
    told_of = [line for line in log.splitlines() if "rates fails" in line]
    assert told_of
    for line in told_of:
        assert str(rates.port) not in line
