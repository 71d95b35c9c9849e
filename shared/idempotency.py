"""Idempotency keys: what a key may be, whose it is, and what it is for.

See draft-ietf-httpapi-idempotency-key-header. A key is claimed before the
work, and the answer is kept with the effect of the work, or neither is.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import uuid4

from shared.problems import MEDIA_TYPE, Problem, named_problem

KEY_LENGTH = 255
REPLAYED = {"Idempotent-Replayed": "true"}
KEPT_HEADERS = ("Content-Type", "Location")
# A string of RFC 9651; its parameters have no meaning here.
_STRING = r'"((?:[ !#-\[\]-~]|\\["\\])*)"'
_BARE = (
    rf"{_STRING}|-?[0-9.]+|:[\w+/=]*:|\?[01]|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*"
)
_KEY = re.compile(
    rf" *{_STRING}(?: *; *[a-z*][a-z0-9_.*-]*(?:=(?:{_BARE}))?)* *", re.ASCII
)
# What is said before the operation has begun: it may be asked again.
_NOT_BEGUN = {400, 401, 405, 413, 415, 422}


class Answer(NamedTuple):
    """An answer as it is kept, to be given again byte for byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Claim(NamedTuple):
    """A request that wants its key; `id` tells it from its own repeats."""

    owner: str
    key: str
    fingerprint: str
    id: str


class Kept(Protocol):
    """What the store has under a key; no status: somebody is at work."""

    @property
    def fingerprint(self) -> str:
        """What the key was used for."""

    @property
    def status(self) -> int | None:
        """The status of the first answer."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, as far as they are kept."""

    @property
    def body(self) -> bytes | memoryview:
        """Its body."""


def refuse(problem: Problem, **headers: str) -> Answer:
    """Make an answer of a problem document."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = json.dumps(problem).encode()
    return Answer(
        problem["status"], {"Content-Type": MEDIA_TYPE, **named}, body
    )


KEY_REQUIRED = refuse(
    named_problem(
        400,
        "idempotency-key-required",
        "Idempotency key required",
        "Send `Idempotency-Key`, once: a string in quotation marks, of 1 to"
        f" {KEY_LENGTH} characters.",
    )
)
KEY_REUSED = refuse(
    named_problem(
        422,
        "idempotency-key-reused",
        "Idempotency key reused",
        "This key was used for another request.",
    )
)
IN_PROGRESS = refuse(
    named_problem(
        409,
        "request-in-progress",
        "Request in progress",
        "The first request with this key has no answer yet.",
    ),
    Retry_After="1",
)


def make_claim(
    owner: str, sent: Sequence[str], request: str, body: bytes
) -> Claim | None:
    """Claim the key that was sent for a request: its method, target and body.

    `None` where there is no key, or none that can be.
    """
    found = _KEY.fullmatch(sent[0]) if len(sent) == 1 else None
    # rule: key-required
    if found is None:
        return None
    key = re.sub(r"\\(.)", r"\1", found[1])
    # rule: key-required
    if not 1 <= len(key) <= KEY_LENGTH:
        return None
    return Claim(owner, key, make_fingerprint(request, body), uuid4().hex)


def make_fingerprint(request: str, body: bytes) -> str:
    """Tell requests apart, by their bytes."""
    parts = [
        # rule: other-request
        request.encode(),
        # rule: other-request
        body,
    ]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def answer_again(kept: Kept | None, claim: Claim) -> Answer:
    """Answer a claim that was not had: what is there under its key?"""
    # It was given up in this moment.
    if kept is None:
        return IN_PROGRESS
    # rule: other-request
    if kept.fingerprint != claim.fingerprint:
        return KEY_REUSED
    # rule: in-flight
    if kept.status is None:
        return IN_PROGRESS
    headers = {
        **kept.headers,
        # rule: replayed
        **REPLAYED,
    }
    return Answer(kept.status, headers, bytes(kept.body))


def keeps(status: int) -> bool:
    """Tell whether an answer is one of the operation, to be kept."""
    return status < 500 and status not in _NOT_BEGUN


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Choose the headers that belong to what the body shows."""
    return {name: headers[name] for name in KEPT_HEADERS if name in headers}
