"""The project's own tree, read as files: what the house rules look at."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cookbook.book import Book

ROOT = Path(__file__).parents[2]
BOOK = Book(ROOT)
STANDARD = sys.stdlib_module_names

CELLS = [
    (slug, name)
    for slug, recipe in BOOK.recipes.items()
    for name in BOOK.frameworks
    if recipe.implementation(name)
]
"""Every recipe in every framework that it is written in."""


@cache
def project() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def kept_files() -> list[Path]:
    """List the files that git tracks, or would with `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in found if file.is_file()]


def sources(*folders: str) -> list[Path]:
    """List the Python files that are kept in some folders."""
    return [
        file
        for file in kept_files()
        if file.suffix == ".py"
        and file.relative_to(ROOT).as_posix().startswith(folders)
    ]


def name_of(file: Path) -> str:
    """Name a file as the reader knows it."""
    return file.relative_to(ROOT).as_posix()


def imported(file: Path) -> Iterator[str]:
    """List what a file imports, with dots, from the root down."""
    package = file.relative_to(ROOT).parts[:-1]
    return names_in(file.read_text(), package)


def names_in(source: str, package: Sequence[str]) -> Iterator[str]:
    """List what the source of a module in a package imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level]
            base = [*above, node.module] if node.level else [node.module]
            path = ".".join(filter(None, base))
            yield from (f"{path}.{alias.name}" for alias in node.names)


def is_within(name: str, rooms: Iterable[str]) -> bool:
    """Tell whether a dotted name is one of some modules, or inside one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)
