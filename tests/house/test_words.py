"""What no kept file names: places that only one machine has."""

import re
from pathlib import Path

import pytest

from tests.house.tree import kept_files, name_of

# Joined here, so that this file does not name them either.
PLACES = [
    "/".join(parts)
    for parts in (
        ("pypi.org", "simple"),
        ("", "root", ""),
        ("", "home", ""),
        ("", "work", ""),
        ("", "tmp", "probe"),
    )
] + [
    ".".join(parts)
    for parts in (
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs"),
        ("HOUSE", "md"),
        ("STYLE", "md"),
    )
]
PATTERN = re.compile("|".join(rf"(?<!\w){re.escape(p)}" for p in PLACES))


@pytest.mark.parametrize("file", kept_files(), ids=name_of)
def test_a_file_names_no_place_of_one_machine(file: Path) -> None:
    """No registry, no home and no folder of a workplace is named."""
    text = file.read_bytes().decode(errors="replace")
    assert [] == PATTERN.findall(text)


def test_no_lock_of_one_index_is_kept() -> None:
    """A lock file would name the index that it was made from."""
    assert [] == [name_of(f) for f in kept_files() if f.name == "uv.lock"]
