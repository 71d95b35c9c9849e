"""What was proven of each rule in each framework, as it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cookbook.book import Book, Framework, Recipe
from cookbook.keeping import differences
from cookbook.results import MANNERS, Result, hashes, load

WORDS = {
    "passed": "passed",
    "declared": "passed as declared",
    "stale": "stale",
    "never": "not verified",
    "failed": "failed",
    "missing": "not written yet",
}
"""How each state is called; the form of the thread has the same name."""

WORST_FIRST = ("failed", "never", "stale", "declared", "passed")


@dataclass(frozen=True)
class Proof:
    """What the newest run has found of a rule in a framework."""

    state: str
    note: str = ""
    date: str = ""
    versions: tuple[str, ...] = ()
    tests: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def word(self) -> str:
        """Call the state by its word."""
        return WORDS[self.state]

    @property
    def failed(self) -> list[str]:
        """List the tests that failed."""
        return [n for n, found in self.tests.items() if found != "passed"]


class Proofs:
    """All results of a book, read once, or those on real parts."""

    def __init__(self, book: Book, *, on_parts: bool = False) -> None:
        self._book = book
        self._on_parts = on_parts
        self._known = load(book, on_parts=on_parts)
        self._now: dict[tuple[str, ...], dict[str, str]] = {}

    def rows(self, recipe: Recipe) -> list[Result]:
        """List what is known of a recipe."""
        return [r for r in self._known.values() if r.recipe == recipe.slug]

    def of(self, recipe: Recipe, rule: str, framework: Framework) -> Proof:
        """Judge a rule in a framework."""
        if recipe.implementation(framework.name) is None:
            return Proof("missing")
        result = self._known.get((recipe.slug, rule, framework.name))
        if result is None:
            return Proof("never")
        state, note = self._judged(recipe, result, framework)
        return Proof(
            state,
            note,
            day(result.date),
            versions(result, framework),
            result.tests,
        )

    def cell(self, recipe: Recipe, framework: Framework) -> str:
        """Judge a recipe in a framework: as its worst rule is.

        Manners are no rule on real parts: they are not tried there.
        """
        if recipe.implementation(framework.name) is None:
            return "missing"
        rules = [rule.id for rule in recipe.rules]
        if not self._on_parts:
            rules.append(MANNERS)
        states = {self.of(recipe, rule, framework).state for rule in rules}
        return next(state for state in WORST_FIRST if state in states)

    def newest(self) -> Result | None:
        """Find the newest result of all."""
        results = self._known.values()
        return max(results, key=lambda result: result.date, default=None)

    def _judged(
        self, recipe: Recipe, result: Result, framework: Framework
    ) -> tuple[str, str]:
        if self._is_stale(result):
            then = "failed" if result.verdict == "broken" else "passed"
            return "stale", f"{then} on {day(result.date)}, changed since"
        if result.verdict == "broken":
            return "failed", ""
        if result.verdict != "kept":
            return "never", result.verdict
        rule = next((r for r in recipe.rules if r.id == result.rule), None)
        declared = rule and differences(recipe, rule, framework)
        return ("declared" if declared else "passed"), ""

    def _is_stale(self, result: Result) -> bool:
        kind = MANNERS if result.rule == MANNERS else ""
        place = result.recipe, result.framework, kind
        if place not in self._now:
            self._now[place] = hashes(self._book, *place)
        return result.hashes != self._now[place]


def versions(result: Result, framework: Framework) -> tuple[str, ...]:
    """Name the versions that a result was found with."""
    found = result.versions
    names = {framework.title: framework.name, "Python": "python"}
    return tuple(
        f"{title} {found[name]}"
        for title, name in names.items()
        if name in found
    )


def day(date: str) -> str:
    """Write the day of a date: `22 Nov 2026`."""
    return f"{datetime.fromisoformat(date):%-d %b %Y}"
