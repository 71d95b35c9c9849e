"""Arrows that are never drawn: who imports whom."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.house.tree import (
    BOOK,
    CELLS,
    STANDARD,
    imported,
    is_within,
    name_of,
    names_in,
    project,
    sources,
)

ROOMS = {"cookbook", "frameworks", "recipes", "shared", "tests"}
MODULES = {"markdown-it-py": "markdown_it", "pytest-xdist": "xdist"}
"""Packages whose modules have another name."""

FRAMEWORKS = {*BOOK.frameworks, "starlette", "werkzeug"}


def outside(file: Path, allowed: set[str]) -> list[str]:
    """List what a file imports beyond what it may."""
    return [name for name in imported(file) if not is_within(name, allowed)]


def inside(file: Path, forbidden: set[str]) -> list[str]:
    """List what a file imports and must not."""
    return [name for name in imported(file) if is_within(name, forbidden)]


def stack(framework: str) -> set[str]:
    """What code in a framework may import of what is not ours."""
    return {*STANDARD, framework, *BOOK.framework(framework).companions}


@pytest.mark.parametrize("file", sources("shared/"), ids=name_of)
def test_shared_code_imports_no_framework_and_no_other_room(
    file: Path,
) -> None:
    """What is shared depends on no framework and on no other room."""
    assert [] == inside(file, FRAMEWORKS | ROOMS - {"shared"})


@pytest.mark.parametrize(("slug", "name"), CELLS)
def test_a_recipe_imports_its_own_stack_and_what_is_shared(
    slug: str, name: str
) -> None:
    """A recipe knows its framework, `shared/`, and no other recipe."""
    recipe = BOOK.recipe(slug)
    own = {"shared", f"frameworks.{name}", recipe.module(name)}
    for file in recipe.files(name):
        assert [] == outside(file, stack(name) | own), name_of(file)


@pytest.mark.parametrize("name", BOOK.frameworks)
def test_the_room_of_a_framework_imports_no_other(name: str) -> None:
    """What serves one framework's recipes knows no other framework."""
    allowed = stack(name) | {"shared", f"frameworks.{name}"}
    for file in sources(f"frameworks/{name}/"):
        assert [] == outside(file, allowed), name_of(file)


@pytest.mark.parametrize("file", sources("tests/contracts/"), ids=name_of)
def test_a_contract_knows_nothing_but_the_harness(file: Path) -> None:
    """Contracts import no framework and nothing that they judge."""
    harness = {"cookbook.contract"}
    forbidden = inside(file, FRAMEWORKS | ROOMS)
    assert [] == [name for name in forbidden if not is_within(name, harness)]


@pytest.mark.parametrize("file", sources("cookbook/"), ids=name_of)
def test_the_tool_imports_what_it_declares(file: Path) -> None:
    """The tool reads recipes as files, and imports no framework."""
    declared = project()["project"]["dependencies"]
    names = {Requirement(text).name for text in declared}
    needed = {MODULES.get(n, n.replace("-", "_")) for n in names}
    # What one command alone needs is in a group, and said to be missing.
    grouped = {"cosmic_ray"} if file.name == "mutants.py" else set()
    assert [] == outside(file, {*STANDARD, *needed, *grouped, "cookbook"})


@pytest.mark.parametrize(
    "file", sources("recipes/", "frameworks/", "shared/"), ids=name_of
)
def test_annotations_are_there_at_run_time(file: Path) -> None:
    """No recipe turns its annotations into text."""
    assert "__future__.annotations" not in [*imported(file)]


def test_every_source_lies_in_a_known_room() -> None:
    """No Python file lies outside the rooms that have rules."""
    rooms = tuple(f"{room}/" for room in ROOMS)
    known = set(sources(*rooms))
    assert [] == [name_of(f) for f in sources("") if f not in known]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import b.c as d", "b.c"),
        ("from b import c", "b.c"),
        ("from . import c", "x.y.c"),
        ("from .b import c", "x.y.b.c"),
        ("from ..b import c", "x.b.c"),
        ("def f():\n    import c", "c"),
    ],
)
def test_an_import_is_known_by_its_whole_name(
    source: str, expected: str
) -> None:
    """However a module is imported, its name is read from the root."""
    assert [expected] == [*names_in(source, ["x", "y"])]
