"""How a piece is taken out of a source, each kind in its own way."""

import ast
from typing import NamedTuple

from cookbook.pieces import Piece, Position, Source


class Edit(NamedTuple):
    """A stretch of text, by the offsets of its ends, and what replaces it."""

    start: int
    end: int
    text: str = ""


def removal(source: Source, piece: Piece) -> list[Edit]:
    """Write the edits that take a piece out."""
    start, end = source.offset(piece.start), source.offset(piece.end)
    if piece.kind == "statement":
        return [_statement(source, piece, start, end)]
    if piece.kind == "clause":
        return [_clause(source, piece, start, end)]
    if piece.kind in ("decorator", "link"):
        return [_lines(source, start, end)]
    if piece.kind == "parameter":
        return [_parameter(source, piece)]
    if isinstance(piece.parent, ast.Set) and len(piece.parent.elts) == 1:
        return [Edit(start, end, "*()")]
    return _bare_annotation(source, piece) or [_item(source, piece)]


def _statement(source: Source, piece: Piece, start: int, end: int) -> Edit:
    decorators = getattr(piece.node, "decorator_list", [])
    if decorators:
        start = source.offset(source.decorator(decorators[0])[0])
    last = source.index_before(piece.end)
    if _is_alone(piece) or source.is_token(last + 1, ";"):
        return Edit(start, end, "pass")
    return _lines(source, start, end)


def _is_alone(piece: Piece) -> bool:
    """Tell whether a statement is all that its block has."""
    if isinstance(piece.parent, ast.Module):
        return False
    return any(
        value == [piece.node] for _, value in ast.iter_fields(piece.parent)
    )


def _clause(source: Source, piece: Piece, start: int, end: int) -> Edit:
    """Take out `elif` or `except`; the last `except` catches nothing."""
    if len(getattr(piece.parent, "handlers", ())) != 1:
        return _lines(source, start, end)
    indent = " " * piece.start.column
    return Edit(start, end, f"except ():\n{indent}    pass")


def _parameter(source: Source, piece: Piece) -> Edit:
    """Take out a parameter, and a bare `*` or `/` that it leaves behind."""
    assert isinstance(piece.parent, ast.arguments)
    parameters = piece.parent
    first = source.index_at(piece.start)
    last = source.index_before(piece.end)
    if piece.node is parameters.vararg and parameters.kwonlyargs:
        return _tokens(source, first, last, "*")
    if parameters.kwonlyargs == [piece.node] and not parameters.vararg:
        first -= 2
    last += source.is_token(last + 1, ",")
    if parameters.posonlyargs == [piece.node]:
        last += 1
        last += source.is_token(last + 1, ",")
    return _tokens(source, first, last)


def _item(source: Source, piece: Piece) -> Edit:
    """Take out what stands between commas, with the comma after it."""
    first = source.index_at(piece.start)
    last = source.index_before(piece.end)
    return _tokens(source, first, last + source.is_token(last + 1, ","))


def _bare_annotation(source: Source, piece: Piece) -> list[Edit]:
    """Leave the type alone where an `Annotated` would have nothing else."""
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Subscript)
            and node.slice is piece.parent
            and isinstance(node.slice, ast.Tuple)
            and node.slice.elts[1:] == [piece.node]
            and ast.unparse(node.value).rpartition(".")[2] == "Annotated"
        ):
            start, end = map(source.offset, source.extent(node))
            inner = source.extent(node.slice.elts[0])
            inner_start, inner_end = map(source.offset, inner)
            return [Edit(start, inner_start, "("), Edit(inner_end, end, ")")]
    return []


def _tokens(source: Source, first: int, last: int, text: str = "") -> Edit:
    start = source.offset(Position(*source.tokens[first].start))
    end = source.offset(Position(*source.tokens[last].end))
    return Edit(start, end, text) if text else _lines(source, start, end)


def _lines(source: Source, start: int, end: int) -> Edit:
    """Take whole lines where nothing but a comment is left on them."""
    text = source.text
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end) + 1 or len(text)
    before, after = text[line_start:start].strip(), text[end:line_end].strip()
    if before or (after and not after.startswith("#")):
        return Edit(start, end)
    return Edit(line_start, line_end)
