"""What the tests of a run say about the rules."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import time
from typing import Any

import pytest


@dataclass(frozen=True)
class Failure:
    """How a test failed.

    `assertion` is false where the test crashed instead of judging;
    `exchange` is the last request and answer before it.
    """

    test: str
    assertion: bool
    message: str
    exchange: str | None = None

    @property
    def gist(self) -> list[str]:
        """What the test said, and the comparison that failed."""
        return gist_of(self.message)


def gist_of(message: str) -> list[str]:
    """Take the first line of a failure, and the comparison in it."""
    lines = message.splitlines()
    compared = [one for one in lines[1:] if one.startswith("assert ")]
    first = [one.removeprefix("AssertionError: ") for one in lines[:1]]
    return [*first, *compared[:1]]


@dataclass(frozen=True)
class Outcome:
    """A rule in one subject: kept, broken, not checked, or incomplete.

    Incomplete: none of its tests failed, but some did not run, or not with
    each of their values.
    """

    recipe: str
    rule: str
    framework: str
    verdict: str
    tests: dict[str, str]
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0


@dataclass
class _Test:
    """The runs of a test, one for each of its values."""

    size: int
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        verdicts = set(self.runs.values())
        for one in ("failed", "not checked", "begun"):
            if one in verdicts:
                return one.replace("begun", "incomplete")
        return "passed" if self.size <= len(self.runs) else "incomplete"


@dataclass
class _Cell:
    tests: dict[str, _Test] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def runs_of(self, proves: Mapping[str, Any]) -> dict[str, str]:
        """The runs of a test, by their ids."""
        test = _Test(proves["variants"])
        return self.tests.setdefault(proves["test"], test).runs


class Recorder:
    """A pytest plugin that collects the reports of one run.

    `figures` are what its tests have counted, by recipe and framework;
    `unchecked` says why tests were left, and how many.
    """

    def __init__(self) -> None:
        self.begun = time()
        self.figures: dict[tuple[str, str], Counter[str]] = {}
        self.unchecked: Counter[str] = Counter()
        self._cells: dict[tuple[str, str, str], _Cell] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a report of any phase of a test, of a worker's too."""
        properties = dict(report.user_properties)
        proves = properties.get("cookbook")
        if not isinstance(proves, dict):
            return
        self._count(proves, report)
        remarks = properties.get("remarks")
        own = report.outcome
        if isinstance(remarks, dict):
            own = remarks["outcome"]
            self._blame(proves, report.nodeid, remarks["found"])
        for rule in proves["rules"]:
            cell = self._cell(proves, rule)
            cell.expected.update(proves["siblings"][rule])
            cell.seconds += report.duration
            runs = cell.runs_of(proves)
            before = runs.get(report.nodeid)
            runs[report.nodeid] = _judge(own, report.when, before)
            if own == "failed":
                cell.failures.append(_failure(proves["test"], report))

    def _count(
        self, proves: Mapping[str, Any], report: pytest.TestReport
    ) -> None:
        place = proves["recipe"], str(proves["framework"])
        for name, value in report.user_properties:
            if name == "figures" and isinstance(value, dict):
                self.figures.setdefault(place, Counter()).update(value)
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            self.unchecked[reason] += 1

    def _cell(self, proves: Mapping[str, Any], rule: str) -> _Cell:
        key = (proves["recipe"], rule, str(proves["framework"]))
        return self._cells.setdefault(key, _Cell())

    def _blame(
        self, proves: Mapping[str, Any], nodeid: str, found: list[Any]
    ) -> None:
        """Note what was wrong with answers, whatever the test is about."""
        from cookbook.results import MANNERS

        cell = self._cell(proves, MANNERS)
        cell.runs_of(proves)[nodeid] = "failed"
        known = {failure.message for failure in cell.failures}
        cell.failures += [
            Failure(proves["test"], **one)
            for one in found
            if one["message"] not in known
        ]

    def outcomes(self) -> list[Outcome]:
        """Judge the rules by what was reported so far."""
        return list(self._outcomes())

    def _outcomes(self) -> Iterator[Outcome]:
        for (recipe, rule, framework), cell in self._cells.items():
            yield Outcome(
                recipe,
                rule,
                framework,
                _verdict(cell),
                {name: test.verdict for name, test in cell.tests.items()},
                tuple(cell.failures),
                round(cell.seconds, 3),
            )


def _failure(test: str, report: pytest.TestReport) -> Failure:
    found = dict(report.user_properties).get("failure")
    if isinstance(found, dict):
        return Failure(test, **found)
    return Failure(test, assertion=False, message=str(report.longrepr))


def _judge(outcome: str, when: str | None, before: str | None) -> str:
    """Judge a run of a test by one more of its phases."""
    if "failed" in (outcome, before):
        return "failed"
    if outcome == "skipped":
        return "not checked"
    return "passed" if when == "call" else before or "begun"


def _verdict(cell: _Cell) -> str:
    verdicts = {test.verdict for test in cell.tests.values()}
    if "failed" in verdicts:
        return "broken"
    whole = cell.expected <= set(cell.tests)
    runs = {run for test in cell.tests.values() for run in test.runs.values()}
    if runs == {"not checked"} and whole:
        return "not checked"
    return "kept" if verdicts == {"passed"} and whole else "incomplete"
