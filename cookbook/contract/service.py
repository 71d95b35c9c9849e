"""A service under contract: the real server, in a process of its own.

`start` is the face of the harness, `Service` is what a test holds.
"""

import contextlib
import os
import shutil
import signal
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from cookbook.book import Book, Difference, Recipe
from cookbook.contract.doors import Door
from cookbook.contract.exchanges import note_exchange
from cookbook.contract.processes import guard
from cookbook.contract.realparts import (
    PARTS,
    need,
    parts_that_answer,
    shares,
)
from cookbook.contract.servers import (
    ANSWER_DEADLINE,
    STOP_DEADLINE,
    Plan,
    Server,
    Subject,
    environment,
)

ROOM = 1 << 30
"""How much must be free in memory for a service to keep its data there."""

LAST_WORDS = 12
MOST_ROUNDS = 100
SHARING = 2
"""How many workers there are at least, where state is to be shared."""

RUNNING: list["Service"] = []
"""The services of this process that were started and are not yet closed."""


class Service:
    """A running service, and the other instances beside it.

    `url` is its address; `instances` are all that were started, this one
    the first, each with the same face; `examples` are the recipe's.
    """

    def __init__(
        self,
        url: str,
        recipe: Recipe,
        differences: Sequence[Difference] = (),
        server: Server | None = None,
        answer_deadline: float = ANSWER_DEADLINE,
    ) -> None:
        self.url = url
        self.examples = recipe.examples
        self.instances: list[Service] = [self]
        self._differences = {d.id: d for d in differences}
        self._excused = {note for d in differences for note in d.httplint}
        self._server = server
        self._client: httpx2.Client | None = None
        self._deadline = answer_deadline
        self._secrets = [k.env for k in recipe.knobs if k.type == "secret"]
        RUNNING.append(self)

    @property
    def secrets(self) -> list[str]:
        """What must never be seen in an answer."""
        env = self._server.launch.env if self._server is not None else {}
        return [env[name] for name in self._secrets if name in env]

    def request(
        self, method: str, path: str, **options: Any
    ) -> httpx2.Response:
        """Send a request and read the whole answer.

        Cookies are not kept and redirects not followed; `options` are
        those of `httpx2.Client.request`.
        """
        if self._client is None:
            self._client = make_client(self.url, self._deadline)
        try:
            response = self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            note_exchange(error)
            raise
        note_exchange(response, self._excused)
        return response

    def differs(self, identifier: str) -> Difference | None:
        """Look up a declared difference; `None` where the rule is kept."""
        return self._differences.get(identifier)

    def needs(self, what: str) -> None:
        """Leave the test as not checked where only a URL is known."""
        if self._server is None:
            pytest.skip(f"not checked: needs {what}, only a URL is known")

    @property
    def server(self) -> Server:
        """The process and how it is started."""
        self.needs("the process")
        assert self._server is not None
        return self._server

    def signal(self, number: int) -> None:
        """Signal the server's first process."""
        self.server.process.signal(number)

    def kill(self) -> None:
        """Kill the server and all its processes at once."""
        self.server.process.kill()

    def wait(self, deadline: float) -> int:
        """Wait for the exit status; `TimeoutError` after the deadline."""
        try:
            return self.server.process.wait(deadline)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.last_words()}") from None

    def restart(self) -> None:
        """Stop with SIGTERM, or find it ended; start on the same port."""
        self._drop_client()
        self.signal(signal.SIGTERM)
        self.wait(STOP_DEADLINE)
        self.server.process.close()
        self.server.boot()

    def pids(self) -> list[int]:
        """List the processes of the server, the first one first."""
        first = psutil.Process(self.server.process.pid)
        return [first.pid, *(c.pid for c in first.children(recursive=True))]

    def log(self) -> str:
        """Read what the server has written so far."""
        return self.server.launch.log.read_text(errors="replace")

    def ask_every_worker(
        self, count: int, method: str, path: str
    ) -> list[httpx2.Response]:
        """Repeat a request until `count` processes have answered it.

        Gives one answer of each. Who answered is seen by who holds the
        other end of the connection.
        """
        self.needs("the process")
        answers: dict[int, httpx2.Response] = {}
        for _ in range(MOST_ROUNDS):
            with ThreadPoolExecutor(8) as pool:
                asks = [pool.submit(self._ask, method, path) for _ in range(8)]
            found = dict(map(Future.result, asks))
            answers = {pid: found[pid] for pid in found if pid} | answers
            if len(answers) >= count:
                return list(answers.values())
        raise AssertionError(f"{len(answers)} of {count} processes answered")

    def _ask(self, method: str, path: str) -> tuple[int, httpx2.Response]:
        """Ask, and see who answers; 0 where that is seen too late."""
        with (
            make_client(self.url, self._deadline) as client,
            client.stream(method, path) as answer,
        ):
            stream = answer.extensions["network_stream"]
            _, port = stream.get_extra_info("client_addr")
            pid = self._holder(port)
            answer.read()
        note_exchange(answer, self._excused)
        return pid, answer

    def _holder(self, port: int) -> int:
        for pid in self.pids():
            with contextlib.suppress(psutil.NoSuchProcess):
                for held in psutil.Process(pid).net_connections("tcp"):
                    if held.raddr and held.raddr.port == port:
                        return pid
        # On a busy machine the server may have hung up by now.
        return 0

    def last_words(self) -> str:
        """Read the end of what the server has written."""
        return "\n".join(self.log().splitlines()[-LAST_WORDS:])

    def obituary(self) -> str:
        """Say how the service has ended, or that it is deaf; else nothing."""
        if self._server is not None:
            # It closes its sockets a moment before it has ended.
            try:
                code = self._server.process.wait(0.5)
            except TimeoutError:
                return ""
            said = self.last_words()
            return f"the service ended with status {code}\n{said}".strip()
        try:
            with make_client(self.url, min(self._deadline, 5)) as client:
                client.get("/")
        except httpx2.TransportError as error:
            return f"{self.url} no longer answers: {error}"
        return ""

    def close(self) -> None:
        """Leave nothing behind."""
        if self in RUNNING:
            RUNNING.remove(self)
        self._drop_client()
        if self._server is not None:
            self._server.close()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def make_client(url: str, deadline: float = ANSWER_DEADLINE) -> httpx2.Client:
    """Make a client that keeps no cookies and follows no redirects.

    It drops idle connections sooner than any server does, so that no
    request meets a connection that is being closed.
    """
    client = httpx2.Client(
        base_url=url,
        timeout=deadline,
        trust_env=False,
        verify=no_tls(),
        limits=httpx2.Limits(keepalive_expiry=1),
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


@cache
def no_tls() -> ssl.SSLContext:
    """Make what a client wants, and a service on this machine never uses.

    One without certificates, once: reading them takes longer than a start.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def in_memory() -> str | None:
    """Find a folder in memory, where a commit waits for no disk."""
    # Only a name to look at: `mkdtemp` makes what is used in it.
    folder = "/dev/shm"  # noqa: S108
    if not os.access(folder, os.W_OK):
        return None
    return folder if shutil.disk_usage(folder).free > ROOM else None


@contextlib.contextmanager
def temporary_folder(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Make a folder that is gone afterwards, even after SIGKILL."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    guard().note("remove", folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        guard().note("spare", folder)


@contextlib.contextmanager
def parts_of(
    recipe: Recipe, subject: Subject, wanted: Sequence[str | Door]
) -> Iterator[dict[str, object]]:
    """Give the settings of the real parts that a service runs on."""
    names = [one if isinstance(one, str) else one.name for one in wanted]
    if not names and not subject.on_parts:
        yield {}
        return
    need(names)
    if subject.on_parts:
        names = list(dict.fromkeys((*names, *parts_that_answer(recipe))))
    with shares(names) as settings:
        for one in wanted:
            if not isinstance(one, str):
                env = PARTS[one.name].env
                settings[env] = one.through(settings[env])
        yield dict(settings)


@contextlib.contextmanager
def start(
    recipe: str,
    framework: str | Subject,
    knobs: Mapping[str, object] | None = None,
    workers: int = 1,
    instances: int = 1,
    seed: int | None = None,
    *,
    parts: Sequence[str | Door] = (),
    book: Book | None = None,
) -> Iterator[Service]:
    """Start a service, give it to the test, and leave nothing behind.

    `knobs` are settings by name (`None`: not set at all), `seed` is how
    many rows there are at the start. `parts` are the real ones that it
    runs on, by name or through a door; where one does not answer, the test
    is left as not checked. A service known only by its URL is taken as it
    is: a test that asks for more is left as not checked. `book` is the one
    that it is of, where not that of the tool.
    """
    subject = framework
    if isinstance(subject, str):
        subject = Subject(subject)
    book = book or Book.load()
    described = book.recipe(recipe)
    if subject.url is not None:
        if knobs or workers > 1 or instances > 1 or seed is not None or parts:
            pytest.skip("not checked: needs to start the service itself")
        service = Service(
            subject.url, described, answer_deadline=subject.answer_deadline
        )
        with contextlib.closing(service):
            yield service
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            temporary_folder("cookbook-", in_memory())
        )
        settings = stack.enter_context(parts_of(described, subject, parts))
        if subject.on_parts:
            workers = max(workers, SHARING)
        env = environment(
            book,
            described,
            subject,
            folder,
            settings | dict(knobs or {}),
            workers,
            seed,
        )
        plan = Plan(book, described, subject, env, folder, workers)
        plan.prepare()
        services = []
        for number in range(instances):
            server = plan.server(number)
            server.boot()
            url = f"http://127.0.0.1:{server.port}"
            service = Service(
                url,
                described,
                plan.differences,
                server,
                subject.answer_deadline,
            )
            services.append(stack.enter_context(contextlib.closing(service)))
        for service in services:
            service.instances = services
        yield services[0]
