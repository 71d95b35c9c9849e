"""A library that grows: what its books may be, and a seed of them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from typing import TypedDict

GENRE = re.compile(r"^[a-z]+(-[a-z]+)*\Z")
GENRE_LENGTH = 40
TITLE = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
TITLE_LENGTH = 200
ID_MAX = 2**31 - 1

_FIRST = "Bitter Quiet Distant Scarlet Winter Borrowed Hollow Golden".split()
_SECOND = "Harbour Letters Orchard Mirror Crossing Garden Ledger".split()
_GENRES = "novel poetry history travel essay".split()
_OPENED = datetime(2026, 1, 1, tzinfo=UTC)


class BookRow(TypedDict):
    """The values of a book before it has a number."""

    title: str
    genre: str
    added_at: datetime


def seed_books(count: int) -> Iterator[BookRow]:
    """Yield `count` books, the same each time, with ties in every column.

    Three books at a time share an `added_at`, many share a title.
    """
    titles = [
        f"{first} {second}" for first, second in product(_FIRST, _SECOND)
    ]
    for number in range(count):
        yield BookRow(
            title=titles[number * 31 % len(titles)],
            genre=_GENRES[number * 7 // 3 % len(_GENRES)],
            added_at=_OPENED
            + timedelta(microseconds=number // 3 * 61_000_007),
        )


def seed_batches(count: int, size: int = 10_000) -> Iterator[list[BookRow]]:
    """Yield the seed in lists of at most `size` books."""
    books = seed_books(count)
    while batch := list(islice(books, size)):
        yield batch
