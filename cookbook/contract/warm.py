"""A parent that has imported a framework, and forks servers from there.

Run as a script by the interpreter of a framework's environment, with the
names of modules to import. It imports frameworks and servers, never a
recipe, stays single-threaded, and runs each server's own command line in
a forked child. Imports are most of what a server needs to start.

Standard input is a Unix socket. A request is one line of JSON (`argv`,
`env`, `cwd`) with two or three descriptors: where to write the process
id and then the exit status, the log and, if the server takes one, the
listening socket (its number replaces `{fd}` in `argv`). When the socket
closes, every process that was started is killed.
"""

import array
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import process
from pathlib import Path
from typing import Any

_LARGEST_REQUEST = 1 << 20
_MOST_DESCRIPTORS = 3


def main(modules: list[str]) -> None:
    """Import, then serve requests until the other side closes."""
    sys.path.pop(0)
    for module in modules:
        importlib.import_module(module)
    control = socket.socket(fileno=os.dup(0))
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: dict[int, int] = {}
    own = [control.fileno(), wake_out, wake_in]
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake_out, selectors.EVENT_READ)
    control.sendall(b"ready\n")
    while True:
        for key, _ in selector.select():
            if key.fileobj == wake_out:
                os.read(wake_out, 4096)
                reap(children)
                continue
            request, descriptors = receive(control)
            if request is None:
                kill_all(children)
                return
            status, *given = descriptors
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                selector.close()
                for descriptor in (*own, status, *children.values()):
                    os.close(descriptor)
                run_child(request, given)
            for descriptor in given:
                os.close(descriptor)
            children[pid] = status
            tell(status, pid)


def tell(pipe: int, number: int) -> None:
    """Write a number down for the harness, if that still reads."""
    with suppress(BrokenPipeError):
        os.write(pipe, f"{number}\n".encode())


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Read one request and the descriptors that come with it."""
    data, ancillary, _, _ = control.recvmsg(
        _LARGEST_REQUEST, socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
    )
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(payload)
    more = data
    while more and not data.endswith(b"\n"):
        more = control.recv(_LARGEST_REQUEST)
        data += more
    return (json.loads(data) if more else None), list(descriptors)


def reap(children: dict[int, int]) -> None:
    """Pass on the exit status of every child that has ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        pipe = children.pop(pid, None)
        if pipe is not None:
            tell(pipe, os.waitstatus_to_exitcode(status))
            os.close(pipe)


def kill_all(children: dict[int, int]) -> None:
    """Leave no server behind."""
    for pid in children:
        # One that was just forked leads no group yet.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def run_child(request: dict[str, Any], given: list[int]) -> None:
    """Become the process that the command line describes."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log, *listener = given
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(log)
        for descriptor in listener:
            os.set_inheritable(descriptor, True)
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        os.chdir(request["cwd"])
        # Where spawned workers begin, and what "" is to them on the path.
        process.ORIGINAL_DIR = request["cwd"]  # type: ignore[attr-defined]
        paths = request["env"].get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = filter(None, paths)
        number = str(listener[0]) if listener else ""
        argv = [word.replace("{fd}", number) for word in request["argv"]]
        command(argv)()
        code = 0
    except SystemExit as end:
        code = exit_code(end)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        code = -signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        shut_down(code)


def shut_down(code: int) -> None:
    """End as an interpreter does: threads, exit handlers, buffers."""
    import atexit
    import threading

    try:
        # Private: it is what the interpreter itself calls at its end.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)


def exit_code(end: SystemExit) -> int:
    """Read a `SystemExit` as the interpreter does."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def command(argv: list[str]) -> Callable[[], object]:
    """Find what a command line runs: `python -c`, `-m`, or a script."""
    name, *arguments = argv
    if name == "python" and arguments[0] == "-c":
        code = arguments[1]
        sys.path.insert(0, "")
        sys.argv = ["-c", *arguments[2:]]
        return lambda: exec(code, {"__name__": "__main__"})
    if name == "python" and arguments[0] == "-m":
        module = arguments[1]
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = [module, *arguments[2:]]
        return lambda: runpy.run_module(
            module, run_name="__main__", alter_sys=True
        )
    script = str(Path(sys.executable).parent / name)
    sys.argv = [script, *arguments]
    return lambda: runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
