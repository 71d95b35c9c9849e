"""The page that tries a recipe: a form, and the answers to it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import punctuation
from typing import Self
from urllib.parse import parse_qs, quote

from cookbook.book import Example, Framework, Recipe
from cookbook.names import listing
from cookbook.site.answers import bodies, rows
from cookbook.site.exchange import Answer, Request
from cookbook.site.links import try_at
from cookbook.site.rendering import Page
from cookbook.site.servers import Servers
from cookbook.site.site import Site

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

FIELDS = ("method", "path", "headers", "body")

COUNTED = ("content-length", "transfer-encoding")
"""Headers that follow from the body."""

_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class FormError(ValueError):
    """What was filled in cannot be sent; the text says why."""


@dataclass(frozen=True)
class Asked:
    """What a reader wants: some frameworks, and a request or an example."""

    frameworks: tuple[str, ...]
    does: str
    example: str
    fields: Mapping[str, str]

    @classmethod
    def read(cls, form: str) -> Self:
        """Take it from a form, or from the query of an address."""
        try:
            found = parse_qs(form, keep_blank_values=True, max_num_fields=60)
        except ValueError as error:
            raise FormError(f"The form cannot be read: {error}.") from None
        one = {name: values[-1] for name, values in found.items()}
        frameworks = tuple(
            name for each in found.get("f", ()) for name in each.split(",")
        )
        return cls(frameworks, one.get("do", ""), one.get("example", ""), one)

    def request(self) -> Request:
        """Make the request that was filled in."""
        method = self.fields.get("method", "GET")
        if method not in METHODS:
            raise FormError(f"The method must be {listing(METHODS)}.")
        headers = read_headers(self.fields.get("headers", ""))
        return Request(
            method,
            read_path(self.fields.get("path", "/")),
            headers,
            read_body(self.fields.get("body", ""), headers),
        )


def read_path(text: str) -> str:
    """Write a path as it is sent: what no request may hold is encoded."""
    if not text.startswith("/"):
        raise FormError("The path must begin with a slash.")
    return quote(text, safe=punctuation)


def read_headers(text: str) -> tuple[tuple[str, str], ...]:
    """Read headers, a line each."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise FormError(f"This is no header: {line[:60]}")
        if name.lower() in COUNTED:
            raise FormError(f"The header {name} is written by itself.")
        if not _VALUE.fullmatch(value):
            raise FormError(f"No header may have what {name} has in it.")
        found.append((name, value.strip()))
    return tuple(found)


def read_body(text: str, headers: Sequence[tuple[str, str]]) -> str:
    """Take the line ends that were typed; a browser sends others.

    The parts of a form are the one thing that must have the others.
    """
    kinds = [v for n, v in headers if n.lower() == "content-type"]
    if any(kind.lower().startswith("multipart/") for kind in kinds):
        return text
    return text.replace("\r\n", "\n")


def page(site: Site, servers: Servers, recipe: Recipe, asked: Asked) -> Page:
    """Make the page, as it is before anything was sent."""
    example = find(recipe, asked.example) or next(iter(recipe.examples), None)
    request = Request.of(example) if example else Request("GET", "/")
    return show(site, servers, recipe, asked, fields_of(request))


def send(site: Site, servers: Servers, recipe: Recipe, asked: Asked) -> Page:
    """Do what was asked for, and make the page of what came of it."""
    if asked.does == "stop":
        servers.stop()
        return show(site, servers, recipe, asked, asked.fields)
    example = find(recipe, asked.example)
    request = Request.of(example) if example else asked.request()
    chosen = choose(site, recipe, asked)
    answers = servers.ask(site.book, recipe, chosen, request, example)
    fields = fields_of(request) if example else asked.fields
    return show(site, servers, recipe, asked, fields, answers)


def refuse(
    site: Site, servers: Servers, recipe: Recipe, asked: Asked, why: str
) -> Page:
    """Make the page of what cannot be sent, with what was filled in."""
    return show(site, servers, recipe, asked, asked.fields, wrong=why)


def fields_of(request: Request) -> dict[str, str]:
    """Write a request as it is filled in."""
    return {
        "method": request.method,
        "path": request.path,
        "headers": "\n".join(f"{n}: {v}" for n, v in request.headers),
        "body": request.body,
    }


def find(recipe: Recipe, name: str) -> Example | None:
    """Find an example by its name."""
    return next((e for e in recipe.examples if e.id == name), None)


def there(site: Site, recipe: Recipe) -> list[Framework]:
    """List the frameworks in which a recipe can be tried."""
    return [f for f in site.frameworks if recipe.implementation(f.name)]


def choose(site: Site, recipe: Recipe, asked: Asked) -> list[Framework]:
    """List the frameworks that were chosen; all, where none was."""
    known = there(site, recipe)
    return [f for f in known if f.name in asked.frameworks] or known


def show(
    site: Site,
    servers: Servers,
    recipe: Recipe,
    asked: Asked,
    fields: Mapping[str, str],
    answers: Sequence[Answer] = (),
    wrong: str = "",
) -> Page:
    """Put the form and the answers on the page."""
    chosen = choose(site, recipe, asked)
    return Page(
        try_at(recipe.slug),
        "try.html",
        f"{recipe.title}: try it",
        f"{recipe.title}: one request, and what each framework answers.",
        {
            "recipe": recipe,
            "known": there(site, recipe),
            "chosen": chosen,
            "example": find(recipe, asked.example),
            "fields": {name: fields.get(name, "") for name in FIELDS},
            "methods": METHODS,
            "running": servers.of(recipe),
            "answers": answers,
            "rows": rows(answers) if answers else [],
            "bodies": bodies(answers),
            "wrong": wrong,
        },
    )
