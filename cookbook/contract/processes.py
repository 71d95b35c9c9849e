"""Server processes: started plainly, or forked from a warm parent.

None outlives the harness, however that ends: see `guard.py`.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

WARM = Path(__file__).with_name("warm.py")
PROBE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
MOST_HANGING_UP = 2.0
GUARD = Path(__file__).with_name("guard.py")


class LaunchError(Exception):
    """A process that could not be made; the text says why."""


@dataclass(frozen=True)
class Launch:
    """What is to run: a command line, its environment and its log.

    `{fd}` in a word of `argv` is replaced by the number of the listener's
    descriptor in the new process.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path


@dataclass
class Process:
    """A server process, the leader of a session of its own."""

    pid: int
    _status: int
    _code: int | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._status

    def poll(self) -> int | None:
        """The exit status, negative after a signal; `None` while it runs."""
        return self._wait(0)

    def wait(self, deadline: float) -> int:
        """Wait for the exit status, `deadline` seconds at most."""
        code = self._wait(deadline)
        if code is None:
            raise TimeoutError(f"still running after {deadline} s")
        return code

    def _wait(self, seconds: float) -> int | None:
        if self._code is None and not self._closed:
            readable, _, _ = select.select([self._status], [], [], seconds)
            if readable:
                text = os.read(self._status, 64).decode()
                self._code = int(text) if text else -signal.SIGKILL
        return self._code

    def signal(self, number: int) -> None:
        """Signal the first process of the server, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the server and all that it has started, and wait."""
        if self._closed:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        # It may be so young that it leads no group yet.
        self.signal(signal.SIGKILL)
        self._wait(10)

    def close(self) -> None:
        """Give the descriptor back."""
        if not self._closed:
            self._closed = True
            os.close(self._status)
            guard().note("spare", self.pid)


class Guard:
    """A process that ends what is left when this one is killed."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-IS", GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.close)

    def note(self, word: str, about: object) -> None:
        """Tell what to `kill` or to `remove`, or to `spare` after all.

        What nobody guards any more is killed at once.
        """
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(f"{word} {about}\n".encode())
            self._popen.stdin.flush()
        except (BrokenPipeError, ValueError):
            if word == "kill":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(str(about)), signal.SIGKILL)

    def close(self) -> None:
        """End the guard; what was not spared is ended with it."""
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5)


@cache
def guard() -> Guard:
    """Give the guard of this process, started when first needed."""
    return Guard()


def launch_plainly(launch: Launch, listener: socket.socket | None) -> Process:
    """Start the command line as a shell would."""
    given = []
    argv = launch.argv
    if listener is not None:
        given.append(listener.fileno())
        argv = [w.replace("{fd}", str(listener.fileno())) for w in argv]
    with launch.log.open("ab") as log:
        try:
            popen = subprocess.Popen(
                argv,
                env=launch.env,
                cwd=launch.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=given,
                start_new_session=True,
            )
        except OSError as error:
            reason = error.strerror or error
            raise LaunchError(f"cannot run {argv[0]}: {reason}") from None
    guard().note("kill", popen.pid)
    status, status_in = os.pipe()

    def pass_on() -> None:
        code = popen.wait()
        with contextlib.suppress(BrokenPipeError):
            os.write(status_in, f"{code}\n".encode())
        os.close(status_in)

    threading.Thread(target=pass_on, daemon=True).start()
    return Process(popen.pid, status)


class WarmParent:
    """A process that has imported a framework and forks servers."""

    def __init__(self, python: Path, modules: list[str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control = ours
        # `-u`, which children inherit: a log has what was just printed.
        self._popen = subprocess.Popen(
            [str(python), "-u", str(WARM), *modules],
            stdin=theirs.fileno(),
            start_new_session=True,
        )
        theirs.close()
        atexit.register(self.close)
        if ours.recv(16) != b"ready\n":
            self.close()
            raise LaunchError(f"{python} cannot import {' '.join(modules)}")

    def launch(
        self, launch: Launch, listener: socket.socket | None
    ) -> Process:
        """Fork a child that runs the command line."""
        status, status_in = os.pipe()
        request = {
            "argv": launch.argv,
            "env": launch.env,
            "cwd": str(launch.cwd),
        }
        with launch.log.open("ab") as log:
            given = [status_in, log.fileno()]
            if listener is not None:
                given.append(listener.fileno())
            message = json.dumps(request).encode() + b"\n"
            try:
                socket.send_fds(self._control, [message], given)
            except OSError:
                os.close(status)
                raise LaunchError("the warm parent is gone") from None
            finally:
                os.close(status_in)
        pid = b""
        while not pid.endswith(b"\n"):
            more = os.read(status, 1)
            if not more:
                os.close(status)
                raise LaunchError("the warm parent is gone")
            pid += more
        return Process(int(pid), status)

    def close(self) -> None:
        """End the parent and every process that it has started."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5)


def reserve_port(port: int = 0) -> socket.socket:
    """Bind a port without listening, so that nobody else is given it."""
    reservation = socket.socket()
    _share(reservation)
    reservation.bind(("127.0.0.1", port))
    return reservation


def listen(port: int) -> socket.socket:
    """Listen on a reserved port, small answers sent without delay."""
    listener = socket.socket()
    _share(listener)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def _share(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not Path("/proc").exists():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def wait_until_answering(port: int, process: Process, deadline: float) -> None:
    """Wait for the first answer, whatever it is, on a port."""
    end = time.monotonic() + deadline
    where = f"http://127.0.0.1:{port}"
    hung_up = None
    while time.monotonic() < end and process.poll() is None:
        answer = ask(port, process, end)
        if answer:
            return
        if answer is not None:
            hung_up = hung_up or time.monotonic()
            if time.monotonic() > hung_up + MOST_HANGING_UP:
                raise LaunchError(f"{where} hangs up without an answer")
        select.select([process], [], [], 0.005)
    code = process.poll()
    if code is not None:
        raise LaunchError(f"the server ended with status {code}")
    raise LaunchError(f"no answer from {where} in {deadline:g} seconds")


def wait_until(
    is_so: Callable[[], bool], process: Process, deadline: float
) -> None:
    """Wait for what a process must come to."""
    end = time.monotonic() + deadline
    while not is_so():
        code = process.poll()
        if code is not None:
            raise LaunchError(f"the server ended with status {code}")
        if time.monotonic() > end:
            raise LaunchError(
                f"not all workers are up in {deadline:g} seconds"
            )
        select.select([process], [], [], 0.005)


def ask(port: int, process: Process, end: float) -> bytes | None:
    """Send a request to a port, and read the beginning of the answer.

    Nothing where it hangs up; `None` where there is nobody, or no answer
    until `end`.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(PROBE)
            left = max(0.0, end - time.monotonic())
            either: list[socket.socket | Process] = [connection, process]
            select.select(either, [], [], left)
            connection.setblocking(False)
            return connection.recv(65536)
    except (ConnectionResetError, BrokenPipeError):
        return b""
    except OSError:
        return None
