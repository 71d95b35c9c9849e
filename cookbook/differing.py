"""`cookbook compare --diff`: two implementations, word by word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from cookbook.book import Book, Framework, Recipe
from cookbook.names import WrongUse
from cookbook.terminal import (
    FAINT,
    LITERAL,
    PLAIN,
    STRONG,
    STRONG_ACCENT,
    Line,
    Screen,
    print_json,
    wrap_code,
)

CONTEXT = 3
"""How many lines are shown around what differs."""

LIKENESS = 0.4
"""How alike lines must be for their words to be compared."""

FIRST = f"{STRONG};{LITERAL}"
SECOND = STRONG_ACCENT
LOOKS = {" ": PLAIN, "-": FIRST, "+": SECOND}

_WORDS = re.compile(r"\w+|[^\w\s]|\n|[^\S\n]+")

type Stretch = tuple[int, int]


@dataclass(frozen=True)
class Changed:
    """A line of a diff: " " in both, "-" only in the first, "+" the second.

    `numbers` are its line numbers in both, `stretches` the columns in it
    that the other side does not have; none where all of it is different.
    """

    sign: str
    text: str
    numbers: tuple[int | None, int | None]
    stretches: tuple[Stretch, ...] = ()


def show_diff(
    book: Book,
    screen: Screen,
    name: str,
    frameworks: Sequence[str],
    *,
    as_json: bool = False,
) -> int:
    """Show how the implementation in one framework becomes the other."""
    recipe = book.recipe(name)
    chosen = [book.framework(each) for each in dict.fromkeys(frameworks)]
    if len(chosen) != 2:
        raise WrongUse("A diff needs two frameworks: name exactly two.")
    diffs = [
        Diff.between(book.root, before, after)
        for before, after in paired(recipe, *chosen)
    ]
    missing = [f for f in chosen if not recipe.implementation(f.name)]
    if as_json:
        print_json(to_json(recipe, chosen, missing, diffs))
    elif missing:
        screen.print(gaps(recipe, missing))
    else:
        screen.print(page(diffs, screen))
    return 1 if missing else 0


def paired(
    recipe: Recipe, one: Framework, other: Framework
) -> list[tuple[Path | None, Path | None]]:
    """Pair the files of two implementations by their names in them."""
    if not (
        recipe.implementation(one.name) and recipe.implementation(other.name)
    ):
        return []
    before, after = named(recipe, one), named(recipe, other)
    names = dict.fromkeys([*before, *after])
    return [(before.get(name), after.get(name)) for name in names]


def named(recipe: Recipe, framework: Framework) -> dict[str, Path]:
    """Name the files of an implementation by their place in it."""
    path = recipe.implementation(framework.name)
    if path is None or path.is_file():
        return {"__init__.py": path} if path else {}
    files = recipe.files(framework.name)
    return {str(file.relative_to(path)): file for file in files}


@dataclass(frozen=True)
class Diff:
    """How one file becomes another, in groups of lines near each other."""

    before: str | None
    after: str | None
    groups: tuple[tuple[Changed, ...], ...]

    @classmethod
    def between(
        cls, root: Path, before: Path | None, after: Path | None
    ) -> "Diff":
        """Compare two files; a missing one counts as empty."""
        files = (before, after)
        texts = [f.read_text("utf-8") if f else "" for f in files]
        names = [str(f.relative_to(root)) if f else None for f in files]
        one, other = (text.splitlines() for text in texts)
        return cls(names[0], names[1], tuple(changes(one, other)))


def changes(
    before: Sequence[str], after: Sequence[str]
) -> Iterator[tuple[Changed, ...]]:
    """Compare two lists of lines, group by group."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        found: list[Changed] = []
        for kind, i, i_end, j, j_end in group:
            old, new = before[i:i_end], after[j:j_end]
            if kind == "equal":
                found += [
                    Changed(" ", text, (i + n, j + n))
                    for n, text in enumerate(old, 1)
                ]
                continue
            lost, gained = differing_words(old, new)
            found += [
                Changed("-", text, (i + n, None), lost[n - 1])
                for n, text in enumerate(old, 1)
            ]
            found += [
                Changed("+", text, (None, j + n), gained[n - 1])
                for n, text in enumerate(new, 1)
            ]
        yield tuple(found)


def differing_words(
    before: Sequence[str], after: Sequence[str]
) -> tuple[list[tuple[Stretch, ...]], list[tuple[Stretch, ...]]]:
    """Find the columns that differ, line by line, on both sides.

    Lines with little in common have none: they differ as a whole.
    """
    old, new = "\n".join(before), "\n".join(after)
    ours, theirs = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    if matcher.ratio() < LIKENESS:
        return [()] * len(before), [()] * len(after)
    kept_old, kept_new = [False] * len(ours), [False] * len(theirs)
    for i, j, size in matcher.get_matching_blocks():
        kept_old[i : i + size] = [True] * size
        kept_new[j : j + size] = [True] * size
    return stretches(ours, kept_old), stretches(theirs, kept_new)


def stretches(
    words: Sequence[str], kept: Sequence[bool]
) -> list[tuple[Stretch, ...]]:
    """Turn words into columns; changed ones with a sign between are one."""
    lines: list[list[Stretch]] = [[]]
    column, last_word = 0, -1
    for word, is_kept in zip(words, kept, strict=True):
        end = column + len(word)
        if word == "\n":
            lines.append([])
            end, last_word = 0, -1
        elif not is_kept and word.strip():
            line = lines[-1]
            start = column
            if line and line[-1][1] > last_word:
                start = line.pop()[0]
            line.append((start, end))
        elif word.isidentifier() or word.isdigit():
            last_word = end
        column = end
    return [tuple(line) for line in lines]


def gaps(recipe: Recipe, missing: Sequence[Framework]) -> list[Line]:
    """Say what is missing."""
    return [
        [(f"{recipe.title} is not written yet in {f.title}.", PLAIN)]
        for f in missing
    ]


def page(diffs: Sequence[Diff], screen: Screen) -> list[Line]:
    """Set the diff of each pair of files below their names."""
    lines: list[Line] = []
    for diff in diffs:
        lines += [[] for _ in lines[:1]]
        lines += [
            [("- ", FIRST), (diff.before or "nothing", STRONG)],
            [("+ ", SECOND), (diff.after or "nothing", STRONG)],
        ]
        for group in diff.groups:
            lines.append([("─" * screen.width, FAINT)])
            for changed in group:
                lines += set_line(changed, screen.width)
    return lines


def set_line(changed: Changed, width: int) -> list[Line]:
    """Set a line of a diff, broken where it is too wide."""
    look = LOOKS[changed.sign]
    parts: Line = []
    column = 0
    for start, end in changed.stretches:
        parts.append((changed.text[column:start], PLAIN))
        parts.append((changed.text[start:end], look))
        column = end
    parts.append((changed.text[column:], PLAIN))
    if changed.sign == " ":
        parts = [(changed.text, FAINT)]
    first, *rest = wrap_code([part for part in parts if part[0]], width - 12)
    numbers = " ".join(f"{n or '':>4}" for n in changed.numbers)
    sign = (f"{changed.sign} ", look)
    blank = (" " * 10, PLAIN)
    return [
        [(f"{numbers} ", FAINT), sign, *first],
        *([blank, sign, *part] for part in rest),
    ]


def to_json(
    recipe: Recipe,
    chosen: Sequence[Framework],
    missing: Sequence[Framework],
    diffs: Sequence[Diff],
) -> dict[str, Any]:
    """Give the diff as data."""
    return {
        "recipe": recipe.slug,
        "frameworks": [framework.name for framework in chosen],
        "missing": [framework.name for framework in missing],
        "files": [asdict(diff) for diff in diffs],
    }
