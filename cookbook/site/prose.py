"""What is written by hand in a README, as HTML."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from cookbook.book import Book
from cookbook.site.links import at, relative

GENERATED = re.compile(
    r"(^#[^\n]*\n\s*)?<!-- *generated:.*?<!-- *end *-->", re.S | re.M
)
HEADING = re.compile(r"^## +(.+)$", re.M)


@dataclass(frozen=True)
class Section:
    """A part of a README below its own heading."""

    id: str
    title: str
    html: Markup


@dataclass(frozen=True)
class Writer:
    """Turns Markdown of one place in the book into HTML of one page.

    `known` says where a name in code type leads: a rule's id for one.
    """

    book: Book
    folder: Path
    page: str
    known: Mapping[str, str]

    def write(self, text: str) -> Markup:
        """Write paragraphs, lists, tables and code."""
        parser = reader()
        tokens = parser.parse(text)
        is_empty = False
        for token, inner in pairwise([*tokens, Token("end", "", 0)]):
            if token.attrs.pop("style", "") == "text-align:right":
                token.attrs["class"] = "right"
            if inner.type == "inline" and not inner.content:
                is_empty = token.type == "th_open"
            if token.type.startswith("th_") and is_empty:
                token.tag = "td"
                is_empty = token.type == "th_open"
            if token.children:
                token.children = self._linked(token.children)
        # The parser lets no HTML through.
        return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704

    def inline(self, text: str) -> Markup:
        """Write a sentence."""
        html = self.write(text).strip()
        # The parser lets no HTML through.
        return Markup(html.removeprefix("<p>").removesuffix("</p>"))  # noqa: S704

    def _linked(self, tokens: Sequence[Token]) -> list[Token]:
        found: list[Token] = []
        is_dead = False
        for token in tokens:
            if token.type == "link_open":
                is_dead = not self._lead(token)
            if is_dead and token.type in ("link_open", "link_close"):
                continue
            if token.type == "code_inline" and token.content in self.known:
                found += wrapped(token, self.known[token.content])
            else:
                found.append(token)
        return found

    def _lead(self, token: Token) -> bool:
        address = str(token.attrs["href"])
        if address.startswith(("http://", "https://", "#")):
            return True
        place = at(self.book, self.folder / address.partition("#")[0])
        if place is None:
            return False
        token.attrs["href"] = relative(self.page, place)
        return True


def wrapped(token: Token, address: str) -> list[Token]:
    """Make a link of a name in code type."""
    opening = Token("link_open", "a", 1, attrs={"href": address})
    return [opening, token, Token("link_close", "a", -1)]


def reader() -> MarkdownIt:
    """Make a parser that lets no markup through."""
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def by_hand(readme: Path) -> str:
    """Read a README without its title and what is generated of it."""
    if not readme.is_file():
        return ""
    text = GENERATED.sub("", readme.read_text("utf-8"))
    return re.sub(r"\A# .*\n+", "", text)


def sections(text: str, write: Callable[[str], Markup]) -> Iterator[Section]:
    """Cut a README at its headings; what is before the first is left out."""
    parts = HEADING.split(text)
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if body.strip():
            yield Section(slug(title), title, write(body))


def slug(title: str) -> str:
    """Make an anchor of a title."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower()))
