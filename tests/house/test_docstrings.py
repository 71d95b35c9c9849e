"""What a test says about itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import name_of, sources

MOST = 70
FILES = [f for f in sources("tests/") if f.name.startswith("test_")]


def docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """List the tests of a file, each with what it says about itself."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef
        ) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_test_states_one_fact(file: Path) -> None:
    """The docstring of a test is one line of at most 70 characters."""
    wrong = {
        name: text
        for name, text in docstrings(file)
        if not 0 < len(text) <= MOST or "\n" in text
    }
    assert {} == wrong
