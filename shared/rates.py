"""Exchange rates of the euro, in a file with a line for each currency.

    USD 1.0842

The domain knows no HTTP. What it refuses is an error of its own, and
`describe` says once, for all, which problem each of them is.
"""

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import NamedTuple, TextIO

from shared.problems import Problem, named_problem

_SEED = "USD 1.0842\nGBP 0.8523\nJPY 171.35\nCHF 0.9317\n"


class Rate(NamedTuple):
    """How much of a currency a euro is worth."""

    currency: str
    value: Decimal

    def to_json(self) -> dict[str, str]:
        """Show the rate; digits as text, so that none is lost."""
        return {"currency": self.currency, "rate": str(self.value)}


class RatesError(Exception):
    """What the domain refuses."""


class UnknownCurrency(RatesError):
    """There is no rate for a currency."""


class AmountTooLarge(RatesError):
    """More than is converted at once."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


def describe(error: RatesError) -> Problem:
    """Say which problem it is: the one place that knows."""
    match error:
        case UnknownCurrency():
            return named_problem(
                404,
                "unknown-currency",
                "Unknown currency",
                "There is no rate for this currency.",
            )
        case AmountTooLarge():
            return named_problem(
                422,
                "amount-too-large",
                "Amount too large",
                f"At most {error.most} is converted at once.",
            )
    raise error


def open_rates(path: str) -> Iterator[Rate]:
    """Open the file at once, and read it line by line."""
    # A generator would open it only when the answer has begun.
    # rule: stream-broken
    return _read(Path(path).open(encoding="ascii"))


def _read(file: TextIO) -> Iterator[Rate]:
    with file:
        for line in file:
            currency, value = line.split()
            yield Rate(currency, Decimal(value))


def find_rate(path: str, currency: str) -> Rate:
    """Find the rate of a currency."""
    for rate in open_rates(path):
        if rate.currency == currency:
            return rate
    raise UnknownCurrency


def convert(path: str, currency: str, amount: int, most: int) -> int:
    """Convert an amount of euros, rounded to whole units."""
    if amount > most:
        raise AmountTooLarge(most)
    exact = amount * find_rate(path, currency).value
    return int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


def write_seed(path: str) -> None:
    """Write the file, unless there is one."""
    if not Path(path).exists():
        Path(path).write_text(_SEED)
