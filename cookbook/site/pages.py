"""Which pages there are, and what is on each."""

from collections.abc import Iterator
from dataclasses import dataclass

from cookbook.book import Book, Planned, Recipe
from cookbook.site import links
from cookbook.site.canon import Bar, Entry
from cookbook.site.frameworks import pairs, rooms
from cookbook.site.home import Showpiece, showpiece
from cookbook.site.rendering import Page
from cookbook.site.site import Site
from cookbook.site.words import Entries, index


@dataclass(frozen=True)
class Shelf:
    """A shelf, with all its recipes."""

    title: str
    name: str
    chapter: int
    entries: tuple[Entry, ...]


def pages(site: Site) -> Iterator[Page]:
    """List the pages that are made of the whole book."""
    yield home(site)
    yield from shelves(site)
    yield from topics(site)
    yield from rooms(site)
    yield from pairs(site)
    yield symptoms(site)
    yield words(site)
    yield Page(
        "proof/",
        "proof.html",
        "How a cell is proved",
        "What passed, stale and not verified mean, and how to run it again.",
        {},
    )
    yield Page(
        "404.html",
        "lost.html",
        "Not found",
        "There is no such page here.",
        {},
        base=site.base,
    )


def home(site: Site) -> Page:
    """Make the first page."""
    example: Showpiece | None = showpiece(
        [
            (r, kept)
            for r in site.book.recipes.values()
            for kept in site.kept(r)
        ],
        site.proofs,
    )
    return Page(
        "",
        "home.html",
        "The Backend Cookbook",
        "Every backend recipe side by side in Flask, Django, FastAPI, "
        "Litestar and aiohttp, held to one contract.",
        {"example": example, "symptoms": symptoms_of(site.book)},
    )


def symptoms_of(book: Book) -> list[tuple[str, Recipe]]:
    """List what readers complain of, with the recipe that helps."""
    return [(s, r) for r in book.recipes.values() for s in r.symptoms]


def shelves(site: Site) -> Iterator[Page]:
    """Make the list of all recipes, and pages for those to come."""
    book = site.book
    place = {slug: plan.shelf for slug, plan in book.planned.items()}
    place |= {slug: recipe.shelf for slug, recipe in book.recipes.items()}
    entries: dict[str, list[Entry]] = {name: [] for name in book.shelves}
    for entry in site.entries.values():
        entries[place[entry.slug]].append(entry)
    found = [
        Shelf(shelf.title, shelf.name, shelf.chapter, tuple(entries[name]))
        for name, shelf in book.shelves.items()
    ]
    yield Page(
        "recipes/",
        "recipes.html",
        "Recipes",
        "Every recipe of the book: what is written, and what is to come.",
        {"shelves": found},
    )
    for planned in book.gaps.values():
        near = [e for e in entries[planned.shelf] if e.is_written]
        yield missing(site, planned, near)


def missing(site: Site, planned: Planned, near: list[Entry]) -> Page:
    """Make the page of a recipe to come, with those that are near."""
    entry = site.entries[planned.slug]
    return Page(
        links.recipe_at(planned.slug),
        "missing.html",
        entry.title,
        f"To come: {planned.idea}.",
        {
            "entry": entry,
            "planned": planned,
            "shelf": site.book.shelves[planned.shelf],
            "topics": [site.book.topics[number] for number in planned.canon],
            "near": near,
        },
    )


def topics(site: Site) -> Iterator[Page]:
    """Make the map of the Canon, and a page for each topic."""
    yield Page(
        "canon/",
        "canon.html",
        "The Canon",
        "Sixteen chapters, 129 topics: what is there of each.",
        {},
    )
    befores = [None, *site.bars[:-1]]
    afters = [*site.bars[1:], None]
    for around in zip(befores, site.bars, afters, strict=True):
        yield topic(site, *around)


def topic(site: Site, before: Bar | None, bar: Bar, after: Bar | None) -> Page:
    """Make the page of a topic, which leads to those around it."""
    number, title = bar.topic.number, bar.topic.title
    shelf = {s.chapter: s for s in site.book.shelves.values()}
    return Page(
        links.topic_at(number),
        "topic.html",
        f"{number} {title}",
        f"Topic {number} of the Canon, {title}: {bar.state}.",
        {
            "bar": bar,
            "shelf": shelf[int(number.partition(".")[0])],
            "before": before,
            "after": after,
        },
    )


def equivalents() -> Page:
    """Make the table of equivalents."""
    return Page(
        "equivalents/",
        "equivalents.html",
        "Equivalents",
        "One concept a row, one name a framework: before_request, Depends, "
        "middleware and their kin.",
        {},
    )


def symptoms(site: Site) -> Page:
    """Make the list of all symptoms."""
    return Page(
        "symptoms/",
        "symptoms.html",
        "Something is wrong",
        "What goes wrong, in the words in which people complain of it.",
        {"recipes": [r for r in site.book.recipes.values() if r.symptoms]},
    )


def words(site: Site) -> Page:
    """Make the index of words, for search without JavaScript."""
    found: Entries = index(site.book, site.concepts)
    return Page(
        "words/",
        "words.html",
        "Every word",
        "An index of every word by which something can be found here.",
        {"index": found},
    )
