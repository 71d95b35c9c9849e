"""Keyset pagination in SQL: a page begins at a row, not at a count.

See https://use-the-index-luke.com/no-offset.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from shared.cursors import Cursor, Place


class Order(NamedTuple):
    """A sort column, and the unique one that settles its ties."""

    column: InstrumentedAttribute[Any]
    unique: InstrumentedAttribute[int]
    descending: bool = False

    @property
    def columns(self) -> Sequence[Any]:
        """What rows are sorted by, and cursors point at."""
        # A type checker takes these descriptors for the values they give.
        return (
            self.column,
            # rule: total-order
            self.unique,
        )

    @property
    def kind(self) -> type:
        """The type of the values in the sort column."""
        kind: type = self.column.type.python_type
        return kind

    def place(self, row: object) -> Place:
        """Say where a row stands in this order."""
        return tuple(getattr(row, column.key) for column in self.columns)


def select_page[S: Select[Any]](
    rows: S, order: Order, cursor: Cursor, limit: int
) -> S:
    """Select the rows from the cursor on, as it walks, and one row more.

    The row more is not shown: it tells that another page follows.
    """
    # rule: way-back
    order = order._replace(descending=order.descending != cursor.backward)
    if cursor.place is not None:
        # rule: stable-walk
        rows = rows.where(beyond(order, cursor.place))
    if order.descending:
        rows = rows.order_by(*(column.desc() for column in order.columns))
    else:
        rows = rows.order_by(*order.columns)
    return rows.limit(limit + 1)


def select_neighbour[S: Select[Any]](
    rows: S, order: Order, cursor: Cursor
) -> S:
    """Select the one row that the cursor meets first."""
    return select_page(rows, order, cursor, limit=0)


def beyond(order: Order, place: Place) -> ColumnElement[bool]:
    """Compare as one row value, which an index answers in one step."""
    # rule: flat-cost
    here = tuple_(*order.columns)
    there = tuple_(*place, types=[column.type for column in order.columns])
    return here < there if order.descending else here > there
