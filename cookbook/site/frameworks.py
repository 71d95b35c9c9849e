"""The pages of each framework, and of each pair of them."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from cookbook.book import Framework, Recipe
from cookbook.sections import room_serve
from cookbook.site import links
from cookbook.site.prose import Writer, by_hand
from cookbook.site.rendering import Page
from cookbook.site.site import Site


def rooms(site: Site) -> Iterator[Page]:
    """Make a page for each framework."""
    yield Page(
        "frameworks/",
        "frameworks.html",
        "Frameworks",
        "The five frameworks: how each is served, and its idiom.",
        {},
    )
    for framework in site.frameworks:
        room = site.book.root / "frameworks" / framework.name
        page = links.framework_at(framework.name)
        writer = Writer(site.book, room, page, {})
        serve = "\n".join(room_serve(site.book, framework))
        yield Page(
            page,
            "framework.html",
            framework.title,
            f"{framework.title} in this book: its room, idiom and recipes.",
            {
                "framework": framework,
                "index": site.frameworks.index(framework),
                "room": writer.write(by_hand(room / "README.md")),
                "serve": writer.write(serve),
                "versions": newest_versions(site, framework),
            },
        )


def newest_versions(site: Site, framework: Framework) -> dict[str, str]:
    """Read the versions of the newest run in a framework."""
    found = [
        result
        for recipe in site.book.recipes.values()
        for result in site.proofs.rows(recipe)
        if result.framework == framework.name
    ]
    newest = max(found, key=lambda result: result.date, default=None)
    return newest.versions if newest else {}


def pairs(site: Site) -> Iterator[Page]:
    """Make a page for each pair of frameworks."""
    yield Page(
        "compare/",
        "pairs.html",
        "Pairs",
        "Two frameworks at a time: what moves where when you change.",
        {},
    )
    for one, other in combinations(site.frameworks, 2):
        both = {one.name, other.name}
        yield Page(
            links.pair_at(one, other),
            "pair.html",
            f"{one.title} vs {other.title}",
            f"What moves where between {one.title} and {other.title}: "
            "their words, every recipe, and every difference.",
            {
                "one": one,
                "other": other,
                "places": [site.frameworks.index(f) for f in (one, other)],
                "rows": [
                    pair_row(recipe, one, other)
                    for recipe in site.book.recipes.values()
                ],
                "differences": [
                    (recipe, difference)
                    for recipe in site.book.recipes.values()
                    for difference in recipe.differences
                    if both & set(difference.frameworks)
                ],
            },
        )


def pair_row(
    recipe: Recipe, one: Framework, other: Framework
) -> dict[str, Any]:
    """Compare a recipe in two frameworks: who keeps which rule."""
    return {
        "recipe": recipe,
        "lines": [length(recipe, framework) for framework in (one, other)],
        "moved": [
            (rule, rule.keeper(one.name), rule.keeper(other.name))
            for rule in recipe.rules
            if rule.keeper(one.name) != rule.keeper(other.name)
        ],
    }


def length(recipe: Recipe, framework: Framework) -> int:
    """Count the lines of an implementation."""
    files = recipe.files(framework.name)
    return sum(len(file.read_text("utf-8").splitlines()) for file in files)
