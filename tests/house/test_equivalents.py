"""What a word of one framework is in another: every cell is put to use."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource, isclass
from itertools import groupby
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cookbook.equivalents import (
    Concept,
    read_entries,
    read_equivalents,
)
from cookbook.holding import lacks
from tests.house.tree import BOOK, ROOT

CONCEPTS = read_equivalents(BOOK)
CELLS = [
    (concept.id, name) for concept in CONCEPTS for name in concept.equivalents
]
each_concept = pytest.mark.parametrize(
    "concept", CONCEPTS, ids=[one.id for one in CONCEPTS]
)
COMPANIONS = {
    "advanced-alchemy.litestar.dev",
    "alembic.sqlalchemy.org",
    "argon2-cffi.readthedocs.io",
    "corydolphin.github.io",
    "docs.sqlalchemy.org",
    "flask-sqlalchemy-lite.readthedocs.io",
    "flask-wtf.readthedocs.io",
    "github.com",
    "itsdangerous.palletsprojects.com",
    "starlette.dev",
    "uvicorn.dev",
    "werkzeug.palletsprojects.com",
}
"""Where the documentation of companion libraries is."""

TYPES = """
[mypy]
plugins = mypy_django_plugin.main
check_untyped_defs = True
# Flask's own way to wrap an application.
disable_error_code = method-assign

[mypy.plugins.django-stubs]
django_settings_module = django.conf.global_settings
strict_settings = false

[mypy-flask_wtf]
ignore_missing_imports = True

# An uploaded file is a list too, say the stubs.
[mypy-django__file_upload]
disable_error_code = union-attr
"""


def snippets(name: str) -> dict[str, str]:
    """Give the snippets of a framework, by concept."""
    return {
        one.id: one.equivalents[name].snippet or ""
        for one in CONCEPTS
        if one.equivalents[name].snippet
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every snippet as a file."""
    folder = tmp_path_factory.mktemp("snippets")
    for name in BOOK.frameworks:
        for identifier, source in snippets(name).items():
            stem = f"{name}__{identifier}".replace("-", "_")
            (folder / f"{stem}.py").write_text(source)
    return folder


def run(*words: str, folder: Path = ROOT, given: str = "") -> str:
    """Run a tool of the environment; give all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def test_the_table_is_broad() -> None:
    """What frameworks do is there, and each of the five has its cell."""
    assert 45 <= len(CONCEPTS)
    found = [name for one in CONCEPTS for name in one.equivalents]
    assert len(CONCEPTS) * len(BOOK.frameworks) == len(found)


def test_nothing_lacks() -> None:
    """The file keeps what `cookbook check` asks of it."""
    assert [] == [*lacks(BOOK)]


def test_a_group_is_in_one_place() -> None:
    """Concepts of a group stand together."""
    groups = [group for group, _ in groupby(one.group for one in CONCEPTS)]
    assert sorted(set(groups)) == sorted(groups)


def test_search_reads_what_is_there() -> None:
    """The quick reading of the file finds the texts of the whole one."""
    expected = {
        one.id: (
            one.title,
            *one.words,
            *(found.name for found in one.equivalents.values()),
        )
        for one in CONCEPTS
    }
    assert expected == {entry.id: entry.texts for entry in read_entries(BOOK)}


@each_concept
def test_docs_are_the_frameworks_or_a_companions(concept: Concept) -> None:
    """A link leads to the documentation of what the cell names."""
    for name, found in concept.equivalents.items():
        docs = urlsplit(found.docs)
        own = urlsplit(BOOK.framework(name).docs).hostname
        assert docs.hostname in {own, *COMPANIONS}
        fragment = docs.fragment.removeprefix("module-")
        if fragment.startswith(f"{name}."):
            assert is_there(fragment), fragment


def is_there(dotted: str) -> bool:
    """Tell whether a documented name is there, if only in instances."""
    parts = dotted.split(".")
    owner, last = ".".join(parts[:-1]), parts[-1]
    found = find(owner)
    if hasattr(found, last):
        return True
    if not isclass(found):
        return find(dotted) is not None
    sources = (getsource(base) for base in found.__mro__[:-1])
    return any(re.search(rf"\b{last}\b", source) for source in sources)


def find(dotted: str) -> object:
    """Import what a dotted name names."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ImportError(dotted)


@each_concept
def test_a_snippet_shows_what_its_cell_names(concept: Concept) -> None:
    """What is imported, set or given is in the snippet."""
    for found in concept.equivalents.values():
        if found.kind != "pattern":
            for word in re.findall(r"[A-Za-z_]\w+", found.name):
                assert re.search(rf"\b{word}\b", found.snippet or ""), word


def settings_of(source: str) -> Iterator[str]:
    """List names in capitals that a snippet sets, and never uses."""
    for name in re.findall(r"^([A-Z][A-Z_]+) = ", source, re.MULTILINE):
        if 1 == len(re.findall(rf"\b{name}\b", source)):
            yield name


def test_settings_of_django_are_known() -> None:
    """A setting is Django's, a companion's, or begins with SHOP."""
    from corsheaders.conf import Settings
    from django.conf import global_settings

    for identifier, source in snippets("django").items():
        for name in settings_of(source):
            known = [hasattr(one, name) for one in (global_settings, Settings)]
            assert any(known) or name.startswith("SHOP_"), identifier


def test_paths_in_settings_of_django_are_there() -> None:
    """What a setting names by a dotted path can be imported."""
    for source in snippets("django").values():
        paths = re.findall(r'"((?:django|corsheaders)\.[\w.]+)"', source)
        assert all(find(path) for path in paths)


def test_settings_of_flask_are_known() -> None:
    """A cell that is a setting names one that Flask has a default for."""
    from flask import Flask

    names = [
        one.equivalents["flask"].name
        for one in CONCEPTS
        if one.equivalents["flask"].kind == "setting"
    ]
    assert [] == [name for name in names if name not in Flask.default_config]


@pytest.mark.parametrize("name", BOOK.frameworks)
def test_snippets_run(name: str) -> None:
    """Each is imported without a warning, its handlers answer."""
    # Django is configured by the stage, so nothing of it can come first.
    first = () if name == "django" else BOOK.framework(name).warm
    given = json.dumps(snippets(name))
    found = run("tests.house.snippets_of", name, *first, given=given)
    assert {} == json.loads(found)


def test_snippets_have_types(written: Path) -> None:
    """What a handler calls is there, with these arguments."""
    (written / "mypy.ini").write_text(TYPES)
    cache = ROOT / ".mypy_cache" / "snippets"
    found = run("mypy", f"--cache-dir={cache}", ".", folder=written)
    assert found.startswith("Success"), found


@pytest.mark.parametrize(
    "words",
    [
        ("format", "--check", "--line-length=64"),
        ("check", "--select=E,F,I,B,UP", "--ignore=B008,B006"),
    ],
)
def test_snippets_are_in_form(written: Path, words: tuple[str, ...]) -> None:
    """They are set like all other code, in narrower lines."""
    verb, *options = words
    target = "--target-version=py312"
    done = ("ruff", verb, "--isolated", "--quiet", target, *options, ".")
    assert "" == run(*done, folder=written)
