"""The rooms of the frameworks: what they show works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cookbook.contract.servers import Subject, environment
from tests.house.tree import BOOK, ROOT

SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADINGS = [
    "In this room",
    "How a recipe is served",
    "Where state lives",
    "How a hook is written, and what it sees",
    "How errors become problem documents",
    "Start-up and shutdown",
    "Testing with its own client",
    "The idiom in five lines",
    "Where it differs",
    "Recipes",
]


def room(name: str) -> str:
    """Read what a framework's room says."""
    return (ROOT / "frameworks" / name / "README.md").read_text()


@pytest.mark.parametrize("name", BOOK.frameworks)
def test_a_room_answers_the_same_questions(name: str) -> None:
    """Who knows one room knows where to look in the others."""
    headings = re.findall(r"^## (.*)$", room(name), re.MULTILINE)
    assert HEADINGS == headings


@pytest.mark.parametrize("name", BOOK.frameworks)
def test_the_idiom_is_told_in_five_lines(name: str) -> None:
    """Five points, no more and no fewer."""
    text = room(name).partition("## The idiom in five lines\n")[2]
    points = re.findall(r"^- ", text.partition("\n## ")[0], re.MULTILINE)
    assert 5 == len(points)


@pytest.mark.parametrize("name", BOOK.frameworks)
def test_what_a_room_shows_runs(name: str, tmp_path: Path) -> None:
    """The test with the framework's own client runs as it is printed."""
    snippets = SNIPPET.findall(room(name))
    assert snippets
    recipe = BOOK.recipe("pagination")
    env = environment(BOOK, recipe, Subject(name), tmp_path, {}, 1, 30)
    for snippet in snippets:
        done = subprocess.run(
            [sys.executable, "-W", "error::SyntaxWarning", "-c", snippet],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
