import json
from collections.abc import Callable

import pytest

from cookbook.book import Book
from cookbook.checking import long_functions, rules_of_tests, unmarked

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]


def lacks(ask: Ask, book: Book) -> list[str]:
    """List what the small book's recipe lacks."""
    _, answer, _ = ask(book, "check", "greet", "--json")
    found: list[str] = json.loads(answer)["greet"]
    return found


def test_nothing_lacks(ask: Ask, real_book: Book) -> None:
    """A recipe that is whole is said to be."""
    code, answer, _ = ask(real_book, "check", "pagination")
    expected = ["pagination", "  It has all that the house asks for."]
    assert (0, expected) == (code, answer.splitlines())


@pytest.mark.parametrize(
    "expected",
    [
        "README.md is missing.",
        "pitfalls.toml is missing.",
        "The contract tests/contracts/first/test_greet.py is missing.",
        "It is not written in Django.",
        "It has 3 rules; a recipe has 6 to 12.",
        "flask_app.py does not say its idiom.",
        "Flask's code does not read GREETING.",
        "flask_app.py does not begin '... in Flask: ...'.",
    ],
)
def test_what_lacks(ask: Ask, small_book: Book, expected: str) -> None:
    """What is not there is said in plain words, with exit code 1."""
    code, answer, _ = ask(small_book, "check")
    assert 1 == code
    assert f"  {expected}" in answer.splitlines()


def test_a_rule_without_a_marker(ask: Ask, write_book: Writer) -> None:
    """A rule that code keeps is marked where it is kept."""
    changes = {"recipes/first/greet/flask_app.py": '"""Greeting."""\n'}
    found = lacks(ask, write_book(changes))
    assert "polite is marked nowhere in Flask's code." in found
    assert "brief is marked nowhere in shared/ for Flask." in found
    assert "Flask's code defines no say_hello." in found


def test_a_marker_without_a_rule(ask: Ask, write_book: Writer) -> None:
    """A marker names a rule of the recipe."""
    changes = {"recipes/first/greet/flask_app.py": "# rule: loud\nx = 1\n"}
    found = lacks(ask, write_book(changes))
    assert "flask_app.py marks loud: no such rule." in found


def test_the_tests_of_a_contract(ask: Ask, write_book: Writer) -> None:
    """Every rule has a test, and every test a rule that there is."""
    tests = (
        "import pytest\n@pytest.mark.rule('polite')\ndef test_a(): pass\n"
        '@pytest.mark.rule("loud")\ndef test_b(): pass\ndef test_c(): pass\n'
    )
    changes = {"tests/contracts/first/test_greet.py": tests}
    found = lacks(ask, write_book(changes))
    assert "No test proves the rule brief." in found
    assert "A test is marked with loud, and there is no such rule." in found
    assert "The test test_c is marked with no rule." in found


@pytest.mark.parametrize(
    "change",
    [
        {"recipes/first/greet/recipe.toml": "title = 1\n"},
        {"recipes/first/greet/pitfalls.toml": "[[pitfalls]]\n"},
        {"recipes/first/greet/flask_app.py": "# rule: polite\n"},
        {"recipes/first/greet/flask_app.py": "def (\n"},
        {"tests/contracts/first/test_greet.py": "def (\n"},
    ],
)
def test_a_file_that_cannot_be_read(
    ask: Ask, write_book: Writer, change: dict[str, str]
) -> None:
    """A malformed file is something that lacks, not a crash."""
    code, answer, errors = ask(write_book(change), "check")
    assert (1, "") == (code, errors)
    assert "greet" == answer.splitlines()[0]


def test_markers_in_either_quotes() -> None:
    """A marker is found however its text is quoted."""
    source = "@pytest.mark.rule('a')\n@pytest.mark.rule(\n    \"b-c\"\n)"
    assert ["a", "b-c"] == list(rules_of_tests(source))


def test_a_marker_of_the_whole_file() -> None:
    """A file marked as a whole has no unmarked tests."""
    source = "pytestmark = pytest.mark.rule('a')\ndef test_a(): pass\n"
    assert [] == list(unmarked(source))


def test_long_functions() -> None:
    """Lines of code are counted, `create_app` is a list."""
    body = "".join(f"    x{n} = 1\n" for n in range(26))
    source = f"def f():\n{body}\ndef create_app():\n{body}"
    assert [("f", 26)] == list(long_functions(source))
    assert [] == list(long_functions(source.replace("    x0 = 1", "    # x")))
