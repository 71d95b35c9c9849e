"""How a framework keeps a rule: by which marked pieces, or by none."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cookbook.book import Book, BookError, Difference, Framework, Recipe, Rule
from cookbook.marks import Mark, MarkError, marks
from cookbook.parts import parts


@dataclass(frozen=True)
class Kept:
    """The pieces of one file that keep a rule; `file` is from the root."""

    file: str
    source: str
    marks: tuple[Mark, ...]

    @property
    def is_shared(self) -> bool:
        """Tell whether the file is the same for several frameworks."""
        return self.file.startswith("shared/")

    def to_json(self) -> dict[str, Any]:
        """Give the file and its pieces, with their whole lines."""
        lines = self.source.split("\n")
        return {
            "file": self.file,
            "pieces": [
                {
                    "kind": mark.kind,
                    "marker": mark.line,
                    "start": list(mark.start),
                    "end": list(mark.end),
                    "within": [scope.name for scope in mark.scopes],
                    "code": "\n".join(
                        lines[mark.start.line - 1 : mark.end.line]
                    ),
                }
                for mark in self.marks
            ],
        }


@dataclass(frozen=True)
class Keeping:
    """How one framework keeps one rule.

    `keeper` is "code", "shared", "framework" or "server"; a framework in
    which the recipe is not written yet has none.
    """

    framework: Framework
    rule: Rule
    keeper: str | None
    kept: tuple[Kept, ...]
    differences: tuple[Difference, ...]

    @property
    def own(self) -> tuple[Kept, ...]:
        """What the framework has for itself."""
        return tuple(kept for kept in self.kept if not kept.is_shared)

    @property
    def shared(self) -> tuple[Kept, ...]:
        """What lies in `shared/`."""
        return tuple(kept for kept in self.kept if kept.is_shared)

    @property
    def is_only_shared(self) -> bool:
        """Tell whether there is nothing to show but what lies in `shared/`."""
        return bool(self.shared) and not self.own and not self.differences

    @property
    def note(self) -> str:
        """Say in words what no line of its own says."""
        title = self.framework.title
        if self.keeper is None:
            return "Not written yet."
        if self.own:
            return ""
        if self.keeper == "framework":
            return f"Nothing to write: {title} keeps it."
        if self.keeper == "server":
            return "Nothing to write: the server keeps it."
        if self.shared:
            return "Kept in shared/."
        return "No line is marked for it."

    def to_json(self) -> dict[str, Any]:
        """Give who keeps the rule, and where."""
        return {
            "kept_by": self.keeper,
            "files": [kept.to_json() for kept in self.kept],
            "differences": [
                {
                    "id": difference.id,
                    "instead": difference.instead,
                    "why": difference.why,
                    "upstream": difference.upstream,
                }
                for difference in self.differences
            ],
        }


def keeping(
    book: Book, recipe: Recipe, rule: Rule, framework: Framework
) -> Keeping:
    """Find how a framework keeps a rule of a recipe."""
    return next(keepings(book, recipe, framework, [rule]))


def keepings(
    book: Book,
    recipe: Recipe,
    framework: Framework,
    rules: Iterable[Rule],
) -> Iterator[Keeping]:
    """Find how a framework keeps rules of a recipe."""
    files = recipe.files(framework.name)
    read = [
        (file.relative_to(book.root).as_posix(), *read_marks(file))
        for file in parts(book.root, files)
    ]
    for rule in rules:
        kept = [
            Kept(file, source, tuple(m for m in found if m.rule == rule.id))
            for file, source, found in read
        ]
        yield Keeping(
            framework,
            rule,
            rule.keeper(framework.name) if files else None,
            tuple(part for part in kept if part.marks),
            differences(recipe, rule, framework),
        )


def read_marks(file: Path) -> tuple[str, tuple[Mark, ...]]:
    """Read a file and all its marks."""
    source = file.read_text("utf-8")
    try:
        return source, marks_in(source)
    except MarkError as error:
        raise BookError(file, [str(error)]) from None


@cache
def marks_in(source: str) -> tuple[Mark, ...]:
    """Find the marks of a source, once."""
    return tuple(marks(source))


def differences(
    recipe: Recipe, rule: Rule, framework: Framework
) -> tuple[Difference, ...]:
    """List where a framework does otherwise than a rule says."""
    return tuple(
        difference
        for difference in (*recipe.differences, *framework.differences)
        if difference.rule == rule.id
        and framework.name in difference.frameworks
    )
