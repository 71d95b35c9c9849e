"""Which files an implementation is made of: its own, and what they import."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOMS = ("shared.", "frameworks.")


def parts(root: Path, files: Iterable[Path]) -> list[Path]:
    """List files, then the rooms and the `shared/` modules they import.

    What those import belongs to it too. First the files as given, then
    those of `frameworks/`, then those of `shared/`.
    """
    found = dict.fromkeys(files)
    waiting = list(found)
    while waiting:
        for module in imports(waiting.pop(0)):
            file = find_module(root, module)
            if file is not None and file not in found:
                found[file] = None
                waiting.append(file)
    return sorted(found, key=lambda file: _rank(root, file))


def imports(file: Path) -> tuple[str, ...]:
    """List the modules of the book that a file may import, with dots."""
    return _imported(file.read_text("utf-8"))


@cache
def _imported(source: str) -> tuple[str, ...]:
    try:
        found = _imports(ast.parse(source))
        return tuple(name for name in found if name.startswith(ROOMS))
    except SyntaxError:
        return ()


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_module(root: Path, module: str) -> Path | None:
    """Find the file of a module of the book, outside its recipes."""
    if not module.startswith(ROOMS):
        return None
    path = root.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _rank(root: Path, file: Path) -> int:
    places = ("recipes", "frameworks", "shared")
    return places.index(file.relative_to(root).parts[0])
