"""`cookbook verify`: hold a service to a contract, and report by rule.

As JSON, a list with an entry for each service: its name, why it was given
up before the end (or null) and, for each rule, the verdict (kept, broken,
incomplete, not checked), the verdicts of its tests and, where it is broken,
the failures and the pitfalls that it looks like.
"""

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from time import time
from typing import Any

import httpx2

from cookbook.book import Book, Framework, Recipe
from cookbook.contract.outcomes import Failure, Outcome
from cookbook.contract.runs import Judgement, NoVerdict, judge
from cookbook.contract.servers import StartError, Subject
from cookbook.contract.service import make_client, start
from cookbook.names import WrongUse
from cookbook.pitfalls import Pitfall, read_pitfalls
from cookbook.progress import Progress
from cookbook.results import MANNERS, record, versions_of
from cookbook.tables import BookError
from cookbook.terminal import (
    FAINT,
    PLAIN,
    STRONG,
    STRONG_ACCENT,
    Line,
    Screen,
    heading,
    print_json,
    say,
)
from cookbook.trials import Finding, known

INDENT = 12
MOST_LINES = 12
BY_COMMAND = (
    "What needs the process itself is checked with --command, by which the"
    " tool starts the service."
)
MANNERS_TEXT = "What every service does, whatever its subject."


def verify(
    book: Book,
    screen: Screen,
    name: str,
    given: Sequence[Subject],
    rules: Sequence[str],
    *,
    as_json: bool,
) -> int:
    """Judge services; 0 when rules were kept and none was broken."""
    recipe = book.recipe(name)
    if not recipe.contract.is_file():
        raise WrongUse(f"{recipe.slug} has no contract yet.")
    chosen = [r if r == MANNERS else recipe.rule(r).id for r in rules]
    reports = []
    for subject in given:
        begun = time()
        run = hold(recipe, subject, chosen)
        if subject.is_ours and not subject.settings:
            record(run.outcomes, begun)
        if not as_json:
            screen.print(report(book, screen, recipe, subject, run))
        reports.append(to_json(book, recipe, subject, run))
    if as_json:
        print_json(reports)
    return 0 if all(map(is_good, reports)) else 1


def is_good(found: dict[str, Any]) -> bool:
    """Tell whether something was proven and nothing broken."""
    verdicts = {rule["verdict"] for rule in found["rules"]}
    tests = {v for rule in found["rules"] for v in rule["tests"].values()}
    return "broken" not in verdicts and "passed" in tests


def hold(recipe: Recipe, subject: Subject, rules: Sequence[str]) -> Judgement:
    """Hold one service to the contract, its rules in the book's order."""
    with Progress() as progress:
        progress.say(f"{subject.name} ...")
        if not subject.is_ours:
            meet(recipe, subject)
        try:
            run = judge(
                recipe.slug,
                subject,
                rules,
                manners=not rules or MANNERS in rules,
                tell=lambda test, _: progress.say(test.rpartition("::")[2]),
            )
        except NoVerdict as error:
            raise WrongUse(str(error)) from None
    wanted = rules or [*(rule.id for rule in recipe.rules), MANNERS]
    found = {outcome.rule: outcome for outcome in run.outcomes}
    for rule in wanted:
        missing = Outcome(recipe.slug, rule, subject.name, "not checked", {})
        found.setdefault(rule, missing)
    ordered = sorted(found, key=lambda rule: order_of(recipe, rule))
    return replace(run, outcomes=[found[rule] for rule in ordered])


def order_of(recipe: Recipe, rule: str) -> int:
    """Tell where a rule stands in the recipe; manners come last."""
    ids = [one.id for one in recipe.rules]
    return ids.index(rule) if rule in ids else len(ids)


def meet(recipe: Recipe, subject: Subject) -> None:
    """See that a stranger's service is there at all, before it is judged."""
    try:
        with start(recipe.slug, subject) as service:
            knock(recipe, service.url, subject.answer_deadline)
    except StartError as error:
        raise WrongUse(f"The service does not start: {error}") from None


def knock(recipe: Recipe, url: str, deadline: float) -> None:
    """Send the first request that the recipe shows, and read the answer."""
    shown = [e.path for e in recipe.examples if e.method == "GET"]
    path = next((one for one in shown if "{" not in one), "/")
    try:
        with make_client(url, deadline) as client:
            answer = client.get(path)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        reason = re.sub(r"\[Errno -?\d+\] ", "", str(error))
        raise WrongUse(f"Nothing listens at {url}: {reason}.") from None
    except httpx2.TimeoutException:
        raise WrongUse(
            f"{url} does not answer GET {path} in {deadline:g} seconds."
        ) from None
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise WrongUse(
            f"What answers at {url} is no HTTP service: {error}"
        ) from None
    if answer.has_redirect_location:
        place = answer.url.join(answer.headers["location"])
        raise WrongUse(
            f"{url} sends GET {path} on to {place}."
            " Give the address of the service that answers."
        )


def subjects(
    book: Book,
    recipe: str,
    frameworks: Sequence[str],
    url: str | None,
    command: str | None,
    settings: Sequence[str],
) -> list[Subject]:
    """Say what is judged: a URL, a command, or frameworks of the book."""
    if sum([bool(frameworks), url is not None, command is not None]) > 1:
        raise WrongUse("Give frameworks, or --url, or --command: one of them.")
    pairs = dict(split(text) for text in settings)
    if url is not None:
        if pairs:
            raise WrongUse("A service that runs already takes no settings.")
        return [at_url(url)]
    if command is not None:
        return [by_command(command, pairs)]
    described = book.recipe(recipe)
    names = [book.framework(one).name for one in frameworks]
    if not names:
        names = [n for n in book.frameworks if described.implementation(n)]
    for one in names:
        if described.implementation(one) is None:
            raise WrongUse(f"{recipe} is not written in {one} yet.")
    return [Subject(one, settings=pairs) for one in names]


def at_url(url: str) -> Subject:
    """Take a service that runs already."""
    if not re.match(r"https?://[^/?#]+[^?#]*$", url):
        raise WrongUse(f"{url} is no address like http://localhost:8000.")
    return Subject(url.rstrip("/"), url=url.rstrip("/"))


def by_command(command: str, settings: Mapping[str, str]) -> Subject:
    """Take a service that a command starts."""
    if "{port}" not in command:
        raise WrongUse("Write {port} where the command takes its port.")
    try:
        shlex.split(command)
    except ValueError as error:
        raise WrongUse(f"The command cannot be read: {error}.") from None
    return Subject(command, command=command, settings=settings)


def split(setting: str) -> tuple[str, str]:
    """Split a setting at its first equals sign."""
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise WrongUse(f"A setting is NAME=VALUE, and {setting!r} is not.")
    return name, value


def report(
    book: Book,
    screen: Screen,
    recipe: Recipe,
    subject: Subject,
    run: Judgement,
) -> list[Line]:
    """Write what a person reads."""
    title, note = f"{recipe.title}: {subject.name}", ""
    if subject.is_ours:
        framework = book.framework(subject.name)
        title = f"{recipe.title} in {framework.title}"
        note = versions_line(framework)
    lines = [heading(clip(title, screen.width - 8), screen.width), []]
    for outcome in run.outcomes:
        lines += one_rule(book, screen, recipe, outcome)
    if run.gave_up:
        lines += [[], *end_of(run.gave_up, screen)]
    if subject.url is not None and any(
        "not checked" in outcome.tests.values() for outcome in run.outcomes
    ):
        lines += [[], *say(BY_COMMAND, screen.prose, "", FAINT)]
    lines += [[], [(f"{count_verdicts(run.outcomes)}. ", STRONG)]]
    if note:
        lines += say(note, screen.prose, "", FAINT)
    return [*lines, []]


def end_of(reason: str, screen: Screen) -> list[Line]:
    """Say why no more was asked of a service."""
    first, *log = reason.splitlines()
    return [
        *say(f"It was left there: {first}.", screen.prose, "", STRONG),
        *([(f"    {clip(line, screen.width - 4)}", FAINT)] for line in log),
    ]


def count_verdicts(outcomes: Sequence[Outcome]) -> str:
    """Count: `9 of 12 rules kept, 1 broken, 2 not checked`."""
    found = Counter(outcome.verdict for outcome in outcomes)
    kept = found.pop("kept", 0)
    others = [f"{n} {verdict}" for verdict, n in found.items()]
    return ", ".join([f"{kept} of {len(outcomes)} rules kept", *others])


def versions_line(framework: Framework) -> str:
    """Name the versions that were verified."""
    found = versions_of(framework.name)
    named = [framework.name, *servers(framework)]
    texts = [f"{name} {found[name]}" for name in named if name in found]
    return ", ".join([*dict.fromkeys(texts), f"Python {found['python']}"])


def servers(framework: Framework) -> list[str]:
    """Name the programs that serve a framework."""
    return [serve.command.split()[0] for serve in framework.serve.values()]


def one_rule(
    book: Book, screen: Screen, recipe: Recipe, outcome: Outcome
) -> list[Line]:
    """Write a line for a rule, and more where it is broken."""
    good = outcome.verdict == "kept"
    head: Line = [
        (f"{outcome.verdict:<12}", PLAIN if good else STRONG),
        (f"{outcome.rule:<18}", STRONG_ACCENT),
    ]
    if good:
        return [[*head, (count(outcome), FAINT)]]
    text = text_of(recipe, outcome.rule)
    lines = [head, *say(text, screen.prose, " " * INDENT)]
    for failure in outcome.failures[:1]:
        lines += one_failure(screen, failure)
    if outcome.verdict == "broken":
        for text in likeness(book, outcome):
            lines += say(text, screen.prose, " " * INDENT)
    else:
        indent = " " * INDENT
        lines += [[(indent, PLAIN), (one, FAINT)] for one in why_not(outcome)]
    return lines


def likeness(book: Book, outcome: Outcome) -> list[str]:
    """Name the mistakes that a broken rule may come from."""
    found = looks_like(book, outcome)
    named = [f"{p.title} ({p.id})" for p in found]
    return [f"It looks like: {'; or '.join(named)}."] if named else []


def why_not(outcome: Outcome) -> list[str]:
    """Say what of a rule was not checked."""
    if not outcome.tests:
        return ["Its tests were not reached."]
    left = [t for t, v in outcome.tests.items() if v == "not checked"]
    if not left:
        return ["Not all of its tests ran."]
    return [f"Not checked here, of {count(outcome)}:", *left]


def one_failure(screen: Screen, failure: Failure) -> list[Line]:
    """Show the test, what it found, and the exchange that showed it."""
    indent, room = " " * INDENT, max(screen.width - INDENT, 40)
    lines: list[Line] = [[(indent, PLAIN), (failure.test, FAINT)]]
    for text in failure.gist:
        lines.append([(indent, PLAIN), (clip(text, room), PLAIN)])
    exchange = (failure.exchange or "").splitlines()
    if len(exchange) > MOST_LINES:
        exchange[MOST_LINES:] = ["..."]
    for text in exchange:
        lines.append([(indent, PLAIN), (clip(text, room), FAINT)])
    return lines


def clip(text: str, room: int) -> str:
    """Cut what does not fit on a line."""
    return text if len(text) <= room else f"{text[: room - 4]} ..."


def count(outcome: Outcome) -> str:
    """Say how many tests there are."""
    number = len(outcome.tests)
    return f"{number} test" if number == 1 else f"{number} tests"


def text_of(recipe: Recipe, rule: str) -> str:
    """The sentence of a rule."""
    return MANNERS_TEXT if rule == MANNERS else recipe.rule(rule).text


def looks_like(book: Book, outcome: Outcome) -> list[Pitfall]:
    """Find the pitfall that made the same tests fail, or all of the rule.

    None where no test judged: then the service did something else.
    """
    if not any(failure.assertion for failure in outcome.failures):
        return []
    recipe = book.recipe(outcome.recipe)
    try:
        pitfalls = read_pitfalls(recipe)
    except BookError:
        return []
    candidates = [p for p in pitfalls if p.rule == outcome.rule]
    failed = {failure.test for failure in outcome.failures}
    findings = [
        finding
        for finding in known(book).values()
        if finding.recipe == recipe.slug and finding.kind == "pitfall"
    ]
    scores = {
        pitfall.id: max(
            (alike(failed, f) for f in findings if f.id == pitfall.id),
            default=0.0,
        )
        for pitfall in candidates
    }
    best = max(scores.values(), default=0.0)
    return [p for p in candidates if scores[p.id] == best]


def alike(failed: set[str], finding: Finding) -> float:
    """Compare sets of tests: 1 for the same, 0 for nothing in common."""
    tests = set(finding.tests)
    return len(failed & tests) / len(failed | tests) if tests else 0.0


def to_json(
    book: Book, recipe: Recipe, subject: Subject, run: Judgement
) -> dict[str, Any]:
    """Describe a report for scripts."""
    rules = []
    for outcome in run.outcomes:
        entry = asdict(outcome) | {"text": text_of(recipe, outcome.rule)}
        if outcome.verdict == "broken":
            found = looks_like(book, outcome)
            entry["looks_like"] = [pitfall.id for pitfall in found]
        rules.append(entry)
    return {
        "recipe": recipe.slug,
        "service": subject.name,
        "gave_up": run.gave_up or None,
        "rules": rules,
    }
