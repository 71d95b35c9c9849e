"""The wrong ways of a recipe: edits to the right ones, and ablations.

A pitfall is a mistake that people make, kept as edits with a story. An
ablation takes one marked piece of a rule out. Either is tried in a copy of
the tree, never in the book itself.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cookbook.book import Book, Recipe
from cookbook.marks import Mark, MarkError, ablate, marks
from cookbook.results import shared_files
from cookbook.tables import BookError, Table, read


@dataclass(frozen=True)
class Edit:
    """A text that stands once in a file, and what stands there instead."""

    framework: str
    file: str
    find: str
    replace: str

    @classmethod
    def read(cls, table: Table) -> "Edit":
        """Take an edit from its table."""
        return cls(
            table.text("framework"),
            table.text("file"),
            table.text("find"),
            table.optional_text("replace") or "",
        )

    def apply(self, tree: Path) -> None:
        """Edit the file in a tree; `ValueError` unless it fits once."""
        path = tree / self.file
        source = path.read_text()
        if (count := source.count(self.find)) != 1:
            raise ValueError(
                f"{self.file}: {self.find!r} is there {count} times"
            )
        path.write_text(source.replace(self.find, self.replace))


@dataclass(frozen=True)
class Pitfall:
    """A mistake that people make.

    `also_breaks` are other rules that it breaks beside its own, `absent`
    says for a framework why the mistake cannot be made there.
    """

    id: str
    rule: str
    title: str
    story: str
    source: str | None
    also_breaks: tuple[str, ...]
    absent: Mapping[str, str] = field(hash=False)
    edits: tuple[Edit, ...] = ()

    @classmethod
    def read(cls, table: Table) -> "Pitfall":
        """Take a pitfall from its table."""
        return cls(
            table.text("id"),
            table.text("rule"),
            table.text("title"),
            table.text("story"),
            table.optional_text("source"),
            table.texts("also_breaks"),
            table.mapping("absent"),
            tuple(map(Edit.read, table.tables("edits"))),
        )

    def edits_for(self, recipe: Recipe, framework: str) -> tuple[Edit, ...]:
        """The edits that make the mistake in a framework.

        Edits to `shared/` count where the framework's file uses it.
        """
        own = [edit for edit in self.edits if edit.framework == framework]
        used = {
            str(file.relative_to(recipe.root))
            for file in shared_files(recipe.root, recipe.files(framework))
        }
        common = [
            edit
            for edit in self.edits
            if edit.framework == "shared" and edit.file in used
        ]
        return (*common, *own)


def read_pitfalls(recipe: Recipe) -> tuple[Pitfall, ...]:
    """Read the wrong ways of a recipe; none where the file is missing."""
    if not recipe.pitfalls.exists():
        return ()
    table = read(recipe.pitfalls)
    pitfalls = tuple(map(Pitfall.read, table.tables("pitfalls")))
    check(recipe, pitfalls, table)
    table.finish(recipe.pitfalls)
    return pitfalls


def check(recipe: Recipe, pitfalls: tuple[Pitfall, ...], table: Table) -> None:
    """Complain of what points nowhere."""
    rules = {rule.id for rule in recipe.rules}
    seen = set()
    for pitfall in pitfalls:
        if pitfall.id in seen:
            table.complain(f"pitfall {pitfall.id} is there twice.")
        seen.add(pitfall.id)
        for rule in {pitfall.rule, *pitfall.also_breaks} - rules:
            table.complain(f"{pitfall.id}: there is no rule {rule}.")
        for problem in problems(recipe, pitfall):
            table.complain(f"{pitfall.id}: {problem}")


def problems(recipe: Recipe, pitfall: Pitfall) -> Iterator[str]:
    """Say what keeps a mistake from being made, edit by edit."""
    if not pitfall.edits:
        yield "it has no edits."
    rooms = (recipe.root / "frameworks").glob("*/framework.toml")
    known = {"shared", *(room.parent.name for room in rooms)}
    own = recipe.folder.relative_to(recipe.root).as_posix()
    texts: dict[tuple[str, str], str] = {}
    for edit in pitfall.edits:
        path = recipe.root / edit.file
        if edit.framework not in known:
            yield f"there is no framework {edit.framework}."
        if not edit.file.startswith(("shared/", "frameworks/", f"{own}/")):
            yield f"{edit.file} is no part of the recipe."
            continue
        place = edit.framework, edit.file
        if place not in texts:
            texts[place] = path.read_text() if path.is_file() else ""
        if (count := texts[place].count(edit.find)) != 1:
            yield (
                f"in {edit.file} the text to find is there {count} times,"
                " not once."
            )
            continue
        texts[place] = texts[place].replace(edit.find, edit.replace)


@dataclass(frozen=True)
class Marked:
    """A marked piece of code in a file of the book."""

    file: str
    mark: Mark

    @property
    def id(self) -> str:
        """Name the piece: file and line of its marker."""
        return f"{self.file}:{self.mark.line}"


def code_of(recipe: Recipe, framework: str) -> list[Path]:
    """List the files that make a recipe in a framework."""
    files = list(recipe.files(framework))
    room = recipe.root / "frameworks" / framework
    files += sorted(room.glob("*.py"))
    return files + shared_files(recipe.root, files)


def marked(recipe: Recipe, framework: str) -> Iterator[Marked]:
    """Find every marked piece of a recipe's rules in a framework."""
    rules = {rule.id for rule in recipe.rules}
    for file in code_of(recipe, framework):
        try:
            found = marks(file.read_text())
        except MarkError as error:
            raise BookError(file, [str(error)]) from None
        for mark in found:
            if mark.rule in rules:
                yield Marked(str(file.relative_to(recipe.root)), mark)


@contextmanager
def tree_of(book: Book, recipe: Recipe) -> Iterator[Path]:
    """Copy what a recipe needs to run, to be changed at will."""
    from cookbook.contract.service import temporary_folder

    with temporary_folder("cookbook-tree-") as tree:
        ignore = shutil.ignore_patterns("__pycache__", "*.db")
        for folder in ("shared", "frameworks"):
            shutil.copytree(book.root / folder, tree / folder, ignore=ignore)
        inside = recipe.folder.relative_to(book.root)
        shutil.copytree(recipe.folder, tree / inside, ignore=ignore)
        yield tree


def take_out(tree: Path, piece: Marked) -> None:
    """Take a marked piece out of its file in a tree."""
    path = tree / piece.file
    path.write_text(ablate(path.read_text(), piece.mark))
