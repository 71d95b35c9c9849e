"""`cookbook` and `cookbook list`: what the book holds, and what it lacks.

As JSON, the list has an entry for each recipe in reading order: its slug,
shelf, title, sentence, topics and kind, and in which frameworks it is
written. A planned one has no title, and what it will show as its sentence.
"""

from collections.abc import Iterable
from typing import Any

from cookbook.book import Book, Planned, Recipe, Shelf
from cookbook.equivalents import file_of
from cookbook.names import UnknownName, listing, spell
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    hang,
    heading,
    print_json,
    say,
)

INDENT = 24
WRITTEN = "━"
MISSING = "╌"


def show_overview(book: Book, screen: Screen) -> int:
    """Welcome a reader: what is there, and how to go on."""
    titles = listing([f.title for f in book.frameworks.values()])
    side = f"side by side in {titles}, " if titles else ""
    promise = f"Every backend recipe {side}held to one contract."
    lines: list[Line] = [
        [("The Backend Cookbook", STRONG)],
        *say(promise, screen.prose),
    ]
    for shelf in book.shelves.values():
        recipes = [r for r in book.recipes.values() if r.shelf == shelf.name]
        if recipes:
            lines += [[], heading(shelf.title, screen.width)]
            for recipe in recipes:
                lines += entry(book, recipe, screen)
    lines += [[], *summary(book, screen), [], *ways_on(book)]
    screen.print(lines)
    return 0


def summary(book: Book, screen: Screen) -> list[Line]:
    """Count what is written and what is planned."""
    shelves = {recipe.shelf for recipe in book.recipes.values()}
    text = (
        f"Written so far: {len(book.recipes)} of "
        f"{len(book.recipes) + len(book.gaps)} recipes, "
        f"on {len(shelves)} of {len(book.shelves)} shelves."
    )
    return [*say(text, screen.prose), *legend(book, screen)]


def legend(book: Book, screen: Screen) -> list[Line]:
    """Say what the strokes before a recipe mean."""
    titles = ", ".join(f.title for f in book.frameworks.values())
    text = f"Strokes: {titles}; {WRITTEN} written, {MISSING} not yet."
    return say(text, screen.prose, style=FAINT)


def ways_on(book: Book) -> list[Line]:
    """List commands that work on this book, with what each does."""
    recipe = next(iter(book.recipes.values()), None)
    ways = {"cookbook list": "every recipe, and the gaps"}
    if recipe is not None:
        there = [n for n in book.frameworks if recipe.implementation(n)]
        slug, pair = recipe.slug, " ".join(there[:2])
        ways[f"cookbook show {slug}"] = "its rules and how to run it"
        if there:
            ways[f"cookbook show {slug} --in {there[0]}"] = "its source"
        if len(there) > 1:
            ways[f"cookbook compare {slug} {pair}"] = "two, rule by rule"
        for symptom in recipe.symptoms[:1]:
            ways[f'cookbook search "{symptom}"'] = "by what went wrong"
    if file_of(book).is_file():
        ways["cookbook equivalents"] = "what a word is called elsewhere"
    ways["cookbook serve"] = "all of it as pages, in a browser"
    ways["cookbook --help"] = "every command"
    indent = max(map(len, ways)) + 3
    return [
        [(f"{command:{indent}}", ACCENT), (what, PLAIN)]
        for command, what in ways.items()
    ]


def show_list(
    book: Book, screen: Screen, name: str | None, *, as_json: bool = False
) -> int:
    """List the recipes of every shelf, or of one."""
    shelves = [find_shelf(book, name)] if name else list(book.shelves.values())
    if as_json:
        found = (part for shelf in shelves for part in on_shelf(book, shelf))
        print_json([to_json(book, part) for part in found])
        return 0
    lines: list[Line] = legend(book, screen)
    for shelf in shelves:
        note = f"{shelf.name}/"
        lines += [[], heading(shelf.title, screen.width, note)]
        for part in on_shelf(book, shelf):
            lines += entry(book, part, screen)
    screen.print(lines)
    return 0


def find_shelf(book: Book, name: str) -> Shelf:
    """Find a shelf by its name or its chapter."""
    for shelf in book.shelves.values():
        if spell(name) in (shelf.name, str(shelf.chapter)):
            return shelf
    raise UnknownName("shelf", name, book.shelves)


def on_shelf(book: Book, shelf: Shelf) -> Iterable[Recipe | Planned]:
    """List a shelf in reading order: planned recipes, then any others."""
    written = [r for r in book.recipes.values() if r.shelf == shelf.name]
    slugs = [p.slug for p in book.planned.values() if p.shelf == shelf.name]
    for slug in dict.fromkeys([*slugs, *(r.slug for r in written)]):
        if slug in book.recipes:
            yield book.recipes[slug]
        else:
            yield book.planned[slug]


def entry(book: Book, part: Recipe | Planned, screen: Screen) -> list[Line]:
    """Set a recipe in a list: strokes, slug, what it is for."""
    width = len(book.frameworks) + 2
    strokes = f"{strokes_of(book, part):{width}}"
    if isinstance(part, Planned):
        head: Line = [(f"{strokes}{part.slug}", FAINT)]
        return hang(head, part.idea, screen.prose, INDENT + width, FAINT)
    head = [(strokes, ACCENT), (part.slug, STRONG)]
    return hang(head, part.sentence, screen.prose, INDENT + width)


def strokes_of(book: Book, part: Recipe | Planned) -> str:
    """Draw a stroke for each framework; only one where it is written once."""
    if part.kind == "once":
        return MISSING if isinstance(part, Planned) else WRITTEN
    if isinstance(part, Planned):
        return MISSING * len(book.frameworks)
    return "".join(
        WRITTEN if part.implementation(name) else MISSING
        for name in book.frameworks
    )


def to_json(book: Book, part: Recipe | Planned) -> dict[str, Any]:
    """Give an entry of the list as data."""
    known = {"slug": part.slug, "shelf": part.shelf}
    if isinstance(part, Planned):
        return known | {
            "written": False,
            "title": None,
            "sentence": part.idea,
            "canon": list(part.canon),
            "kind": part.kind,
            "frameworks": [],
        }
    there = [name for name in book.frameworks if part.implementation(name)]
    return known | {
        "written": True,
        "title": part.title,
        "sentence": part.sentence,
        "canon": list(part.canon),
        "kind": part.kind,
        "frameworks": there,
    }
