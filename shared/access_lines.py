"""The line that a request leaves in the log, and how many are in hand."""

import json
import logging
from collections.abc import Mapping
from threading import Lock

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""What every answer of an API says; see OWASP's REST cheat sheet."""

logger = logging.getLogger("access")


class InHand:
    """How many requests a process has in hand, counted in any thread."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = Lock()

    @property
    def count(self) -> int:
        """The number at this moment."""
        return self._count

    def take(self) -> None:
        """Begin a request."""
        with self._lock:
            self._count += 1

    def leave(self) -> None:
        """End a request."""
        with self._lock:
            self._count -= 1


def write_line(
    request_id: str,
    method: str,
    path: str,
    status: int | None,
    user: str | None,
    active: int,
) -> None:
    """Write the line; `status` is None where nobody was answered.

    JSON leaves no character through that could end the line.
    """
    line = {
        "event": "request",
        "request_id": request_id,
        "method": method,
        "path": path,
        "status": status,
        "user": user,
        "active": active,
    }
    logger.info("%s", json.dumps(line))


def configure_log() -> None:
    """Write the lines, and nothing else of the logger, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
