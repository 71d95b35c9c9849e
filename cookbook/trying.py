"""`cookbook pitfalls`: does the contract notice the wrong ways?

As JSON, a list of findings: recipe, framework, kind (pitfall or ablation),
id, rule, verdict (caught, survived, caught only elsewhere, crashed, breaks
more than it says), the test that caught it and its assertion.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from cookbook.book import Book
from cookbook.contract.outcomes import gist_of
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
    Finding,
    Trial,
    attempt,
    changed_ones,
    trials,
    write_down,
)


def try_wrong_ways(
    book: Book,
    screen: Screen,
    recipe: str | None,
    frameworks: Sequence[str],
    *,
    changed: bool,
    whole: bool,
    as_json: bool,
) -> int:
    """Try every wrong way; 0 when the contract noticed them all."""
    findings = []
    place = None
    listed = chosen(book, recipe, frameworks)
    for trial in changed_ones(book, listed) if changed else listed:
        with Progress() as progress:
            place_now = f"{trial.recipe.slug} in {trial.framework}"
            progress.say(f"{place_now}: {trial.id}")
            finding = attempt(book, trial, whole=whole)
        write_down(book, [finding])
        findings.append(finding)
        if not as_json:
            if place != (trial.recipe.slug, trial.framework):
                place = (trial.recipe.slug, trial.framework)
                screen.print(head(book, screen, trial))
            screen.print(show(screen, finding))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        screen.print(summary(findings, changed=changed))
    return 0 if all(finding.is_good for finding in findings) else 1


def chosen(
    book: Book, recipe: str | None, frameworks: Sequence[str]
) -> Iterator[Trial]:
    """List the wrong ways that were asked for."""
    recipes = [book.recipe(recipe)] if recipe else book.recipes.values()
    names = [book.framework(one).name for one in frameworks]
    for one in recipes:
        for name in names or book.frameworks:
            if one.implementation(name):
                yield from trials(one, name)


def head(book: Book, screen: Screen, trial: Trial) -> list[Line]:
    """Say where the wrong ways that follow are tried."""
    title = book.framework(trial.framework).title
    return [[], heading(f"{trial.recipe.title} in {title}", screen.width)]


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
    good = sum(finding.is_good for finding in findings)
    seconds = sum(finding.seconds for finding in findings)
    text = f"{good} of {len(findings)} wrong ways were noticed"
    return [[], [(text, STRONG), (f" in {seconds:.0f} s.", FAINT)]]
