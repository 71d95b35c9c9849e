"""What `If-Match` asks for (RFC 9110, section 13.1.1)."""

import re

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[\s,]*{_TAG}(?:\s*,\s*(?:{_TAG})?)*\s*")


def is_match(if_match: str, etag: str) -> bool:
    """Tell whether an `If-Match` lets through what has this strong tag.

    Weak tags match nothing here, and nothing matches what is no list of
    tags.
    """
    if if_match.strip() == "*":
        return True
    if not _TAGS.fullmatch(if_match):
        return False
    return etag in re.findall(_TAG, if_match)


def strong_tag(version: int) -> str:
    """Make a strong entity tag of the number of a version."""
    return f'"{version}"'
