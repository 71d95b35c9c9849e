"""What it costs to send a parcel, by a tariff in a file.

    {"base": "4.00", "per_kilo": "1.50", "surcharges": {"north": "0.50"}}

The domain knows no HTTP and no user. A file that cannot be read is a
failure that nobody expects: it is raised as it comes.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

WEIGHT_MAX = 30
"""In kilograms."""

_SEED = """{
  "base": "4.00",
  "per_kilo": "1.50",
  "surcharges": {"north": "0.50", "south": "0.00"}
}
"""


class UnknownDepot(Exception):
    """There is no depot of this name."""


def read_tariff(path: str) -> dict[str, Any]:
    """Read the whole tariff."""
    tariff: dict[str, Any] = json.loads(Path(path).read_text("ascii"))
    return tariff


def show_tariff(path: str) -> dict[str, str]:
    """Show what everybody may know."""
    tariff = read_tariff(path)
    return {"base": tariff["base"], "per_kilo": tariff["per_kilo"]}


def find_surcharge(path: str, depot: str) -> str:
    """Look up what a depot adds; `UnknownDepot` where there is none."""
    try:
        return str(read_tariff(path)["surcharges"][depot])
    except KeyError:
        raise UnknownDepot from None


def find_price(path: str, depot: str, weight: int) -> str:
    """Say what a parcel of so many kilograms costs from a depot."""
    tariff = read_tariff(path)
    price = Decimal(tariff["base"]) + weight * Decimal(tariff["per_kilo"])
    return str(price + Decimal(find_surcharge(path, depot)))


def write_seed(path: str) -> None:
    """Write a tariff, unless there is one."""
    if not Path(path).exists():
        Path(path).write_text(_SEED)
