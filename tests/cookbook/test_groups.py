from collections.abc import Callable

import pytest

from cookbook.book import Book
from cookbook.contract.groups import group_of, last_seconds
from cookbook.results import MANNERS, results_file, write_rows

NAMES = ("crud", "flask", "django", "test_browser")


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("test_crud.py::test_a[flask]", "test_crud-flask"),
        ("test_crud.py::test_a[flask-1-crud]", "test_crud-flask"),
        ("test_crud.py::test_a[flask-[]]", "test_crud-flask"),
        ("test_manners.py::test_a[crud-django-x]", "test_manners-crud-django"),
        ("test_browser.py::test_a[1-2]", "test_browser"),
        ("test_tool.py::test_a", "tests/test_tool.py::test_a"),
        ("test_tool.py::test_a[1-2]", "tests/test_tool.py::test_a[1-2]"),
    ],
)
def test_group_of(test: str, group: str) -> None:
    """A test belongs to its file, its recipe and its subject."""
    assert group == group_of(f"tests/{test}", NAMES)


def test_last_seconds(write_book: Callable[..., Book]) -> None:
    """The rules of a recipe take what each of them took; manners apart."""
    book = write_book({"pyproject.toml": ""})
    whole = {
        **{"recipe": "greet", "framework": "flask", "verdict": "kept"},
        **{"tests": {}, "date": "", "versions": {}, "hashes": {}},
    }
    taken = {"polite": 1.5, "brief": 2.0, MANNERS: 4.0}
    rows = [{**whole, "rule": r, "seconds": s} for r, s in taken.items()]
    write_rows(results_file(book), rows, ("recipe", "rule", "framework"))
    expected = {"test_greet-flask": 3.5, "test_manners-greet-flask": 4.0}
    assert expected == last_seconds(book)
