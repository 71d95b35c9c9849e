"""`cookbook mutants`: would the contract notice a change that nobody planned?

Small changes, made by Cosmic Ray's operators in the files of a recipe and in
the shared modules that it imports, are judged by the recipe's contract. They
are drawn by lot from all places where one can be made; the same `--seed` draws
the same. The score is how many of those that started were noticed.

As JSON, a list of findings: recipe, framework, file, line, operator,
verdict (killed, survived, crashed), the test that noticed it, the change.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from cookbook.book import Book, Recipe
from cookbook.contract.runs import judge
from cookbook.contract.servers import Subject
from cookbook.forking import forked
from cookbook.names import WrongUse
from cookbook.pitfalls import tree_of
from cookbook.progress import Progress
from cookbook.results import shared_files
from cookbook.terminal import (
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    print_json,
)
from cookbook.trials import ANSWER_DEADLINE, PATIENCE, failures

KILLED, SURVIVED, CRASHED = "killed", "survived", "crashed"


@dataclass(frozen=True)
class Mutant:
    """A change in a file: the nth that an operator can make there."""

    recipe: str
    framework: str
    file: str
    line: int
    operator: str
    occurrence: int


@dataclass(frozen=True)
class Found:
    """What became of a mutant."""

    recipe: str
    framework: str
    file: str
    line: int
    operator: str
    verdict: str
    test: str
    diff: str


def operators() -> dict[str, Any]:
    """Make every operator that takes no arguments."""
    try:
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError:
        raise WrongUse(
            "Cosmic Ray is not installed: uv sync --group mutation."
        ) from None
    found = {name: get_operator(name) for name in operator_names()}
    return {
        name.rpartition("/")[2]: kind()
        for name, kind in found.items()
        if not kind.arguments()
    }


@cache
def places(source: str) -> dict[int, list[tuple[int, str, int]]]:
    """Find where a source can be changed.

    Gives by place in the file: the line, the operator, and the how many-th
    of its changes this is.
    """
    known = operators()
    from cosmic_ray.ast import Visitor, get_ast

    counts = dict.fromkeys(known, 0)
    found: dict[int, list[tuple[int, str, int]]] = {}

    # Cosmic Ray has no types.
    class Look(Visitor):  # type: ignore[misc]
        """Asks every operator about every node."""

        def visit(self, node: Any) -> Any:
            for name, operator in known.items():
                for (line, column), _ in operator.mutation_positions(node):
                    place = line * 1000 + column
                    found.setdefault(place, []).append(
                        (line, name, counts[name])
                    )
                    counts[name] += 1
            return node

    Look().walk(get_ast(source))
    return found


def drawn(
    book: Book,
    recipes: Iterable[Recipe],
    frameworks: Iterable[str],
    size: int,
    seed: int,
) -> list[Mutant]:
    """Draw mutants by lot: first a place, then a change of those there."""
    lot = random.Random(seed)
    names = list(frameworks)
    bag = [
        (recipe.slug, name, file, place)
        for recipe in recipes
        for name in names
        for file in files_of(book, recipe, name)
        for place in places(file.read_text("utf-8"))
    ]
    lot.shuffle(bag)
    mutants = (one(book, lot, *each) for each in bag)
    return list(islice((m for m in mutants if changed(book, m)), size))


def changed(book: Book, mutant: Mutant) -> str | None:
    """Write the changed file; `None` where the operator cannot change it."""
    from cosmic_ray.mutating import mutate_code

    before = (book.root / mutant.file).read_text("utf-8")
    operator = operators()[mutant.operator]
    try:
        after = mutate_code(before, operator, mutant.occurrence)
    # Some operators stumble over nodes that they have said to know.
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return None if after == before else str(after)


def one(
    book: Book,
    lot: random.Random,
    recipe: str,
    framework: str,
    file: Path,
    place: int,
) -> Mutant:
    """Draw one change of those at a place."""
    line, operator, number = lot.choice(places(file.read_text("utf-8"))[place])
    name = file.relative_to(book.root).as_posix()
    return Mutant(recipe, framework, name, line, operator, number)


def files_of(book: Book, recipe: Recipe, framework: str) -> list[Path]:
    """List the files of an implementation, and what it shares."""
    own = recipe.files(framework)
    return [*own, *shared_files(book.root, own)]


def attempt(book: Book, mutant: Mutant) -> Found:
    """Make a change, and hold what comes of it to the contract."""
    recipe = book.recipe(mutant.recipe)
    before = (book.root / mutant.file).read_text("utf-8")
    after = changed(book, mutant) or before
    with tree_of(book, recipe) as tree:
        (tree / mutant.file).write_text(after)
        subject = Subject(
            mutant.framework, tree=tree, answer_deadline=ANSWER_DEADLINE
        )
        judged = judge(
            recipe.slug, subject, most_failures=1, patience=PATIENCE
        )
    noticed = failures(judged.outcomes)
    test = noticed[0].test if noticed else ""
    starts = not any("StartError" in each.message for each in noticed)
    verdict = (KILLED if starts else CRASHED) if noticed else SURVIVED
    return Found(
        mutant.recipe,
        mutant.framework,
        mutant.file,
        mutant.line,
        mutant.operator,
        verdict,
        test,
        difference(before, after),
    )


def difference(before: str, after: str) -> str:
    """Write what was changed, without what was not."""
    lines = unified_diff(
        before.splitlines(), after.splitlines(), n=0, lineterm=""
    )
    return "\n".join(line for line in lines if line[:3] not in MARKS)


MARKS = ("---", "+++", "@@ ")


def attempts(
    book: Book, mutants: Sequence[Mutant], jobs: int
) -> Iterator[Found]:
    """Try mutants, `jobs` at a time; give the findings in order."""
    work = [partial(attempt, book, mutant) for mutant in mutants]
    with forked(work, jobs) as found:
        for number, (mutant, find) in enumerate(
            zip(mutants, found, strict=True), 1
        ):
            with Progress() as progress:
                progress.say(f"{number} of {len(mutants)}: {mutant.file}")
                each = find()
            yield each


def try_mutants(
    book: Book,
    screen: Screen,
    mutants: Sequence[Mutant],
    *,
    jobs: int,
    as_json: bool,
) -> int:
    """Try mutants, and show those that nobody noticed, with the score."""
    found = []
    for each in attempts(book, mutants, jobs):
        found.append(each)
        if each.verdict == SURVIVED and not as_json:
            screen.print(show(each))
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        screen.print(score(found))
    return 0


def show(found: Found) -> list[Line]:
    """Write a mutant that survived."""
    place = f"{found.file}:{found.line}"
    note = f"  {found.operator} in {found.framework}"
    lines: list[Line] = [[], [(place, STRONG), (note, FAINT)]]
    return [
        *lines,
        *([(f"    {text}", PLAIN)] for text in found.diff.splitlines()),
    ]


def score(found: Sequence[Found]) -> list[Line]:
    """Count by recipe, and in all."""
    lines: list[Line] = [[]]
    for slug in sorted({each.recipe for each in found}):
        own = [each.verdict for each in found if each.recipe == slug]
        lines.append([(f"{slug:<24}{counted(own)}", PLAIN)])
    every = [each.verdict for each in found]
    return [*lines, [(f"{'all':<24}{counted(every)}", STRONG)]]


def counted(verdicts: Sequence[str]) -> str:
    """Write a score: what was noticed, of what started."""
    killed, started = verdicts.count(KILLED), len(verdicts)
    started -= verdicts.count(CRASHED)
    part = f"{killed / started:.0%}" if started else "none"
    crashed = f", {verdicts.count(CRASHED)} did not start"
    return f"{killed:>4} of {started:<4} {part:>5}{crashed}"
