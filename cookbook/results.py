"""What was proven, when, with which versions, and whether it still holds.

Results lie in `.cookbook/results.jsonl`, one JSON object a line, the
newest for a rule and a framework last; those of runs on real parts beside
them, in `services.jsonl`. A result is stale as soon as one of the files
that it was made with has changed.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cookbook.book import Book, Recipe
from cookbook.parts import find_module, imports

MANNERS = "manners"


@dataclass(frozen=True)
class Result:
    """A rule in a framework, as a run has found it.

    `verdict` is kept, broken, not checked or incomplete; `seconds` is the
    time that its tests took; `hashes` name what it was made with.
    """

    recipe: str
    rule: str
    framework: str
    verdict: str
    tests: dict[str, str]
    seconds: float
    date: str
    versions: dict[str, str]
    hashes: dict[str, str]

    def is_stale(self, book: Book) -> bool:
        """Tell whether a file has changed since."""
        if self.recipe not in book.folders:
            return True
        return self.hashes != hashes(
            book, self.recipe, self.framework, self.rule
        )


def results_file(book: Book, *, on_parts: bool = False) -> Path:
    """Where the results of a book lie, or those of runs on real parts."""
    return book.home / ("services.jsonl" if on_parts else "results.jsonl")


def load(
    book: Book, *, on_parts: bool = False
) -> dict[tuple[str, str, str], Result]:
    """Read the newest result by recipe, rule and framework."""
    found = {}
    file = results_file(book, on_parts=on_parts)
    for row in read_rows(file, fields(Result)):
        result = Result(**row)
        found[result.recipe, result.rule, result.framework] = result
    return found


def record(
    outcomes: Iterable[Any], since: float = 0.0, *, on_parts: bool = False
) -> None:
    """Write down what a run of the contracts has found.

    A rule of which only some tests ran is not written down, nor one with
    a file that was changed `since` the run began.
    """
    book = Book.load()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = []
    for outcome in outcomes:
        place = outcome.recipe, outcome.framework, outcome.rule
        if outcome.verdict == "incomplete" or not is_in(book, *place[:2]):
            continue
        if newest(files_of(book, *place)) > since > 0:
            continue
        result = Result(
            recipe=outcome.recipe,
            rule=outcome.rule,
            framework=outcome.framework,
            verdict=outcome.verdict,
            tests=outcome.tests,
            seconds=outcome.seconds,
            date=now,
            versions=versions_of(outcome.framework),
            hashes=hashes(book, *place),
        )
        rows.append(asdict(result))
    file = results_file(book, on_parts=on_parts)
    write_rows(file, rows, ("recipe", "rule", "framework"))


@cache
def versions_of(framework: str) -> dict[str, str]:
    """Read the versions that a framework's recipes run on."""
    from cookbook.environments import python_for, versions

    book = Book.load()
    described = book.framework(framework)
    return versions(described, python_for(described, book.home))


def is_in(book: Book, recipe: str, framework: str) -> bool:
    """Tell whether the book has what was judged."""
    return recipe in book.folders and framework in book.frameworks


def hashes(
    book: Book, recipe: str, framework: str, rule: str = ""
) -> dict[str, str]:
    """Name the state of every file that a result depends on."""
    found = files_of(book, recipe, framework, rule)
    return {part: digest(files) for part, files in found.items()}


def files_of(
    book: Book, recipe: str, framework: str, rule: str = ""
) -> dict[str, list[Path]]:
    """List every file that a result depends on, by what it is."""
    described = book.recipe(recipe)
    files = described.files(framework)
    rooms = sorted((book.root / "frameworks" / framework).glob("*.*"))
    contract = described.contract
    if rule == MANNERS:
        contract = contract.parents[1] / "test_manners.py"
    return {
        "implementation": [described.folder / "recipe.toml", *files],
        "framework": rooms,
        "shared": shared_files(book.root, (*files, *rooms)),
        "contract": [contract],
        "harness": sorted(Path(__file__).parent.glob("contract/*.py")),
    }


def newest(found: Mapping[str, Iterable[Path]]) -> float:
    """Tell when the file that was changed last was changed."""
    every = (file for files in found.values() for file in files)
    times = (file.stat().st_mtime for file in every if file.is_file())
    return max(times, default=0.0)


def digest(files: Iterable[Path]) -> str:
    """Hash the contents of files."""
    whole = hashlib.sha256()
    for file in files:
        if file.is_file():
            whole.update(file.name.encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()[:16]


def shared_files(root: Path, files: Iterable[Path]) -> list[Path]:
    """Find the modules of `shared/` that files import, at any remove."""
    found: set[Path] = set()
    waiting = [file for file in files if file.suffix == ".py"]
    while waiting:
        for name in imports(waiting.pop()):
            file = find_module(root, name)
            if file is None or not name.startswith("shared."):
                continue
            if file not in found:
                found.add(file)
                waiting.append(file)
    return sorted(found)


def read_rows(
    path: Path, wanted: Iterable[Field[Any]] = ()
) -> Iterator[dict[str, Any]]:
    """Read JSON lines, if there are any.

    What another version of the tool has written otherwise, or a machine
    that went down has written by half, is passed over.
    """
    names = {field.name for field in wanted}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and (not names or names == set(row)):
            yield row


def write_rows(
    path: Path, rows: list[dict[str, Any]], key: tuple[str, ...]
) -> None:
    """Add rows, each in place of the older one with the same key."""
    name: Callable[[dict[str, Any]], tuple[Any, ...]]
    name = lambda row: tuple(row.get(part) for part in key)
    with only_one(path):
        merged = {name(row): row for row in read_rows(path)}
        for row in rows:
            merged.pop(name(row), None)
            merged[name(row)] = row
        lines = [json.dumps(row) + "\n" for row in merged.values()]
        fresh = path.with_suffix(".new")
        fresh.write_text("".join(lines))
        fresh.replace(path)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Keep other runs from writing at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_changed(book: Book, recipe: Recipe, framework: str) -> bool:
    """Tell whether any rule is stale, or was never judged."""
    known = load(book)
    for rule in recipe.rules:
        result = known.get((recipe.slug, rule.id, framework))
        if result is None or result.is_stale(book):
            return True
    return False
