"""The Canon as a map: chapters, topics, and what is there of each."""

from dataclasses import dataclass

from cookbook.book import Book, Planned, Recipe, Shelf, Topic
from cookbook.site.proof import WORST_FIRST, Proofs

SPELT = {
    "abac": "ABAC",
    "api": "API",
    "cd": "CD",
    "ci": "CI",
    "cqrs": "CQRS",
    "csrf": "CSRF",
    "graphql": "GraphQL",
    "grpc": "gRPC",
    "http": "HTTP",
    "json": "JSON",
    "n": "N",
    "oauth2": "OAuth 2",
    "openapi": "OpenAPI",
    "owasp": "OWASP",
    "rbac": "RBAC",
    "rebac": "ReBAC",
    "tls": "TLS",
    "totp": "TOTP",
    "webauthn": "WebAuthn",
    "websocket": "WebSocket",
}
"""Words of slugs that are not written in small letters."""

DONE = ("passed", "declared")


@dataclass(frozen=True)
class Entry:
    """A recipe of a topic, written or planned."""

    slug: str
    title: str
    sentence: str
    states: tuple[str, ...]
    needs: str | None = None

    @property
    def is_written(self) -> bool:
        """Tell whether any framework has it."""
        return any(state != "missing" for state in self.states)

    @property
    def verified(self) -> int:
        """Count the frameworks in which every rule is proven."""
        return sum(state in DONE for state in self.states)


@dataclass(frozen=True)
class Bar:
    """A topic, its recipes, and a state for each framework."""

    topic: Topic
    entries: tuple[Entry, ...]
    states: tuple[str, ...]

    @property
    def state(self) -> str:
        """Say in a word or two how far it is."""
        written = [entry for entry in self.entries if entry.is_written]
        if not written:
            return "to come"
        if any(state not in DONE for state in self.states):
            if "failed" in self.states:
                return "failed"
            return "written, not verified"
        whole = len(written) == len(self.entries)
        return "verified" if whole else "verified in part"


@dataclass(frozen=True)
class Stave:
    """A chapter: five lines, and a bar for each topic."""

    shelf: Shelf
    bars: tuple[Bar, ...]

    @property
    def written(self) -> int:
        """Count the topics that have a recipe."""
        return sum(bar.state != "to come" for bar in self.bars)


def staves(book: Book, proofs: Proofs) -> list[Stave]:
    """Draw every chapter."""
    entries = all_entries(book, proofs)
    bars = [bar(book, topic, entries) for topic in book.topics.values()]
    return [
        Stave(
            shelf,
            tuple(b for b in bars if chapter_of(b.topic) == shelf.chapter),
        )
        for shelf in book.shelves.values()
    ]


def all_entries(book: Book, proofs: Proofs) -> dict[str, Entry]:
    """List every recipe, in reading order."""
    written = {
        slug: entry(book, recipe, proofs)
        for slug, recipe in book.recipes.items()
    }
    planned = {slug: gap(book, plan) for slug, plan in book.gaps.items()}
    found = written | planned
    order = dict.fromkeys([*book.planned, *found])
    return {slug: found[slug] for slug in order}


def entry(book: Book, recipe: Recipe, proofs: Proofs) -> Entry:
    """Describe a recipe that is written."""
    states = tuple(proofs.cell(recipe, f) for f in book.frameworks.values())
    return Entry(recipe.slug, recipe.title, recipe.sentence, states)


def gap(book: Book, planned: Planned) -> Entry:
    """Describe a recipe that is to come."""
    states = ("missing",) * len(book.frameworks)
    title = called(planned.slug)
    return Entry(planned.slug, title, planned.idea, states, planned.needs)


def called(slug: str) -> str:
    """Make a title of a slug."""
    words = [SPELT.get(word, word) for word in slug.split("_")]
    if words[0] not in SPELT.values():
        words[0] = words[0].capitalize()
    return " ".join(words)


def bar(book: Book, topic: Topic, entries: dict[str, Entry]) -> Bar:
    """Judge a topic by its recipes."""
    slugs = {s for s, p in book.planned.items() if topic.number in p.canon}
    slugs |= {s for s, r in book.recipes.items() if topic.number in r.canon}
    found = tuple(entries[slug] for slug in entries if slug in slugs)
    written = [each for each in found if each.is_written]
    states = tuple(
        worst([each.states[place] for each in written])
        for place in range(len(book.frameworks))
    )
    return Bar(topic, found, states)


def worst(states: list[str]) -> str:
    """Find the state that counts most."""
    if not states or "missing" in states:
        return "missing"
    return next(state for state in WORST_FIRST if state in states)


def chapter_of(topic: Topic) -> int:
    """Tell the chapter of a topic by its number."""
    return int(topic.number.partition(".")[0])
