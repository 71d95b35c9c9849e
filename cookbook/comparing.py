"""`cookbook compare`: the lines that keep each rule, side by side.

As JSON: the recipe, the frameworks compared, and for each rule and
framework who keeps it, in which pieces of which files, with what declared
differences. With `--diff`: the lines of both, each with what is done with
it (" ", "-" or "+"), its numbers, and the columns that changed.
"""

from collections.abc import Sequence
from itertools import batched
from typing import Any

from cookbook.book import Book, Difference, Framework, Recipe
from cookbook.excerpts import pieces
from cookbook.keeping import Keeping, Kept, keeping
from cookbook.names import WrongUse
from cookbook.names import listing as words
from cookbook.terminal import (
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    beside,
    print_json,
    say,
    thread,
)

COLUMN = 44
"""The narrowest column that code reads well in."""

GAP = 3


def show_comparison(
    book: Book,
    screen: Screen,
    name: str,
    frameworks: Sequence[str],
    rule: str | None = None,
    *,
    as_json: bool = False,
) -> int:
    """Show how frameworks keep the rules of a recipe."""
    recipe = book.recipe(name)
    chosen = choose(book, frameworks)
    rules = [recipe.rule(rule)] if rule else list(recipe.rules)
    rows = [[keeping(book, recipe, r, f) for f in chosen] for r in rules]
    if as_json:
        print_json(to_json(recipe, chosen, rows))
    else:
        screen.print(page(recipe, chosen, rows, screen))
    return 0 if any(recipe.implementation(f.name) for f in chosen) else 1


def choose(book: Book, names: Sequence[str]) -> list[Framework]:
    """Find the frameworks that are named, or all where none is."""
    chosen = [book.framework(name) for name in dict.fromkeys(names)]
    if len(chosen) == 1:
        raise WrongUse("Name two frameworks or more; without any, all.")
    return chosen or list(book.frameworks.values())


def to_json(
    recipe: Recipe,
    chosen: Sequence[Framework],
    rows: Sequence[Sequence[Keeping]],
) -> dict[str, Any]:
    """Give the comparison as data."""
    return {
        "recipe": recipe.slug,
        "frameworks": [framework.name for framework in chosen],
        "missing": [
            framework.name
            for framework in chosen
            if recipe.implementation(framework.name) is None
        ],
        "rules": [
            {
                "id": row[0].rule.id,
                "text": row[0].rule.text,
                "frameworks": {k.framework.name: k.to_json() for k in row},
            }
            for row in rows
            if row
        ],
    }


def page(
    recipe: Recipe,
    chosen: Sequence[Framework],
    rows: Sequence[Sequence[Keeping]],
    screen: Screen,
) -> list[Line]:
    """Set the comparison: a title, then a row for each rule."""
    titles = words([framework.title for framework in chosen])
    lines: list[Line] = [
        [(recipe.title, STRONG), (f" in {titles}", PLAIN)],
        *say(recipe.sentence, screen.prose),
    ]
    for row in rows:
        lines += [[], *rule_row(row, screen)]
    return lines


def rule_row(row: Sequence[Keeping], screen: Screen) -> list[Line]:
    """Set one rule: its sentence, then how each framework keeps it."""
    rule = row[0].rule
    lines = [thread(rule.id, screen.width), *say(rule.text, screen.prose)]
    count = max(1, min(len(row), (screen.width + GAP) // (COLUMN + GAP)))
    width = (screen.width + GAP) // count - GAP
    if count < len(row) or all(each.is_only_shared for each in row):
        shown = [each for each in row if not each.is_only_shared]
    else:
        shown = list(row)
    for some in batched(shown, count):
        cells = [cell(each, screen, width) for each in some]
        lines += [[], *beside(cells, width + GAP)]
    for kept, titles in in_common(row):
        head: Line = [(kept.file, PLAIN), (f"  for {words(titles)}", FAINT)]
        lines += [[], head, *pieces(kept, screen, screen.width)]
    return lines


def cell(each: Keeping, screen: Screen, width: int) -> list[Line]:
    """Set what one framework has for itself."""
    lines: list[Line] = [[(each.framework.title, STRONG)]]
    if each.note:
        lines += say(each.note, width, style=FAINT)
    for kept in each.own:
        if len(each.own) > 1 or not kept.file.startswith("recipes/"):
            lines += say(kept.file, width, style=FAINT)
        lines += pieces(kept, screen, width)
    for difference in each.differences:
        lines += declared(difference, width)
    return lines


def declared(difference: Difference, width: int) -> list[Line]:
    """Set a declared difference."""
    lines = say(f"≠ {difference.instead}", width)
    lines += say(difference.why, width, "  ", FAINT)
    if difference.upstream:
        lines.append([(f"  {difference.upstream}", FAINT)])
    return lines


def in_common(row: Sequence[Keeping]) -> list[tuple[Kept, list[str]]]:
    """List the shared files that keep a rule, each once, and for whom."""
    files: dict[str, Kept] = {}
    titles: dict[str, list[str]] = {}
    for each in row:
        for kept in each.shared:
            files[kept.file] = kept
            titles.setdefault(kept.file, []).append(each.framework.title)
    return [(kept, titles[name]) for name, kept in files.items()]
