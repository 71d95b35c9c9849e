import json
from collections.abc import Callable
from typing import Any

import pytest

from cookbook import results
from cookbook.book import Book
from cookbook.contract.outcomes import Outcome
from tests.cookbook.conftest import GREET

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

RULES = ("polite", "brief", "prompt", "manners")


@pytest.fixture
def book(served_book: Writer) -> Book:
    """A book of one framework, with nothing verified yet."""
    return served_book()


def record(
    rules: tuple[str, ...] = RULES, *, on_parts: bool = False, **verdicts: str
) -> None:
    """Write results down, kept unless said otherwise."""
    outcomes = (
        Outcome("greet", rule, "http", verdicts.get(rule, "kept"), {})
        for rule in rules
    )
    results.record(outcomes, on_parts=on_parts)


def cell(ask: Ask, book: Book) -> tuple[int, dict[str, Any]]:
    """Give the exit code and the one cell of the matrix."""
    code, answer, _ = ask(book, "matrix", "--json")
    (found,) = json.loads(answer)
    return code, found


def test_not_verified(ask: Ask, book: Book) -> None:
    """Without results nothing is said to be proven."""
    code, found = cell(ask, book)
    assert (0, "not verified", None) == (code, found["state"], found["date"])
    _, answer, _ = ask(book, "matrix")
    assert "Nothing was verified here yet: uv run tox" in answer


def test_passed(ask: Ask, book: Book) -> None:
    """A cell has passed when every rule was kept, manners too."""
    record()
    code, found = cell(ask, book)
    assert (0, "passed") == (code, found["state"])
    assert "python" in found["versions"]


def test_a_rule_is_missing(ask: Ask, book: Book) -> None:
    """While a rule has no result the cell is not verified."""
    record(RULES[:-1])
    assert "not verified" == cell(ask, book)[1]["state"]


def test_not_checked_is_not_passed(ask: Ask, book: Book) -> None:
    """A rule that was not checked leaves the cell unverified."""
    record(brief="not checked")
    assert "not verified" == cell(ask, book)[1]["state"]


def test_failed(ask: Ask, book: Book) -> None:
    """A broken rule fails the cell, is named, and is exit code 1."""
    record(brief="broken")
    code, found = cell(ask, book)
    assert (1, "failed", ["brief"]) == (code, found["state"], found["broken"])
    assert "  http failed: brief" in ask(book, "matrix")[1].splitlines()


def test_stale(ask: Ask, book: Book) -> None:
    """A cell whose files have changed since is stale."""
    record()
    (book.root / "shared" / "words.py").write_text("hello = str\n")
    code, found = cell(ask, book)
    assert (0, "stale", list(RULES)) == (code, found["state"], found["stale"])
    lines = ask(book, "matrix")[1].splitlines()
    assert "  http stale: all rules" in lines


def test_a_gap(ask: Ask, small_book: Book) -> None:
    """A recipe that is not written is an empty cell."""
    _, answer, _ = ask(small_book, "matrix", "--json")
    states = {c["framework"]: c["state"] for c in json.loads(answer)}
    assert "missing" == states["django"]
    assert "·······  missing" in ask(small_book, "matrix")[1].splitlines()


@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit(ask: Ask, real_book: Book, width: int) -> None:
    """Five frameworks fit on a terminal."""
    _, answer, _ = ask(real_book, "matrix", width=width)
    assert [] == [line for line in answer.splitlines() if len(line) > width]


def test_on_real_parts(ask: Ask, served_book: Writer) -> None:
    """What was proven on real parts is told apart, and fails the matrix."""
    file = "recipes/first/greet/recipe.toml"
    told = GREET.replace("title =", 'services = ["redis?"]\ntitle =', 1)
    book = served_book({file: told})
    record()
    assert "not verified" == cell(ask, book)[1]["on_parts"]["state"]
    assert "  on redis: not verified" in ask(book, "matrix")[1].splitlines()
    record(on_parts=True)
    assert "passed" == cell(ask, book)[1]["on_parts"]["state"]
    record(on_parts=True, brief="broken")
    code, found = cell(ask, book)
    assert (1, "passed") == (code, found["state"])
    assert "  on redis: failed: brief" in ask(book, "matrix")[1].splitlines()
