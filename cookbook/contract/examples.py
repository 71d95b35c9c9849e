"""The examples of a recipe, played in order against a service."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx2

from cookbook.book import Example

if TYPE_CHECKING:
    from cookbook.contract.service import Service

_NAME = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Played:
    """An example with its names filled in, and what it was answered."""

    example: Example
    path: str
    body: bytes | None
    answer: httpx2.Response


def play(service: "Service") -> Iterator[Played]:
    """Send the examples in order, each with what earlier ones captured.

    `{unique}` is another text each time.
    """
    captured: dict[str, str] = {"unique": uuid4().hex[:8]}
    for example in service.examples:
        headers = {n: fill(v, captured) for n, v in example.headers.items()}
        path = fill(example.path, captured)
        body = None if example.body is None else encode(example.body, captured)
        answer = service.request(
            example.method, path, headers=headers, content=body
        )
        sent = replace(example, headers=headers)
        yield Played(sent, path, body, answer)
        for name, place in example.capture.items():
            captured[name] = capture(example, answer, place)


def capture(example: Example, answer: httpx2.Response, place: str) -> str:
    """Take a value out of an answer that must have it.

    A place is a JSON pointer, or the name of a header, whose value is
    taken up to its first semicolon: of a cookie its name and its value.
    """
    try:
        if not place.startswith("/"):
            return answer.headers[place].partition(";")[0]
        return str(find(answer.json(), place))
    except (LookupError, TypeError, ValueError):
        raise AssertionError(
            f"the answer to the example {example.id} has no {place}"
        ) from None


def fill(text: str, captured: Mapping[str, str]) -> str:
    """Put captured values in place of their names."""
    return _NAME.sub(lambda match: captured.get(match[1], match[0]), text)


def encode(body: Any, captured: Mapping[str, str]) -> bytes:
    """Write a body: a text as it is, anything else as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return fill(text, captured).encode()


def find(document: Any, pointer: str) -> Any:
    """Follow a JSON pointer (RFC 6901)."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        key = int(name) if isinstance(document, list) else name
        document = document[key]
    return document
