"""Python as styled lines: words by weight, literals and markers by colour."""

from functools import cache

from cookbook.terminal import (
    ACCENT,
    FAINT,
    LITERAL,
    PLAIN,
    STRONG,
    Line,
)


@cache
def highlight(source: str) -> list[Line]:
    """Make a line of segments for each line of a Python source."""
    from pygments.lexers.python import PythonLexer

    lines: list[Line] = [[]]
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    for kind, text in lexer.get_tokens(source):
        style = _style(str(kind), text)
        first, *rest = text.split("\n")
        if first:
            lines[-1].append((first, style))
        lines += ([(part, style)] if part else [] for part in rest)
    return lines


def plain(source: str) -> list[Line]:
    """Make a line for each line of a source, without looks."""
    return [[(line, PLAIN)] if line else [] for line in source.split("\n")]


_STYLES = (
    ("Token.Keyword", STRONG),
    ("Token.Operator.Word", STRONG),
    ("Token.Name.Function", STRONG),
    ("Token.Name.Class", STRONG),
    ("Token.Literal.String.Interpol", PLAIN),
    ("Token.Literal", LITERAL),
    ("Token.Comment", FAINT),
)


def _style(kind: str, text: str) -> str:
    if kind.startswith("Token.Comment") and text.startswith("# rule: "):
        return ACCENT
    return next(
        (look for name, look in _STYLES if kind.startswith(name)), PLAIN
    )
