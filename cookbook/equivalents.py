"""What a word of one framework is called in another: the file, read.

`frameworks/equivalents.toml` has a concept for each thing that frameworks
do, and in it what each of them has for it.
"""

import re
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cookbook.book import Book, check_unique, read_id
from cookbook.names import alternatives
from cookbook.tables import Table, parse, read, read_text

KINDS = ("import", "setting", "argument", "pattern")
"""What a name is: see `Equivalent.kind`."""

EQUAL = ("same", "near", "none")
"""How near a framework comes to a concept: see `Equivalent.equal`."""

NOTHING = "none"
"""The name of an equivalent where people use nothing that has one."""

_CONCEPT = re.compile(r"^\[\[concepts\]\]$", re.MULTILINE)
_BETWEEN = str.maketrans("", "", string.punctuation + string.whitespace)
_SEARCHED = re.compile(
    r'^(?:id|title|name) = "(.*)"$|^  "(.*)",$', re.MULTILINE
)


@dataclass(frozen=True)
class Equivalent:
    """What one framework has for a concept.

    `kind` tells what the name is: something to import, a setting, an
    argument, or a pattern: a way to write it. `equal` is "same", "near"
    (`note` says what is otherwise), or "none": then the name and the
    snippet show what people do instead.
    """

    name: str
    kind: str
    equal: str
    docs: str
    note: str | None = None
    snippet: str | None = None

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take an equivalent from its table."""
        found = cls(
            table.text("name"),
            table.text("kind"),
            table.text("equal"),
            table.text("docs"),
            table.optional_text("note"),
            table.optional_text("snippet"),
        )
        check_one_of("kind", found.kind, KINDS, table)
        check_one_of("equal", found.equal, EQUAL, table)
        return found


@dataclass(frozen=True)
class Concept:
    """Something that frameworks do, and what it is called in each.

    `words` are what people search it by, from other frameworks too.
    """

    id: str
    title: str
    group: str
    words: tuple[str, ...]
    equivalents: Mapping[str, Equivalent] = field(hash=False)
    recipe: str | None = None

    @classmethod
    def read(cls, table: Table, frameworks: Collection[str]) -> Self:
        """Take a concept from its table."""
        return cls(
            read_id(table),
            table.text("title"),
            table.text("group"),
            table.texts("words"),
            {
                name: Equivalent.read(table.table(name))
                for name in frameworks
                if name in table
            },
            table.optional_text("recipe"),
        )

    @property
    def said(self) -> str:
        """All that is said of it, in small letters, to look for words in."""
        own = (f"{e.name} {e.note or ''}" for e in self.equivalents.values())
        return " ".join([self.title, *self.words, *own]).lower()


@dataclass(frozen=True)
class Entry:
    """A concept that is searched: its id, its texts, its part of the file.

    `texts` are the title, the words and the names.
    """

    id: str
    texts: tuple[str, ...]
    part: str


def check_one_of(
    key: str, value: str, known: Sequence[str], table: Table
) -> None:
    """Complain about a value that is none of those known."""
    if value and value not in known:
        table.complain(
            f'{key} is "{value}"; it must be {alternatives(known)}.'
        )


def file_of(book: Book) -> Path:
    """Name the file of the equivalents."""
    return book.root / "frameworks" / "equivalents.toml"


def read_equivalents(book: Book) -> tuple[Concept, ...]:
    """Read all concepts; `BookError` says all that is wrong with them."""
    file = file_of(book)
    return read_concepts(book, read(file))


def read_concepts(book: Book, table: Table) -> tuple[Concept, ...]:
    """Take concepts from the table of a file, or of a part of it."""
    found = tuple(
        Concept.read(inner, book.frameworks)
        for inner in table.tables("concepts")
    )
    check_unique("concepts", [concept.id for concept in found], table)
    table.finish(file_of(book))
    return found


def read_entries(book: Book, roots: Collection[str] = ()) -> list[Entry]:
    """List what can have words with these roots; none without a table.

    Parsing the whole file takes as long as all else that a search does, so
    the lines that are searched are taken as they lie.
    """
    file = file_of(book)
    if not file.is_file():
        return []
    entries = []
    for part in _CONCEPT.split(read_text(file))[1:]:
        without_snippets = "".join(part.split("'''")[::2])
        letters = without_snippets.lower().translate(_BETWEEN)
        if all(root in letters for root in roots):
            entries.append(read_entry(part, without_snippets))
    return entries


def read_entry(part: str, without_snippets: str) -> Entry:
    """Take the lines that are searched from a concept's part of the file."""
    found = (
        (one or other).replace('\\"', '"').replace("\\\\", "\\")
        for one, other in _SEARCHED.findall(without_snippets)
    )
    identifier, *texts = found
    return Entry(identifier, tuple(texts), part)


def read_concept(book: Book, entry: Entry) -> Concept:
    """Read the one concept that was found."""
    table = parse(f"[[concepts]]{entry.part}", file_of(book))
    [concept] = read_concepts(book, table)
    return concept
