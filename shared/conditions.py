"""What conditional requests ask for (RFC 9110, sections 13.1 and 13.2)."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal

from shared.preconditions import is_match

type Lines = Callable[[str], Sequence[str]]
"""Gives the lines of a header field, by its name."""

_OPAQUE = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


def judge(
    lines: Lines, etag: str, modified: datetime | None = None
) -> Literal[200, 304, 412]:
    """Say what a GET is answered with, in the order of section 13.2.2.

    `etag` is that of the answer; `modified`, if known, its last change.
    """
    if (if_match := lines("If-Match")) and not is_match(
        ", ".join(if_match), etag
    ):
        return 412
    if if_none_match := lines("If-None-Match"):
        # A date beside it is for those who know no tags.
        # rule: precedence
        return 304 if is_known(", ".join(if_none_match), etag) else 200
    if modified and is_unchanged(lines("If-Modified-Since"), modified):
        return 304
    return 200


def is_known(if_none_match: str, etag: str) -> bool:
    """Tell whether a client has what has this tag; weak or not is equal."""
    if if_none_match.strip() == "*":
        return True
    return etag.removeprefix("W/") in _OPAQUE.findall(if_none_match)


def is_unchanged(if_modified_since: Sequence[str], modified: datetime) -> bool:
    """Tell whether a client's copy is as new, to the second.

    What is no date, or more than one, says nothing.
    """
    if len(if_modified_since) != 1:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since[0])
    except ValueError:
        return False
    since = since.replace(tzinfo=since.tzinfo or UTC)
    # rule: precedence
    return modified.replace(microsecond=0) <= since


def http_date(moment: datetime) -> str:
    """Write a moment as HTTP does."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)
