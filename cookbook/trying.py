"""`cookbook pitfalls`: does the contract notice the wrong ways?

As JSON, a list of findings: recipe, framework, kind (pitfall or ablation),
id, rule, verdict (caught, survived, caught only elsewhere, crashed, breaks
more than it says, not checked), the test that caught it and its assertion.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from cookbook.book import Book
from cookbook.contract.outcomes import gist_of
from cookbook.forking import forked
from cookbook.progress import Progress
from cookbook.terminal import (
    FAINT,
    PLAIN,
    STRONG,
    STRONG_ACCENT,
    Line,
    Screen,
    heading,
    print_json,
)
from cookbook.trials import (
    NOT_CHECKED,
    Finding,
    Trial,
    attempt,
    changed_ones,
    sampled,
    trials,
    write_down,
)


def try_wrong_ways(
    book: Book,
    screen: Screen,
    listed: Sequence[Trial],
    *,
    changed: bool,
    scope: str,
    jobs: int,
    as_json: bool,
) -> int:
    """Try wrong ways; 0 when the contract noticed them all."""
    findings = []
    place = None
    for finding in attempts(book, listed, scope, jobs):
        write_down(book, [finding])
        findings.append(finding)
        if not as_json:
            if place != (finding.recipe, finding.framework):
                place = (finding.recipe, finding.framework)
                screen.print(head(book, screen, finding))
            screen.print(show(screen, finding))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        screen.print(summary(findings, changed=changed))
    return 0 if all(finding.is_good for finding in findings) else 1


def attempts(
    book: Book, listed: Sequence[Trial], scope: str, jobs: int
) -> Iterator[Finding]:
    """Make some trials, `jobs` at a time; give the findings in order."""
    work = [partial(attempt_twice, book, trial, scope) for trial in listed]
    if jobs == 1:
        yield from waited_for(listed, work)
        return
    with forked(work, jobs) as found:
        yield from waited_for(listed, found)


def waited_for(
    listed: Sequence[Trial], found: Iterable[Callable[[], Finding]]
) -> Iterator[Finding]:
    """Say which finding is waited for."""
    for trial, find in zip(listed, found, strict=True):
        with Progress() as progress:
            place = f"{trial.recipe.slug} in {trial.framework}"
            progress.say(f"{place}: {trial.id}")
            finding = find()
        yield finding


def attempt_twice(book: Book, trial: Trial, scope: str) -> Finding:
    """Try once more what was not noticed: a race may be won by luck."""
    finding = attempt(book, trial, scope)
    return finding if finding.is_good else attempt(book, trial, scope)


def chosen(
    book: Book,
    recipe: str | None,
    frameworks: Sequence[str],
    scope: str,
    *,
    changed: bool,
    sample: int,
) -> list[Trial]:
    """List the wrong ways that were asked for."""
    recipes = [book.recipe(recipe)] if recipe else book.recipes.values()
    names = [book.framework(one).name for one in frameworks]
    listed = [
        trial
        for one in recipes
        for name in names or book.frameworks
        if one.implementation(name)
        for trial in trials(one, name)
    ]
    if changed:
        listed = list(changed_ones(book, listed, scope))
    if sample > 1:
        today = datetime.now(UTC).toordinal()
        listed = list(sampled(book, listed, sample, today))
    return listed


def head(book: Book, screen: Screen, finding: Finding) -> list[Line]:
    """Say where the wrong ways that follow are tried."""
    title = book.framework(finding.framework).title
    recipe = book.recipe(finding.recipe).title
    return [[], heading(f"{recipe} in {title}", screen.width)]


def show(screen: Screen, finding: Finding) -> list[Line]:
    """Write what became of a wrong way."""
    name = finding.id.rpartition("/")[2]
    lines: list[Line] = [
        [
            (finding.verdict, PLAIN if finding.is_good else STRONG),
            ("  ", PLAIN),
            (finding.rule, STRONG_ACCENT),
            (f"  {name}", PLAIN),
            ("  taken out" if finding.kind == "ablation" else "", FAINT),
        ]
    ]
    if finding.test:
        lines.append([(f"    by {finding.test}", FAINT)])
    for text in gist_of(finding.message):
        lines.append([("    ", PLAIN), (text[: screen.width - 4], FAINT)])
    if not finding.is_good and finding.broken:
        broken = ", ".join(finding.broken)
        lines.append([("    ", PLAIN), (f"broken too: {broken}", PLAIN)])
    return lines


def summary(findings: list[Finding], *, changed: bool) -> list[Line]:
    """Count."""
    if not findings:
        text = "Nothing to try: nothing has changed since the last run."
        if not changed:
            text = "There are no wrong ways to try."
        return [[(text, FAINT)]]
    left = sum(finding.verdict == NOT_CHECKED for finding in findings)
    good = sum(finding.is_good for finding in findings) - left
    seconds = sum(finding.seconds for finding in findings)
    text = f"{good} of {len(findings)} wrong ways were noticed"
    if left:
        text += f", {left} not checked"
    return [[], [(text, STRONG), (f" in {seconds:.0f} s.", FAINT)]]
