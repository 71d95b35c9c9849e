"""The equivalents, as rows to show; none where the file is missing."""

import tomllib
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cookbook.book import Book
from cookbook.site.code import styled


@dataclass(frozen=True)
class Name:
    """What a concept is called in a framework."""

    framework: str
    name: str
    snippet: tuple[Markup, ...]
    equal: str
    note: str
    docs: str


@dataclass(frozen=True)
class Concept:
    """A concept, and its name in each framework."""

    id: str
    title: str
    group: str
    recipe: str | None
    words: tuple[str, ...]
    names: tuple[Name, ...]

    @property
    def search(self) -> str:
        """Collect every word that it can be found by."""
        known = (f"{each.name} {each.note}" for each in self.names)
        return " ".join([self.title, *self.words, *known]).lower()


def concepts(book: Book) -> list[Concept]:
    """Read the equivalents."""
    file = book.root / "frameworks" / "equivalents.toml"
    if not file.is_file():
        return []
    data = tomllib.loads(file.read_text("utf-8"))
    return [concept(book, row) for row in data.get("concepts", ())]


def concept(book: Book, row: dict[str, Any]) -> Concept:
    """Take a concept from its table."""
    return Concept(
        row["id"],
        row["title"],
        row.get("group", ""),
        row.get("recipe"),
        tuple(row.get("words", ())),
        tuple(name(each, row.get(each, {})) for each in book.frameworks),
    )


def name(framework: str, row: dict[str, str]) -> Name:
    """Take what a concept is called in a framework."""
    snippet = row.get("snippet", "").rstrip("\n")
    return Name(
        framework,
        row.get("name", ""),
        styled(snippet) if snippet else (),
        row.get("equal", "none"),
        row.get("note", ""),
        row.get("docs", ""),
    )
