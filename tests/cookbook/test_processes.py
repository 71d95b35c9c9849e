import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from cookbook.contract.processes import (
    Launch,
    LaunchError,
    Process,
    WarmParent,
    launch_plainly,
    listen,
    reserve_port,
    wait_until_answering,
)

type Run = Callable[..., Process]
type Gone = Callable[[Iterable[psutil.Process]], bool]

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
ANSWER = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    connection.recv(999)
    connection.sendall(b"HTTP/1.1 204 None\\r\\nConnection: close\\r\\n\\r\\n")
    connection.close()
"""
HARNESS = """
import sys, time
from pathlib import Path
from cookbook.contract.processes import Launch, WarmParent, launch_plainly
folder = Path(sys.argv[1])
code = {sleep!r}
argv = ["python", "-c", code]
start = launch_plainly
if sys.argv[2] == "warm":
    start = WarmParent(Path(sys.executable), ["json"]).launch
process = start(
    Launch(argv, {{"PATH": {path!r}}}, folder, folder / "log"), None
)
print(process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmParent]:
    """A warm parent that has imported something of the library."""
    parent = WarmParent(Path(sys.executable), ["http.server"])
    yield parent
    parent.close()


@pytest.fixture(params=["plainly", "warm"])
def launch(
    request: pytest.FixtureRequest, warm: WarmParent, tmp_path: Path
) -> Iterator[Run]:
    """Start a command either way, and leave nothing behind."""
    started = []

    def start(
        *argv: str,
        listener: socket.socket | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        given = {"PATH": PATH} if env is None else env
        described = Launch(list(argv), given, tmp_path, tmp_path / "log")
        plainly = request.param == "plainly"
        starter = launch_plainly if plainly else warm.launch
        process = starter(described, listener)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit('no')", 1),
        ("raise ValueError", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os, signal; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_status(launch: Run, code: str, expected: int) -> None:
    """The exit status is the interpreter's, negative after a signal."""
    assert expected == launch("python", "-c", code).wait(20)


def test_wait_has_a_deadline(launch: Run) -> None:
    """A process that goes on is waited for no longer than asked."""
    process = launch("python", "-c", SLEEP)
    with pytest.raises(TimeoutError):
        process.wait(0.01)
    assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signal(launch: Run, number: int) -> None:
    """A signal reaches the process."""
    process = launch("python", "-c", SLEEP)
    process.signal(number)
    assert -number == process.wait(20)


def test_log(launch: Run, tmp_path: Path) -> None:
    """Both outputs are written to the log, one after the other."""
    code = "import os; os.write(1, b'out '); os.write(2, b'err')"
    assert 0 == launch("python", "-c", code).wait(20)
    assert "out err" == (tmp_path / "log").read_text()


def test_buffered_output_is_written(launch: Run, tmp_path: Path) -> None:
    """What was printed is in the log when the process has ended."""
    assert 0 == launch("python", "-c", "print('last words')").wait(20)
    assert "last words\n" == (tmp_path / "log").read_text()


def test_exit_handlers_run(launch: Run, tmp_path: Path) -> None:
    """What was registered for the end is done at the end."""
    code = "import atexit; atexit.register(print, 'bye')"
    assert 0 == launch("python", "-c", code).wait(20)
    assert "bye\n" == (tmp_path / "log").read_text()


def test_environment_is_not_inherited(
    launch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process sees the environment it is given, and no other."""
    monkeypatch.setenv("HARNESS_ONLY", "1")
    code = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"
    env = {"PATH": PATH, "GIVEN": "1"}
    assert 0 == launch("python", "-c", code, env=env).wait(20)
    assert "['GIVEN', 'PATH']\n" == (tmp_path / "log").read_text()


def test_a_module_of_the_folder_is_run(launch: Run, tmp_path: Path) -> None:
    """`python -m` finds modules of the folder it is run in."""
    file = tmp_path / "program.py"
    file.write_text("import sys; print(__name__, sys.argv[1:])")
    assert 0 == launch("python", "-m", "program", "a", "b").wait(20)
    expected = "__main__ ['a', 'b']\n"
    assert expected == (tmp_path / "log").read_text()


def test_what_is_spawned_begins_in_the_folder(
    launch: Run, tmp_path: Path
) -> None:
    """Workers of a server import what the server itself imports."""
    (tmp_path / "work.py").write_text("def work():\n    print('done')")
    code = (
        "import multiprocessing, work\n"
        "spawn = multiprocessing.get_context('spawn')\n"
        "worker = spawn.Process(target=work.work)\n"
        "worker.start()\nworker.join()"
    )
    assert 0 == launch("python", "-c", code).wait(20)
    assert "done\n" == (tmp_path / "log").read_text()


def test_a_script_of_the_environment_is_run(
    warm: WarmParent, tmp_path: Path
) -> None:
    """A name alone is a script beside the interpreter."""
    argv = ["pytest", "--version"]
    described = Launch(argv, {"PATH": PATH}, tmp_path, tmp_path / "log")
    process = warm.launch(described, None)
    status = process.wait(30)
    process.close()
    assert (0, "pytest") == (status, (tmp_path / "log").read_text()[:6])


def test_listener(launch: Run) -> None:
    """The listening socket is handed over, by its number."""
    with reserve_port() as reservation:
        port = reservation.getsockname()[1]
        with listen(port) as listener:
            process = launch("python", "-c", ANSWER, "{fd}", listener=listener)
        wait_until_answering(port, process, 20)
        process.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_restart_on_the_same_port(launch: Run) -> None:
    """A reserved port is taken again at once after a kill."""
    with reserve_port() as reservation:
        port = reservation.getsockname()[1]
        for _ in range(3):
            with listen(port) as listener:
                process = launch(
                    "python", "-c", ANSWER, "{fd}", listener=listener
                )
            wait_until_answering(port, process, 20)
            process.kill()


def test_a_reserved_port_is_given_to_nobody_else() -> None:
    """No two reservations share a port."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(reserve_port()) for _ in range(50)]
        assert 50 == len({one.getsockname()[1] for one in sockets})


def test_kill_takes_the_whole_family(
    launch: Run, tmp_path: Path, are_gone: Gone
) -> None:
    """What a server has started is killed with it."""
    code = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([{sys.executable!r}, '-c', {SLEEP!r}]);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    process = launch("python", "-c", code)
    child = psutil.Process(int(first_line(tmp_path / "log", process)))
    process.kill()
    assert -signal.SIGKILL == process.poll()
    assert are_gone([child])


def test_kill_after_the_end_is_harmless(launch: Run) -> None:
    """A process that has ended can be signalled, killed and closed."""
    process = launch("python", "-c", "pass")
    process.wait(20)
    process.signal(signal.SIGTERM)
    process.kill()
    process.close()
    process.close()
    process.kill()
    assert 0 == process.poll()


@pytest.mark.parametrize("way", ["plainly", "warm"])
def test_nothing_outlives_a_killed_harness(
    tmp_path: Path, way: str, are_gone: Gone
) -> None:
    """After SIGKILL of the harness its servers are gone too."""
    code = HARNESS.format(sleep=SLEEP, path=PATH)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), way],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        server = psutil.Process(int(harness.stdout.readline()))
        harness.kill()
    assert are_gone([server])


def test_closing_a_warm_parent_kills_its_children(
    tmp_path: Path, are_gone: Gone
) -> None:
    """When the control socket closes, every server is killed."""
    parent = WarmParent(Path(sys.executable), ["json"])
    argv = ["python", "-c", SLEEP]
    described = Launch(argv, {"PATH": PATH}, tmp_path, tmp_path / "log")
    process = parent.launch(described, None)
    server = psutil.Process(process.pid)
    parent.close()
    assert are_gone([server])
    process.close()


def test_a_warm_parent_that_is_gone_is_told(tmp_path: Path) -> None:
    """A launch from a dead parent fails, and does not hang."""
    parent = WarmParent(Path(sys.executable), ["json"])
    argv = ["python", "-c", SLEEP]
    described = Launch(argv, {"PATH": PATH}, tmp_path, tmp_path / "log")
    left = parent.launch(described, None)
    (own,) = [
        process
        for process in psutil.Process().children()
        if left.pid in [child.pid for child in process.children()]
    ]
    own.kill()
    own.wait(20)
    with pytest.raises(LaunchError, match="the warm parent is gone"):
        parent.launch(described, None)
    left.kill()
    left.close()
    parent.close()


def test_a_module_that_is_missing_is_told() -> None:
    """A warm parent that cannot import says what it was to import."""
    with pytest.raises(LaunchError, match="cannot import no_such_module"):
        WarmParent(Path(sys.executable), ["no_such_module"])


def test_a_program_that_is_missing_is_told(tmp_path: Path) -> None:
    """A command that is nowhere is a plain sentence."""
    described = Launch(["no-such-program"], {}, tmp_path, tmp_path / "log")
    with pytest.raises(LaunchError) as caught:
        launch_plainly(described, None)
    expected = "cannot run no-such-program: No such file or directory"
    assert expected == str(caught.value)


def test_an_end_before_the_first_answer_is_told(launch: Run) -> None:
    """Who waits for an answer hears of the end at once."""
    process = launch("python", "-c", "import sys; sys.exit(3)")
    with (
        reserve_port() as reservation,
        pytest.raises(LaunchError, match="ended with status 3"),
    ):
        wait_until_answering(reservation.getsockname()[1], process, 60)


@pytest.mark.parametrize("manner", ["deaf", "mute", "curt"])
def test_silence_is_told(launch: Run, manner: str) -> None:
    """Not listening, not answering and hanging up are no answers."""
    code = {"mute": "accept()[0].recv(9)", "curt": "accept()[0].close()"}
    loop = f"while True: keep.append(listener.{code.get(manner)})"
    begin = "import socket; keep = []"
    listening = f"{begin}; listener = socket.socket(fileno={{fd}})\n{loop}"
    with reserve_port() as reservation:
        port = reservation.getsockname()[1]
        if manner == "deaf":
            process = launch("python", "-c", SLEEP)
        else:
            with listen(port) as listener:
                process = launch("python", "-c", listening, listener=listener)
        with pytest.raises(LaunchError) as caught:
            wait_until_answering(port, process, 0.3)
    expected = f"no answer from http://127.0.0.1:{port} in 0.3 seconds"
    assert expected == str(caught.value)


def first_line(file: Path, process: Process) -> str:
    """Wait for the first line of a log."""
    for _ in range(4000):
        text = file.read_text()
        if "\n" in text:
            return text.partition("\n")[0]
        with contextlib.suppress(TimeoutError):
            process.wait(0.005)
    raise AssertionError("nothing was written")
