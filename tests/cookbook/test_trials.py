import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cookbook import trying
from cookbook.book import Book
from cookbook.contract import realparts
from cookbook.contract.runs import judge
from cookbook.contract.servers import Subject
from cookbook.names import WrongUse
from cookbook.trials import (
    FIRST,
    WHOLE,
    Finding,
    attempt,
    changed_ones,
    sampled,
    trials,
    write_down,
)
from cookbook.trying import summary
from tests.cookbook.conftest import CONTRACT

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

ROOT = Path(__file__).parents[2]
FILE = "recipes/first/greet/http_app.py"
ON_REDIS = """

@pytest.mark.rule("prompt")
def test_it_comes_on_redis(framework):
    with start("greet", framework, parts=["redis"]) as service:
        assert 200 == service.request("GET", "/hello").status_code
"""


def pitfall(
    find: str = "name.title()",
    replace: str = "name",
    rule: str = "polite",
    framework: str = "http",
    file: str = FILE,
    more: str = "",
) -> str:
    """Write a pitfall of one edit."""
    return f"""
[[pitfalls]]
id = "wrong"
rule = "{rule}"
title = "It is wrong"
story = "Somebody did it."
{more}
[[pitfalls.edits]]
framework = "{framework}"
file = "{file}"
find = '''{find}'''
replace = '''{replace}'''
"""


@pytest.fixture
def attempted(served_book: Writer) -> Callable[..., Finding]:
    """Try the one pitfall of a book."""

    def try_it(*, whole: bool = False, **edit: str) -> Finding:
        name = "recipes/first/greet/pitfalls.toml"
        book = served_book({name: pitfall(**edit)})
        first = next(trials(book.recipe("greet"), "http"))
        return attempt(book, first, WHOLE if whole else FIRST)

    return try_it


def test_caught(attempted: Callable[..., Finding]) -> None:
    """A pitfall is caught by an assertion of its own rule's test."""
    finding = attempted()
    assert ("caught", True) == (finding.verdict, finding.is_good)
    assert "test_a_name_is_in_it" == finding.test
    assert "AssertionError" in finding.message


def test_survived(attempted: Callable[..., Finding]) -> None:
    """A pitfall that no test notices is a hole in the contract."""
    finding = attempted(find="status = 200", replace="status = int(200)")
    assert ("survived", False) == (finding.verdict, finding.is_good)
    assert "no test noticed" == finding.message


def test_not_checked(
    served_book: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no test noticed is open where one had no part to run on."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(realparts, "silence_of", lambda _: "redis is away")
    wrong = pitfall("status = 200", "status = int(200)", "prompt")
    book = served_book(
        {
            "recipes/first/greet/pitfalls.toml": wrong,
            "tests/contracts/first/test_greet.py": CONTRACT + ON_REDIS,
        }
    )
    finding = attempt(book, next(trials(book.recipe("greet"), "http")))
    assert ("not checked", True) == (finding.verdict, finding.is_good)
    said = summary([finding], changed=False)[1][0][0]
    assert "0 of 1 wrong ways were noticed, 1 not checked" == said


def test_caught_only_elsewhere(attempted: Callable[..., Finding]) -> None:
    """A pitfall must be noticed by the tests of its own rule."""
    finding = attempted(rule="brief")
    assert ("caught only elsewhere", False) == (
        finding.verdict,
        finding.is_good,
    )
    assert "test_a_name_is_in_it" == finding.test


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ("import sys", "import sys\nexit(3)"),
        ("name.title()", "name.no_such_method()"),
    ],
)
def test_crashed(
    attempted: Callable[..., Finding], find: str, replace: str
) -> None:
    """A service that is down judges nothing."""
    finding = attempted(find=find, replace=replace)
    assert ("crashed", False) == (finding.verdict, finding.is_good)


def test_breaks_more_than_it_says(attempted: Callable[..., Finding]) -> None:
    """Under the whole contract the other rules must stay green."""
    edit = {"find": "status = 200", "replace": "status = 500; name = name * 2"}
    finding = attempted(whole=True, **edit)
    assert "breaks more than it says" == finding.verdict
    assert ["prompt"] == finding.broken
    said = attempted(whole=True, **edit, more='also_breaks = ["prompt"]')
    assert "caught" == said.verdict


def test_shared_edits(attempted: Callable[..., Finding]) -> None:
    """An edit of `shared/` is made where the framework uses it."""
    finding = attempted(
        find="Hello, {name}",
        replace="Hello",
        framework="shared",
        file="shared/words.py",
    )
    assert "caught" == finding.verdict


def test_the_book_is_left_alone(served_book: Writer) -> None:
    """The change is made in a copy, and the copy is gone afterwards."""
    name = "recipes/first/greet/pitfalls.toml"
    book = served_book({name: pitfall()})
    files = sorted(book.root.rglob("*.py"))
    before = [file.read_text() for file in files]
    (first, *_) = trials(book.recipe("greet"), "http")
    seen: list[Path] = []

    def change(tree: Path) -> None:
        first.change(tree)
        seen.append(tree)

    attempt(book, replace(first, change=change))
    assert before == [file.read_text() for file in files]
    assert book.root != seen[0]
    assert not seen[0].exists()


def test_a_trial_that_cannot_be_made_is_told(served_book: Writer) -> None:
    """A text that is not there any more is a sentence."""
    name = "recipes/first/greet/pitfalls.toml"
    book = served_book({name: pitfall()})
    first = next(trials(book.recipe("greet"), "http"))
    (book.root / FILE).write_text("")
    with pytest.raises(WrongUse, match="wrong in http cannot be tried"):
        attempt(book, first)


def test_ablations(ask: Ask, served_book: Writer) -> None:
    """Each marked piece is taken out alone, and noticed."""
    code, answer, _ = ask(served_book(), "pitfalls", "greet", "--jobs", "1")
    lines = answer.splitlines()
    assert 0 == code
    assert "caught  polite  http_app.py:13  taken out" in lines
    assert "caught  brief  http_app.py:15  taken out" in lines
    assert "2 of 2 wrong ways were noticed" == lines[-1].partition(" in ")[0]


def test_only_what_changed_is_tried(ask: Ask, served_book: Writer) -> None:
    """What was noticed is not tried again until something changes."""
    book = served_book()
    first = ask(book, "pitfalls", "--changed", "--json", "--jobs", "1")
    assert (0, 2) == (first[0], len(json.loads(first[1])))
    again = ask(book, "pitfalls", "--changed", "--json", "--jobs", "1")
    assert (0, []) == (again[0], json.loads(again[1]))
    (book.root / "shared" / "words.py").write_text(
        "def hello(name):\n    return 'Hello, ' + name\n"
    )
    third = ask(
        Book(book.root), "pitfalls", "--changed", "--json", "--jobs", "1"
    )
    assert (0, 2) == (third[0], len(json.loads(third[1])))


def test_what_was_not_noticed_is_tried_again(served_book: Writer) -> None:
    """A hole stays on the list until it is closed."""
    name = "recipes/first/greet/pitfalls.toml"
    edit = pitfall(find="status = 200", replace="status = 100 + 100")
    book = served_book({name: edit})
    first = next(trials(book.recipe("greet"), "http"))
    write_down(book, [attempt(book, first)])
    assert [first] == list(changed_ones(book, [first]))


def test_a_hole_is_a_negative_answer(ask: Ask, served_book: Writer) -> None:
    """The command says by its exit code that a pitfall survived."""
    name = "recipes/first/greet/pitfalls.toml"
    edit = pitfall(find="status = 200", replace="status = 100 + 100")
    code, answer, _ = ask(
        served_book({name: edit}), "pitfalls", "greet", "--jobs", "1"
    )
    assert 1 == code
    assert "survived  polite  wrong" in answer.splitlines()
    assert "2 of 3 wrong ways were noticed" in answer


def test_some_at_a_time(served_book: Writer) -> None:
    """Processes beside this one make the trials; findings keep order."""
    book = served_book()
    done = subprocess.run(
        [sys.executable, "-m", "cookbook", "pitfalls", "--jobs=2", "--json"],
        env={**os.environ, "COOKBOOK_ROOT": str(book.root)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    found = json.loads(done.stdout)
    listed = list(trials(book.recipe("greet"), "http"))
    assert [trial.id for trial in listed] == [one["id"] for one in found]
    assert {"caught"} == {one["verdict"] for one in found}


def test_a_sample_of_what_was_never_tried(served_book: Writer) -> None:
    """Each is chosen on one day of so many; what was tried stays in."""
    book = served_book()
    listed = list(trials(book.recipe("greet"), "http"))
    days = [list(sampled(book, listed, 5, day)) for day in range(5)]
    assert len(listed) == sum(map(len, days))
    assert all(any(trial in day for day in days) for trial in listed)
    write_down(book, [attempt(book, listed[0])])
    for day in range(5):
        assert listed[0] in sampled(book, listed, 5, day)


def test_a_wrong_way_is_not_tried_longer_than_it_takes(
    served_book: Writer,
) -> None:
    """Once an assertion of its rule has failed, no test follows."""
    book = served_book()
    file = book.root / FILE
    file.write_text(file.read_text().replace("name.title()", "'x'"))
    told: list[str] = []
    run = judge(
        "greet",
        Subject("http", tree=book.root),
        ("polite",),
        to_break="polite",
        tell=lambda test, _: told.append(test),
    )
    (failure,) = [f for outcome in run.outcomes for f in outcome.failures]
    assert failure.test in told[-1]


def test_what_luck_has_spared_is_tried_once_more(
    served_book: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong way that loses a race only now and then is no survivor."""
    name = "recipes/first/greet/pitfalls.toml"
    book = served_book({name: pitfall()})
    first = next(trials(book.recipe("greet"), "http"))
    caught = attempt(book, first)
    spared = replace(caught, verdict="survived")
    left: list[Finding] = []
    monkeypatch.setattr(trying, "attempt", lambda *_, **__: left.pop(0))
    for findings, expected in (
        ([spared, caught], caught),
        ([spared, spared], spared),
        ([caught], caught),
    ):
        left[:] = findings
        assert expected == trying.attempt_twice(book, first, FIRST)
        assert [] == left
