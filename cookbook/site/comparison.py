"""The comparison: a row for each rule, a pane for each framework."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from cookbook.book import Book, Framework, Recipe, Rule
from cookbook.comparing import in_common
from cookbook.keeping import Keeping, Kept
from cookbook.sections import rules_of
from cookbook.site.code import Chunk, excerpt
from cookbook.site.links import line_at, source_at
from cookbook.site.mistakes import Mistake
from cookbook.site.proof import Proof, Proofs
from cookbook.site.prose import Writer


@dataclass(frozen=True)
class Excerpt:
    """What one file has for a rule; `name` is not said of the main one."""

    name: str
    lines: str
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Declared:
    """A difference that is declared."""

    id: str
    instead: Markup
    why: Markup
    upstream: str | None


@dataclass(frozen=True)
class Pane:
    """How one framework keeps one rule."""

    framework: Framework
    note: str
    excerpts: tuple[Excerpt, ...]
    proof: Proof
    declared: tuple[Declared, ...]
    rerun: str


@dataclass(frozen=True)
class Common:
    """A file of `shared/` that keeps a rule, and in which frameworks."""

    excerpt: Excerpt
    frameworks: tuple[str, ...]
    titles: tuple[str, ...]


@dataclass(frozen=True)
class Test:
    """A test of the contract."""

    name: str
    says: str
    at: str


@dataclass(frozen=True)
class Row:
    """A rule: its sentence, its panes, its tests and its pitfalls."""

    rule: Rule
    text: Markup
    panes: tuple[Pane, ...]
    common: tuple[Common, ...]
    tests: tuple[Test, ...]
    pitfalls: tuple[Mistake, ...]

    @property
    def form(self) -> str:
        """The form of the thread where it begins, for all frameworks."""
        states = {pane.proof.state for pane in self.panes}
        return "never" if states & {"never", "stale", "missing"} else "passed"


def row(
    book: Book,
    kept: list[Keeping],
    recipe: Recipe,
    proofs: Proofs,
    writer: Writer,
    pitfalls: tuple[Mistake, ...],
) -> Row:
    """Make the row of the rule that is `kept`."""
    rule = kept[0].rule
    common = tuple(
        Common(
            shown(book, recipe, each),
            tuple(k.framework.name for k in kept if each in k.shared),
            tuple(titles),
        )
        for each, titles in in_common(kept)
    )
    return Row(
        rule,
        writer.inline(rule.text),
        tuple(pane(book, recipe, each, proofs, writer) for each in kept),
        common,
        tuple(tests_of(book, recipe, rule)),
        tuple(each for each in pitfalls if each.pitfall.rule == rule.id),
    )


def pane(
    book: Book,
    recipe: Recipe,
    kept: Keeping,
    proofs: Proofs,
    writer: Writer,
) -> Pane:
    """Make the pane of a framework."""
    framework = kept.framework
    return Pane(
        framework,
        kept.note,
        tuple(shown(book, recipe, each) for each in kept.own),
        proofs.of(recipe, kept.rule.id, framework),
        tuple(
            Declared(
                difference.id,
                writer.inline(difference.instead),
                writer.inline(difference.why),
                difference.upstream,
            )
            for difference in kept.differences
        ),
        rerun(recipe, kept.rule, framework),
    )


def shown(book: Book, recipe: Recipe, kept: Kept) -> Excerpt:
    """Cut a file down to what keeps a rule."""
    inside = f"{recipe.folder.relative_to(book.root).as_posix()}/"
    name = kept.file.removeprefix(inside)
    is_main = name.endswith("_app.py") and "/" not in name
    return Excerpt(
        "" if is_main else name, line_at(book, kept.file), excerpt(kept)
    )


def rerun(recipe: Recipe, rule: Rule, framework: Framework) -> str:
    """Write the command that proves a rule in a framework again."""
    return (
        f"uv run cookbook verify {recipe.slug} "
        f"--in {framework.name} --rule {rule.id}"
    )


def tests_of(book: Book, recipe: Recipe, rule: Rule) -> Iterator[Test]:
    """List the tests that prove a rule."""
    file = recipe.contract
    if not file.is_file():
        return
    at = source_at(file.relative_to(book.root).as_posix())
    for test in tests_in(file):
        if rule.id in rules_of(test):
            says = (ast.get_docstring(test) or test.name).split("\n")[0]
            yield Test(test.name, says, f"{at}#{test.name}")


def tests_in(file: Path) -> list[ast.FunctionDef]:
    """Find the tests of a contract."""
    return [
        node
        for node in parsed(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"
    ]


@cache
def parsed(source: str) -> ast.Module:
    """Parse a source, once."""
    return ast.parse(source)
