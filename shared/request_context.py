"""What any code may know of the request that it works for.

One variable of `contextvars` holds one value that never changes. Each
task and each thread sees its own; which of them are given a copy is for
whoever starts them to say.
"""

import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

from shared.locales import DEFAULT

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def fresh_id() -> str:
    """Make an id that no other request has."""
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request, as far as its logs and its deeper code are concerned."""

    method: str
    path: str
    request_id: str = field(default_factory=fresh_id)
    user: str | None = None
    locale: str = DEFAULT


CONTEXT: ContextVar[RequestContext | None] = ContextVar(
    "request_context", default=None
)


def current_user() -> str | None:
    """Tell who asks, if that is known."""
    context = CONTEXT.get()
    return context.user if context else None


def current_locale() -> str:
    """Tell in which language to answer."""
    context = CONTEXT.get()
    return context.locale if context else DEFAULT


def choose_id(sent: Sequence[str]) -> str:
    """Take the id that a client sent, if it is one; else make one."""
    # rule: bounded-id
    if len(sent) == 1 and REQUEST_ID.fullmatch(sent[0]):
        return sent[0]
    return fresh_id()
