"""`cookbook search`: find a recipe, or a framework's name, by any word.

As JSON: the words as understood; the concepts that frameworks call so, each
with its names; and the hits, the best first, each with what was hit (title,
sentence, rule, symptom, knob, name, difference, topic, source), its text, its
recipe, whether that is written, and the command that opens it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cookbook.book import Book, Planned, Recipe
from cookbook.equivalents import Entry, read_concept
from cookbook.names import alternatives, nearest
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    hang,
    print_json,
    say,
)
from cookbook.translating import find, is_called, stacked
from cookbook.words import fit, understood, words_of

WEIGHTS = {
    "title": 10,
    "symptom": 8,
    "rule": 6,
    "sentence": 5,
    "name": 5,
    "knob": 5,
    "difference": 4,
    "topic": 3,
    "source": 2,
}
"""What a hit is worth by its place."""

MOST = 12
"""How many recipes are shown."""

MOST_CONCEPTS = 3
"""How many concepts are shown, above the recipes."""


@dataclass(frozen=True)
class Place:
    """Something in the book that can be found."""

    recipe: str
    kind: str
    text: str
    command: str
    written: bool = True


@dataclass(frozen=True)
class Hit:
    """A place that was found, and how well it fits."""

    place: Place
    score: float


def show_hits(
    book: Book, screen: Screen, query: str, *, as_json: bool = False
) -> int:
    """Show what a search finds."""
    asked = understood(query)
    hits, concepts = search(book, asked), called(book, query)
    if as_json:
        found = [{**asdict(hit.place), "score": hit.score} for hit in hits]
        named = [entry_to_json(book, entry) for entry in concepts]
        print_json({"words": asked, "concepts": named, "hits": found})
    elif hits or concepts:
        lines = names(book, concepts, query)
        lines += [[] for _ in hits[:1] if lines]
        screen.print(lines + page(book, hits, screen))
    else:
        screen.print(nothing(book, query, screen))
    return 0 if hits or concepts else 1


def search(book: Book, asked: list[str]) -> list[Hit]:
    """Find the places that have the words, grouped by recipe.

    A recipe must have all the words, if any has; the best come first.
    """
    found: dict[str, list[Hit]] = {}
    covered: dict[str, dict[str, float]] = {}
    for place in places(book):
        worth = weigh(asked, place)
        if worth:
            score = sum(worth.values()) * len(worth) / len(asked)
            found.setdefault(place.recipe, []).append(
                Hit(place, round(score, 2))
            )
            best = covered.setdefault(place.recipe, {})
            for word, value in worth.items():
                best[word] = max(value, best.get(word, 0))
    most = max(map(len, covered.values()), default=0)
    ranked = sorted(
        (slug for slug in found if len(covered[slug]) == most),
        key=lambda slug: -rank(found[slug], covered[slug]),
    )
    order = [
        sorted(found[slug], key=lambda hit: -hit.score) for slug in ranked
    ]
    return [hit for hits in order for hit in hits]


def weigh(asked: list[str], place: Place) -> dict[str, float]:
    """Weigh the words that a place has."""
    fits = {word: fit(word, place.text) for word in asked}
    return {w: f * WEIGHTS[place.kind] for w, f in fits.items() if f}


def rank(hits: list[Hit], best: dict[str, float]) -> float:
    """Weigh a recipe: its best place, and all that it has of the words."""
    bonus = 2.0 if hits[0].place.written else 0.0
    return max(hit.score for hit in hits) + sum(best.values()) + bonus


def places(book: Book) -> Iterator[Place]:
    """List everything that can be found."""
    for recipe in book.recipes.values():
        yield from places_of(book, recipe)
    for planned in book.gaps.values():
        yield from places_planned(book, planned)


def places_of(book: Book, recipe: Recipe) -> Iterator[Place]:
    """List what can be found of a recipe."""
    slug, command = recipe.slug, f"cookbook show {recipe.slug}"
    yield Place(slug, "title", f"{recipe.title} ({slug})", command)
    yield Place(slug, "sentence", recipe.sentence, command)
    for symptom in recipe.symptoms:
        yield Place(slug, "symptom", symptom, command)
    for rule in recipe.rules:
        text = f"{rule.id}: {rule.text}"
        yield Place(slug, "rule", text, f"{command} --rule {rule.id}")
    for difference in recipe.differences:
        opens = f"{command} --rule {difference.rule}"
        yield Place(slug, "difference", difference.instead, opens)
    for knob in recipe.knobs:
        yield Place(slug, "knob", f"{knob.env}: {knob.text}", command)
    for name in recipe.names:
        yield Place(slug, "name", name, opening(book, recipe))
    for source in recipe.sources:
        yield Place(slug, "source", f"{source.title}, {source.url}", command)
    for topic in topics(book, recipe.canon):
        yield Place(slug, "topic", topic, command)


def places_planned(book: Book, planned: Planned) -> Iterator[Place]:
    """List what can be found of a recipe that is not written yet."""
    command = f"cookbook list {planned.shelf}"
    known = [("title", planned.slug), ("sentence", planned.idea)]
    if planned.needs:
        known.append(("sentence", f"needs {planned.needs}"))
    known += [("topic", topic) for topic in topics(book, planned.canon)]
    for kind, text in known:
        yield Place(planned.slug, kind, text, command, written=False)


def topics(book: Book, numbers: tuple[str, ...]) -> list[str]:
    """Name topics of the Canon."""
    known = (
        book.topics[number] for number in numbers if number in book.topics
    )
    return [f"Canon {topic.number}, {topic.title}" for topic in known]


def opening(book: Book, recipe: Recipe) -> str:
    """Write the command that opens a source of a recipe."""
    there = (n for n in book.frameworks if recipe.implementation(n))
    name = next(there, None)
    command = f"cookbook show {recipe.slug}"
    return f"{command} --in {name}" if name else command


def called(book: Book, query: str) -> list[Entry]:
    """Find what frameworks call so, the best first."""
    return [one.entry for one in find(book, query) if is_called(one)]


def entry_to_json(book: Book, entry: Entry) -> dict[str, Any]:
    """Give a concept as data: its names, and the command that opens it."""
    concept = read_concept(book, entry)
    return {
        "id": concept.id,
        "title": concept.title,
        "names": {n: e.name for n, e in concept.equivalents.items()},
        "command": f"cookbook equivalents {concept.id}",
    }


def names(book: Book, entries: Sequence[Entry], query: str) -> list[Line]:
    """Set the names of concepts, in each framework."""
    lines: list[Line] = []
    for entry in entries[:MOST_CONCEPTS]:
        concept = read_concept(book, entry)
        lines += [[] for _ in lines[:1]]
        lines += stacked(concept, list(book.frameworks.values()))
    more = len(entries) - MOST_CONCEPTS
    if more > 0:
        command = f'cookbook equivalents "{query}"'
        lines += [[], [(f"{more} more: ", FAINT), (command, ACCENT)]]
    return lines


def page(book: Book, hits: list[Hit], screen: Screen) -> list[Line]:
    """Set the hits, each recipe with the best of its places."""
    groups: dict[str, list[Hit]] = {}
    for hit in hits:
        groups.setdefault(hit.place.recipe, []).append(hit)
    lines: list[Line] = []
    for found in list(groups.values())[:MOST]:
        lines += [[] for _ in lines[:1]]
        lines += group(book, found, screen)
    if len(groups) > MOST:
        more = f"{len(groups) - MOST} more recipes have these words."
        lines += [[], *say(more, screen.prose, style=FAINT)]
    return lines


def group(book: Book, hits: list[Hit], screen: Screen) -> list[Line]:
    """Set what was found of one recipe, and the commands that open it."""
    first = hits[0].place
    if first.written:
        title = book.recipes[first.recipe].title
        command = f"cookbook show {first.recipe}"
        head: Line = [(title, STRONG), ("  ", PLAIN), (command, ACCENT)]
    else:
        command = first.command
        head = [(first.recipe, STRONG), ("  not written yet", FAINT)]
    lines = [head]
    least = hits[0].score / 3
    for hit in [hit for hit in hits if hit.score >= least][:4]:
        kind: Line = [(f"  {hit.place.kind}", FAINT)]
        lines += hang(kind, hit.place.text, screen.prose, 14)
        if hit.place.command != command:
            lines.append([(" " * 14, PLAIN), (hit.place.command, ACCENT)])
    return lines


def nothing(book: Book, query: str, screen: Screen) -> list[Line]:
    """Say that nothing was found, and which words are near."""
    known = {
        word
        for place in places(book)
        for word in words_of(place.text)
        if len(word) > 3
    }
    near = [n for word in understood(query) for n in nearest(word, known)[:2]]
    text = f'Nothing found for "{query}".'
    if near:
        text += f" Near it: {alternatives(list(dict.fromkeys(near)))}."
    return say(text, screen.prose)
