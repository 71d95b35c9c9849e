import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import psutil
import pytest

from cookbook.book import Book
from cookbook.contract import Service, StartError, Subject, play, start
from cookbook.contract.servers import with_log
from cookbook.contract.service import RUNNING, in_memory

type Gone = Callable[[Iterable[psutil.Process]], bool]

ROOT = Path(__file__).parents[2]

SERVER = """
import http.server, json, os, sys, threading, time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/die":
            os._exit(5)
        if self.path == "/mute":
            time.sleep(60)
        body = json.dumps({
            "pid": os.getpid(),
            "path": self.path,
            "cookie": self.headers.get("cookie"),
            "greeting": os.environ.get("GREETING"),
            "seed": os.environ.get("SEED"),
            "secret": os.environ.get("SECRET"),
            "secrets": os.environ.get("OF_THE_USER"),
        }).encode()
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/hello")
        self.send_header("Set-Cookie", "a=b")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        print("asked", self.path, flush=True)


server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), Handler, bind_and_activate=False
)
server.allow_reuse_address = True
server.server_bind()
server.server_activate()
for _ in range(int(os.environ["WORKERS"]) - 1):
    if os.fork() == 0:
        break
print("up", flush=True)
server.serve_forever()
"""


@pytest.fixture(autouse=True)
def book(small_book: Book, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The small book is the one that is served from."""
    monkeypatch.setenv("COOKBOOK_ROOT", str(small_book.root))
    return small_book


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A service of a few lines."""
    file = tmp_path / "server.py"
    file.write_text(SERVER)
    command = f"{sys.executable} {file} {{port}}"
    return Subject("mine", command=command, start_deadline=20)


@pytest.fixture
def service(subject: Subject) -> Iterator[Service]:
    """That service, running."""
    with start("greet", subject) as running:
        yield running


@pytest.fixture
def known(service: Service) -> Iterator[Service]:
    """That service, known by its URL alone."""
    subject = Subject("known", url=service.url)
    with start("greet", subject) as running:
        yield running


def hello(service: Service) -> dict[str, object]:
    """Ask for what the service knows."""
    found: dict[str, object] = service.request("GET", "/hello").json()
    return found


def test_request(service: Service) -> None:
    """A request is answered by the process that was started."""
    assert service.pids()[0] == hello(service)["pid"]


def test_knobs_and_seed(subject: Subject) -> None:
    """Knobs and the seed reach the service as settings."""
    with start("greet", subject, {"GREETING": "Hi"}, seed=7) as service:
        found = hello(service)
    assert ("Hi", "7") == (found["greeting"], found["seed"])


def test_a_knob_that_is_none_is_not_set(subject: Subject) -> None:
    """A secret that would be made up can be left out, too."""
    with start("greet", subject, {"SECRET": None}) as service:
        assert hello(service)["secret"] is None
        assert [] == service.secrets


def test_settings_go_over_knobs(subject: Subject) -> None:
    """What the user sets is what the service gets."""
    mine = Subject("m", command=subject.command, settings={"GREETING": "Ho"})
    with start("greet", mine, {"GREETING": "Hi"}) as service:
        assert "Ho" == hello(service)["greeting"]


def test_a_command_has_the_environment_of_the_user(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command sees what a shell would show it, the knobs aside."""
    monkeypatch.setenv("OF_THE_USER", "1")
    monkeypatch.setenv("GREETING", "from the shell")
    with start("greet", subject) as service:
        found = hello(service)
    assert ("1", None) == (found["secrets"], found["greeting"])


def test_secrets(service: Service) -> None:
    """A secret is made for each service, and known to the test."""
    assert service.secrets == [hello(service)["secret"]]
    assert 64 == len(service.secrets[0])


def test_cookies_are_not_kept(service: Service) -> None:
    """A cookie that was set is not sent back."""
    assert "a=b" == service.request("GET", "/hello").headers["set-cookie"]
    assert hello(service)["cookie"] is None


def test_redirects_are_not_followed(service: Service) -> None:
    """A redirect is an answer like any other."""
    assert 302 == service.request("GET", "/moved").status_code


def test_log(service: Service) -> None:
    """What the service writes can be read while it runs."""
    hello(service)
    assert ["up", "asked /", "asked /hello"] == service.log().splitlines()


def test_instances(subject: Subject) -> None:
    """Instances are processes of their own, with one secret."""
    with start("greet", subject, instances=3) as service:
        found = [hello(one) for one in service.instances]
        assert service is service.instances[0]
    assert 3 == len({one["pid"] for one in found})
    assert 1 == len({one["secret"] for one in found})


def test_restart(service: Service) -> None:
    """A restart is a new process at the old address, same secret."""
    before, url = hello(service), service.url
    service.restart()
    after = hello(service)
    assert url == service.url
    assert before["pid"] != after["pid"]
    assert before["secret"] == after["secret"]


def test_restart_after_kill(service: Service) -> None:
    """What was killed can be started again."""
    service.kill()
    assert -signal.SIGKILL == service.wait(20)
    service.restart()
    assert service.pids()[0] == hello(service)["pid"]


def test_a_restart_that_fails_says_so(
    subject: Subject, tmp_path: Path
) -> None:
    """A service that does not come up again is a plain error."""
    with start("greet", subject) as service:
        (tmp_path / "server.py").write_text("print('broken')")
        with pytest.raises(
            StartError, match=r"ended with status 0\n(.|\n)*bro"
        ):
            service.restart()


def test_signal(service: Service) -> None:
    """A signal ends the process, and the status says which."""
    service.signal(signal.SIGTERM)
    assert -signal.SIGTERM == service.wait(20)
    with pytest.raises(httpx2.TransportError):
        service.request("GET", "/hello")


def test_every_worker_is_asked(subject: Subject) -> None:
    """One answer of each process is given, whoever is quicker."""
    with start("greet", subject, workers=3) as service:
        answers = service.ask_every_worker(3, "GET", "/hello")
        expected = set(service.pids())
    assert expected == {answer.json()["pid"] for answer in answers}


def test_too_few_workers_are_noticed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one process answers, two did not."""
    monkeypatch.setattr("cookbook.contract.service.MOST_ROUNDS", 2)
    with pytest.raises(AssertionError, match="1 of 2 processes answered"):
        service.ask_every_worker(2, "GET", "/hello")


def test_examples_are_played(service: Service) -> None:
    """The examples of the recipe are sent in order."""
    (played,) = play(service)
    assert ("hello", "/hello") == (played.example.id, played.path)
    assert 200 == played.answer.status_code


@pytest.mark.parametrize("word", ["kill", "restart", "pids", "log", "server"])
def test_what_a_url_lacks_is_not_checked(known: Service, word: str) -> None:
    """A test that needs the process is skipped, never passed."""
    with pytest.raises(pytest.skip.Exception, match="not checked: needs"):
        getattr(known, word)()


@pytest.mark.parametrize(
    "wanted",
    [{"knobs": {"A": 1}}, {"workers": 2}, {"instances": 2}, {"seed": 1}],
)
def test_what_a_url_cannot_be_given_is_not_checked(
    known: Service, wanted: dict[str, object]
) -> None:
    """A test that sets something up is skipped, never passed."""
    ask: Callable[..., AbstractContextManager[Service]] = start
    with pytest.raises(pytest.skip.Exception, match="not checked: needs"):
        with ask("greet", Subject("u", url=known.url), **wanted):
            pass


def test_a_url_is_asked_as_it_is(known: Service, service: Service) -> None:
    """A service known by its URL is asked like any other."""
    assert service.pids()[0] == hello(known)["pid"]
    assert [] == known.secrets


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("no-such-program {port}", "cannot run no-such-program: No such"),
        (f"{sys.executable} -c 'exit(3)'", "the server ended with status 3"),
        (f"{sys.executable} -c 'exit(\"why\")'", "ended with status 1\nwhy"),
    ],
)
def test_a_command_that_dies_is_told(command: str, expected: str) -> None:
    """What a service wrote before it died is in the error."""
    with pytest.raises(StartError, match=expected):
        with start("greet", Subject("dead", command=command)):
            pass


def test_a_command_that_never_listens_is_told() -> None:
    """A service that does not come up is given up, with its log."""
    code = "print(1, flush=True); import time; time.sleep(60)"
    command = f"{sys.executable} -c '{code}'"
    subject = Subject("deaf", command=command, start_deadline=0.5)
    with pytest.raises(StartError) as caught:
        with start("greet", subject):
            pass
    first, log = str(caught.value).splitlines()
    assert "no answer from http://127.0.0.1:" == first[:32]
    assert ("in 0.5 seconds", "1") == (first[-14:], log)


def test_an_answer_has_a_deadline(subject: Subject) -> None:
    """A request that is not answered is given up."""
    mine = Subject("m", command=subject.command, answer_deadline=0.2)
    with start("greet", mine) as service:
        with pytest.raises(httpx2.ReadTimeout):
            service.request("GET", "/mute")


def test_an_obituary(service: Service) -> None:
    """A service that is gone says how it went, and its last words."""
    assert "" == service.obituary()
    with pytest.raises(httpx2.TransportError):
        service.request("GET", "/die")
    service.wait(20)
    expected = "the service ended with status 5\nup\nasked /"
    assert expected == service.obituary()


def test_nothing_is_left(subject: Subject, are_gone: Gone) -> None:
    """Processes, folders and descriptors are gone afterwards."""
    with start("greet", subject):
        pass
    gc.collect()
    descriptors = psutil.Process().num_fds()
    with start("greet", subject, workers=2, instances=2) as service:
        folder = service.server.launch.log.parent
        pids = [pid for one in service.instances for pid in one.pids()]
        processes = [psutil.Process(pid) for pid in pids]
        hello(service)
        assert folder.is_dir()
    assert not folder.exists()
    assert 4 == len(pids)
    assert are_gone(processes)
    gc.collect()
    assert descriptors >= psutil.Process().num_fds()
    assert [] == RUNNING


def test_nothing_is_left_of_what_did_not_start() -> None:
    """A failed start leaves no folder and no descriptor."""
    subject = Subject("dead", command=f"{sys.executable} -c 'exit(3)'")
    with pytest.raises(StartError):
        with start("greet", subject):
            pass
    gc.collect()
    before = psutil.Process().num_fds()
    with pytest.raises(StartError):
        with start("greet", subject):
            pass
    gc.collect()
    assert before >= psutil.Process().num_fds()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_by_a_harness_that_ends(
    subject: Subject, book: Book, number: int, are_gone: Gone
) -> None:
    """After Ctrl-C or SIGKILL the service and its folder are gone."""
    code = (
        "import time; from cookbook.contract import start, Subject\n"
        f"with start('greet', Subject('m', command={subject.command!r})) as s:"
        "\n    print(s.pids()[0], s.server.launch.log.parent, flush=True)"
        "\n    time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as harness:
        guards = psutil.Process(harness.pid)
        assert harness.stdout is not None
        pid, folder = harness.stdout.readline().split()
        family = guards.children(recursive=True)
        harness.send_signal(number)
    assert int(pid) in [process.pid for process in family]
    assert (True, False) == (are_gone(family), Path(folder).exists())


def test_data_is_kept_in_memory_only_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A small folder in memory, as in a container, is not filled."""
    monkeypatch.setattr("cookbook.contract.service.ROOM", 1 << 60)
    assert in_memory() is None


def test_a_log_that_is_not_there_adds_nothing(tmp_path: Path) -> None:
    """An error without a log is the error alone."""
    assert "it failed" == with_log("it failed", tmp_path / "none")
