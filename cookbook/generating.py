"""`cookbook generate`: the sections of a README that the files tell already.

A section stands between two comments, each on a line of its own:

    <!-- generated: rules -->
    <!-- end -->

What stands outside of them is written by hand, and is never touched. A
recipe's README has all of its sections: one that is missing is added at
the end. The README of the book and those of the frameworks have only the
sections whose comments they have.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cookbook.book import Book, Recipe
from cookbook.sections import RECIPE, ROOM, Text
from cookbook.sections import recipes as table_of_recipes
from cookbook.tables import BookError
from cookbook.terminal import FAINT, PLAIN, Line, Screen

BEGIN = "<!-- generated: {name} -->"
END = "<!-- end -->"
_MARKER = re.compile(r"<!-- *(?:generated: *([a-z-]+)|(end)) *-->")

type Sections = Mapping[str, Callable[[], Text]]


@dataclass(frozen=True)
class Readme:
    """A README, and what can be generated of it.

    `is_whole` says that it has all of its sections.
    """

    path: Path
    sections: Sections
    is_whole: bool = False
    beginning: str = ""

    def generate(self) -> tuple[str, str]:
        """Give the text as it is and as it should be."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            text = ""
        return text, renew(self, text or self.beginning)


def generate(
    book: Book, screen: Screen, name: str | None, *, check: bool
) -> int:
    """Bring READMEs up to date, or say which are not."""
    lines: list[Line] = []
    for readme in list(readmes(book, name)):
        before, after = readme.generate()
        if before == after:
            continue
        place = str(readme.path.relative_to(book.root))
        if check:
            lines.append([(f"{place} is not up to date.", PLAIN)])
        else:
            readme.path.write_text(after, "utf-8")
            lines.append([(f"{place} was brought up to date.", PLAIN)])
    if check and lines:
        command = " ".join(["cookbook generate", *([name] if name else [])])
        screen.print([*lines, [(f"Mend it by: {command}", FAINT)]])
        return 1
    screen.print(lines or [[("All is up to date.", FAINT)]])
    return 0


def readmes(book: Book, name: str | None) -> Iterator[Readme]:
    """List the READMEs that have generated sections: one, or all."""
    if name is not None:
        yield of_recipe(book, book.recipe(name))
        return
    for recipe in book.recipes.values():
        yield of_recipe(book, recipe)
    for framework in book.frameworks.values():
        path = book.root / "frameworks" / framework.name / "README.md"
        if path.exists():
            yield Readme(
                path,
                {
                    key: partial(write, book, framework)
                    for key, write in ROOM.items()
                },
            )
    path = book.root / "README.md"
    if path.exists():
        table = partial(table_of_recipes, book, book.root)
        yield Readme(path, {"recipes": table})


def of_recipe(book: Book, recipe: Recipe) -> Readme:
    """Describe the README of a recipe; a new one begins with its sentence."""
    return Readme(
        recipe.folder / "README.md",
        {key: partial(write, book, recipe) for key, write in RECIPE.items()},
        is_whole=True,
        beginning=f"# {recipe.title}\n\n{recipe.sentence}\n",
    )


def renew(readme: Readme, text: str) -> str:
    """Write the sections anew, and those that are missing at the end."""
    lines = text.split("\n")
    found: list[str] = []
    position = 0
    for name, begin, end in places(readme, lines):
        found += [*lines[position:begin], section(readme, name)]
        position = end + 1
    whole = "\n".join([*found, *lines[position:]])
    if readme.is_whole:
        there = {name for name, _, _ in places(readme, lines)}
        for name in readme.sections:
            if name not in there:
                whole = f"{whole.rstrip('\n')}\n\n{section(readme, name)}\n"
    return whole


def section(readme: Readme, name: str) -> str:
    """Write a section with the comments around it."""
    begin = BEGIN.format(name=name)
    return "\n\n".join([begin, *readme.sections[name](), END])


def places(readme: Readme, lines: list[str]) -> list[tuple[str, int, int]]:
    """Find the sections: name, first and last line, counted from 0."""
    found: list[tuple[str, int, int]] = []
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines):
        match = _MARKER.fullmatch(line.strip())
        if match is None:
            continue
        name = match[1]
        if (name is None) == (opened is None):
            complain(readme, number, "a section is not closed, or not begun.")
        if name is not None:
            if name not in readme.sections:
                complain(readme, number, f'no section is called "{name}".')
            if name in [other for other, _, _ in found]:
                complain(readme, number, f'"{name}" is there twice.')
            opened = (name, number)
        elif opened is not None:
            found.append((*opened, number))
            opened = None
    if opened is not None:
        complain(readme, opened[1], "the section is not closed.")
    return found


def complain(readme: Readme, number: int, problem: str) -> None:
    """Say what is wrong with the comments of a README."""
    raise BookError(readme.path, [f"line {number + 1}: {problem}"])
