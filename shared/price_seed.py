"""A seed of prices, the same each time."""

from collections.abc import Iterator
from typing import TypedDict


class PriceRow(TypedDict):
    """The values of a price."""

    article: str
    cents: int


def seed_prices(count: int) -> Iterator[PriceRow]:
    """Yield `count` prices, the same each time: a1, a2, a3 and so on."""
    for number in range(1, count + 1):
        yield PriceRow(article=f"a{number}", cents=95 + number * 370 % 9000)
