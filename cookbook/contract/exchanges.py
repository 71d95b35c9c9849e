"""The last exchange with a service, kept to show what broke a rule."""

from collections import deque
from collections.abc import Collection, Container

import httpx2

from cookbook.contract.linting import read_answer

MOST = 600
SHOWN = ("content-type", "link", "location", "allow", "retry-after")
_last: deque[httpx2.Response | httpx2.TransportError] = deque(maxlen=1)


def note_exchange(
    answer: httpx2.Response | httpx2.TransportError,
    excused: Container[str] = (),
) -> None:
    """Read an answer and remember it, or why there was none.

    `excused` is what httplint may call bad in it.
    """
    _last.append(answer)
    if isinstance(answer, httpx2.Response):
        read_answer(answer, excused)


def forget_exchange() -> None:
    """Start anew, before a test."""
    _last.clear()


def last_exchange() -> str | None:
    """Write the last request and its answer, shortened."""
    return write_exchange(_last[0]) if _last else None


def write_exchange(
    answer: httpx2.Response | httpx2.TransportError,
    shown: Collection[str] = SHOWN,
) -> str:
    """Write a request and its answer, with the fields to be shown."""
    lines = question(answer.request)
    if isinstance(answer, httpx2.TransportError):
        return "\n".join([*lines, f"< no answer: {answer}"])
    lines.append(f"< {answer.status_code} {answer.reason_phrase}")
    for name in shown:
        if name in answer.headers:
            lines.append(f"< {name}: {answer.headers[name]}")
    if answer.content:
        lines.append(f"< {shorten(answer.content)}")
    return "\n".join(lines)


def question(request: httpx2.Request) -> list[str]:
    """Write a request; a body that was sent in chunks is not kept."""
    lines = [f"> {request.method} {request.url.raw_path.decode()}"]
    try:
        content = request.content
    except httpx2.RequestNotRead:
        content = b"..."
    if content:
        lines.append(f"> {shorten(content)}")
    return lines


def shorten(content: bytes) -> str:
    """Cut what is too long to show."""
    text = content[:MOST].decode(errors="replace")
    return text if len(content) <= MOST else f"{text} ..."
