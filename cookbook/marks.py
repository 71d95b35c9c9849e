"""Rule markers: which piece of a source keeps which rule.

A comment `# rule: <id>` on a line of its own marks what begins on the next
line of code: a statement, decorator, parameter, argument, element, entry of
a dictionary, link of a chain of calls, or a clause (`except`, `elif`).
Several markers may stand above one piece, other comments between them.
"""

import ast
import re
from dataclasses import dataclass

from cookbook.pieces import Piece, Position, Scope, Source, pieces
from cookbook.removal import Edit, removal

__all__ = ["Mark", "MarkError", "Position", "Scope", "ablate", "marks"]

_MARKER = re.compile(r"# rule: ([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
_LIKE_A_MARKER = re.compile(r"#\s*rules?\s*:", re.IGNORECASE)


class MarkError(ValueError):
    """A marker that marks nothing, or a source that is not Python."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        self.problem = problem
        super().__init__(f"line {line}: {problem}")


@dataclass(frozen=True)
class Mark:
    """A piece of code that keeps a rule.

    `line` is the marker's own. `start` and `end` bound the piece, without
    the comma after it; `end` is the place after its last character.
    `statement` is the first line of the statement that it belongs to, and
    `scopes` are the functions and classes around it, the outermost first.
    """

    rule: str
    line: int
    kind: str
    start: Position
    end: Position
    statement: int
    scopes: tuple[Scope, ...] = ()


def marks(source: str) -> list[Mark]:
    """Find the marks of a source, in its order."""
    return [mark for mark, _ in _find(_parse(source))]


def ablate(source: str, mark: Mark) -> str:
    """Take the piece out, with its markers; what is left is still valid.

    A block that would be empty gets `pass`.
    """
    parsed = _parse(source)
    found = dict(_find(parsed))
    if mark not in found:
        raise MarkError(mark.line, "the mark is not of this source.")
    piece = found[mark]
    markers = [other.line for other, its in found.items() if its is piece]
    left = _without(parsed, piece, markers)
    try:
        ast.parse(left)
    except SyntaxError:
        problem = f"this {mark.kind} cannot be taken out alone."
        raise MarkError(mark.line, problem) from None
    return left


def _parse(source: str) -> Source:
    try:
        return Source(source)
    except SyntaxError as error:
        problem = f"this is not Python: {error.msg}."
        raise MarkError(error.lineno or 1, problem) from None


def _find(source: Source) -> list[tuple[Mark, Piece]]:
    markers = list(_markers(source))
    found = pieces(source) if markers else {}
    return [
        (_mark(rule, place, piece), piece)
        for rule, place in markers
        for piece in [_below(source, found, rule, place)]
    ]


def _markers(source: Source) -> list[tuple[str, Position]]:
    found = []
    for token in source.comments:
        if not _LIKE_A_MARKER.match(token.string):
            continue
        line, column = token.start
        match = _MARKER.fullmatch(token.string)
        if match is None:
            raise MarkError(line, "a marker is written `# rule: its-id`.")
        if source.line(line)[:column].strip():
            raise MarkError(line, "a marker stands on a line of its own.")
        found.append((match[1], Position(line, column)))
    return found


def _below(
    source: Source,
    found: dict[Position, Piece],
    rule: str,
    place: Position,
) -> Piece:
    token = source.first_after(place.line)
    start = Position(*token.start) if token else None
    if start is None or start not in found:
        problem = f'the marker "{rule}" marks nothing that can be taken out.'
        raise MarkError(place.line, problem)
    if start.column != place.column:
        problem = f'the marker "{rule}" is not indented like what is below it.'
        raise MarkError(place.line, problem)
    return found[start]


def _mark(rule: str, place: Position, piece: Piece) -> Mark:
    return Mark(
        rule,
        place.line,
        piece.kind,
        piece.start,
        piece.end,
        piece.statement,
        piece.scopes,
    )


def _without(source: Source, piece: Piece, markers: list[int]) -> str:
    edits = removal(source, piece)
    for line in markers:
        start = source.offset(Position(line, 0))
        end = source.offset(Position(line + 1, 0))
        if not any(edit.start <= start < edit.end for edit in edits):
            edits.append(Edit(start, end))
    text = source.text
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
