"""`cookbook kills`: which test notices which wrong way.

As JSON, a list of recipes, each with its rules: the wrong ways that were
tried under every test of the rule, and for each test the wrong ways that it
noticed, by framework; then the tests that noticed nothing, and those that
noticed everything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cookbook.book import Book, Recipe
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    STRONG,
    STRONG_ACCENT,
    Line,
    Screen,
    heading,
    print_json,
    say,
)
from cookbook.trials import FIRST, Finding, known, made_with

FEW = 3
"""Of fewer wrong ways, to notice all of them says nothing."""


@dataclass(frozen=True)
class Row:
    """A test: the wrong ways it was asked about, and those it noticed.

    Both by the id of the wrong way: the frameworks where it was made.
    """

    test: str
    asked: dict[str, list[str]]
    noticed: dict[str, list[str]]
    ablations: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[int, int]:
        """Count the pieces of code that it missed, and those taken out."""
        asked = [piece for piece in self.ablations if piece in self.asked]
        return sum(piece in self.noticed for piece in asked), len(asked)


@dataclass(frozen=True)
class Block:
    """A rule: its wrong ways that were tried whole, and its tests."""

    rule: str
    pitfalls: tuple[str, ...]
    ablations: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def nothing(self) -> list[str]:
        """List the tests that noticed none."""
        return [row.test for row in self.rows if not row.noticed]

    @property
    def everything(self) -> list[str]:
        """List the tests that noticed each."""
        return [
            row.test
            for row in self.rows
            if row.noticed.keys() == row.asked.keys() and len(row.asked) >= FEW
        ]


def blocks(book: Book, recipe: Recipe) -> list[Block]:
    """Sum up what is known of a recipe, and still true."""
    found = list(current(book, recipe))
    return [
        block(rule.id, [f for f in found if f.rule == rule.id])
        for rule in recipe.rules
    ]


def current(book: Book, recipe: Recipe) -> Iterator[Finding]:
    """Find what was tried under every test, and has not changed since."""
    states: dict[str, dict[str, str]] = {}
    for finding in known(book).values():
        if finding.recipe != recipe.slug or finding.scope == FIRST:
            continue
        name = finding.framework
        if name not in states:
            states[name] = made_with(book, recipe, name)
        if finding.hashes == states[name]:
            yield finding


def block(rule: str, findings: list[Finding]) -> Block:
    """Sum up the findings of a rule."""
    tests = sorted({test for finding in findings for test in finding.asked})
    pieces = tuple(ids(findings, "ablation"))
    return Block(
        rule,
        tuple(ids(findings, "pitfall")),
        pieces,
        tuple(
            Row(
                test,
                places(f for f in findings if test in f.asked),
                places(f for f in findings if test in f.tests),
                pieces,
            )
            for test in tests
        ),
    )


def ids(findings: Iterable[Finding], kind: str) -> list[str]:
    """List the wrong ways of a kind, each once."""
    return list(dict.fromkeys(f.id for f in findings if f.kind == kind))


def places(findings: Iterable[Finding]) -> dict[str, list[str]]:
    """Group frameworks by the wrong way."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        found.setdefault(finding.id, []).append(finding.framework)
    return found


def show_kills(
    book: Book, screen: Screen, name: str | None, *, as_json: bool
) -> int:
    """Show it all; 1 where a test noticed nothing."""
    chosen = [book.recipe(name)] if name else list(book.recipes.values())
    found = {recipe: blocks(book, recipe) for recipe in chosen}
    if as_json:
        print_json([to_json(recipe, found[recipe]) for recipe in chosen])
    else:
        for recipe in chosen:
            screen.print(show(screen, recipe, found[recipe]))
    return 1 if any(b.nothing for own in found.values() for b in own) else 0


def to_json(recipe: Recipe, found: list[Block]) -> dict[str, Any]:
    """Give a recipe as data."""
    return {
        "recipe": recipe.slug,
        "rules": [asdict(each) for each in found],
        "nothing": [test for each in found for test in each.nothing],
        "everything": [test for each in found for test in each.everything],
    }


def show(screen: Screen, recipe: Recipe, found: list[Block]) -> list[Line]:
    """Write a recipe, rule by rule."""
    lines: list[Line] = [[], heading(recipe.title, screen.width)]
    if not any(each.rows for each in found):
        command = f"cookbook pitfalls {recipe.slug} --scope rule"
        return [*lines, [("Nothing was tried: ", FAINT), (command, ACCENT)]]
    for each in found:
        ways = len(each.pitfalls) + len(each.ablations)
        count = f"  {ways} wrong ways"
        lines.append([(each.rule, STRONG_ACCENT), (count, FAINT)])
        lines += [line for row in each.rows for line in write(screen, row)]
    for says, tests in (
        ("Noticed nothing", [t for b in found for t in b.nothing]),
        ("Noticed everything", [t for b in found for t in b.everything]),
    ):
        if tests:
            text = f"{says}: {', '.join(tests)}."
            lines += [[], *say(text, screen.prose, style=STRONG)]
    return lines


def write(screen: Screen, row: Row) -> list[Line]:
    """Write a test: how many it noticed, of how many."""
    count = f"{len(row.noticed):>4} of {len(row.asked):<4}"
    return [[(count, PLAIN), (row.test[: screen.width - 12], FAINT)]]
