"""The last exchange with a service, kept to show what broke a rule."""

from collections import deque

import httpx2

MOST = 600
SHOWN = ("content-type", "link", "location", "allow", "retry-after")
_last: deque[httpx2.Response | httpx2.TransportError] = deque(maxlen=1)


def note_exchange(answer: httpx2.Response | httpx2.TransportError) -> None:
    """Remember an answer that was read, or why there was none."""
    _last.append(answer)


def forget_exchange() -> None:
    """Start anew, before a test."""
    _last.clear()


def last_exchange() -> str | None:
    """Write the last request and its answer as on the wire, shortened."""
    if not _last:
        return None
    answer = _last[0]
    lines = question(answer.request)
    if isinstance(answer, httpx2.TransportError):
        return "\n".join([*lines, f"< no answer: {answer}"])
    lines.append(f"< {answer.status_code} {answer.reason_phrase}")
    for name in SHOWN:
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
