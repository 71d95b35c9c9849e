"""An index of words: every one by which something can be found."""

from collections.abc import Iterator, Sequence

from cookbook.book import Book
from cookbook.equivalents import NOTHING, Concept
from cookbook.site.links import recipe_at, topic_at

type Entries = dict[str, list[tuple[str, str, str]]]


def index(book: Book, concepts: Sequence[Concept]) -> Entries:
    """Group what can be found by its first letter: word, what, where."""
    found = sorted(
        set(known(book, concepts)), key=lambda entry: entry[0].lower()
    )
    groups: Entries = {}
    for entry in found:
        first = next((c for c in entry[0] if c.isalnum()), "#").upper()
        groups.setdefault("0 to 9" if first.isdigit() else first, []).append(
            entry
        )
    return dict(sorted(groups.items()))


def known(
    book: Book, concepts: Sequence[Concept]
) -> Iterator[tuple[str, str, str]]:
    """List every word, what it belongs to, and where that is."""
    for recipe in book.recipes.values():
        at = recipe_at(recipe.slug)
        yield recipe.title, "recipe", at
        for symptom in recipe.symptoms:
            yield symptom, recipe.title, at
        for rule in recipe.rules:
            yield rule.id, f"{recipe.title}, rule", f"{at}#{rule.id}"
        for knob in recipe.knobs:
            yield knob.env, f"{recipe.title}, setting", f"{at}#run"
    for slug, planned in book.gaps.items():
        yield slug.replace("_", " "), "to come", recipe_at(planned.slug)
    for number, topic in book.topics.items():
        yield topic.title, f"topic {number}", topic_at(number)
    for concept in concepts:
        yield from words_of(book, concept)


def words_of(book: Book, concept: Concept) -> Iterator[tuple[str, str, str]]:
    """List the words of a concept."""
    at = f"equivalents/#{concept.id}"
    yield concept.title, "equivalents", at
    for framework, found in concept.equivalents.items():
        if found.name != NOTHING:
            title = book.frameworks[framework].title
            yield found.name, f"{concept.title}, {title}", at
    for word in concept.words:
        yield word, concept.title, at
