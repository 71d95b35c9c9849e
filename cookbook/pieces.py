"""Pieces of a source that can be marked, each by the place where it begins."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

type Extent = tuple[Position, Position]

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


class Position(NamedTuple):
    """A place in a source: lines count from 1, columns from 0."""

    line: int
    column: int


@dataclass(frozen=True)
class Scope:
    """A function or class around a piece, by its name and lines."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Piece:
    """What a marker can mark: its place, and where it hangs in the tree."""

    kind: str
    node: ast.AST
    parent: ast.AST
    start: Position
    end: Position
    statement: int
    scopes: tuple[Scope, ...]


class Source:
    """A text with its tokens and its tree; columns are in characters.

    Raises `SyntaxError` where it is not Python.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._lines = text.split("\n")
        lengths = (len(line) + 1 for line in self._lines)
        self._offsets = [0, *accumulate(lengths)]
        self.comments: list[tokenize.TokenInfo] = []
        self.tokens: list[tokenize.TokenInfo] = []
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                self.comments.append(token)
            elif token.type not in _NOT_CODE:
                self.tokens.append(token)
        self._begins = {token.start: i for i, token in enumerate(self.tokens)}
        self._ends = {token.end: i for i, token in enumerate(self.tokens)}

    def line(self, number: int) -> str:
        """Give a line, without its end."""
        return self._lines[number - 1]

    def offset(self, place: Position) -> int:
        """Count the characters before a place."""
        start = self._offsets[place.line - 1] + place.column
        return min(start, len(self.text))

    def extent(self, node: ast.AST) -> Extent:
        """Tell where a node begins and ends."""
        assert isinstance(
            node,
            ast.expr | ast.stmt | ast.arg | ast.keyword | ast.excepthandler,
        )
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._place(node.lineno, node.col_offset),
            self._place(node.end_lineno, node.end_col_offset),
        )

    def index_at(self, place: Position) -> int:
        """Find the token that begins at a place."""
        return self._begins[place]

    def index_before(self, place: Position) -> int:
        """Find the token that ends at a place."""
        return self._ends[place]

    def is_token(self, index: int, string: str) -> bool:
        """Tell whether a token is there, and is this one."""
        return (
            0 <= index < len(self.tokens)
            and self.tokens[index].string == string
        )

    def first_after(self, line: int) -> tokenize.TokenInfo | None:
        """Find the first token on a later line."""
        return next((t for t in self.tokens if t.start[0] > line), None)

    def with_parentheses(
        self, extent: Extent, around: ast.AST | None = None
    ) -> Extent:
        """Widen an extent by the parentheses that only group it.

        Those that belong to the call `around` are not taken.
        """
        limit = self.extent(around)[1] if around is not None else None
        first, last = self.index_at(extent[0]), self.index_before(extent[1])
        while (
            self.is_token(first - 1, "(")
            and self.is_token(last + 1, ")")
            and self.tokens[last + 1].end != limit
        ):
            first, last = first - 1, last + 1
        start, end = self.tokens[first].start, self.tokens[last].end
        return Position(*start), Position(*end)

    def with_stars(self, extent: Extent) -> Extent:
        """Widen an extent by the stars that unpack it."""
        before = self.index_at(extent[0]) - 1
        if not self.is_token(before, "**"):
            return extent
        return Position(*self.tokens[before].start), extent[1]

    def decorator(self, expression: ast.expr) -> Extent:
        """Tell where a decorator begins, with its sign, and ends."""
        start, end = self.with_parentheses(self.extent(expression))
        sign = self.tokens[self.index_at(start) - 1]
        return Position(*sign.start), end

    def _place(self, line: int, byte: int) -> Position:
        text = self._lines[line - 1]
        if not text.isascii():
            byte = len(text.encode()[:byte].decode())
        return Position(line, byte)


def pieces(source: Source) -> dict[Position, Piece]:
    """Find every piece; where several begin at a place, the outermost."""
    collector = _Collector(source)
    collector.visit(source.tree, 1, ())
    return collector.found


class _Collector:
    def __init__(self, source: Source) -> None:
        self.found: dict[Position, Piece] = {}
        self._source = source

    def visit(
        self, node: ast.AST, statement: int, scopes: tuple[Scope, ...]
    ) -> None:
        """Collect the pieces of a node, then those within them."""
        if isinstance(node, ast.stmt):
            statement = node.lineno
        if isinstance(node, _DEFINITIONS):
            assert node.end_lineno is not None
            scopes += (Scope(node.name, node.lineno, node.end_lineno),)
        for kind, child, (start, end) in self._pieces(node):
            line = start.line if isinstance(child, ast.stmt) else statement
            piece = Piece(kind, child, node, start, end, line, scopes)
            self.found.setdefault(start, piece)
        for child in ast.iter_child_nodes(node):
            self.visit(child, statement, scopes)

    def _pieces(self, node: ast.AST) -> Iterator[tuple[str, ast.AST, Extent]]:
        source = self._source
        for statement in _statements(node):
            yield self._statement(statement)
        for handler in getattr(node, "handlers", ()):
            yield "clause", handler, source.extent(handler)
        for expression in getattr(node, "decorator_list", ()):
            yield "decorator", expression, source.decorator(expression)
        if isinstance(node, ast.arguments):
            yield from self._parameters(node)
        for kind, first, last in _items(node):
            yield kind, first, self._item(node, first, last)
        yield from self._link(node)

    def _item(self, around: ast.AST, first: ast.AST, last: ast.AST) -> Extent:
        source = self._source
        extents = source.extent(first), source.extent(last)
        if isinstance(around, ast.ClassDef):
            return extents[0]
        call = around if isinstance(around, ast.Call) else None
        start, _ = source.with_parentheses(extents[0], call)
        _, end = source.with_parentheses(extents[1], call)
        return source.with_stars((start, end))

    def _statement(self, node: ast.stmt) -> tuple[str, ast.AST, Extent]:
        start, end = self._source.extent(node)
        token = self._source.tokens[self._source.index_at(start)]
        if isinstance(node, ast.If) and token.string == "elif":
            end = self._source.extent(node.body[-1])[1]
            return "clause", node, (start, end)
        return "statement", node, (start, end)

    def _parameters(
        self, node: ast.arguments
    ) -> Iterator[tuple[str, ast.AST, Extent]]:
        for parameter, default in _parameters(node):
            start, end = self._source.extent(parameter)
            if default is not None:
                whole = self._source.extent(default)
                end = self._source.with_parentheses(whole)[1]
            if parameter in (node.vararg, node.kwarg):
                stars = self._source.tokens[self._source.index_at(start) - 1]
                start = Position(*stars.start)
            yield "parameter", parameter, (start, end)

    def _link(self, node: ast.AST) -> Iterator[tuple[str, ast.AST, Extent]]:
        link = node
        while isinstance(link, ast.Call | ast.Subscript):
            link = link.func if isinstance(link, ast.Call) else link.value
        if isinstance(link, ast.Attribute):
            name = self._source.index_before(self._source.extent(link)[1])
            dot = self._source.tokens[name - 1]
            end = self._source.extent(node)[1]
            yield "link", node, (Position(*dot.start), end)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for _, value in ast.iter_fields(node):
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, ast.stmt))


def _parameters(
    node: ast.arguments,
) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    plain = [*node.posonlyargs, *node.args]
    missing = [None] * (len(plain) - len(node.defaults))
    yield from zip(plain, [*missing, *node.defaults], strict=True)
    yield from zip(node.kwonlyargs, node.kw_defaults, strict=True)
    yield from ((arg, None) for arg in (node.vararg, node.kwarg) if arg)


def _items(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """List what is separated by commas: kind, first and last node."""
    if isinstance(node, ast.Call):
        for argument in (*node.args, *node.keywords):
            yield "argument", argument, argument
    elif isinstance(node, ast.ClassDef):
        for argument in (*node.bases, *node.keywords):
            yield "argument", argument, argument
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for element in node.elts:
            yield "element", element, element
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield "entry", key or value, value
