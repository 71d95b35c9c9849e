"""Cursors and pages: where a page begins, and what lies on either side.

Nothing here asks a database; `shared.keyset` does so in SQL.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

type Place = tuple[Any, ...]
"""Where a row stands: its value in the sort column, then its id."""


class Cursor(NamedTuple):
    """Where a page begins, and which way it goes from there.

    Without a place it begins at an end of the list: at the first row or,
    when it goes backward, at the last.
    """

    place: Place | None = None
    backward: bool = False

    def to_json(self) -> list[Any]:
        """Give what `from_json` takes, a time to the microsecond."""
        if self.place is None:
            return [self.backward]
        value, *rest = self.place
        if isinstance(value, datetime):
            # rule: stable-walk
            value = value.isoformat(timespec="microseconds")
        return [self.backward, value, *rest]

    @classmethod
    def from_json(cls, data: list[Any], kind: type) -> Self:
        """Read a cursor whose place has a value of this kind."""
        backward, *place = data
        if not place:
            return cls(None, backward)
        value, *rest = place
        if kind is datetime:
            value = datetime.fromisoformat(value)
        return cls((value, *rest), backward)


START = Cursor()
END = Cursor(backward=True)


class Ordering(Protocol):
    """What knows where a row of a list stands."""

    def place(self, row: Any) -> Place:
        """Say where a row stands in this order."""


class Page[Row](NamedTuple):
    """The rows of a page in the order of the list, and its neighbours."""

    items: Sequence[Row]
    next: Cursor | None
    prev: Cursor | None


def look_behind(
    rows: Sequence[object], order: Ordering, cursor: Cursor
) -> Cursor:
    """Turn round where the page begins: what is there precedes it."""
    return Cursor(order.place(rows[0]) if rows else None, not cursor.backward)


def cut_page[Row](
    rows: Sequence[Row],
    order: Ordering,
    cursor: Cursor,
    limit: int,
    *,
    begun: bool = True,
) -> Page[Row]:
    """Make a page of what `select_page` found.

    `begun` tells whether a row stands behind the cursor.
    """
    shown = rows[:limit]
    behind = look_behind(rows, order, cursor) if begun else None
    ahead = None
    if len(rows) > limit:
        ahead = Cursor(order.place(shown[-1]), cursor.backward)
    if cursor.backward:
        # rule: way-back
        shown = shown[::-1]
        return Page(shown, next=behind, prev=ahead)
    return Page(shown, next=ahead, prev=behind)
