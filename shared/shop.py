"""Delivery quotes of a shop, signed for the carrier.

The domain knows neither HTTP nor where its settings come from.
"""

import hmac
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from shared.problems import Problem, named_problem

RELOADABLE = ("free_from", "open", "banner")

_FEE = 490
_MOST = Decimal(1_000_000)


class Settings(Protocol):
    """What the shop has to be told; cannot be set."""

    @property
    def currency(self) -> str:
        """What customers pay in."""

    @property
    def countries(self) -> Sequence[str]:
        """Where the shop delivers."""

    @property
    def items_max(self) -> int:
        """How many items go into one delivery."""

    @property
    def free_from(self) -> Decimal:
        """From what worth of goods on delivery is free."""

    @property
    def open(self) -> bool:
        """Whether orders are taken."""

    @property
    def banner(self) -> str:
        """What customers are told."""


class ShopError(Exception):
    """What the shop refuses."""


class ShopClosed(ShopError):
    """The shop takes no orders now."""


class CountryNotServed(ShopError):
    """The shop does not deliver there."""


class TooManyItems(ShopError):
    """More than go into one delivery."""


REFUSALS = (ShopClosed, CountryNotServed, TooManyItems)


def describe(error: ShopError) -> Problem:
    """Say which problem it is: the one place that knows."""
    match error:
        case ShopClosed():
            return named_problem(
                409, "shop-closed", "Shop closed", "Come back later."
            )
        case CountryNotServed():
            return named_problem(
                422,
                "country-not-served",
                "Country not served",
                "There is no delivery to this country.",
            )
        case TooManyItems():
            return named_problem(
                422,
                "too-many-items",
                "Too many items",
                "They do not go into one delivery.",
            )
    raise error


def money(value: object) -> Decimal:
    """Take a whole or decimal number for an amount of money."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise ValueError("Expected a number, such as 50.00.")
    if not 0 <= value <= _MOST or value != round(value, 2):
        raise ValueError("Expected 0 to 1000000, with two decimal places.")
    return abs(value.quantize(Decimal("0.01")))


def show(settings: Settings) -> dict[str, Any]:
    """Show customers what holds at the moment."""
    return {
        "open": settings.open,
        "banner": settings.banner,
        "currency": settings.currency,
        "countries": list(settings.countries),
        "items_max": settings.items_max,
        "free_from": str(settings.free_from),
    }


def quote(
    settings: Settings, key: str, country: str, items: int, goods: int
) -> dict[str, Any]:
    """Say what a delivery costs; amounts are in cents."""
    if not settings.open:
        raise ShopClosed
    if country not in settings.countries:
        raise CountryNotServed
    if items > settings.items_max:
        raise TooManyItems
    delivery = 0 if goods >= settings.free_from * 100 else _FEE
    signed = f"{country}:{items}:{goods}:{delivery}:{settings.currency}"
    return {
        "country": country,
        "items": items,
        "goods": goods,
        "delivery": delivery,
        "currency": settings.currency,
        "signature": hmac.digest(
            key.encode(), signed.encode(), "sha256"
        ).hex(),
    }
