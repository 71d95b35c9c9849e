"""How each kind of service is started: its command line and environment."""

import os
import secrets
import shlex
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cookbook.book import Book, Difference, Framework, Recipe, Serve
from cookbook.contract.processes import (
    Launch,
    LaunchError,
    Process,
    WarmParent,
    launch_plainly,
    listen,
    reserve_port,
    wait_until,
    wait_until_answering,
)
from cookbook.environments import python_for

START_DEADLINE = 60.0
ANSWER_DEADLINE = 30.0
STOP_DEADLINE = 20.0
DEFAULT_SEED = 100
INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ")


class StartError(Exception):
    """A service that did not come up; the text has its log."""


@dataclass(frozen=True)
class Subject:
    """What is held to a contract.

    A framework of the book by its name alone; a service that runs already
    by its `url`; any other program by the `command` that starts it, where
    `{port}` stands for the port. `tree` is the folder whose recipes are
    served, `settings` go over the knobs, `plainly` starts every server as
    a shell would, without a warm parent; `serve` names another server than
    the usual one, for recipes that any server can serve; `on_parts` runs
    recipes on the real parts that they can run on. The deadlines say how
    many seconds it may take to start, and to answer a request.
    """

    name: str
    url: str | None = None
    command: str | None = None
    tree: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    plainly: bool = False
    serve: str = ""
    on_parts: bool = False
    start_deadline: float = START_DEADLINE
    answer_deadline: float = ANSWER_DEADLINE

    @property
    def is_ours(self) -> bool:
        """Tell whether it is one of the book's own implementations."""
        return self.url is None and self.command is None


class Server:
    """A server process that can be started again on the same port."""

    def __init__(
        self,
        launch: Launch,
        starter: Callable[[Launch, socket.socket | None], Process],
        reservation: socket.socket,
        *,
        takes_listener: bool,
        deadline: float,
        is_up: Callable[[str], bool],
    ) -> None:
        self.launch = launch
        self.port: int = reservation.getsockname()[1]
        self.process: Process
        self._deadline = deadline
        self._starter = starter
        self._reservation = reservation
        self._takes_listener = takes_listener
        self._is_up = is_up

    def boot(self) -> None:
        """Start the process and wait for its first answer."""
        said = len(self._log())
        try:
            self.process = self._launch()
            wait_until_answering(self.port, self.process, self._deadline)
            wait_until(
                lambda: self._is_up(self._log()[said:]),
                self.process,
                self._deadline,
            )
        except LaunchError as error:
            self.close()
            raise StartError(with_log(str(error), self.launch.log)) from None
        except BaseException:
            self.close()
            raise

    def _log(self) -> str:
        log = self.launch.log
        return log.read_text(errors="replace") if log.exists() else ""

    def _launch(self) -> Process:
        if not self._takes_listener:
            return self._starter(self.launch, None)
        with listen(self.port) as listener:
            return self._starter(self.launch, listener)

    def close(self) -> None:
        """Kill what still runs and give the port back."""
        if hasattr(self, "process"):
            self.process.kill()
            self.process.close()
        self._reservation.close()


def with_log(text: str, log: Path) -> str:
    """Add what a process has written to what went wrong with it."""
    written = log.read_text(errors="replace").strip() if log.exists() else ""
    return f"{text}\n{written}".strip()


@dataclass(frozen=True)
class Plan:
    """All that the instances of one service have in common."""

    book: Book
    recipe: Recipe
    subject: Subject
    env: Mapping[str, str]
    folder: Path
    workers: int

    def prepare(self) -> None:
        """Make what must be there once, before any instance starts."""
        if not self.subject.is_ours:
            return
        module = self.recipe.module(self.subject.name)
        code = f"from {module} import prepare; prepare()"
        log = self.folder / "prepare.log"
        launch = Launch(["python", "-c", code], dict(self.env), self.root, log)
        try:
            process = self.starter(launch, None)
        except LaunchError as error:
            raise StartError(str(error)) from None
        try:
            status = process.wait(self.subject.start_deadline)
        except TimeoutError as error:
            raise StartError(with_log(f"prepare() is {error}", log)) from None
        finally:
            process.kill()
            process.close()
        if status:
            raise StartError(with_log("prepare() failed", log))

    def server(self, number: int) -> Server:
        """Describe one instance."""
        reservation = reserve_port()
        port = reservation.getsockname()[1]
        serve = self.serve
        argv = self.argv(serve, port)
        env = {**self.env, "PORT": str(port)}
        log = self.folder / f"{number}.log"
        started = serve.started if serve is not None else None
        return Server(
            Launch(argv, env, self.root, log),
            self.starter,
            reservation,
            takes_listener=serve is not None and serve.fd is not None,
            deadline=self.subject.start_deadline,
            is_up=lambda log: (
                not started or self.workers <= log.count(started)
            ),
        )

    @property
    def root(self) -> Path:
        """The folder that the server runs in."""
        if self.subject.is_ours:
            return self.subject.tree or self.book.root
        return Path.cwd()

    @property
    def framework(self) -> Framework:
        """The framework of an implementation of ours."""
        return self.book.framework(self.subject.name)

    @property
    def served(self) -> str:
        """The name of the server: a recipe about servers chooses its own."""
        own = self.recipe.server
        name = self.subject.serve or own if own == "http" else own
        if self.workers > 1 and not self.framework.serve[name].workers:
            return "managed"
        return name

    @property
    def serve(self) -> Serve | None:
        """The server that fits the recipe and the number of workers."""
        if not self.subject.is_ours:
            return None
        return self.framework.serve[self.served]

    def argv(self, serve: Serve | None, port: int) -> list[str]:
        """Write the command line of one instance."""
        if serve is None:
            assert self.subject.command is not None
            line = self.subject.command.replace("{port}", str(port))
            return shlex.split(line)
        bind = serve.port if serve.fd is None else serve.fd
        line = f"{serve.command} {' '.join(self.options)}".strip()
        return [
            word.replace("{module}", self.recipe.module(self.subject.name))
            .replace("{workers}", str(self.workers))
            .replace("{host}", "127.0.0.1")
            .replace("{port}", str(port))
            for word in line.replace("{bind}", bind).split()
        ]

    @property
    def differences(self) -> list[Difference]:
        """What is declared for this implementation."""
        if not self.subject.is_ours:
            return []
        name = self.subject.name
        found = [
            *(
                d
                for d in self.framework.differences
                if d.holds_in(self.recipe, self.served)
            ),
            *(d for d in self.recipe.differences if name in d.frameworks),
        ]
        return [d for d in found if self.workers == 1 or not d.alone]

    @property
    def options(self) -> list[str]:
        """What this recipe adds to the server's command line."""
        return list(self.recipe.serve_options.get(self.subject.name, ()))

    @property
    def starter(self) -> Callable[[Launch, socket.socket | None], Process]:
        """How a process is made."""
        if not self.subject.is_ours:
            return launch_plainly
        python = python_for(self.framework, self.book.home)
        if self.subject.plainly:
            return lambda launch, listener: launch_plainly(
                with_scripts_of(python, launch), listener
            )
        return warm_parent(python, self.framework).launch


@cache
def warm_parent(python: Path, framework: Framework) -> WarmParent:
    """Start the warm parent of a framework, once for each run."""
    modules = [framework.name, *framework.companions, *framework.warm]
    return WarmParent(python, modules)


def with_scripts_of(python: Path, launch: Launch) -> Launch:
    """Take the commands from the environment of an interpreter."""
    name, *rest = launch.argv
    env = {**launch.env}
    env["PATH"] = f"{python.parent}{os.pathsep}{env.get('PATH', '')}"
    return Launch(
        [str(python.parent / name), *rest], env, launch.cwd, launch.log
    )


def environment(
    book: Book,
    recipe: Recipe,
    subject: Subject,
    folder: Path,
    knobs: Mapping[str, object],
    workers: int,
    seed: int | None,
) -> dict[str, str]:
    """Make the settings of a service: defaults, then knobs, then the user's.

    Nothing else of this process's environment reaches a service of the
    book. A command gets all of it but the knobs, as from a shell.
    """
    if subject.is_ours:
        env = {n: os.environ[n] for n in INHERITED if n in os.environ}
        env["HOME"] = str(folder)
    else:
        own = {knob.env for knob in recipe.knobs}
        env = {n: v for n, v in os.environ.items() if n not in own}
    env |= {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOST": "127.0.0.1",
        "WORKERS": str(workers),
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        "SEED": str(DEFAULT_SEED if seed is None else seed),
    }
    if subject.is_ours:
        env["PYTHONPATH"] = str(subject.tree or book.root)
    for knob in recipe.knobs:
        if knob.type == "secret":
            env[knob.env] = secrets.token_hex(32)
        elif knob.type == "file":
            env[knob.env] = str(folder / str(knob.default))
    env |= {name: str(value) for name, value in knobs.items()}
    unset = {name for name, value in knobs.items() if value is None}
    env = {name: value for name, value in env.items() if name not in unset}
    return env | dict(subject.settings)
