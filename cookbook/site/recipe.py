"""The pages of one recipe."""

import ast
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from markupsafe import Markup

from cookbook.book import Book, Recipe
from cookbook.describing import titles
from cookbook.kills import blocks
from cookbook.names import listing
from cookbook.sections import (
    caption,
    exchange,
    exports,
    knobs,
    plainly,
    present,
    with_the_tool,
)
from cookbook.site.comparison import row, tests_of
from cookbook.site.links import (
    diff_at,
    files_at,
    raw_at,
    recipe_at,
    relative,
    topic_at,
)
from cookbook.site.mistakes import Mistake, mistakes
from cookbook.site.prose import Section, Writer, by_hand, sections
from cookbook.site.rendering import Page
from cookbook.site.site import Site
from cookbook.site.wholes import diff, levels


def pages_of(site: Site, recipe: Recipe) -> Iterator[Page]:
    """Make every page of a recipe."""
    path = recipe_at(recipe.slug)
    rules = {rule.id: f"#{rule.id}" for rule in recipe.rules}
    writer = Writer(site.book, recipe.folder, path, rules)
    # Stories stand on two pages: a link to a rule would fit one of them.
    stories = Writer(site.book, recipe.folder, path, {})
    wrong = tuple(mistakes(site.book, recipe, stories))
    yield main(site, recipe, writer, wrong)
    yield files(site, recipe)
    yield Page(
        f"{path}pitfalls/",
        "pitfalls.html",
        f"{recipe.title}: pitfalls",
        f"{recipe.title}: mistakes that people make, and what notices them.",
        {
            "recipe": recipe,
            "wrong": wrong,
            "kills": [b for b in blocks(site.book, recipe) if b.rows],
            "tests": {
                test.name: test.at
                for rule in recipe.rules
                for test in tests_of(site.book, recipe, rule)
            },
        },
    )
    for one, other in combinations(site.frameworks, 2):
        yield Page(
            diff_at(recipe.slug, one.name, other.name),
            "diff.html",
            f"{recipe.title}: {one.title} and {other.title}",
            f"{recipe.title} in {one.title} and in {other.title}, "
            "word by word.",
            {
                "recipe": recipe,
                "one": one,
                "other": other,
                "files": diff(site.book, recipe, one, other),
                "raws": raws(site, recipe),
            },
        )


def main(
    site: Site, recipe: Recipe, writer: Writer, wrong: tuple[Mistake, ...]
) -> Page:
    """Make the page of the comparison."""
    book, path = site.book, writer.page
    prose = list(sections(by_hand(recipe.folder / "README.md"), writer.write))
    return Page(
        path,
        "recipe.html",
        recipe.title,
        recipe.sentence,
        {
            "recipe": recipe,
            "shelf": book.shelves[recipe.shelf],
            "trail": trail(book, recipe),
            "mechanisms": {f: mechanism(recipe, f) for f in book.frameworks},
            "has_openapi": (recipe.folder / "openapi.yaml").is_file(),
            "rows": [
                row(book, kept, recipe, site.proofs, writer, wrong)
                for kept in site.kept(recipe)
            ],
            "parts": on_parts(site, recipe),
            "prose": prose,
            "lead": lead(prose),
            "differences": differences(book, recipe, writer),
            "examples": [
                (e, writer.inline(caption(e)), exchange(e))
                for e in recipe.examples
            ],
            "raws": raws(site, recipe),
            **running(book, recipe, writer),
        },
        has_folds=True,
    )


def on_parts(site: Site, recipe: Recipe) -> tuple[str, list[str]] | None:
    """Name the real parts of a recipe, and what was proven on them."""
    if not recipe.services:
        return None
    names = [service.removesuffix("?") for service in recipe.services]
    states = [site.on_parts.cell(recipe, one) for one in site.frameworks]
    return f"all, on {listing(names)}", states


def trail(book: Book, recipe: Recipe) -> list[tuple[str, str]]:
    """Lead to the topics of a recipe."""
    path = recipe_at(recipe.slug)
    return [
        (
            f"{number} {book.topics[number].title}",
            relative(path, topic_at(number)),
        )
        for number in recipe.canon
    ]


def mechanism(recipe: Recipe, framework: str) -> str:
    """Say by what a framework does it, as its docstring does."""
    files = recipe.files(framework)
    if not files:
        return ""
    module = ast.parse(files[0].read_text("utf-8"))
    says = (ast.get_docstring(module) or "").partition("\n\n")[0]
    return says.replace("\n", " ").partition(": ")[2].rstrip(".")


def lead(prose: list[Section]) -> Markup:
    """Take the first paragraph of the principle."""
    for section in prose:
        if section.id == "principle":
            # It was markup before it was cut.
            return Markup(str(section.html).partition("</p>")[0] + "</p>")  # noqa: S704
    return Markup()


def differences(
    book: Book, recipe: Recipe, writer: Writer
) -> list[dict[str, Any]]:
    """List where frameworks do otherwise, and where all of them do."""
    known = {rule.id for rule in recipe.rules}
    everywhere = [
        difference
        for framework in book.frameworks.values()
        for difference in framework.differences
        if difference.holds_in(recipe)
        and (difference.rule is None or difference.rule in known)
    ]
    return [
        {
            "of": difference,
            "who": titles(book, difference.frameworks),
            "instead": writer.inline(difference.instead),
            "why": writer.inline(difference.why),
            "is_here": difference in recipe.differences,
        }
        for difference in (*recipe.differences, *everywhere)
    ]


def running(book: Book, recipe: Recipe, writer: Writer) -> dict[str, Any]:
    """Say how it is run: with the tool, and plainly in each framework."""
    there = [f for f in present(book, recipe) if recipe.server in f.serve]
    return {
        "tool": list(with_the_tool(recipe, there[0])) if there else [],
        "exports": "\n".join(exports(recipe)),
        "plainly": [(f, "\n".join(plainly(recipe, f))) for f in there],
        "knobs": [
            [writer.inline(cell) if cell else "" for cell in cells]
            for cells in knobs(book, recipe)
        ],
    }


def files(site: Site, recipe: Recipe) -> Page:
    """Make the page of the whole files."""
    return Page(
        files_at(recipe.slug),
        "files.html",
        f"{recipe.title}: whole files",
        f"{recipe.title}: the whole files, side by side.",
        {
            "recipe": recipe,
            "levels": levels(site.book, recipe),
            "raws": raws(site, recipe),
        },
    )


def raws(site: Site, recipe: Recipe) -> dict[str, list[str]]:
    """Tell where the files of each framework lie as they are."""
    return {
        name: [raw_at(recipe, file) for file in recipe.files(name)]
        for name in site.book.frameworks
    }
