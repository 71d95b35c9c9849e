"""`cookbook show`: a recipe, an implementation, or how one rule is kept.

As JSON, a recipe has all that `recipe.toml` says of it and where its parts
lie; an implementation its files, with their sources and marks; a rule is
given as by `cookbook compare`.
"""

from typing import Any

from cookbook.book import Book, Framework, Recipe
from cookbook.comparing import declared, rule_row, to_json
from cookbook.describing import recipe_page, recipe_to_json
from cookbook.excerpts import excerpt, listing
from cookbook.keeping import Keeping, keeping, read_marks
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    Line,
    Screen,
    heading,
    print_json,
    say,
    thread,
)


def show_recipe(
    book: Book, screen: Screen, name: str, *, as_json: bool = False
) -> int:
    """Show what a recipe is: rules, differences, knobs, examples."""
    recipe = book.recipe(name)
    if as_json:
        print_json(recipe_to_json(book, recipe))
    else:
        screen.print(recipe_page(book, recipe, screen))
    return 0


def show_implementation(
    book: Book,
    screen: Screen,
    name: str,
    framework: str,
    *,
    as_json: bool = False,
) -> int:
    """Show the source for a framework; the bare source in a pipe."""
    recipe, chosen = book.recipe(name), book.framework(framework)
    if as_json:
        print_json(implementation_to_json(book, recipe, chosen))
    elif not recipe.implementation(chosen.name):
        screen.print(gap(book, recipe, chosen, screen))
    elif screen.is_terminal or screen.colour:
        screen.print(implementation_page(book, recipe, chosen, screen))
    else:
        screen.print(bare_source(book, recipe, chosen))
    return 0 if recipe.implementation(chosen.name) else 1


def show_rule(
    book: Book,
    screen: Screen,
    name: str,
    rule: str,
    framework: str | None,
    *,
    as_json: bool = False,
) -> int:
    """Show the lines that keep a rule, in one framework or in all."""
    recipe = book.recipe(name)
    found = recipe.rule(rule)
    everyone = list(book.frameworks.values())
    chosen = [book.framework(framework)] if framework else everyone
    row = [keeping(book, recipe, found, each) for each in chosen]
    if as_json:
        print_json(to_json(recipe, chosen, [row]))
    elif framework is not None:
        screen.print(rule_page(row[0], screen))
    elif row:
        screen.print(rule_row(row, screen))
    is_kept = (
        each.kept or each.keeper in ("framework", "server") for each in row
    )
    return 0 if any(is_kept) else 1


def rule_page(each: Keeping, screen: Screen) -> list[Line]:
    """Set the lines that keep a rule, below the heads of what is around."""
    lines = [
        thread(each.rule.id, screen.width, each.framework.title),
        *say(each.rule.text, screen.prose),
    ]
    if each.note:
        lines += [[], *say(each.note, screen.prose, style=FAINT)]
    for kept in each.kept:
        lines += [[], [(kept.file, FAINT)], *excerpt(kept, screen)]
    for difference in each.differences:
        lines += [[], *declared(difference, screen.prose)]
    return lines


def implementation_page(
    book: Book, recipe: Recipe, framework: Framework, screen: Screen
) -> list[Line]:
    """Set every file of an implementation, marked pieces with a bar."""
    lines: list[Line] = []
    for file in recipe.files(framework.name):
        source, marks = read_marks(file)
        title = str(file.relative_to(book.root))
        lines += [[] for _ in lines[:1]]
        lines += [
            heading(title, screen.width),
            *listing(source, marks, screen),
        ]
    return lines


def bare_source(
    book: Book, recipe: Recipe, framework: Framework
) -> list[Line]:
    """Give the source as it lies; several files, each below its name."""
    files = recipe.files(framework.name)
    lines: list[Line] = []
    for file in files:
        if len(files) > 1:
            lines.append([(f"# {file.relative_to(book.root)}", PLAIN)])
        source = file.read_text("utf-8")
        lines += [[(line, PLAIN)] for line in source.splitlines()]
    return lines


def gap(
    book: Book, recipe: Recipe, framework: Framework, screen: Screen
) -> list[Line]:
    """Say that an implementation is missing, and which are there."""
    there = [n for n in book.frameworks if recipe.implementation(n)]
    lines = say(
        f"{recipe.title} is not written yet in {framework.title}.",
        screen.prose,
    )
    return lines + [
        [("  ", PLAIN), (f"cookbook show {recipe.slug} --in {n}", ACCENT)]
        for n in there
    ]


def implementation_to_json(
    book: Book, recipe: Recipe, framework: Framework
) -> dict[str, Any]:
    """Give the sources for a framework, and what is marked in them."""
    files = []
    for file in recipe.files(framework.name):
        source, found = read_marks(file)
        path = str(file.relative_to(book.root))
        marks = [
            {
                "rule": mark.rule,
                "marker": mark.line,
                "kind": mark.kind,
                "start": list(mark.start),
                "end": list(mark.end),
            }
            for mark in found
        ]
        files.append({"file": path, "source": source, "marks": marks})
    return {
        "recipe": recipe.slug,
        "framework": framework.name,
        "files": files,
    }
