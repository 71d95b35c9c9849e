"""The pages of files outside of the recipes: shared code, rooms, tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookbook.keeping import read_marks
from cookbook.site import links
from cookbook.site.code import lines_of
from cookbook.site.comparison import tests_in
from cookbook.site.rendering import Page
from cookbook.site.site import Site


def sources(site: Site) -> Iterator[Page]:
    """Show what lies outside of the recipes: shared code, rooms, tests."""
    root = site.book.root
    for file in links.shown(site.book):
        place = file.relative_to(root).as_posix()
        is_test = place.startswith("tests/")
        source, marks = (
            (file.read_text("utf-8"), ()) if is_test else read_marks(file)
        )
        tests = tests_in(file) if is_test else []
        yield Page(
            links.source_at(place),
            "source.html",
            place,
            f"The file {place}, line by line.",
            {
                "file": place,
                "raw": Path(place).name,
                "lines": lines_of(source, marks),
                "tests": {begin(test): test.name for test in tests},
            },
        )


def begin(test: Any) -> int:
    """Tell where a test begins, with its decorators."""
    return int(min([test.lineno, *(d.lineno for d in test.decorator_list)]))
