import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cookbook.book import Book

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

ROOT = Path(__file__).parents[2]
HEAVY = ("pygments", "rich", "pytest", "httpx2", "psutil", "typer")
FRAMEWORKS = ("flask", "django", "fastapi", "litestar", "aiohttp")


def python(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter on the checkout."""
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_overview(ask: Ask, small_book: Book) -> None:
    """Without a command: what is there, and how to go on."""
    code, answer, _ = ask(small_book)
    lines = answer.splitlines()
    assert (0, "The Backend Cookbook") == (code, lines[0])
    for expected in (
        "── The first chapter " + "─" * 59,
        "━╌━  greet                   Say hello to whoever comes.",
        "Written so far: 1 of 3 recipes, on 1 of 2 shelves.",
        "cookbook compare greet flask litestar   two, rule by rule",
        'cookbook search "nobody answers"        by what went wrong',
    ):
        assert expected in lines


def test_overview_commands_work(ask: Ask, real_book: Book) -> None:
    """Every command that the overview names can be run."""
    _, answer, _ = ask(real_book, width=120)
    commands = [
        line.split("   ")[0].removeprefix("cookbook ")
        for line in answer.splitlines()
        if line.startswith("cookbook ")
    ]
    assert 5 <= len(commands)
    for command in commands:
        words = [word.strip() for word in command.split('"')]
        plain = [*words[0].split(), *words[1:2]]
        if "serve" in plain:  # It would serve until it is told to end.
            plain.append("--help")
        assert 0 == ask(real_book, *plain)[0]


def test_overview_of_an_empty_book(ask: Ask, write_book: Writer) -> None:
    """A book without recipes still has an overview."""
    book = write_book({"recipes/first/greet/recipe.toml": None})
    code, answer, _ = ask(book)
    assert 0 == code
    assert "Written so far: 0 of 3 recipes, on 0 of 2 shelves." in answer


def test_list(ask: Ask, small_book: Book) -> None:
    """The list has every recipe by shelf, the gaps too."""
    code, answer, _ = ask(small_book, "list")
    expected = [
        "Strokes: Flask, Django, Litestar; ━ written, ╌ not yet.",
        "",
        "── The first chapter " + "─" * 52 + " first/",
        "━╌━  greet                   Say hello to whoever comes.",
        "╌    bow                     bend the back",
        "",
        "── The second chapter " + "─" * 50 + " second/",
        "╌╌╌  leave                   say goodbye by 429",
    ]
    assert (0, expected) == (code, answer.splitlines())


@pytest.mark.parametrize("shelf", ["second", "2", "Second"])
def test_list_a_shelf(ask: Ask, small_book: Book, shelf: str) -> None:
    """One shelf is listed by its name or its chapter."""
    code, answer, _ = ask(small_book, "list", shelf, "--json")
    expected = [
        {
            "slug": "leave",
            "shelf": "second",
            "written": False,
            "title": None,
            "sentence": "say goodbye by 429",
            "canon": ["2.1"],
            "kind": "five",
            "frameworks": [],
        }
    ]
    assert (0, expected) == (code, json.loads(answer))


def test_list_as_json(ask: Ask, real_book: Book) -> None:
    """As JSON the list says in which frameworks a recipe is written."""
    _, answer, _ = ask(real_book, "list", "--json")
    found = {entry["slug"]: entry for entry in json.loads(answer)}
    assert len(real_book.planned) <= len(found)
    assert ("business_logic", True, "Keyset pagination", ["7.5"]) == (
        found["pagination"]["shelf"],
        found["pagination"]["written"],
        found["pagination"]["title"],
        found["pagination"]["canon"],
    )
    assert "flask" in found["pagination"]["frameworks"]


WRONG = {
    "command": (
        ["serch", "x"],
        'There is no command "serch". Did you mean search or serve?',
    ),
    "recipe": (
        ["show", "gret"],
        'There is no recipe "gret". Did you mean greet?',
    ),
    "framework": (
        ["show", "greet", "--in", "flsk"],
        'There is no framework "flsk". Did you mean flask?',
    ),
    "rule": (
        ["show", "greet", "--rule", "polit"],
        'There is no rule of greet "polit". Did you mean polite?',
    ),
    "compared": (
        ["compare", "greet", "flask", "lightstar"],
        'There is no framework "lightstar". Did you mean litestar?',
    ),
    "shelf": (
        ["list", "thrd"],
        'There is no shelf "thrd". There is first and second.',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_name(ask: Ask, small_book: Book, name: str) -> None:
    """A wrong name gets the nearest right ones, and exit code 2."""
    words, expected = WRONG[name]
    assert (2, "", f"{expected}\n") == ask(small_book, *words)


def test_planned_recipe(ask: Ask, small_book: Book) -> None:
    """A recipe that is not written yet is a negative answer."""
    expected = (
        'The recipe "leave" is planned, and not written yet: '
        "say goodbye by 429.\n"
    )
    assert (1, "", expected) == ask(small_book, "show", "leave")


@pytest.mark.parametrize("words", [["show"], ["search"], ["list", "--no"]])
def test_wrong_use(ask: Ask, small_book: Book, words: list[str]) -> None:
    """A command that cannot be meant is exit code 2."""
    code, answer, error = ask(small_book, *words)
    assert (2, "") == (code, answer)
    assert "Usage: cookbook" in error


def test_broken_book(ask: Ask, write_book: Writer) -> None:
    """A file that is not as it should be is named, in plain words."""
    path = "recipes/first/greet/recipe.toml"
    book = write_book({path: 'title = "Greeting"\n'})
    expected = f'{book.root / path}: "sentence" is missing.\n'
    assert (1, "", expected) == ask(book, "show", "greet")


def test_help(ask: Ask, small_book: Book) -> None:
    """Help names every command."""
    code, answer, _ = ask(small_book, "--help")
    assert 0 == code
    for command in ("list", "show", "compare", "search"):
        assert f"\n  {command} " in answer


def test_no_colour_in_a_pipe(ask: Ask, small_book: Book) -> None:
    """There is no escape sequence where nobody can see it."""
    for words in ([], ["list"], ["show", "greet"], ["compare", "greet"]):
        assert "\x1b" not in ask(small_book, *words)[1]


def test_no_color_wins(
    monkeypatch: pytest.MonkeyPatch, small_book: Book
) -> None:
    """NO_COLOR wins over everything."""
    done = python(
        "-m",
        "cookbook",
        "list",
        NO_COLOR="1",
        FORCE_COLOR="1",
        COOKBOOK_ROOT=str(small_book.root),
    )
    assert (0, False) == (done.returncode, "\x1b" in done.stdout)


def test_module(small_book: Book) -> None:
    """The tool runs as a module, and finds its book."""
    done = python("-m", "cookbook", COOKBOOK_ROOT=str(small_book.root))
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("The Backend Cookbook\n")


def test_reader_that_stops_reading() -> None:
    """A reader that closes the pipe ends the tool without a word."""
    with subprocess.Popen(
        [sys.executable, "-m", "cookbook", "list"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"" == process.stderr.read()


def test_show_imports_little() -> None:
    """Showing a source imports no framework and nothing heavy."""
    code = (
        "import sys; from cookbook.cli import run;"
        "run(['show', 'pagination', '--in', 'flask']);"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = python("-c", code, FORCE_COLOR="")
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert set() == loaded & {*HEAVY, *FRAMEWORKS}
