"""Goods of a shop: what a product may be, and a seed of them."""

import re
from collections.abc import Iterator
from itertools import product
from typing import TypedDict

from shared.problems import Problem, named_problem

SKU = re.compile(r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*\Z")
SKU_LENGTH = 40
TEXT = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
TEXT_LENGTH = 200
PRICE_MAX = 1_000_000_000
ID_MAX = 2**31 - 1
MERGE_PATCH = "application/merge-patch+json"

_KINDS = "Kettle Lamp Chair Basket Mirror Clock Teapot Stool".split()
_COLOURS = "Black White Scarlet Amber Copper Olive Indigo".split()


class ProductRow(TypedDict):
    """The values of a product that a client gives."""

    sku: str
    name: str
    price: int
    note: str | None


def seed_products(count: int) -> Iterator[ProductRow]:
    """Yield `count` products, the same each time, each with its SKU."""
    names = [f"{colour} {kind}" for colour, kind in product(_COLOURS, _KINDS)]
    for number in range(count):
        yield ProductRow(
            sku=f"SEED-{number + 1}",
            name=names[number * 31 % len(names)],
            price=100 + number * 7919 % 20_000,
            note=None if number % 3 else "While stocks last.",
        )


def sku_taken() -> Problem:
    """Tell that another product has the SKU, and not which one."""
    problem = named_problem(
        409,
        "sku-taken",
        "SKU taken",
        "Another product has this SKU, in whatever case.",
    )
    problem["errors"] = [{"pointer": "/sku", "detail": "Taken."}]
    return problem
