"""The rule that the first page shows in all frameworks."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations

from cookbook.book import Framework, Recipe, Rule
from cookbook.keeping import Keeping
from cookbook.site.code import Line, lines_of
from cookbook.site.proof import Proof, Proofs

WIDEST = 60


@dataclass(frozen=True)
class Showpiece:
    """A rule, and the line that keeps it in each framework."""

    recipe: Recipe
    rule: Rule
    lines: tuple[tuple[Framework, Line, Proof], ...]


def showpiece(
    kept: Iterable[tuple[Recipe, list[Keeping]]], proofs: Proofs
) -> Showpiece | None:
    """Choose the rule that reads most differently in short lines."""
    found = [
        (variety(lines), recipe, row, lines)
        for recipe, row in kept
        for lines in [[first_line(each) for each in row]]
        if None not in lines
    ]
    if not found:
        return None
    _, recipe, row, lines = max(found, key=lambda each: each[0])
    return Showpiece(
        recipe,
        row[0].rule,
        tuple(
            (
                each.framework,
                line,
                proofs.of(recipe, each.rule.id, each.framework),
            )
            for each, line in zip(row, lines, strict=True)
            if line is not None
        ),
    )


def first_line(each: Keeping) -> Line | None:
    """Find the one short line that keeps a rule in a framework."""
    marks = [mark for kept in each.own for mark in kept.marks]
    if len(marks) != 1 or marks[0].start.line != marks[0].end.line:
        return None
    line = lines_of(each.own[0].source)[marks[0].start.line - 1]
    return line if len(line.html.striptags()) <= WIDEST else None


def variety(lines: list[Line | None]) -> tuple[int, float]:
    """Tell how many of the lines differ, and how much."""
    texts = [str(line.html.striptags()) for line in lines if line]
    unlike = (
        1 - SequenceMatcher(None, one, other).ratio()
        for one, other in combinations(texts, 2)
    )
    return len(set(texts)), sum(unlike)
