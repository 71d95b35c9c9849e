"""What the table of equivalents still lacks, in plain words."""

import ast
import re
from collections.abc import Iterator

from cookbook.book import Book
from cookbook.equivalents import NOTHING, Equivalent, read_equivalents
from cookbook.tables import BookError

MOST_COLUMNS, MOST_LINES = 64, 16
"""What a snippet may take; empty lines are not counted."""


def lacks(book: Book) -> Iterator[str]:
    """Say what the concepts still lack, in plain words."""
    try:
        concepts = read_equivalents(book)
    except BookError as error:
        yield from error.problems
        return
    for concept in concepts:
        if not concept.words:
            yield f"{concept.id} has no words to search it by."
        if concept.recipe and concept.recipe not in book.folders:
            yield f'{concept.id}: there is no recipe "{concept.recipe}" yet.'
        for name, framework in book.frameworks.items():
            found = concept.equivalents.get(name)
            where = f"{concept.id} in {framework.title}"
            if found is None:
                yield f"{where} is missing."
            else:
                yield from lacks_of(found, where)


def lacks_of(found: Equivalent, where: str) -> Iterator[str]:
    """Say what an equivalent lacks."""
    if found.equal != "same" and not found.note:
        yield f"{where} is {found.equal}, and no note says why."
    if found.equal != "none" and found.name == NOTHING:
        yield f"{where} has no name."
    if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+/\S*", found.docs):
        yield f"{where}: docs is no address."
    if found.snippet is None:
        if found.equal != "none":
            yield f"{where} has no snippet."
        return
    try:
        ast.parse(found.snippet)
    except SyntaxError as error:
        yield f"{where}: not Python: {error.msg}, line {error.lineno}."
    longest = max(map(len, found.snippet.splitlines()), default=0)
    if longest > MOST_COLUMNS:
        yield f"{where}: a line of {longest} columns; {MOST_COLUMNS} fit."
    count = sum(1 for line in found.snippet.splitlines() if line.strip())
    if not 1 <= count <= MOST_LINES:
        yield f"{where}: {count} lines; {MOST_LINES} are many."
