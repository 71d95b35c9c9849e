"""Exceptions from lint and types: named, with their reasons."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import name_of, sources

EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore|mypy:|ruff:)", re.IGNORECASE)
NAMED = re.compile(
    r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\])"
    r"(?P<reason>  # \w.+)?"
)


def exceptions(file: Path) -> Iterator[tuple[int, str]]:
    """List the comments of a file that quieten a tool, by line."""
    with file.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            is_comment = token.type == tokenize.COMMENT
            if is_comment and EXCEPTION.search(token.string):
                yield token.start[0], token.string


def is_explained(file: Path, line: int, text: str) -> bool:
    """Tell whether it has a code, and a reason beside or above it."""
    named = NAMED.fullmatch(text)
    above = file.read_text().splitlines()[line - 2].strip()
    return named is not None and bool(named["reason"] or above[:2] == "# ")


@pytest.mark.parametrize("file", sources(""), ids=name_of)
def test_an_exception_has_a_code_and_a_reason(file: Path) -> None:
    """No tool is quietened without saying which rule, and why."""
    found = [
        f"{line}: {text}"
        for line, text in exceptions(file)
        if not is_explained(file, line, text)
    ]
    assert [] == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# noqa", None),
        ("# noqa: S108", None),
        ("# noqa: S108, E501  # the reason", "  # the reason"),
        ("# type: ignore", None),
        ("# type: ignore[attr-defined]  # the reason", "  # the reason"),
    ],
)
def test_a_reason_is_told_from_its_code(
    text: str, expected: str | None
) -> None:
    """A reason stands after the code, as a comment of its own."""
    named = NAMED.fullmatch(text)
    assert expected == (named and named["reason"])
