"""Which test notices which wrong way."""

import json
from collections.abc import Callable

import pytest

from cookbook.book import Book
from tests.cookbook.conftest import CONTRACT
from tests.cookbook.test_trials import pitfall

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

IDLE = """

@pytest.mark.rule("polite")
def test_that_cannot_fail(service):
    assert 200 == service.request("GET", "/hello").status_code
"""


@pytest.fixture
def tried(ask: Ask, served_book: Writer) -> Book:
    """A book whose wrong ways were tried under every test of their rules."""
    book = served_book(
        {
            "recipes/first/greet/pitfalls.toml": pitfall(),
            "tests/contracts/first/test_greet.py": CONTRACT + IDLE,
        }
    )
    words = ("pitfalls", "greet", "--scope", "rule", "--jobs", "1")
    ask(book, *words)
    return book


def test_a_test_that_notices_nothing_is_named(ask: Ask, tried: Book) -> None:
    """The one that notices is counted; the command says that it failed."""
    code, answer, _ = ask(tried, "kills", "greet")
    assert 1 == code
    assert "   2 of 2   test_a_name_is_in_it" in answer
    assert "   0 of 2   test_that_cannot_fail" in answer
    assert "Noticed nothing: test_that_cannot_fail." in answer


def test_kills_as_data(ask: Ask, tried: Book) -> None:
    """Each rule has its wrong ways, and what each test made of them."""
    _, answer, _ = ask(tried, "kills", "--json")
    [recipe] = json.loads(answer)
    assert ["test_that_cannot_fail"] == recipe["nothing"]
    polite = next(r for r in recipe["rules"] if r["rule"] == "polite")
    assert ["wrong"] == polite["pitfalls"]
    noticed = {row["test"]: row["noticed"] for row in polite["rows"]}
    assert ["http"] == noticed["test_a_name_is_in_it"]["wrong"]
    assert {} == noticed["test_that_cannot_fail"]


def test_what_has_changed_is_not_shown(ask: Ask, tried: Book) -> None:
    """A finding about another file says nothing of this one."""
    file = tried.root / "recipes/first/greet/http_app.py"
    file.write_text(file.read_text() + "# changed\n")
    code, answer, _ = ask(tried, "kills", "greet")
    assert (0, True) == (code, "Nothing was tried" in answer)


def test_a_trial_that_stopped_early_does_not_count(
    ask: Ask, served_book: Writer
) -> None:
    """Who was not asked cannot have missed it; then it is tried again."""
    book = served_book({"recipes/first/greet/pitfalls.toml": pitfall()})
    ask(book, "pitfalls", "greet", "--jobs", "1")
    assert "Nothing was tried" in ask(book, "kills")[1]
    words = ("pitfalls", "greet", "--changed", "--jobs", "1")
    assert "Nothing to try" in ask(book, *words)[1]
    assert "caught" in ask(book, *words, "--scope", "rule")[1]
    assert (
        "1 of 1" in ask(book, "kills")[1] or "2 of 2" in ask(book, "kills")[1]
    )
