"""What a process knows of its own health, and how it tells it.

A watcher notes what it finds, probes read the last report: neither waits
for the other. Nothing here looks at anything but the clock.
"""

import time
from collections.abc import Collection, Mapping
from math import inf
from typing import Any, NamedTuple

from shared.problems import MEDIA_TYPE, named_problem

type Results = Mapping[str, BaseException | None]
"""What was wrong with each dependency, or nothing."""


class Report(NamedTuple):
    """What was found, and when."""

    results: Results
    at: float


class Verdict(NamedTuple):
    """What a probe is answered."""

    status: int
    body: dict[str, Any]

    @property
    def media_type(self) -> str:
        """A verdict that is no success is a problem document."""
        return MEDIA_TYPE if self.status >= 400 else "application/json"


class Health:
    """The health of one process: whether it has started, and is ready.

    The watcher looks every `interval` seconds, and a check takes `limit`
    seconds at most. What is `optional` may fail.
    """

    def __init__(
        self, interval: float, limit: float, optional: Collection[str] = ()
    ) -> None:
        self.started = False
        self._optional = optional
        self._report = Report({}, -inf)
        self._most_age = 3 * (interval + limit)

    def note(self, results: Results) -> list[str]:
        """Keep a report; say what has changed, for the log.

        An error is called by its class alone: its text may have an
        address, and an address a password.
        """
        before = self._report.results
        self._report = Report(results, time.monotonic())
        return [
            f"{name} fails: {type(error).__name__}"
            if (error := results.get(name))
            else f"{name} passes"
            for name in {**before, **results}
            if bool(results.get(name)) is not bool(before.get(name))
        ]

    def startup(self) -> Verdict:
        """Tell whether the warm-up is done."""
        if self.started:
            return Verdict(200, {"status": "started"})
        return not_ready("not-started", "Not started", "It is warming up.")

    def readiness(self) -> Verdict:
        """Tell whether requests are welcome, by the last report."""
        # rule: started-first
        if not self.started:
            return self.startup()
        report = self._report
        # rule: no-old-report
        if time.monotonic() - report.at > self._most_age:
            return not_ready("not-ready", "Not ready", "No report is fresh.")
        failed = {name for name, error in report.results.items() if error}
        checks = {
            name: "fail" if name in failed else "pass"
            for name in report.results
        }
        # rule: required-decides
        if failed.difference(self._optional):
            return not_ready(
                "not-ready",
                "Not ready",
                "Something that is needed fails.",
                # rule: pass-or-fail
                checks=checks,
            )
        status = "degraded" if failed else "ready"
        return Verdict(200, {"status": status, "checks": checks})


def not_ready(name: str, title: str, detail: str, **more: Any) -> Verdict:
    """Turn requests away, for now."""
    return Verdict(503, {**named_problem(503, name, title, detail), **more})
