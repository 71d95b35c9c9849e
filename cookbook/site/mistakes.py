"""Pitfalls as they are shown: the story, the diff, and what noticed it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from cookbook.book import Book, Framework, Recipe
from cookbook.differing import Changed, Stretch, changes
from cookbook.pitfalls import Edit, Pitfall, read_pitfalls
from cookbook.results import shared_files
from cookbook.site.code import depth
from cookbook.site.prose import Writer
from cookbook.trials import CAUGHT, Finding, known


@dataclass(frozen=True)
class Line:
    """A line of a diff."""

    sign: str
    number: int | None
    html: Markup
    indent: int


@dataclass(frozen=True)
class Change:
    """What is done to one file to make a mistake."""

    framework: str
    file: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Case:
    """A mistake in one framework: can it be made, was it noticed?"""

    framework: Framework
    state: str
    says: str
    test: str = ""
    message: str = ""


@dataclass(frozen=True)
class Mistake:
    """A pitfall, with its changes by framework."""

    pitfall: Pitfall
    story: Markup
    changes: tuple[Change, ...]
    cases: tuple[Case, ...]

    @property
    def count(self) -> str:
        """Say in how many frameworks it was noticed, or can be made."""
        made = [case for case in self.cases if case.state != "absent"]
        noticed = [case for case in made if case.state == "caught"]
        if noticed:
            return f"noticed in {len(noticed)} of {len(made)}"
        return f"made in {len(made)}, not tried here yet"


def mistakes(book: Book, recipe: Recipe, writer: Writer) -> list[Mistake]:
    """List the wrong ways of a recipe."""
    findings = known(book)
    used = {name: shared_by(recipe, name) for name in book.frameworks}
    return [
        Mistake(
            pitfall,
            writer.write(pitfall.story),
            tuple(change(book, edit) for edit in pitfall.edits),
            tuple(cases(book, recipe, pitfall, used, findings)),
        )
        for pitfall in read_pitfalls(recipe)
    ]


def cases(
    book: Book,
    recipe: Recipe,
    pitfall: Pitfall,
    used: Mapping[str, set[str]],
    findings: dict[tuple[str, str, str, str], Finding],
) -> Iterator[Case]:
    """Tell of each framework what became of the mistake."""
    for name, framework in book.frameworks.items():
        if not is_made(pitfall, name, used[name]):
            why = pitfall.absent.get(name, "It is not written for this one.")
            yield Case(framework, "absent", why)
            continue
        found = findings.get((recipe.slug, name, "pitfall", pitfall.id))
        if found is None:
            yield Case(framework, "untried", "not tried here yet")
        elif found.verdict == CAUGHT:
            yield Case(
                framework, "caught", "noticed", found.test, found.message
            )
        else:
            yield Case(framework, "missed", found.verdict, found.test)


def shared_by(recipe: Recipe, framework: str) -> set[str]:
    """Name the files of `shared/` that an implementation uses."""
    files = shared_files(recipe.root, recipe.files(framework))
    return {file.relative_to(recipe.root).as_posix() for file in files}


def is_made(pitfall: Pitfall, framework: str, used: set[str]) -> bool:
    """Tell whether a mistake is made in a framework."""
    return any(
        edit.framework == framework
        or (edit.framework == "shared" and edit.file in used)
        for edit in pitfall.edits
    )


def change(book: Book, edit: Edit) -> Change:
    """Set an edit as a diff, with the lines around it."""
    before = (book.root / edit.file).read_text("utf-8")
    after = before.replace(edit.find, edit.replace)
    groups = changes(before.splitlines(), after.splitlines())
    return Change(
        edit.framework,
        edit.file,
        tuple(line(each) for group in groups for each in group),
    )


def line(changed: Changed) -> Line:
    """Set a line of a diff."""
    return Line(
        changed.sign,
        changed.numbers[0],
        words(changed.text, changed.stretches),
        depth(changed.text),
    )


def words(text: str, stretches: tuple[Stretch, ...]) -> Markup:
    """Mark the words of a line that the other side does not have."""
    if not stretches:
        return escape(text)
    parts: list[Markup] = []
    column = 0
    for start, end in stretches:
        parts.append(escape(text[column:start]))
        parts.append(Markup("<mark>{}</mark>").format(text[start:end]))
        column = end
    return Markup("").join([*parts, escape(text[column:])])
