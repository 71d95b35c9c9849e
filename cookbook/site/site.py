"""What all pages have in common: the book, read for showing."""

from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from typing import Any

from cookbook.book import Book, Framework, Recipe
from cookbook.equivalents import Concept, file_of, read_equivalents
from cookbook.keeping import Keeping, keepings
from cookbook.results import Result
from cookbook.site import links
from cookbook.site.canon import DONE, Bar, Entry, Stave, all_entries, staves
from cookbook.site.proof import WORDS, Proofs


class Site:
    """What all pages have in common.

    `serves` tells whether recipes can be tried on it.
    """

    def __init__(
        self, book: Book, url: str, base: str, *, serves: bool = False
    ) -> None:
        self.book = book
        self.url = url
        self.base = base
        self.serves = serves
        self.proofs = Proofs(book)
        self.on_parts = Proofs(book, on_parts=True)
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
    def concepts(self) -> tuple[Concept, ...]:
        """The equivalents; none where there is no table of them."""
        if not file_of(self.book).is_file():
            return ()
        return read_equivalents(self.book)

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
