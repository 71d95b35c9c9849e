"""The workflows: valid, careful, and about what the book has."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cookbook.book import Book
from cookbook.results import Result, results_file
from tests.house.broken import report
from tests.house.tree import BOOK, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def run(*words: str) -> str:
    """Run a linter of this environment; give what it says when it fails."""
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_is_valid(file: Path) -> None:
    """It has the form that GitHub has written down."""
    schema = ("--builtin-schema", "vendor.github-workflows")
    assert "" == run("check-jsonschema", *schema, str(file))


def test_workflows_are_careful() -> None:
    """Nothing that an attacker could use is left open."""
    assert "" == run("zizmor", "--offline", "--quiet", str(ROOT / ".github"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_every_stack(file: Path) -> None:
    """A framework of the book is in each list of stacks."""
    lists = re.findall(r"(?:part|stack): \[(.*)\]", file.read_text())
    assert lists
    for found in lists:
        names = set(found.split(", ")) - {"house", "tool", "services"}
        assert set(BOOK.frameworks) == names


def test_a_broken_rule_is_reported(tmp_path: Path) -> None:
    """With framework, version, recipe, rule and test."""
    for name in ("recipes", "frameworks", "shared"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "pyproject.toml").touch()
    book = Book(tmp_path)
    assert "another reason" in "\n".join(report(book, "flask"))
    row = Result(
        recipe="cors",
        rule="plain-options",
        framework="flask",
        verdict="broken",
        tests={"test_one": "failed", "test_other": "passed"},
        seconds=1.0,
        date="2026-01-01T00:00:00+00:00",
        versions={"python": "3.13.0", "flask": "4.0"},
        hashes={},
    )
    results_file(book).parent.mkdir(parents=True)
    results_file(book).write_text(json.dumps(vars(row)) + "\n")
    text = "\n".join(report(book, "flask"))
    for said in ("flask 4.0", "`cors`", "`plain-options`", "`test_one`"):
        assert said in text
    assert "test_other" not in text
