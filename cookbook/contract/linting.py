"""What httplint finds wrong with the answers of a service.

Each answer that the contract's client reads is given to it. What it calls
bad is a fault of the manners, whatever rule the test is about.
"""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from httplint import HttpResponseLinter, Note

CODED = "content-encoding"
FALSE_ALARMS = {
    # In an answer they say what the next request may send: RFC 9110,
    # 12.5.1 and 12.5.3, with 415 above all (15.5.16).
    ("REQUEST_HDR_IN_RESPONSE", "Accept"),
    ("REQUEST_HDR_IN_RESPONSE", "Accept-Encoding"),
}
"""What httplint calls bad and HTTP does not: its note and the field."""

_found: "list[list[Remark]]" = []


@dataclass(frozen=True)
class Remark:
    """A fault in an answer, by httplint's name for it."""

    note: str
    summary: str
    answer: httpx2.Response

    @property
    def text(self) -> str:
        """What a report says of it."""
        return f"httplint: {self.summary} ({self.note})"


@contextmanager
def reading() -> Iterator[None]:
    """Read every answer from here on; see `take_remarks`."""
    _found.append([])
    try:
        yield
    finally:
        _found.pop()


def read_answer(answer: httpx2.Response, excused: Container[str]) -> None:
    """Remember what is wrong with an answer, where they are read.

    `excused` are the notes that a declared difference accounts for.
    """
    if _found:
        found = remarks_on(answer)
        _found[-1].extend(one for one in found if one.note not in excused)


def take_remarks() -> list[Remark]:
    """Give what was found since the last time, each fault once."""
    if not _found:
        return []
    taken = {(one.note, one.summary): one for one in reversed(_found[-1])}
    _found[-1].clear()
    return [*reversed(taken.values())]


def remarks_on(answer: httpx2.Response) -> list[Remark]:
    """List what is wrong with an answer that was read to its end."""
    from httplint import levels

    linter = lint(answer)
    found = [one for one in whole(linter.notes) if one.level == levels.BAD]
    return [
        Remark(type(one).__name__, str(one.summary), answer)
        for one in found
        if not is_false_alarm(one)
    ]


def whole(notes: "Iterable[Note]") -> "Iterator[Note]":
    """Walk through notes and the notes below them."""
    for note in notes:
        yield note
        yield from whole(note.subnotes)


def lint(answer: httpx2.Response) -> "HttpResponseLinter":
    """Give an answer to httplint, with the request that it belongs to."""
    # It takes a third of a second, where nothing is read.
    from httplint import HttpRequestLinter, HttpResponseLinter

    request = answer.request
    asked = HttpRequestLinter(no_content=True)
    target = request.extensions.get("target", request.url.raw_path)
    asked.process_request_topline(request.method.encode(), target, b"HTTP/1.1")
    asked.process_headers(request.headers.raw)
    # What is decoded by now is not what was sent.
    linter = HttpResponseLinter(no_content=CODED in answer.headers)
    linter.request = asked
    linter.is_head_response = request.method == "HEAD"
    linter.base_uri = str(request.url)
    linter.process_response_topline(
        answer.http_version.encode(),
        str(answer.status_code).encode(),
        answer.reason_phrase.encode(),
    )
    linter.process_headers(answer.headers.raw)
    linter.feed_content(answer.content)
    linter.finish_content(complete=True)
    return linter


def is_false_alarm(note: "Note") -> bool:
    """Tell where HTTP allows what httplint calls bad."""
    named = note.vars.get("field_name", "")
    return (type(note).__name__, named) in FALSE_ALARMS
