import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cookbook import results
from cookbook.book import Book
from cookbook.contract.outcomes import Outcome

ROOT = Path(__file__).parents[2]
FILES = {
    "pyproject.toml": "",
    "frameworks/flask/framework.toml": (
        'title = "Flask"\npackages = []\ndocs = "x"\n'
    ),
    "frameworks/flask/problems.py": "from shared.words import hi\n",
    "shared/words/__init__.py": "hi = 1\n",
    "shared/unused.py": "",
    "tests/contracts/first/test_greet.py": "",
    "tests/contracts/test_manners.py": "",
}


@pytest.fixture
def book(
    write_book: Callable[..., Book], monkeypatch: pytest.MonkeyPatch
) -> Book:
    """The small book, where results are kept in its own folder."""
    found = write_book(FILES)
    monkeypatch.setenv("COOKBOOK_ROOT", str(found.root))
    return found


def outcome(
    rule: str = "polite", verdict: str = "kept", **other: Any
) -> Outcome:
    """An outcome of the small book."""
    given: dict[str, Any] = {"recipe": "greet", "framework": "flask"} | other
    return Outcome(rule=rule, verdict=verdict, tests={"t": "passed"}, **given)


def found(book: Book, rule: str = "polite") -> results.Result:
    """The newest result of a rule in Flask."""
    return results.load(book)["greet", rule, "flask"]


def test_record(book: Book) -> None:
    """What was found is written down, with what it was made with."""
    results.record([outcome()])
    result = found(book)
    assert ("kept", {"t": "passed"}) == (result.verdict, result.tests)
    assert "python" in result.versions
    expected = {"implementation", "framework", "shared", "contract", "harness"}
    assert expected == set(result.hashes)
    assert not result.is_stale(book)


def test_the_newest_wins(book: Book) -> None:
    """A later result stands in place of an older one."""
    results.record([outcome(verdict="broken"), outcome("brief")])
    results.record([outcome()])
    assert ("kept", 2) == (found(book).verdict, len(results.load(book)))
    assert 2 == len(results.results_file(book).read_text().splitlines())


@pytest.mark.parametrize(
    "other",
    [{"verdict": "incomplete"}, {"recipe": "bow"}, {"framework": "None"}],
)
def test_what_is_not_recorded(book: Book, other: dict[str, str]) -> None:
    """Half a result is no result, nor one of another book."""
    results.record([outcome(**other)])
    assert {} == results.load(book)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("recipes/first/greet/flask_app.py", True),
        ("recipes/first/greet/recipe.toml", True),
        ("recipes/first/greet/litestar_app.py", False),
        ("frameworks/flask/problems.py", True),
        ("frameworks/flask/framework.toml", True),
        ("frameworks/litestar/framework.toml", False),
        ("shared/lines.py", True),
        ("shared/words/__init__.py", True),
        ("shared/unused.py", False),
        ("tests/contracts/first/test_greet.py", True),
        ("tests/contracts/test_manners.py", False),
    ],
)
def test_stale(book: Book, file: str, expected: bool) -> None:
    """A result is stale once a file that it depends on has changed."""
    results.record([outcome()])
    with (book.root / file).open("a") as changed:
        changed.write("# changed\n")
    assert expected == found(book).is_stale(book)


def test_manners_depend_on_their_own_contract(book: Book) -> None:
    """A change of the manners makes their results stale, no others."""
    results.record([outcome("manners"), outcome()])
    file = book.root / "tests" / "contracts" / "test_manners.py"
    file.write_text("# changed")
    assert found(book, "manners").is_stale(book)
    assert not found(book).is_stale(book)


def test_stale_by_the_harness(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the harness makes every result stale."""
    harness = tmp_path / "cookbook" / "contract"
    harness.mkdir(parents=True)
    (harness / "one.py").write_text("1")
    monkeypatch.setattr(results, "__file__", str(harness.parent / "r.py"))
    results.record([outcome()])
    assert not found(book).is_stale(book)
    (harness / "one.py").write_text("2")
    assert found(book).is_stale(book)


def test_a_file_that_changed_meanwhile(book: Book) -> None:
    """What was changed during a run is not taken for proven."""
    file = book.root / "shared" / "lines.py"
    begun = file.stat().st_mtime - 1
    results.record([outcome()], begun)
    assert {} == results.load(book)
    results.record([outcome()], begun + 3600)
    assert "kept" == found(book).verdict


def test_a_recipe_that_is_gone_is_stale(book: Book) -> None:
    """A result of a recipe that is no more is stale."""
    results.record([outcome()])
    (book.root / "recipes" / "first" / "greet" / "recipe.toml").unlink()
    assert found(book).is_stale(Book(book.root))


def test_lines_that_do_not_fit_are_passed_over(book: Book) -> None:
    """What is broken or of another version does no harm."""
    file = results.results_file(book)
    file.parent.mkdir()
    file.write_text('{"rule": "old"}\n[1]\n{"half": \n')
    assert {} == results.load(book)
    results.record([outcome()])
    assert "kept" == found(book).verdict


def test_writers_at_once_lose_nothing(book: Book) -> None:
    """Every row of several processes is there afterwards."""
    code = (
        "import sys; from pathlib import Path\n"
        "from cookbook.results import write_rows\n"
        "for n in range(20): write_rows(\n"
        "    Path(sys.argv[1]), [{'who': sys.argv[2], 'n': n}], ('who', 'n'))"
    )
    file = results.results_file(book)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, file, who], env=env)
        for who in "abc"
    ]
    assert [0, 0, 0] == [writer.wait() for writer in writers]
    expected = {(who, n) for who in "abc" for n in range(20)}
    assert expected == {(r["who"], r["n"]) for r in results.read_rows(file)}
