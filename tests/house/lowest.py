"""Tell whether this environment has every lower bound of the project.

python -m tests.house.lowest flask

The name is that of a dependency group; `tool` stands for none.
"""

import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def requirements(group: str) -> list[Requirement]:
    """List the direct dependencies of the project and of a group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = [*project["project"]["dependencies"]]
    if group != "tool":
        texts += project["dependency-groups"][group]
    return [Requirement(text) for text in texts]


def complaints(wanted: Requirement) -> Iterator[str]:
    """Say what is not as it should be with one dependency."""
    bounds = [s.version for s in wanted.specifier if s.operator == ">="]
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        yield f"{wanted}: it is not installed."
        return
    if not bounds:
        yield f"{wanted}: it has no lower bound."
    for bound in bounds:
        if Version(bound) != Version(found):
            yield f"{wanted}: {found} is installed."


def main() -> int:
    """Print what is not at its lower bound; 1 when anything is not."""
    found = [
        text
        for wanted in requirements(sys.argv[1])
        for text in complaints(wanted)
    ]
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
