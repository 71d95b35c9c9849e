"""Text on a terminal: styles, wrapping, columns.

A line is a list of segments, each a text and how it looks; it becomes a
string only when it is printed. Without colour the looks are left out, and
nothing may depend on them.
"""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

type Segment = tuple[str, str]
type Line = list[Segment]

PLAIN = ""
STRONG = "1"
FAINT = "2"
ACCENT = "38;5;63"
LITERAL = "38;5;130"
STRONG_ACCENT = f"{STRONG};{ACCENT}"

PROSE = 100
"""Sentences are not set wider than this, however wide the terminal."""

_SPACE = re.compile(r"(?<=\s)(?=\S)")
_BRACKET = re.compile(r"(?<=[(\[{])(?=\S)")
_DOT = re.compile(r"(?<=\w)(?=\.\w)")
_TEXT = re.compile(r"\"[^\"]{1,24}\"|'[^']{1,24}'")


@dataclass(frozen=True)
class Screen:
    """Where output goes: its width, and whether it can show looks."""

    width: int = 80
    colour: bool = False
    is_terminal: bool = False

    @classmethod
    def here(cls) -> "Screen":
        """Describe the standard output."""
        is_terminal = sys.stdout.isatty()
        return cls(
            max(shutil.get_terminal_size().columns, 40),
            wants_colour(is_terminal),
            is_terminal,
        )

    @property
    def prose(self) -> int:
        """The width of sentences."""
        return min(self.width, PROSE)

    def print(self, lines: Iterable[Line]) -> None:
        """Write lines."""
        text = "".join(f"{self.paint(line)}\n" for line in lines)
        sys.stdout.write(text)
        sys.stdout.flush()

    def paint(self, line: Line) -> str:
        """Make a string of a line."""
        if not self.colour:
            return "".join(text for text, _ in line).rstrip()
        return "".join(
            f"\x1b[{style}m{text}\x1b[0m" if style else text
            for text, style in line
        ).rstrip()


def print_json(value: object) -> None:
    """Write a value as JSON."""
    import json

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def wants_colour(is_terminal: bool) -> bool:
    """Decide on colour: see https://no-color.org and force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal and os.environ.get("TERM") != "dumb"


def say(
    text: str, width: int, indent: str = "", style: str = ""
) -> list[Line]:
    """Set a sentence in lines."""
    lines = textwrap.wrap(text, width - len(indent), break_on_hyphens=False)
    return [[(indent, PLAIN), (line, style)] for line in lines]


def hang(
    head: Line, text: str, width: int, indent: int, style: str = ""
) -> list[Line]:
    """Set a sentence beside its head, or below one that is too long."""
    lines = say(text, width, " " * indent, style)
    if not lines:
        return [head]
    if length(head) >= indent:
        return [head, *lines]
    gap = " " * (indent - length(head))
    return [[*head, (gap, PLAIN), *lines[0][1:]], *lines[1:]]


def heading(text: str, width: int, note: str = "") -> Line:
    """Draw the line that a section begins with."""
    return _drawn(text, width, note, STRONG, FAINT)


def thread(rule: str, width: int, note: str = "") -> Line:
    """Draw the line of a rule."""
    return _drawn(rule, width, note, STRONG_ACCENT, ACCENT)


def _drawn(text: str, width: int, note: str, name: str, look: str) -> Line:
    note = f" {note}" if note else ""
    rest = max(width - len(text) - len(note) - 4, 0)
    return [
        ("── ", look),
        (text, name),
        (f" {'─' * rest}", look),
        (note, FAINT),
    ]


def length(line: Line) -> int:
    """Count the characters of a line."""
    return sum(len(text) for text, _ in line)


def wrap_code(line: Line, width: int) -> list[Line]:
    """Break a line of code; what is left hangs by its indentation and four."""
    text = "".join(segment for segment, _ in line)
    if len(text) <= width:
        return [line]
    indent = len(text) - len(text.lstrip()) + 4
    indent = indent if indent <= width // 2 else 4
    first, *rest = _breaks(line, text, width, indent)
    return [first, *([(" " * indent, PLAIN), *part] for part in rest)]


def _breaks(line: Line, text: str, width: int, indent: int) -> Iterator[Line]:
    spaces, brackets, dots = (
        _places(pattern, text) for pattern in (_SPACE, _BRACKET, _DOT)
    )
    start, room = 0, width
    least = len(text) - len(text.lstrip()) + 1
    while len(text) - start > room:
        most, half, third = start + room, start + room // 2, start + room // 3
        end = (
            _last(spaces, max(half, start + least), most)
            or _last(brackets, max(third, start + least), most)
            or _last(dots, max(third, start + least), most)
            or _last(spaces, start + least, most)
            or most
        )
        yield cut(line, start, end)
        start, room, least = end, width - indent, 1
    yield cut(line, start, len(text))


def _places(pattern: re.Pattern[str], text: str) -> list[int]:
    """Find where a line may break: not in a short text, not after `->`."""
    texts = [match.span() for match in _TEXT.finditer(text)]
    return [
        match.start()
        for match in pattern.finditer(text)
        if not any(start < match.start() < end for start, end in texts)
        and not text[: match.start()].rstrip().endswith("->")
    ]


def _last(places: Sequence[int], least: int, most: int) -> int:
    """Find the last place between two, or 0."""
    return max((p for p in places if least <= p <= most), default=0)


def cut(line: Line, start: int, end: int) -> Line:
    """Take the part of a line between two columns."""
    found: Line = []
    for text, style in line:
        part = text[max(start, 0) : max(end, 0)]
        if part:
            found.append((part, style))
        start, end = start - len(text), end - len(text)
    return found


def beside(columns: Sequence[Sequence[Line]], width: int) -> Iterator[Line]:
    """Set columns side by side, each this wide."""
    for row in zip_longest(*columns, fillvalue=[]):
        whole: Line = []
        for line in row:
            gap = " " * (width - length(line))
            whole += [*line, (gap, PLAIN)]
        yield whole
