"""Sources on a terminal: line numbers, and a bar along what keeps a rule."""

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby

from cookbook.highlight import highlight, plain
from cookbook.keeping import Kept
from cookbook.marks import Mark
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    Line,
    Screen,
    cut,
    wrap_code,
)

BAR = "┃"
FOLD = "⋯"


def listing(source: str, marks: Sequence[Mark], screen: Screen) -> list[Line]:
    """Set a whole source, its marked pieces with a bar."""
    lines = _styled(source.rstrip("\n"), screen)
    barred = _marked(marks)
    found = []
    for number, line in enumerate(lines, 1):
        found += _numbered(line, number, number in barred, screen.width)
    return found


def excerpt(kept: Kept, screen: Screen) -> list[Line]:
    """Set the marked pieces below the first lines of what is around them."""
    lines = _styled(kept.source, screen)
    barred = _marked(kept.marks)
    markers = {mark.line for mark in kept.marks}
    found: list[Line] = []
    before = 0
    for number in sorted(barred | _heads(kept.marks)):
        is_apart = set(range(before + 1, number)) - markers
        if before in barred and is_apart:
            found.append([(f"{FOLD:>4}", FAINT)])
        line = lines[number - 1]
        if number not in barred:
            line = [(text, FAINT) for text, _ in line]
        found += _numbered(line, number, number in barred, screen.width)
        before = number
    return found


def pieces(kept: Kept, screen: Screen, width: int) -> list[Line]:
    """Set the marked pieces alone, each group below where it stands."""
    lines = _styled(kept.source, screen)
    found: list[Line] = []
    shown: set[int] = set()
    for where, marks in groupby(kept.marks, partial(_where, lines)):
        if where:
            found.append([(_shortened(f"       {where}", width), FAINT)])
        for mark in marks:
            numbers = sorted(_marked([mark]) - shown)
            shown.update(numbers)
            margin = _margin(lines, numbers)
            for number in numbers:
                inner = cut(lines[number - 1], margin, sys.maxsize)
                found += _numbered(inner, number, True, width)
    return found


def _where(lines: Sequence[Line], mark: Mark) -> str:
    """Say where a piece stands: `PageQuery › limit = fields.Integer(`."""
    steps = [scope.name for scope in mark.scopes]
    heads = {mark.start.line, *(scope.first for scope in mark.scopes)}
    if mark.statement not in heads:
        steps.append(_text(lines[mark.statement - 1]).strip())
    return " › ".join(steps)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _styled(source: str, screen: Screen) -> list[Line]:
    return highlight(source) if screen.colour else plain(source)


def _marked(marks: Iterable[Mark]) -> set[int]:
    return {
        number
        for mark in marks
        for number in range(mark.start.line, mark.end.line + 1)
    }


def _heads(marks: Iterable[Mark]) -> set[int]:
    return {
        number
        for mark in marks
        for number in (mark.statement, *(s.first for s in mark.scopes))
    }


def _text(line: Line) -> str:
    return "".join(segment for segment, _ in line)


def _margin(lines: Sequence[Line], numbers: Iterable[int]) -> int:
    """Tell how far all of some lines are indented."""
    texts = [_text(lines[number - 1]) for number in numbers]
    indents = (len(t) - len(t.lstrip()) for t in texts if t.strip())
    return min(indents, default=0)


def _numbered(
    line: Line, number: int, is_marked: bool, width: int
) -> list[Line]:
    bar = (f"{BAR} ", ACCENT) if is_marked else ("  ", PLAIN)
    first, *rest = wrap_code(line, width - 7)
    head: Line = [(f"{number:4} ", FAINT), bar, *first]
    return [head, *([("     ", PLAIN), bar, *part] for part in rest)]
