"""The same paths and methods in every framework."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator.readers import read_from_filename

from cookbook.contract.servers import Subject, environment
from tests.house.tree import BOOK, CELLS

ASK = Path(__file__).with_name("routes_of.py")
METHODS = {"get", "put", "post", "delete", "patch", "trace"}
DESCRIBED = [
    cell
    for cell in CELLS
    if (BOOK.recipe(cell[0]).folder / "openapi.yaml").is_file()
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the applications could leave something."""
    return tmp_path_factory.mktemp("routes")


@cache
def served(slug: str, name: str, folder: Path) -> list[str]:
    """Ask a framework what a recipe serves."""
    recipe = BOOK.recipe(slug)
    asked = subprocess.run(
        [sys.executable, ASK, name, recipe.module(name)],
        env=environment(BOOK, recipe, Subject(name), folder, {}, 1, 0),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == asked.returncode, asked.stderr
    routes: list[str] = json.loads(asked.stdout)
    return routes


def described(document: Any) -> list[str]:
    """List the operations of an OpenAPI document."""
    return sorted(
        f"{method.upper()} {re.sub(r'{[^{}]*}', '{}', path)}"
        for path, item in document["paths"].items()
        for method in METHODS & set(item)
    )


@pytest.mark.parametrize(("slug", "name"), CELLS)
def test_the_frameworks_serve_the_same(
    slug: str, name: str, folder: Path
) -> None:
    """A path and its methods are the same in every framework."""
    first = next(other for same, other in CELLS if same == slug)
    expected = served(slug, first, folder)
    assert expected
    assert expected == served(slug, name, folder)


@pytest.mark.parametrize(("slug", "name"), DESCRIBED)
def test_what_is_served_is_described(
    slug: str, name: str, folder: Path
) -> None:
    """openapi.yaml has every path and method, and no other."""
    path = BOOK.recipe(slug).folder / "openapi.yaml"
    document, _ = read_from_filename(str(path))
    assert described(document) == served(slug, name, folder)
