"""Locales: which one a client wants, and how a sum is written there."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

DEFAULT = "en"
# A language range and its weight (RFC 9110, 12.4.2 and 12.5.4); with more
# subtags than a tag ever has, it is none.
_RANGE = re.compile(
    r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,9})"
    r"(?:[ \t]*;[ \t]*[Qq]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


class Locale(NamedTuple):
    """What differs from one language to the next."""

    money: str
    group: str
    point: str
    thanks: str
    names: dict[str, str]


LOCALES = {
    "en": Locale(
        *("€{}", ",", "."),
        "Thank you{}. That is {}.",
        {"tea": "Tea", "coffee": "Coffee", "wedding-cake": "Wedding cake"},
    ),
    "de": Locale(
        *("{}\xa0€", ".", ","),
        "Danke{}. Das macht {}.",
        {"tea": "Tee", "coffee": "Kaffee", "wedding-cake": "Hochzeitstorte"},
    ),
    "pt": Locale(
        *("{}\xa0€", "\xa0", ","),
        "Obrigado{}. São {}.",
        {"tea": "Chá", "coffee": "Café", "wedding-cake": "Bolo de noiva"},
    ),
    "pt-BR": Locale(
        *("€\xa0{}", ".", ","),
        "Obrigado{}. Deu {}.",
        {"tea": "Chá", "coffee": "Café", "wedding-cake": "Bolo de casamento"},
    ),
}
_BY_TAG = {tag.lower(): tag for tag in LOCALES}


def choose_locale(header: str) -> str:
    """Look up what `Accept-Language` asks for (RFC 4647, 3.4)."""
    ranges = sorted(read_ranges(header), key=lambda each: -each[1])
    refused = {name for name, weight in ranges if not weight}
    for name, _ in ranges:
        for tag in shorten(name):
            # rule: locale
            if tag in _BY_TAG and tag not in refused:
                return _BY_TAG[tag]
    return DEFAULT


def read_ranges(header: str) -> Iterator[tuple[str, float]]:
    """Read the ranges and their weights; pass over what is none."""
    for element in header.split(","):
        if found := _RANGE.fullmatch(element.strip(" \t")):
            yield found[1].lower(), float(found[2] or 1)


def shorten(name: str) -> Iterator[str]:
    """Take one subtag after the other from the end of a range."""
    subtags = name.split("-")
    while subtags:
        yield "-".join(subtags)
        subtags.pop()
        if subtags and len(subtags[-1]) == 1:
            subtags.pop()


def write_money(amount: Decimal, locale: str) -> str:
    """Write a sum of euros as it is written there."""
    form = LOCALES[locale]
    whole, _, cents = f"{amount:,.2f}".partition(".")
    digits = whole.replace(",", form.group) + form.point + cents
    return form.money.format(digits)
