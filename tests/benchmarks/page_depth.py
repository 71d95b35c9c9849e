"""What a page costs by its depth: keyset, OFFSET, and the OR forms.

python -m tests.benchmarks.page_depth [URL of a PostgreSQL database]

Prints a table for a list of 200,000 books on SQLite and, where a URL is
given, on PostgreSQL, in a schema of its own that is dropped afterwards.
"""

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Select, and_, insert, or_, select, text
from sqlalchemy.schema import CreateSchema, DropSchema

from shared.books import ORDERS, Base, Book
from shared.cursors import START, Cursor, Place
from shared.database import sync_url
from shared.keyset import select_page
from shared.library import seed_batches

ROWS = 200_000
DEPTHS = (0, 100_000, 199_000)
LIMIT = 20
ROUNDS = 51
ORDER = ORDERS["-added_at"]
SCHEMA = "page_depth"

type Statement = Select[Any]


def by_keyset(depth: int, place: Place | None) -> Statement:
    """Begin after a place, compared as one row value: as the recipe does."""
    cursor = Cursor(place) if place else START
    return select_page(select(Book), ORDER, cursor, LIMIT)


def by_offset(depth: int, place: Place | None) -> Statement:
    """Count past the rows before the page."""
    return select_page(select(Book), ORDER, START, LIMIT).offset(depth)


def by_or(depth: int, place: Place | None) -> Statement:
    """Begin after a place, the comparison spelled out."""
    page = select_page(select(Book), ORDER, START, LIMIT)
    if place is None:
        return page
    added_at, number = place
    earlier = Book.added_at < added_at
    tied = and_(Book.added_at == added_at, Book.id < number)
    return page.where(or_(earlier, tied))


def by_or_within(depth: int, place: Place | None) -> Statement:
    """Spell it out below a bound that says nothing new."""
    page = by_or(depth, place)
    return page.where(Book.added_at <= place[0]) if place else page


WAYS: dict[str, Callable[[int, Place | None], Statement]] = {
    "keyset, as a row value": by_keyset,
    "`OFFSET`": by_offset,
    "keyset, spelled with `OR`": by_or,
    "keyset, `OR` below a bound": by_or_within,
}


def place_before(connection: Connection, depth: int) -> Place | None:
    """Find where the row stands that a page of this depth begins after."""
    if not depth:
        return None
    columns = select(*ORDER.columns)
    found = select_page(columns, ORDER, START, 0).offset(depth - 1)
    return tuple(connection.execute(found).one())


def milliseconds(connection: Connection, statement: Statement) -> float:
    """Take the median time of a statement, its rows fetched."""
    times = []
    for _ in range(ROUNDS):
        begun = perf_counter()
        connection.execute(statement).all()
        times.append(perf_counter() - begun)
    return median(times) * 1000


def measure(connection: Connection) -> Iterator[str]:
    """Write a row of the table for each way to find a page."""
    places = {depth: place_before(connection, depth) for depth in DEPTHS}
    expected = {
        depth: connection.execute(by_offset(depth, None)).all()
        for depth in DEPTHS
    }
    for name, way in WAYS.items():
        cells = []
        for depth, place in places.items():
            statement = way(depth, place)
            assert connection.execute(statement).all() == expected[depth]
            cells.append(f"{milliseconds(connection, statement):.2f}")
        yield f"| {name} | {' | '.join(cells)} |"


@contextmanager
def filled(url: str, schema: str | None) -> Iterator[Connection]:
    """Make the tables and their rows; take a schema away again."""
    engine = sqlalchemy.create_engine(sync_url(url))
    engine = engine.execution_options(schema_translate_map={None: schema})
    with engine.connect() as connection:
        if schema:
            connection.execute(
                DropSchema(schema, cascade=True, if_exists=True)
            )
            connection.execute(CreateSchema(schema))
        Base.metadata.create_all(connection)
        for batch in seed_batches(ROWS):
            connection.execute(insert(Book), batch)
        if schema:
            # What autovacuum does soon after; SQLite is left as it comes.
            connection.execute(text(f"ANALYZE {schema}.books"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            if schema:
                connection.execute(DropSchema(schema, cascade=True))
                connection.commit()
    engine.dispose()


def report(url: str, schema: str | None = None) -> None:
    """Print the table of one database."""
    with filled(url, schema) as connection:
        dialect = connection.dialect
        version = ".".join(map(str, dialect.server_version_info or ()))
        depths = " | ".join(f"{depth:,} rows deep" for depth in DEPTHS)
        print(f"\n{dialect.name} {version}, milliseconds:\n")
        print(f"| a page of {LIMIT} | {depths} |")
        print(f"| --- |{' ---: |' * len(DEPTHS)}")
        for row in measure(connection):
            print(row, flush=True)


def main() -> None:
    """Measure SQLite, and PostgreSQL where its URL is given."""
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"SQLAlchemy {sqlalchemy.__version__}, {ROWS:,} rows, "
        f"medians of {ROUNDS}"
    )
    with TemporaryDirectory() as folder:
        report(f"sqlite:///{Path(folder) / 'books.db'}")
    for url in sys.argv[1:2]:
        report(url, SCHEMA)


if __name__ == "__main__":
    main()
