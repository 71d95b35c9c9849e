"""Which pages there are, and what is on each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from cookbook.book import Book, Framework, Recipe
from cookbook.keeping import Keeping, keepings, read_marks
from cookbook.results import Result
from cookbook.sections import room_serve
from cookbook.site import links
from cookbook.site.canon import DONE, Bar, Entry, Stave, all_entries, staves
from cookbook.site.code import lines_of
from cookbook.site.comparison import tests_in
from cookbook.site.concepts import Concept, concepts
from cookbook.site.home import Showpiece, showpiece
from cookbook.site.proof import WORDS, Proofs
from cookbook.site.prose import Writer, by_hand
from cookbook.site.rendering import Page
from cookbook.site.words import Entries, index


@dataclass(frozen=True)
class Shelf:
    """A shelf, with all its recipes."""

    title: str
    name: str
    chapter: int
    entries: tuple[Entry, ...]


class Site:
    """What all pages have in common."""

    def __init__(self, book: Book, url: str, base: str) -> None:
        self.book = book
        self.url = url
        self.base = base
        self.proofs = Proofs(book)
        self._kept: dict[str, list[list[Keeping]]] = {}

    def kept(self, recipe: Recipe) -> list[list[Keeping]]:
        """Tell how each rule is kept in each framework."""
        if recipe.slug not in self._kept:
            columns = [
                keepings(self.book, recipe, framework, recipe.rules)
                for framework in self.frameworks
            ]
            rows = zip(*columns, strict=True)
            self._kept[recipe.slug] = [list(row) for row in rows]
        return self._kept[recipe.slug]

    @cached_property
    def staves(self) -> list[Stave]:
        """Every chapter of the Canon."""
        return staves(self.book, self.proofs)

    @cached_property
    def bars(self) -> list[Bar]:
        """Every topic of the Canon."""
        return [bar for stave in self.staves for bar in stave.bars]

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every recipe, written or planned."""
        return all_entries(self.book, self.proofs)

    @cached_property
    def concepts(self) -> list[Concept]:
        """The equivalents."""
        return concepts(self.book)

    @property
    def groups(self) -> list[tuple[str, list[Concept]]]:
        """The equivalents by what they are about."""
        found: dict[str, list[Concept]] = {}
        for concept in self.concepts:
            found.setdefault(concept.group, []).append(concept)
        return list(found.items())

    @cached_property
    def frameworks(self) -> list[Framework]:
        """The frameworks, in the order shown."""
        return list(self.book.frameworks.values())

    @cached_property
    def newest(self) -> Result | None:
        """The newest result."""
        return self.proofs.newest()

    @cached_property
    def summary(self) -> str:
        """Count the topics by how far they are."""
        states = [bar.state for bar in self.bars]
        verified = states.count("verified")
        coming = states.count("to come")
        partly = len(states) - verified - coming
        return (
            f"{verified} of {len(states)} topics verified, {partly} in part, "
            f"{coming} to come. Five lines a chapter: one a framework."
        )

    def verified(self, place: int) -> int:
        """Count the recipes that are proven in a framework."""
        states = (entry.states[place] for entry in self.entries.values())
        return sum(state in DONE for state in states)

    @property
    def shared(self) -> Mapping[str, Any]:
        """What every template knows."""
        return {
            "site": self,
            "at": links,
            "frameworks": self.frameworks,
            "pairs": list(combinations(self.frameworks, 2)),
            "words": WORDS,
        }


def pages(site: Site) -> Iterator[Page]:
    """List the pages that are no recipe's own."""
    yield home(site)
    yield from shelves(site)
    yield from topics(site)
    yield from rooms(site)
    yield from pairs(site)
    yield from sources(site)
    yield equivalents(site)
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
    found = [
        Shelf(
            shelf.title,
            shelf.name,
            shelf.chapter,
            tuple(e for e in site.entries.values() if place[e.slug] == name),
        )
        for name, shelf in book.shelves.items()
    ]
    yield Page(
        "recipes/",
        "recipes.html",
        "Recipes",
        "Every recipe of the book: what is written, and what is to come.",
        {"shelves": found},
    )
    for slug, planned in book.gaps.items():
        entry = site.entries[slug]
        near = [
            other
            for other in site.entries.values()
            if other.is_written and place[other.slug] == planned.shelf
        ]
        yield Page(
            links.recipe_at(slug),
            "missing.html",
            entry.title,
            f"To come: {planned.idea}.",
            {
                "entry": entry,
                "planned": planned,
                "shelf": book.shelves[planned.shelf],
                "topics": [book.topics[number] for number in planned.canon],
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
    around = [None, *site.bars, None]
    shelf = {s.chapter: s for s in site.book.shelves.values()}
    for (before, bar), after in zip(
        pairwise(around), around[2:], strict=False
    ):
        assert bar is not None
        number, title = bar.topic.number, bar.topic.title
        yield Page(
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


def sources(site: Site) -> Iterator[Page]:
    """Show what lies outside of the recipes: shared code, rooms, tests."""
    root = site.book.root
    for file in links.shown(site.book):
        place = file.relative_to(root).as_posix()
        is_test = place.startswith("tests/")
        source, marks = (
            (file.read_text("utf-8"), ()) if is_test else read_marks(file)
        )
        tests = tests_in(file) if is_test else []
        yield Page(
            links.source_at(place),
            "source.html",
            place,
            f"The file {place}, line by line.",
            {
                "file": place,
                "raw": Path(place).name,
                "lines": lines_of(source, marks),
                "tests": {begin(test): test.name for test in tests},
            },
            state=f"{site.url} {site.newest} {source}",
        )


def begin(test: Any) -> int:
    """Tell where a test begins, with its decorators."""
    return int(min([test.lineno, *(d.lineno for d in test.decorator_list)]))


def equivalents(site: Site) -> Page:
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
