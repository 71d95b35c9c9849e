"""The wiki of an island: what a page is, its tags, its seed, its front.

Each page is there in two languages. It touches nothing of a request.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any, TypedDict

from shared.locales import read_ranges, shorten

DEFAULT = "en"
LANGUAGES = {"en": "The Island Wiki", "de": "Das Insel-Wiki"}
TITLE = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
TITLE_LENGTH = 200
TEXT = re.compile(r"^[^\x00\ud800-\udfff]*\Z")
TEXT_LENGTH = 10_000
MEDIA_TYPE = "text/html; charset=utf-8"

_SUBJECTS = [
    ("ferry", "Ferry", "Fähre"),
    ("harbour", "Harbour", "Hafen"),
    ("lighthouse", "Lighthouse", "Leuchtturm"),
    ("mill", "Mill", "Mühle"),
    ("school", "School", "Schule"),
    ("bakery", "Bakery", "Bäckerei"),
]
_SEEDED = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class PageRow(TypedDict):
    """The values of a page as it is first written."""

    slug: str
    language: str
    title: str
    text: str
    edited_at: datetime
    edited_by: str


def seed_pages(count: int) -> Iterator[PageRow]:
    """Yield `count` pages, the same each time, each in both languages."""
    for number in range(count):
        name, *titles = _SUBJECTS[number % len(_SUBJECTS)]
        for language, title in zip(LANGUAGES, titles, strict=True):
            yield PageRow(
                slug=f"{name}-{number + 1}",
                language=language,
                title=f"{title} {number + 1}",
                text=f"{title}.",
                edited_at=_SEEDED,
                edited_by="founder",
            )


def describe(page: Any) -> dict[str, Any]:
    """Describe a page as JSON has it."""
    names = ("slug", "language", "title", "text", "version", "edited_by")
    shown = {name: getattr(page, name) for name in names}
    return {**shown, "edited_at": page.edited_at.isoformat()}


def choose_language(accept_language: Iterable[str]) -> str:
    """Look up what `Accept-Language` asks for (RFC 4647, 3.4)."""
    ranges = read_ranges(",".join(accept_language))
    for name, weight in sorted(ranges, key=lambda each: -each[1]):
        for tag in shorten(name):
            # rule: variants
            if weight and tag in LANGUAGES:
                return tag
    return DEFAULT


def page_tag(language: str, version: int) -> str:
    """Make the tag of a page, by its language and its state."""
    return _join(
        # rule: variants
        language,
        # rule: validators
        version,
    )


def main_tag(language: str, edits: int | None, stylesheet: str) -> str:
    """Make the tag of the main page, by all that it is made of."""
    return _join(
        # rule: variants
        language,
        # rule: validators
        edits,
        # rule: fingerprinted
        stylesheet.rpartition("/")[2],
    )


def own_tag(user: str, edits: int | None) -> str:
    """Make the tag of what is a user's own; nobody else's is like it."""
    return _join(
        # rule: private
        user,
        # rule: validators
        edits,
    )


def _join(*parts: str | int | None) -> str:
    return f'"{"-".join(map(str, parts))}"'


def write_main_page(
    language: str, pages: Iterable[tuple[str, str]], stylesheet: str
) -> str:
    """Write the main page: the paths of all pages, with their titles."""
    title = LANGUAGES[language]
    links = "\n".join(
        f'<li><a href="{escape(path)}">{escape(name)}</a></li>'
        for path, name in pages
    )
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n'
        f'<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<link rel="stylesheet" href="{escape(stylesheet)}">\n</head>\n'
        f"<body>\n<h1>{title}</h1>\n<ul>\n{links}\n</ul>\n</body>\n</html>\n"
    )
