"""Sources as HTML: lines with looks, and excerpts that unfold."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from itertools import groupby

from markupsafe import Markup

from cookbook.highlight import highlight
from cookbook.keeping import Kept
from cookbook.marks import Mark, Scope
from cookbook.terminal import ACCENT, FAINT, LITERAL, STRONG

LOOKS = {
    STRONG: ("<b>", "</b>"),
    LITERAL: ("<i>", "</i>"),
    FAINT: ("<u>", "</u>"),
    ACCENT: ("<u class=r>", "</u>"),
}

DEEPEST = 24
"""Lines that are indented further hang as if they were not."""

SHORT = 34
"""A line of so many characters fits into every column, and never hangs."""

LONGEST_HEAD = 8
"""The most lines of a signature that are shown above what is marked."""


@dataclass(frozen=True)
class Line:
    """A line of code; `rules` are those that it helps to keep."""

    number: int
    html: Markup
    indent: int
    rules: tuple[str, ...] = ()

    @property
    def classes(self) -> Markup:
        """Write how the line looks: marked, and how deep it hangs."""
        looks = ["k"] if self.rules else []
        if self.indent and len(self.html) > SHORT:
            looks.append(f"i{self.indent}")
        if len(looks) > 1:
            return Markup(' class="{}"').format(" ".join(looks))
        return Markup(" class={}").format(*looks) if looks else Markup()


@dataclass(frozen=True)
class Chunk:
    """Lines that are shown together.

    `kind` is "lines", "fold" (shown when unfolded), or "gap" (elsewhere in
    the file, and only pointed to).
    """

    kind: str
    lines: tuple[Line, ...]

    @property
    def span(self) -> str:
        """Name the lines: `21–23`."""
        first, last = self.lines[0].number, self.lines[-1].number
        return f"{first}" if first == last else f"{first}–{last}"


@cache
def styled(source: str) -> tuple[Markup, ...]:
    """Write each line of a Python source as HTML."""
    return tuple(
        # Each text is escaped as it is dressed.
        Markup("".join(dressed(line)))  # noqa: S704
        for line in highlight(source)
    )


def dressed(line: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Write the pieces of a line, those with one look as one."""
    for look, pieces in groupby(line, key=lambda piece: piece[1]):
        # Quotation marks mean nothing here, and code is full of them.
        escaped = escape("".join(text for text, _ in pieces), quote=False)
        tags = LOOKS.get(look)
        yield f"{tags[0]}{escaped}{tags[1]}" if tags else escaped


def lines_of(source: str, marks: Iterable[Mark] = ()) -> list[Line]:
    """Make the lines of a source, each with the rules that it keeps."""
    lines = list(plain_lines(source))
    rules: dict[int, dict[str, None]] = {}
    for mark in marks:
        for number in covered(mark):
            rules.setdefault(number, {})[mark.rule] = None
    for number, kept in rules.items():
        lines[number - 1] = replace(lines[number - 1], rules=tuple(kept))
    return lines


@cache
def plain_lines(source: str) -> tuple[Line, ...]:
    """Make the lines of a source."""
    texts = source.split("\n")
    if texts[-1] == "":
        texts.pop()
    pairs = zip(texts, styled(source), strict=False)
    return tuple(
        Line(number, html, depth(text))
        for number, (text, html) in enumerate(pairs, 1)
    )


def depth(text: str) -> int:
    """Tell how far a line is indented, in steps of four."""
    spaces = len(text) - len(text.lstrip(" "))
    return min(spaces // 4 * 4, DEEPEST)


def covered(mark: Mark) -> range:
    """Number the lines of a mark."""
    return range(mark.start.line, mark.end.line + 1)


def excerpt(kept: Kept) -> tuple[Chunk, ...]:
    """Cut a file down to what keeps a rule, and what is around it."""
    lines = lines_of(kept.source, kept.marks)
    texts = kept.source.split("\n")
    around = list(innermost(kept.marks))
    shown = {number for mark in kept.marks for number in covered(mark)}
    shown |= {mark.statement for mark in kept.marks}
    for mark in kept.marks:
        for scope in mark.scopes:
            shown |= set(head(texts, scope))
    inside = {
        number
        for scope in around
        for number in range(scope.first, scope.last + 1)
    }
    dropped = {mark.line for mark in kept.marks} - shown
    shown |= short_folds(texts, inside - shown - dropped)
    first, last = min(shown), max(shown | inside)
    kinds = [
        (kind_of(line.number, shown, inside), line)
        for line in lines[first - 1 : last]
        if line.number not in dropped
    ]
    return tuple(chunks(kinds))


def chunks(kinds: Iterable[tuple[str, Line]]) -> Iterator[Chunk]:
    """Group lines that are shown alike; blank ones alone are left out."""
    for kind, group in groupby(kinds, key=lambda pair: pair[0]):
        lines = tuple(line for _, line in group)
        if kind == "lines" or any(line.html.strip() for line in lines):
            yield Chunk(kind, lines)


def kind_of(number: int, shown: set[int], inside: set[int]) -> str:
    """Tell how a line of an excerpt is shown."""
    if number in shown:
        return "lines"
    return "fold" if number in inside else "gap"


def innermost(marks: Iterable[Mark]) -> dict[Scope, None]:
    """Find the function, or else the class, directly around each mark."""
    return {mark.scopes[-1]: None for mark in marks if mark.scopes}


def head(texts: Sequence[str], scope: Scope) -> range:
    """Number the lines of a definition's head, its decorators too."""
    first = scope.first
    while first > 1 and texts[first - 2].lstrip().startswith("@"):
        first -= 1
    for last in range(scope.first, scope.first + LONGEST_HEAD):
        if texts[last - 1].rstrip().endswith(":"):
            return range(first, last + 1)
    return range(first, scope.first + 1)


def short_folds(texts: Sequence[str], hidden: set[int]) -> set[int]:
    """Find the lines that would take no less place when folded."""
    found: set[int] = set()
    for run in runs(hidden):
        if sum(bool(texts[number - 1].strip()) for number in run) == 1:
            found |= {n for n in run if texts[n - 1].strip()}
    return found


def runs(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Group numbers that follow each other."""
    ordered = enumerate(sorted(numbers))
    for _, group in groupby(ordered, key=lambda pair: pair[1] - pair[0]):
        yield [number for _, number in group]
