"""Hold a subject to a contract from inside the tool."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx2
import pytest

from cookbook.book import Book
from cookbook.contract import plugin, waiting
from cookbook.contract.outcomes import Outcome, Recorder
from cookbook.contract.servers import StartError, Subject
from cookbook.contract.service import RUNNING

MOST_SILENCES = 3


class NoVerdict(RuntimeError):
    """Tests that could not be run; the text says why."""


class Given:
    """A pytest plugin that hands the subject in, and gives up in time.

    `gave_up` says why no more was asked of the service: it is gone, or it
    has left too many requests unanswered. Nor is more asked than it takes
    to break the rule `to_break`.
    """

    def __init__(
        self,
        subject: Subject,
        tell: Callable[[str, str], None] | None = None,
        to_break: str | None = None,
        *,
        manners: bool = False,
    ) -> None:
        self.recorder = Recorder()
        self.is_interrupted = False
        self.gave_up = ""
        self._subject = subject
        self._tell = tell
        self._to_break = to_break
        self._manners = manners
        self._silences: list[BaseException] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Say what is judged, and who takes the reports."""
        config.stash[plugin.SUBJECTS] = [self._subject]
        config.stash[plugin.RECORDER] = self.recorder
        config.stash[plugin.JUDGED] = True
        config.stash[plugin.READS] = self._manners

    def pytest_keyboard_interrupt(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> None:
        """Somebody wants it to end, where pytest does not itself."""
        self.is_interrupted = not excinfo.errisinstance(
            pytest.Session.Interrupted
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell how far it is."""
        if self._tell is not None and report.when == "call":
            self._tell(report.nodeid, report.outcome)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> None:
        """Give up where it makes no sense to ask on."""
        if call.excinfo is None:
            return
        if not self.gave_up:
            self.gave_up = self._reason(call.excinfo.value)
            if self.gave_up:
                item.session.shouldfail = self.gave_up
        is_assertion = call.excinfo.errisinstance(plugin.JUDGEMENTS)
        if is_assertion and self._to_break in plugin.rules_of(item):
            item.session.shouldfail = f"{self._to_break} is broken"

    def _reason(self, error: BaseException) -> str:
        if not isinstance(error, httpx2.TransportError | StartError):
            return ""
        if error not in self._silences:
            self._silences.append(error)
        ended = [why for one in RUNNING if (why := one.obituary())]
        if ended:
            return ended[0]
        if len(self._silences) < MOST_SILENCES:
            return ""
        return f"{MOST_SILENCES} times there was no answer"


@dataclass(frozen=True)
class Judgement:
    """What a run has found, and why it ended early, if it did."""

    outcomes: list[Outcome]
    gave_up: str = ""


def judge(
    recipe: str,
    subject: Subject,
    rules: Sequence[str] = (),
    *,
    manners: bool = False,
    most_failures: int = 0,
    to_break: str | None = None,
    patience: float = waiting.PATIENCE,
    tell: Callable[[str, str], None] | None = None,
) -> Judgement:
    """Run the contract of a recipe, or some of its rules, on a subject.

    It stops after `most_failures`, where that is not 0, and as soon as an
    assertion shows that the rule `to_break` is broken. `patience` is for
    how many seconds a test waits for what must come.
    Raises `NoVerdict` where the tests themselves cannot be run.
    """
    book = Book.load()
    described = book.recipe(recipe)
    files = [described.contract]
    if manners:
        files.append(described.contract.parents[1] / "test_manners.py")
    given = Given(subject, tell, to_break, manners=manners)
    arguments = [
        *map(str, files),
        f"--rootdir={book.root}",
        *("-c", os.devnull, "-p", "no:cacheprovider"),
        *("-p", "no:unraisableexception", "--tb=native"),
        *("--import-mode=importlib", "--strict-markers", "-q"),
        f"--cookbook-recipe={described.slug}",
        *(f"--cookbook-rule={rule}" for rule in rules),
    ]
    arguments.append(f"--maxfail={most_failures}")
    output = io.StringIO()
    with contextlib.redirect_stdout(output), alone(), waiting_for(patience):
        status = pytest.main(arguments, plugins=[given, plugin])
    if given.is_interrupted:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise NoVerdict(
            f"The tests of {described.slug} cannot be run"
            f" (pytest ended with {int(status)}).\n{output.getvalue()}"
        )
    return Judgement(given.recorder.outcomes(), given.gave_up)


@contextlib.contextmanager
def waiting_for(patience: float) -> Iterator[None]:
    """Have the tests wait for so many seconds, and no more."""
    before, waiting.PATIENCE = waiting.PATIENCE, patience
    try:
        yield
    finally:
        waiting.PATIENCE = before


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep what the user has set up for other tests out of these."""
    wanted = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    names = (*wanted, "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
