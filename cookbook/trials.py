"""Try the wrong ways: does the contract notice, by its own rule's tests?"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from cookbook.book import Book, Recipe
from cookbook.contract.outcomes import Failure, Outcome
from cookbook.contract.runs import judge
from cookbook.contract.servers import Subject
from cookbook.names import WrongUse
from cookbook.pitfalls import (
    Marked,
    Pitfall,
    marked,
    read_pitfalls,
    take_out,
    tree_of,
)
from cookbook.results import digest, hashes, read_rows, write_rows

CAUGHT = "caught"
SURVIVED = "survived"
ELSEWHERE = "caught only elsewhere"
TOO_MUCH = "breaks more than it says"
CRASHED = "crashed"
NOT_CHECKED = "not checked"
"""No test noticed, and some of the rule's had not what they need here."""

SCOPES = FIRST, RULE, WHOLE = "first", "rule", "whole"
"""How much is asked of a wrong way: until a test of its rule has noticed,
every test of the rule, or the whole contract."""

PATIENCE = 4.0
ANSWER_DEADLINE = 8.0
MOST_FAILURES = 3
"""After so many failures without an assertion, none will come."""


@dataclass(frozen=True)
class Trial:
    """A wrong way in a framework: what is changed, and how.

    `change` makes the wrong way in a copy of the tree.
    """

    recipe: Recipe
    framework: str
    kind: str
    id: str
    rule: str
    also_breaks: tuple[str, ...]
    change: Callable[[Path], None]


@dataclass(frozen=True)
class Finding:
    """What a trial found.

    `test` is the test that caught it and `message` its assertion, or why
    it was not caught; `tests` are all tests that failed, `asked` those of
    the rule that came to a verdict, and `broken` the other rules that it
    broke, where the whole contract was run.
    """

    recipe: str
    framework: str
    kind: str
    id: str
    rule: str
    verdict: str
    test: str
    message: str
    tests: list[str]
    asked: list[str]
    scope: str
    broken: list[str]
    seconds: float
    date: str
    hashes: dict[str, str]

    @property
    def is_good(self) -> bool:
        """Tell whether the contract did what it is for."""
        if self.kind == "ablation":
            return self.verdict in (CAUGHT, CRASHED, NOT_CHECKED)
        return self.verdict in (CAUGHT, NOT_CHECKED)


def trials(recipe: Recipe, framework: str) -> Iterator[Trial]:
    """List the wrong ways of a recipe in a framework."""
    for pitfall in read_pitfalls(recipe):
        if pitfall.edits_for(recipe, framework):
            yield of_pitfall(recipe, framework, pitfall)
    for piece in marked(recipe, framework):
        yield of_piece(recipe, framework, piece)


def of_pitfall(recipe: Recipe, framework: str, pitfall: Pitfall) -> Trial:
    """Make the mistake that people make."""

    def change(tree: Path) -> None:
        for edit in pitfall.edits_for(recipe, framework):
            edit.apply(tree)

    return Trial(
        recipe,
        framework,
        "pitfall",
        pitfall.id,
        pitfall.rule,
        pitfall.also_breaks,
        change,
    )


def of_piece(recipe: Recipe, framework: str, piece: Marked) -> Trial:
    """Leave out what keeps a rule."""
    return Trial(
        recipe,
        framework,
        "ablation",
        piece.id,
        piece.mark.rule,
        (),
        lambda tree: take_out(tree, piece),
    )


def attempt(book: Book, trial: Trial, scope: str = FIRST) -> Finding:
    """Try a wrong way, under as many tests as the `scope` says."""
    begun = perf_counter()
    recipe = trial.recipe
    hashes_then = made_with(book, recipe, trial.framework)
    with tree_of(book, recipe) as tree:
        try:
            trial.change(tree)
        except (FileNotFoundError, ValueError) as error:
            name = f"{trial.id} in {trial.framework}"
            raise WrongUse(f"{name} cannot be tried: {error}") from None
        subject = Subject(
            trial.framework, tree=tree, answer_deadline=ANSWER_DEADLINE
        )
        outcomes = tried(recipe.slug, subject, trial.rule, scope)
    verdict, failure = verdict_on(trial, outcomes, scope)
    return Finding(
        recipe=recipe.slug,
        framework=trial.framework,
        kind=trial.kind,
        id=trial.id,
        rule=trial.rule,
        verdict=verdict,
        test=failure.test if failure else "",
        message=failure.message if failure else "no test noticed",
        tests=sorted({failure.test for failure in failures(outcomes)}),
        asked=sorted(asked_in(outcomes, trial.rule)),
        scope=scope,
        broken=others(trial, outcomes),
        seconds=round(perf_counter() - begun, 3),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        hashes=hashes_then,
    )


def tried(
    recipe: str, subject: Subject, rule: str, scope: str
) -> list[Outcome]:
    """Run the rule's own tests; all where they do not notice, or `WHOLE`.

    Who does wrong is not waited for as long as who does right.
    """
    if scope == WHOLE:
        return judge(recipe, subject, patience=PATIENCE).outcomes
    if scope == RULE:
        return judge(recipe, subject, (rule,), patience=PATIENCE).outcomes
    outcomes = judge(
        recipe,
        subject,
        (rule,),
        most_failures=MOST_FAILURES,
        to_break=rule,
        patience=PATIENCE,
    ).outcomes
    if failures([o for o in outcomes if o.rule == rule]):
        return outcomes
    return judge(recipe, subject, most_failures=1, patience=PATIENCE).outcomes


def verdict_on(
    trial: Trial, outcomes: list[Outcome], scope: str
) -> tuple[str, Failure | None]:
    """Judge by the first assertion that failed, the rule's own first."""
    own = failures([o for o in outcomes if o.rule == trial.rule])
    judged = [failure for failure in own if failure.assertion]
    if judged:
        unexpected = set(others(trial, outcomes)) - set(trial.also_breaks)
        if scope == WHOLE and trial.kind == "pitfall" and unexpected:
            return TOO_MUCH, judged[0]
        return CAUGHT, judged[0]
    if own:
        return CRASHED, own[0]
    own_tests = [o.tests.values() for o in outcomes if o.rule == trial.rule]
    if any(NOT_CHECKED in verdicts for verdicts in own_tests):
        return NOT_CHECKED, None
    elsewhere = failures(outcomes)
    if elsewhere:
        return ELSEWHERE, elsewhere[0]
    return SURVIVED, None


def asked_in(outcomes: list[Outcome], rule: str) -> set[str]:
    """Name the tests of a rule that came to a verdict."""
    return {
        test
        for outcome in outcomes
        if outcome.rule == rule
        for test, verdict in outcome.tests.items()
        if verdict in ("passed", "failed")
    }


def failures(outcomes: list[Outcome]) -> list[Failure]:
    """Collect the failures of some outcomes."""
    return [failure for outcome in outcomes for failure in outcome.failures]


def others(trial: Trial, outcomes: list[Outcome]) -> list[str]:
    """Name the other rules that broke."""
    return [
        outcome.rule
        for outcome in outcomes
        if outcome.verdict == "broken" and outcome.rule != trial.rule
    ]


def made_with(book: Book, recipe: Recipe, framework: str) -> dict[str, str]:
    """Name the state of every file that a finding depends on."""
    found = hashes(book, recipe.slug, framework)
    return found | {"pitfalls": digest([recipe.pitfalls])}


def known(book: Book) -> dict[tuple[str, str, str, str], Finding]:
    """Read the newest findings by recipe, framework, kind and id."""
    rows = read_rows(book.home / "pitfalls.jsonl", fields(Finding))
    found = [Finding(**row) for row in rows]
    return {(f.recipe, f.framework, f.kind, f.id): f for f in found}


def write_down(book: Book, findings: list[Finding]) -> None:
    """Keep findings for later runs, and for readers."""
    rows = [asdict(finding) for finding in findings]
    key = ("recipe", "framework", "kind", "id")
    write_rows(book.home / "pitfalls.jsonl", rows, key)


def sampled(
    book: Book, listed: Iterable[Trial], size: int, day: int
) -> Iterator[Trial]:
    """Choose one in `size` of those never made, others each `day`.

    What was made before is left in. A mistake that can be made in each of
    so many frameworks is chosen in one of them.
    """
    findings = known(book)
    places = {name: place for place, name in enumerate(book.frameworks)}
    for trial in listed:
        place = trial.recipe.slug, trial.framework, trial.kind, trial.id
        number = zlib.crc32(f"{trial.recipe.slug} {trial.id}".encode())
        turn = number + places[trial.framework] + day
        if place in findings or turn % size == 0:
            yield trial


def changed_ones(
    book: Book, listed: Iterable[Trial], scope: str = FIRST
) -> Iterator[Trial]:
    """Choose the trials that are to be made again, or under more tests."""
    findings = known(book)
    state: dict[tuple[str, str], dict[str, str]] = {}
    for trial in listed:
        cell = (trial.recipe.slug, trial.framework)
        if cell not in state:
            state[cell] = made_with(book, trial.recipe, trial.framework)
        finding = findings.get((*cell, trial.kind, trial.id))
        if (
            finding is None
            or not finding.is_good
            or finding.verdict == NOT_CHECKED
            or finding.hashes != state[cell]
            or SCOPES.index(finding.scope) < SCOPES.index(scope)
        ):
            yield trial
