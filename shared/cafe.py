"""A café: deep code that is told nothing of requests.

It logs, and it speaks to a customer by name and in a language. Neither
is an argument of anything here: it asks the context.

    tea 3.20
"""

import logging
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypedDict, get_args
from uuid import uuid4

from shared.locales import LOCALES, write_money
from shared.request_context import current_locale, current_user

type Item = Literal["tea", "coffee", "wedding-cake"]

ITEMS: tuple[str, ...] = get_args(Item.__value__)
ITEMS_MAX = 10
_SEED = "tea 3.20\ncoffee 2.80\nwedding-cake 1250.00\n"

logger = logging.getLogger(__name__)


class Dish(TypedDict):
    """A line of the menu."""

    item: str
    name: str
    price: str


class Menu(TypedDict):
    """What there is."""

    items: list[Dish]


class Order(TypedDict):
    """What a customer is told."""

    id: str
    total: str
    message: str


def read_price(path: str, item: str) -> Decimal:
    """Look the price of an item up."""
    prices = dict(
        line.split() for line in Path(path).read_text("ascii").splitlines()
    )
    logger.info("price read", extra={"item": item})
    return Decimal(prices[item])


def read_menu(path: str) -> Menu:
    """Write the menu in the language of whoever asks."""
    locale = current_locale()
    return Menu(
        items=[
            Dish(
                item=item,
                name=LOCALES[locale].names[item],
                price=write_money(read_price(path, item), locale),
            )
            for item in ITEMS
        ]
    )


def take_order(prices: Iterable[Decimal]) -> Order:
    """Add up, and thank the customer by name."""
    locale, user = current_locale(), current_user()
    total = write_money(sum(prices, Decimal()), locale)
    name = f", {user}" if user else ""
    order = Order(
        id=str(uuid4()),
        total=total,
        message=LOCALES[locale].thanks.format(name, total),
    )
    logger.info("order taken", extra={"order": order["id"]})
    return order


def send_receipt(order: Order) -> None:
    """Send the customer a receipt: to the log, in this café."""
    total = LOCALES[current_locale()].thanks.format("", order["total"])
    logger.info("receipt sent", extra={"order": order["id"], "text": total})


def write_seed(path: str) -> None:
    """Write the prices, unless there are some."""
    if not Path(path).exists():
        Path(path).write_text(_SEED)
