"""Whole files: side by side by their names, and as a diff of two."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path

from markupsafe import Markup

from cookbook.book import Book, Framework, Recipe
from cookbook.differing import Stretch, differing_words, paired
from cookbook.keeping import read_marks
from cookbook.site.code import Line, depth, lines_of
from cookbook.site.links import anchor, raw_at
from cookbook.site.mistakes import words

MAIN = "__init__.py"


@dataclass(frozen=True)
class Part:
    """Lines of one framework in a row of whole files."""

    framework: Framework
    anchor: str
    raw: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Level:
    """A row: what has the same name in all frameworks."""

    name: str
    parts: tuple[Part | None, ...]


@dataclass(frozen=True)
class Side:
    """A line of one side of a diff."""

    number: int
    html: Markup
    indent: int


@dataclass(frozen=True)
class Pair:
    """Two lines of a diff that stand beside each other."""

    is_same: bool
    left: Side | None
    right: Side | None


def levels(book: Book, recipe: Recipe) -> list[Level]:
    """Lay the files of all frameworks beside each other, name by name."""
    names = ["", *recipe.names]
    cut = {
        name: dict(cuts(recipe, framework, names))
        for name, framework in book.frameworks.items()
    }
    order = dict.fromkeys(names)
    order |= dict.fromkeys(key for parts in cut.values() for key in parts)
    return [
        Level(key, tuple(parts.get(key) for parts in cut.values()))
        for key in order
        if any(key in parts for parts in cut.values())
    ]


def cuts(
    recipe: Recipe, framework: Framework, names: Sequence[str]
) -> Iterator[tuple[str, Part]]:
    """Cut the files of a framework at the names that all have."""
    path = recipe.implementation(framework.name)
    for file in recipe.files(framework.name):
        source, marks = read_marks(file)
        lines = lines_of(source, marks)
        inner = file.relative_to(recipe.folder)
        place = anchor(inner), raw_at(recipe, file)
        if path == file or file.name == MAIN:
            for name, first, last in spans(source, names):
                part = lines[first - 1 : last]
                yield name, Part(framework, *place, part)
        else:
            yield file.name, Part(framework, *place, lines)


def spans(source: str, names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Find the lines of each name, in order, with what follows it."""
    begins: list[tuple[str, int]] = [("", 1)]
    for node in ast.parse(source).body:
        name = defined(node) or ""
        if name in names and names.index(name) > names.index(begins[-1][0]):
            begins.append((name, first_line(source, node)))
    count = source.count("\n") + (not source.endswith("\n"))
    ends = [first - 1 for _, first in begins[1:]] + [count]
    for (name, first), last in zip(begins, ends, strict=True):
        if last >= first:
            yield name, first, last


def defined(node: ast.stmt) -> str | None:
    """Tell which name a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None


def first_line(source: str, node: ast.stmt) -> int:
    """Tell where a statement begins, with decorators and comments."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    texts = source.split("\n")
    while first > 1 and texts[first - 2].startswith("#"):
        first -= 1
    return first


def diff(
    book: Book, recipe: Recipe, one: Framework, other: Framework
) -> list[tuple[str, list[Pair]]]:
    """Compare two implementations, file by file."""
    found = []
    for files in paired(recipe, one, other):
        names = [f.relative_to(recipe.folder).as_posix() for f in files if f]
        texts = [read(file) for file in files]
        found.append((" → ".join(names), list(pairs(*texts))))
    return found


def read(file: Path | None) -> list[str]:
    """Read the lines of a file, if there is one."""
    return file.read_text("utf-8").splitlines() if file else []


def pairs(before: list[str], after: list[str]) -> Iterator[Pair]:
    """Lay two texts beside each other."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        old, new = before[i:i_end], after[j:j_end]
        if kind == "equal":
            lost = gained = list[tuple[Stretch, ...]]([()] * len(old))
        else:
            lost, gained = differing_words(old, new)
        left = [side(i + n, t, lost[n]) for n, t in enumerate(old)]
        right = [side(j + n, t, gained[n]) for n, t in enumerate(new)]
        for ours, theirs in zip_longest(left, right):
            yield Pair(kind == "equal", ours, theirs)


def side(index: int, text: str, stretches: tuple[Stretch, ...]) -> Side:
    """Set a line of one side."""
    return Side(index + 1, words(text, stretches), depth(text))
