import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cookbook.book import Book
from tests.cookbook.conftest import GREET

type Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
CONTRACT = "tests/contracts/first/test_greet.py"
TESTS = """
import pytest
from cookbook.contract.exchanges import note_exchange


@pytest.mark.rule("polite")
@pytest.mark.parametrize("value", [1, 2, 3])
def test_good(framework, value):
    assert value


@pytest.mark.rule("polite")
def test_as_good(framework):
    assert framework.name


@pytest.mark.rule("brief")
def test_bad(framework):
    import httpx2

    asked = httpx2.Request("GET", "http://x/hello?a=b", content=b"body")
    note_exchange(httpx2.Response(200, request=asked, content=b"found"))
    assert 1 == 2, "too long"


@pytest.mark.rule("prompt")
@pytest.mark.parametrize("is_here", [True, False])
def test_half(framework, is_here):
    if not is_here:
        pytest.skip("not checked: needs a clock")
"""


@pytest.fixture
def run(write_book: Callable[..., Book], tmp_path: Path) -> Run:
    """Run the contract of a small book by pytest."""
    files = {CONTRACT: TESTS, "pyproject.toml": ""}
    for name in ("flask", "litestar"):
        text = f'title = "{name}"\npackages = []\ndocs = "x"\n'
        text += '[serve.http]\ncommand = "true"\n'
        files[f"frameworks/{name}/framework.toml"] = text

    def run_pytest(
        *words: str, tests: str = TESTS, recipe: str = GREET
    ) -> subprocess.CompletedProcess[str]:
        told = {"recipes/first/greet/recipe.toml": recipe}
        write_book({**files, **told, CONTRACT: tests})
        env = {"COOKBOOK_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT)}
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        plugin = ("-p", "cookbook.contract.plugin")
        return subprocess.run(
            [sys.executable, "-m", "pytest", *plugin, CONTRACT, *words],
            cwd=tmp_path,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_pytest


def recorded(
    folder: Path, name: str = "results.jsonl"
) -> dict[tuple[str, str], Any]:
    """Read what was written down, by framework and rule."""
    file = folder / ".cookbook" / name
    lines = file.read_text().splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["framework"], row["rule"]): row for row in rows}


def verdicts(
    folder: Path, name: str = "results.jsonl"
) -> dict[tuple[str, str], str]:
    """Read the verdicts that were written down."""
    return {key: row["verdict"] for key, row in recorded(folder, name).items()}


WHOLE = {
    ("flask", "polite"): "kept",
    ("flask", "brief"): "broken",
    ("litestar", "polite"): "kept",
    ("litestar", "brief"): "broken",
}


@pytest.mark.parametrize("words", [(), ("-p", "xdist", "-n", "2")])
def test_verdicts(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Each rule is judged in each framework, by workers too."""
    answer = run(*words)
    assert (1, WHOLE) == (answer.returncode, verdicts(tmp_path))
    expected = (
        "greet in flask: 1 of 3 rules kept; brief broken; prompt incomplete"
    )
    assert expected in answer.stdout.splitlines()


def test_a_missing_framework_is_a_gap(run: Run) -> None:
    """Where a recipe is not written no test is run."""
    assert "django" not in run("-v").stdout


def test_one_framework(run: Run, tmp_path: Path) -> None:
    """Only the frameworks that were asked for are judged."""
    run("--cookbook-in", "litestar")
    assert {"litestar"} == {framework for framework, _ in verdicts(tmp_path)}


def test_one_rule(run: Run, tmp_path: Path) -> None:
    """Only the rules that were asked for are judged."""
    run("--cookbook-rule", "polite")
    assert {"polite"} == {rule for _, rule in verdicts(tmp_path)}


@pytest.mark.parametrize("word", ["good and not as", "test_good and 1"])
def test_a_part_of_the_tests_proves_nothing(
    run: Run, tmp_path: Path, word: str
) -> None:
    """A rule is not written down unless all its tests have run."""
    answer = run("-k", word)
    assert 0 == answer.returncode
    assert {} == recorded(tmp_path)
    assert "polite incomplete" in answer.stdout


def test_one_value_proves_nothing(run: Run, tmp_path: Path) -> None:
    """A test that ran with some of its values leaves a rule open."""
    values = "(test_good and not 3 and not 2) or as_good"
    assert "polite incomplete" in run("-k", values).stdout
    assert {} == recorded(tmp_path)


def test_a_setting_proves_nothing(run: Run, tmp_path: Path) -> None:
    """What was run with other settings is not written down."""
    run("--cookbook-set", "A=1")
    assert {} == recorded(tmp_path)


def test_another_server_proves_nothing(run: Run, tmp_path: Path) -> None:
    """What is written down was run under the server of the recipe."""
    answer = run("--cookbook-serve", "http", "--cookbook-in", "flask")
    assert "passed" in answer.stdout
    assert {} == recorded(tmp_path)


def test_a_module_marker_counts(run: Run, tmp_path: Path) -> None:
    """A rule that marks the whole file has every test in it."""
    tests = (
        "import pytest\npytestmark = pytest.mark.rule('polite')\n"
        "def test_a(framework): pass\ndef test_b(framework): pass\n"
    )
    run("-k", "test_a", tests=tests)
    assert {} == recorded(tmp_path)
    run(tests=tests)
    found = recorded(tmp_path)["flask", "polite"]
    assert {"test_a": "passed", "test_b": "passed"} == found["tests"]


@pytest.mark.parametrize(
    "words",
    [
        ("--cookbook-in", "flaks"),
        ("--cookbook-recipe", "gret"),
        ("--cookbook-set", "A"),
        ("--cookbook-serve", "paste"),
    ],
)
def test_a_wrong_name_is_told(run: Run, words: tuple[str, str]) -> None:
    """A name that the book lacks is a sentence, not a traceback."""
    answer = (
        run(*words)
        if words[0] in ("--cookbook-in", "--cookbook-recipe")
        else run(*words, "--cookbook-in=flask")
    )
    assert 4 == answer.returncode
    assert "Traceback" not in answer.stdout + answer.stderr


def test_all_skipped_is_not_checked(run: Run, tmp_path: Path) -> None:
    """A rule whose tests were all left out was not checked."""
    tests = (
        "import pytest\n@pytest.mark.rule('polite')\n"
        "def test_a(framework): pytest.skip('not checked: no')\n"
    )
    run(tests=tests)
    assert {"not checked"} == set(verdicts(tmp_path).values())


def test_what_shares_a_service_is_run_by_one_worker(
    run: Run, tmp_path: Path
) -> None:
    """`--dist loadgroup` parts the frameworks, and nothing within them."""
    tests = (
        "import os, pytest\n"
        "@pytest.mark.rule('polite')\n"
        "@pytest.mark.parametrize('value', range(20))\n"
        "def test_who(framework, value):\n"
        "    worker = os.environ['PYTEST_XDIST_WORKER']\n"
        f"    with open(r'{tmp_path}/workers', 'a') as file:\n"
        "        print(framework.name, worker, file=file)\n"
    )
    run("-p", "xdist", "-n", "2", "--dist", "loadgroup", tests=tests)
    lines = (tmp_path / "workers").read_text().splitlines()
    assert 40 == len(lines)
    assert 2 == len({line.split()[0] for line in set(lines)})
    assert 2 == len(set(lines))


RUDE = """
import pytest
from cookbook.contract.exchanges import note_exchange


@pytest.mark.rule("polite")
@pytest.mark.parametrize("value", [1, 2])
def test_made(framework, value):
    import httpx2

    asked = httpx2.Request("POST", "http://x/books")
    fields = {"x-kind": "book"}
    answer = httpx2.Response(201, request=asked, headers=fields)
    note_exchange(answer)


@pytest.mark.rule("brief")
def test_after_it(framework):
    pass
"""


@pytest.mark.parametrize("words", [(), ("-p", "xdist", "-n", "2")])
def test_an_answer_at_fault_is_bad_manners(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The test fails, its rule is kept, and the manners are broken."""
    answer = run("--cookbook-in", "flask", *words, tests=RUDE)
    assert 1 == answer.returncode
    assert {
        ("flask", "polite"): "kept",
        ("flask", "manners"): "broken",
        ("flask", "brief"): "kept",
    } == verdicts(tmp_path)
    for line in (
        "httplint: A new resource was created without its location being"
        " sent. (CREATED_WITHOUT_LOCATION)",
        "> POST /books",
        "< x-kind: book",
        "greet in flask: 2 of 3 rules kept; manners broken",
    ):
        assert line in answer.stdout.splitlines()


def test_what_was_not_checked_is_told(run: Run) -> None:
    """Why tests were left is said at the end, once, with their number."""
    lines = run().stdout.splitlines()
    assert "not checked: needs a clock (2 tests)" in lines


FIGURES = """
import pytest
from cookbook.contract import figure


@pytest.mark.rule("polite")
@pytest.mark.parametrize("times", [20, 1000])
def test_it_counts(framework, times):
    figure("greetings", times)
    figure("lost", 0)
"""


@pytest.mark.parametrize("words", [(), ("-p", "xdist", "-n", "2")])
def test_figures_are_added_up(run: Run, words: tuple[str, ...]) -> None:
    """What tests have counted stands below their recipe."""
    answer = run("--cookbook-in", "flask", *words, tests=FIGURES)
    lines = answer.stdout.splitlines()
    place = lines.index("    greetings: 1,020")
    assert "    lost: 0" == lines[place + 1]
    assert lines[place - 1].startswith("greet in flask: 1 of 1 rules kept")


MANNERS = """
import pytest


@pytest.mark.rule("manners")
def test_manners(framework, recipe):
    assert framework.on_parts
"""


def test_services_take_what_runs_on_them(run: Run, tmp_path: Path) -> None:
    """Only recipes with real parts, no manners, and results apart."""
    with_redis = GREET.replace("title =", 'services = ["redis?"]\ntitle =', 1)
    tests = TESTS + MANNERS.partition("import pytest\n")[2]
    nothing = run("--cookbook-services", tests=tests)
    assert pytest.ExitCode.NO_TESTS_COLLECTED == nothing.returncode
    answer = run("--cookbook-services", tests=tests, recipe=with_redis)
    assert "manners" not in answer.stdout
    assert {} == recorded(tmp_path)
    assert WHOLE == verdicts(tmp_path, "services.jsonl")
