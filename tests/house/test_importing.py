"""What happens when a recipe is imported: nothing but definitions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cookbook.contract.servers import Subject, environment
from tests.house.tree import BOOK, CELLS

WATCH = Path(__file__).with_name("effects_of.py")
SECRETS = [
    (slug, name, knob.env)
    for slug, name in CELLS
    for knob in BOOK.recipe(slug).knobs
    if knob.type == "secret" and knob.default is None
]


def settings(slug: str, name: str, folder: Path) -> dict[str, str]:
    """Make the environment that a recipe is served in."""
    return environment(
        BOOK, BOOK.recipe(slug), Subject(name), folder, {}, 1, 0
    )


def run(
    words: list[str], env: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run Python in an empty folder."""
    return subprocess.run(
        [sys.executable, *words],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def effects(
    module: str, first: tuple[str, ...], env: dict[str, str], folder: Path
) -> list[str]:
    """List what the import of a module does beyond definitions."""
    done = run([str(WATCH), module, *first], env, folder)
    assert 0 == done.returncode, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("slug", "name"), CELLS)
def test_an_import_has_no_effect(slug: str, name: str, tmp_path: Path) -> None:
    """No file is made, no thread started, no socket opened."""
    module = BOOK.recipe(slug).module(name)
    framework = BOOK.framework(name)
    first = (name, *framework.companions, *framework.warm)
    env = settings(slug, name, tmp_path)
    assert [] == effects(module, first, env, tmp_path)
    assert [] == [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "line",
    [
        "open('made', 'w').close()",
        "import socket; socket.socket()",
        "import sqlite3; sqlite3.connect(':memory:')",
        "import subprocess; subprocess.run(['true'])",
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1,)).start()",
    ],
)
def test_an_effect_is_noticed(line: str, tmp_path: Path) -> None:
    """What an import does beyond definitions is seen."""
    (tmp_path / "guilty.py").write_text(line)
    env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    assert effects("guilty", ("socket", "sqlite3"), env, tmp_path)


@pytest.mark.parametrize(("slug", "name", "setting"), SECRETS)
def test_a_secret_has_no_default(
    slug: str, name: str, setting: str, tmp_path: Path
) -> None:
    """Without its secret a recipe refuses to start, and names it."""
    env = settings(slug, name, tmp_path)
    del env[setting]
    module = BOOK.recipe(slug).module(name)
    start = f"from {module} import create_app; create_app()"
    done = run(["-c", start], env, tmp_path)
    assert 0 != done.returncode
    assert setting in done.stderr.splitlines()[-1]
