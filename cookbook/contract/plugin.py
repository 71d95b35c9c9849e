"""The pytest plugin: contracts by rule, for each subject, with results.

A contract test takes `framework` (what to hand to `start`) and is marked
`@pytest.mark.rule("id")`. A test that takes `recipe` too runs for every
recipe of the book: the house manners.
"""

from collections import Counter
from collections.abc import Generator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from cookbook.contract.outcomes import Outcome, Recorder
from cookbook.names import UnknownName

if TYPE_CHECKING:
    from cookbook.contract.groups import Groups
    from cookbook.contract.servers import Subject

RECORDER = pytest.StashKey[Recorder]()
SUBJECTS = pytest.StashKey["list[Subject]"]()
JUDGED = pytest.StashKey[bool]()
READS = pytest.StashKey[bool]()
"""Whether answers are read by httplint, as part of the manners."""

VARIANTS = pytest.StashKey[int]()
JUDGEMENTS = (AssertionError, pytest.fail.Exception)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says which services are held to the contracts."""
    parser.addini(
        "cookbook_together",
        "test files whose tests one worker runs, by name without .py",
        type="args",
        default=[],
    )
    group = parser.getgroup("cookbook", "contracts of the Backend Cookbook")
    group.addoption(
        "--cookbook-in",
        metavar="NAMES",
        help="frameworks of the book, by comma (default: all)",
    )
    group.addoption(
        "--cookbook-recipe",
        metavar="NAMES",
        help="recipes of the book, by comma (default: all)",
    )
    group.addoption(
        "--cookbook-rule",
        action="append",
        metavar="ID",
        help="only the tests of this rule (may be repeated)",
    )
    group.addoption(
        "--cookbook-set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every service (may be repeated)",
    )
    group.addoption(
        "--cookbook-serve",
        metavar="NAME",
        default="",
        help="another server of framework.toml, where any can serve",
    )
    group.addoption(
        "--cookbook-services",
        action="store_true",
        help="run recipes on the real parts that answer, by several workers",
    )
    group.addoption(
        "--cookbook-plainly",
        action="store_true",
        help="start every server as a shell would, without a warm parent",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker and set the recorder up."""
    config.addinivalue_line(
        "markers", "rule(id): the rule of the recipe that the test proves"
    )
    try:
        if config.getoption("--cookbook-in"):
            subjects(config)
        if config.getoption("--cookbook-recipe"):
            recipes(config)
    except (UnknownName, ValueError) as error:
        raise pytest.UsageError(str(error)) from None
    recorder = config.stash.setdefault(RECORDER, Recorder())
    config.pluginmanager.register(recorder, "cookbook-recorder")


def subjects(config: pytest.Config) -> "list[Subject]":
    """List what the tests run against."""
    from cookbook.book import Book
    from cookbook.contract.servers import Subject

    if SUBJECTS in config.stash:
        return config.stash[SUBJECTS]
    book = Book.load()
    names = config.getoption("--cookbook-in")
    chosen = names.split(",") if names else list(book.frameworks)
    pairs = (text.split("=", 1) for text in config.getoption("--cookbook-set"))
    settings = dict(pairs)
    found = [book.framework(name) for name in chosen]
    serve = config.getoption("--cookbook-serve")
    for framework in found:
        if serve and serve not in framework.serve:
            raise ValueError(f"{framework.title} has no server {serve}.")
    config.stash[SUBJECTS] = [
        Subject(
            framework.name,
            settings=settings,
            plainly=config.getoption("--cookbook-plainly"),
            serve=serve,
            on_parts=config.getoption("--cookbook-services"),
        )
        for framework in found
    ]
    return config.stash[SUBJECTS]


def recipes(config: pytest.Config) -> list[str]:
    """List the recipes that serve, as far as they were asked for."""
    from cookbook.book import Book

    book = Book.load()
    names = config.getoption("--cookbook-recipe")
    if names:
        return [book.recipe(name).slug for name in names.split(",")]
    on_parts = config.getoption("--cookbook-services")
    return [
        recipe.slug
        for recipe in book.recipes.values()
        if recipe.kind != "once" and (recipe.services or not on_parts)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each contract test for each subject."""
    if "recipe" in metafunc.fixturenames:
        metafunc.parametrize(
            "recipe", recipes(metafunc.config), scope="session"
        )
    if "framework" in metafunc.fixturenames:
        given = subjects(metafunc.config)
        metafunc.parametrize(
            "framework", given, ids=[s.name for s in given], scope="session"
        )


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Count the values that a test is run with, for each subject."""
    made = yield
    items = made if isinstance(made, list) else []
    tests = [item for item in items if isinstance(item, pytest.Function)]
    counts = Counter(map(place_of, tests))
    for test in tests:
        test.stash[VARIANTS] = counts[place_of(test)]
    return made


def place_of(item: pytest.Function) -> "tuple[str, Subject | None]":
    """Tell the recipe and the subject of a test."""
    parameters = getattr(item, "callspec", None)
    values = parameters.params if parameters else {}
    recipe = values.get("recipe", item.path.stem.removeprefix("test_"))
    return recipe, values.get("framework")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Note what each test proves, and keep the rules asked for."""
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        rules = rules_of(item)
        if not rules or not isinstance(item, pytest.Function):
            kept.append(item)
            continue
        item.user_properties.append(("cookbook", what_it_proves(item, rules)))
        (kept if is_asked_for(config, item, rules) else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Any
) -> "Groups | None":
    """Keep tests that share a service together: `--dist loadgroup`."""
    from cookbook.book import Book
    from cookbook.contract.groups import Groups, last_seconds

    if config.getvalue("dist") != "loadgroup":
        return None
    names = {*recipes(config), *(s.name for s in subjects(config))}
    names |= set(config.getini("cookbook_together"))
    return Groups(config, log, names, last_seconds(Book.load()))


def is_asked_for(
    config: pytest.Config, item: pytest.Function, rules: list[str]
) -> bool:
    """Tell whether a test is wanted, and of a recipe that is written."""
    recipe, subject = place_of(item)
    wanted = config.getoption("--cookbook-rule")
    if wanted and not set(wanted) & set(rules):
        return False
    chosen = ("--cookbook-recipe", "--cookbook-services")
    if any(map(config.getoption, chosen)) and recipe not in recipes(config):
        return False
    # The manners are no matter of what is kept where.
    if config.getoption("--cookbook-services") and is_of_all_recipes(item):
        return False
    return (
        subject is None or not subject.is_ours or is_written(recipe, subject)
    )


def is_of_all_recipes(item: pytest.Function) -> bool:
    """Tell whether a test runs for every recipe of the book."""
    return "recipe" in item.fixturenames


def is_written(recipe: str, subject: "Subject") -> bool:
    """Tell whether a subject of the book has the recipe."""
    from cookbook.book import Book

    book = Book.load()
    if recipe not in book.folders:
        return True
    return book.recipe(recipe).implementation(subject.name) is not None


def what_it_proves(item: pytest.Function, rules: list[str]) -> dict[str, Any]:
    """Name recipe, rules and subject of a contract test."""
    recipe, subject = place_of(item)
    return {
        "recipe": recipe,
        "rules": rules,
        "framework": subject.name if subject else None,
        "test": item.originalname,
        "siblings": {rule: siblings(item.module, rule) for rule in rules},
        "variants": item.stash.get(VARIANTS, 1),
    }


def rules_of(item: pytest.Item) -> list[str]:
    """Read the rule markers of a test."""
    return [str(mark.args[0]) for mark in item.iter_markers("rule")]


@lru_cache(256)
def siblings(module: ModuleType, rule: str) -> list[str]:
    """List the tests of a module that prove the same rule."""
    whole = marks_of(module)
    return sorted(
        name
        for name, function in vars(module).items()
        if name.startswith("test_")
        for mark in (*whole, *marks_of(function))
        if mark.name == "rule" and mark.args[0] == rule
    )


def marks_of(marked: object) -> list[pytest.Mark]:
    """Read the markers of a function or of a module."""
    found: Any = getattr(marked, "pytestmark", [])
    listed: list[Any] = found if isinstance(found, list) else [found]
    return [getattr(one, "mark", one) for one in listed]


def pytest_runtest_setup() -> None:
    """Forget what an earlier test exchanged."""
    from cookbook.contract.exchanges import forget_exchange

    forget_exchange()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item,
) -> Generator[None, object, object]:
    """Have the answers read that come in a contract test."""
    from cookbook.contract.linting import reading

    if not rules_of(item) or not item.config.stash.get(READS, True):
        return (yield)
    with reading():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what a test counted, and how it failed: at which exchange.

    One in which an answer was at fault fails too, if only by its manners.
    """
    from cookbook.contract.figures import take_figures

    report = yield
    if report.failed and call.excinfo is not None:
        from cookbook.contract.exchanges import last_exchange

        report.user_properties.append(
            (
                "failure",
                {
                    "assertion": call.excinfo.errisinstance(JUDGEMENTS),
                    "message": call.excinfo.exconly(tryshort=True),
                    "exchange": last_exchange(),
                },
            )
        )
    if call.when != "setup":
        add_remarks(report)
    if figures := take_figures():
        report.user_properties.append(("figures", figures))
    return report


def add_remarks(report: pytest.TestReport) -> None:
    """Say what was wrong with the answers of a test, apart from its rule."""
    from cookbook.contract.exchanges import write_exchange
    from cookbook.contract.linting import take_remarks

    found = [
        {
            "assertion": True,
            "message": one.text,
            "exchange": write_exchange(one.answer, one.answer.headers),
        }
        for one in take_remarks()
    ]
    if not found:
        return
    said = {"outcome": report.outcome, "found": found}
    report.user_properties.append(("remarks", said))
    text = "\n\n".join(f"{f['message']}\n{f['exchange']}" for f in found)
    if report.failed:
        report.sections.append(("what httplint found", text))
    else:
        report.outcome, report.longrepr = "failed", text


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the results, where the book's own services were judged."""
    config = session.config
    if hasattr(config, "workerinput") or config.stash.get(JUDGED, False):
        return
    if config.getoption("--cookbook-set") or config.getoption(
        "--cookbook-serve"
    ):
        return
    recorder = config.stash[RECORDER]
    outcomes = recorder.outcomes()
    if outcomes:
        from cookbook.results import record

        on_parts = config.getoption("--cookbook-services")
        record(outcomes, recorder.begun, on_parts=on_parts)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which rules were kept, broken and not checked."""
    recorder = config.stash[RECORDER]
    outcomes = recorder.outcomes()
    if not outcomes:
        return
    terminalreporter.section("rules")
    for line in summary(outcomes, recorder.figures):
        terminalreporter.write_line(line)
    for reason, count in recorder.unchecked.items():
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"{reason} ({tests})")


def summary(
    outcomes: list[Outcome],
    figures: Mapping[tuple[str, str], Mapping[str, int]],
) -> list[str]:
    """Count by recipe and subject; name what is not kept."""
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.recipe, outcome.framework), []).append(
            outcome
        )
    lines = []
    for (recipe, framework), cell in cells.items():
        kept = sum(o.verdict == "kept" for o in cell)
        line = f"{recipe} in {framework}: {kept} of {len(cell)} rules kept"
        # Workers report in an order of their own.
        for outcome in sorted(cell, key=lambda o: o.rule):
            if outcome.verdict != "kept":
                line += f"; {outcome.rule} {outcome.verdict}"
        lines.append(line)
        counted = sorted(figures.get((recipe, framework), {}).items())
        lines += [f"    {text}: {number:,}" for text, number in counted]
    return lines
