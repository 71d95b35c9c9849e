"""The servers that a reader tries a recipe with, started when asked.

Those of one recipe run at a time, each with an empty database of its own.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from threading import Lock
from uuid import uuid4

from cookbook.book import Book, Example, Framework, Recipe
from cookbook.contract.examples import capture
from cookbook.contract.servers import StartError, Subject
from cookbook.contract.service import start
from cookbook.names import WrongUse
from cookbook.results import hashes
from cookbook.site.exchange import Answer, Request, exchange, trouble

START_DEADLINE = 30.0


class Running:
    """A server that runs, and the values that its answers gave so far."""

    def __init__(
        self, book: Book, recipe: Recipe, framework: Framework, unique: str
    ) -> None:
        self.state = state_of(book, recipe, framework)
        self._examples = recipe.examples
        self._given = {"unique": unique}
        self._open = ExitStack()
        subject = Subject(
            framework.name,
            tree=book.root,
            plainly=True,
            start_deadline=START_DEADLINE,
        )
        started = start(recipe.slug, subject, book=book)
        self.service = self._open.enter_context(started)

    def answer(self, request: Request, example: Example | None) -> Answer:
        """Send a request, after the examples that it stands on."""
        if example is not None and request.names - self._given.keys():
            earlier = self._examples[: self._examples.index(example)]
            for each in earlier:
                self._send(Request.of(each), each)
        return self._send(request, example)

    def _send(self, request: Request, example: Example | None) -> Answer:
        answer = exchange(self.service.url, request.filled(self._given))
        if example is not None and answer.response is not None:
            for name, place in example.capture.items():
                with suppress(AssertionError):
                    self._given[name] = capture(
                        example, answer.response, place
                    )
        return answer

    def log(self) -> str:
        """Read what the server has written."""
        return self.service.log()

    def has_ended(self, within: float = 0) -> bool:
        """Tell whether its process has ended by itself, or does so soon."""
        try:
            self.service.server.process.wait(within)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End it, and remove what it kept."""
        self._open.close()


class Servers:
    """What runs now: the servers of one recipe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slug = ""
        self._unique = ""
        self._running: dict[str, Running] = {}

    def of(self, recipe: Recipe) -> list[str]:
        """Name the frameworks in which a recipe runs now."""
        return list(self._running) if recipe.slug == self._slug else []

    def ask(
        self,
        book: Book,
        recipe: Recipe,
        frameworks: Sequence[Framework],
        request: Request,
        example: Example | None,
    ) -> list[Answer]:
        """Send a request to the servers of a recipe, all at once."""
        with self._lock:
            if recipe.slug != self._slug or not self._running:
                self._stop()
                self._slug, self._unique = recipe.slug, uuid4().hex[:8]
            one = partial(self._ask, book, recipe, request, example)
            with ThreadPoolExecutor(len(frameworks)) as pool:
                return list(pool.map(one, frameworks))

    def _ask(
        self,
        book: Book,
        recipe: Recipe,
        request: Request,
        example: Example | None,
        framework: Framework,
    ) -> Answer:
        try:
            running = self._started(book, recipe, framework)
        except (StartError, WrongUse) as error:
            first, _, log = str(error).partition("\n")
            return trouble(f"It did not start: {first}", log)
        answer = running.answer(request, example)
        # It closes its sockets a moment before it has ended.
        within = 0.5 if answer.response is None else 0
        if running.has_ended(within):
            log = running.log()
            self._running.pop(framework.name).close()
            return trouble("It ended while it was asked.", log)
        return answer

    def _started(
        self, book: Book, recipe: Recipe, framework: Framework
    ) -> Running:
        """Find the server, or start it; anew where its files changed."""
        running = self._running.get(framework.name)
        if running is not None:
            is_new = running.state == state_of(book, recipe, framework)
            if is_new and not running.has_ended():
                return running
            self._running.pop(framework.name).close()
        running = Running(book, recipe, framework, self._unique)
        self._running[framework.name] = running
        return running

    def stop(self) -> None:
        """End all that runs."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        while self._running:
            _, running = self._running.popitem()
            running.close()

    def close(self) -> None:
        """End all that runs, for good.

        What is just being started is ended with this process, by its guard.
        """
        if self._lock.acquire(blocking=False):
            self._stop()


def state_of(
    book: Book, recipe: Recipe, framework: Framework
) -> dict[str, str]:
    """Name the state of all that a server is made of."""
    found = hashes(book, recipe.slug, framework.name)
    return {part: found[part] for part in found if part != "contract"}
