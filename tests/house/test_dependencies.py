"""What the project depends on, and from which version on."""

import re
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import BOOK, ROOT, project

GROUPS: dict[str, list[str]] = project()["dependency-groups"]
DEPENDENCIES = sorted(
    {*project()["project"]["dependencies"], *chain(*GROUPS.values())}
)
CONSTRAINTS = ROOT / "constraints.txt"
PINNED = re.compile(r"([a-z0-9-]+)==[0-9][0-9a-z.]*")

constrained = pytest.mark.skipif(
    not CONSTRAINTS.exists(), reason="there is no constraints.txt"
)


def pins(path: Path) -> dict[str, str]:
    """Read the lines of a constraints file, by package."""
    lines = path.read_text().splitlines()
    return {line.partition("==")[0]: line for line in lines}


@pytest.mark.parametrize("name", BOOK.frameworks)
def test_a_group_is_the_stack_of_its_framework(name: str) -> None:
    """The group of a framework has the packages of its room."""
    assert sorted(BOOK.framework(name).packages) == sorted(GROUPS[name])


@pytest.mark.parametrize("text", DEPENDENCIES)
def test_a_dependency_has_a_lower_bound(text: str) -> None:
    """Every direct dependency says from which version on it works."""
    operators = {one.operator for one in Requirement(text).specifier}
    assert operators & {">=", "==", "~="}


@constrained
def test_constraints_are_exact() -> None:
    """Each line of constraints.txt is one package at one version."""
    lines = pins(CONSTRAINTS).values()
    assert [] == [line for line in lines if not PINNED.fullmatch(line)]


@constrained
@pytest.mark.parametrize("text", DEPENDENCIES)
def test_constraints_hold_what_is_depended_on(text: str) -> None:
    """Every direct dependency is held at a version that it allows."""
    wanted = Requirement(text)
    pin = pins(CONSTRAINTS)[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(pin.partition("==")[2])
