"""`cookbook check`: what recipes and equivalents lack, in plain words.

As JSON, an object: for each recipe, by slug, the list of what it lacks; and
the same for the equivalents, by the name of their file.
"""

import ast
import re
from collections.abc import Callable, Iterator

from cookbook.book import Book, Recipe, Rule
from cookbook.equivalents import file_of
from cookbook.holding import lacks as lacks_of_equivalents
from cookbook.marks import MarkError, marks
from cookbook.pitfalls import code_of, read_pitfalls
from cookbook.results import MANNERS
from cookbook.tables import BookError
from cookbook.terminal import (
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    print_json,
    say,
)

SECTIONS = (
    "## Principle",
    "## In production",
    "## Choose / otherwise",
    "## Beyond Python",
)
MOST_LINES = 320
MOST_BODY = 25
type Lack = Iterator[str]


def show_check(
    book: Book, screen: Screen, name: str | None, *, as_json: bool
) -> int:
    """Say what is lacking; 0 when nothing is."""
    slugs = [book.recipe(name).slug] if name else list(book.folders)
    found = {slug: lacks(book, slug) for slug in slugs}
    equivalents = file_of(book)
    if not name and equivalents.is_file():
        found[equivalents.name] = [*lacks_of_equivalents(book)]
    if as_json:
        print_json(found)
    else:
        screen.print(report(screen, found))
    return 1 if any(found.values()) else 0


def report(screen: Screen, found: dict[str, list[str]]) -> list[Line]:
    """Write what a person reads."""
    lines: list[Line] = []
    for slug, texts in found.items():
        lines.append([(slug, STRONG)])
        for text in texts:
            lines += say(text, screen.prose, "  ", PLAIN)
        if not texts:
            lines.append([("  It has all that the house asks for.", FAINT)])
    return lines


def lacks(book: Book, slug: str) -> list[str]:
    """List what a recipe lacks."""
    try:
        recipe = book.recipe(slug)
        found = [text for look in LOOKS for text in look(book, recipe)]
    except (BookError, MarkError) as error:
        return str(error).splitlines()
    except SyntaxError as error:
        return [f"A file is not Python: {error.msg}, line {error.lineno}."]
    return list(dict.fromkeys(found))


def files(book: Book, recipe: Recipe) -> Lack:
    """Every file of the anatomy is there."""
    for name in ("README.md", "pitfalls.toml"):
        if not (recipe.folder / name).is_file():
            yield f"{name} is missing."
    if not recipe.contract.is_file():
        contract = recipe.contract.relative_to(book.root)
        yield f"The contract {contract} is missing."
    if recipe.kind == "once":
        return
    for name, framework in book.frameworks.items():
        if recipe.implementation(name) is None:
            yield f"It is not written in {framework.title}."


def topics(book: Book, recipe: Recipe) -> Lack:
    """The recipe stands where the Canon puts it."""
    if recipe.slug not in book.planned:
        yield "The catalogue recipes/canon.toml does not name it."
    elif book.planned[recipe.slug].shelf != recipe.shelf:
        yield f"It belongs on the shelf {book.planned[recipe.slug].shelf}."
    for number in recipe.canon:
        if number not in book.topics:
            yield f"The Canon has no topic {number}."
    if not 6 <= len(recipe.rules) <= 12:
        yield f"It has {len(recipe.rules)} rules; a recipe has 6 to 12."


def prose(book: Book, recipe: Recipe) -> Lack:
    """The README has its four hand-written sections, and some sources."""
    path = recipe.folder / "README.md"
    if not path.is_file():
        return
    text = path.read_text()
    for section in SECTIONS:
        if section not in text:
            yield f"README.md has no section {section.strip('# ')!r}."
    if re.search(r"^```python", text, re.MULTILINE):
        yield "README.md has code pasted in; code is included by rule."
    if not recipe.sources:
        yield "It names no sources."


def tests(book: Book, recipe: Recipe) -> Lack:
    """Every rule has a test, every test a rule that there is."""
    if not recipe.contract.is_file():
        return
    proven = set(rules_of_tests(recipe.contract.read_text()))
    known = {rule.id for rule in recipe.rules}
    for rule in recipe.rules:
        if rule.id not in proven:
            yield f"No test proves the rule {rule.id}."
    for rule_id in sorted(proven - known - {MANNERS}):
        yield f"A test is marked with {rule_id}, and there is no such rule."
    for name in unmarked(recipe.contract.read_text()):
        yield f"The test {name} is marked with no rule."


def rules_of_tests(source: str) -> Iterator[str]:
    """Read the rule markers of a contract."""
    for match in re.finditer(r"""mark\.rule\(\s*["']([a-z0-9-]+)""", source):
        yield match[1]


def unmarked(source: str) -> Iterator[str]:
    """List the tests of a contract without a marker."""
    if re.search(r"^pytestmark = .*mark\.rule\(", source, re.MULTILINE):
        return
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            texts = [ast.unparse(one) for one in node.decorator_list]
            if not any("mark.rule" in text for text in texts):
                yield node.name


def thread(book: Book, recipe: Recipe) -> Lack:
    """Every rule is marked where it is kept, in each framework."""
    known = {rule.id for rule in recipe.rules}
    for name, framework in book.frameworks.items():
        if recipe.implementation(name) is None:
            continue
        own: set[str] = set()
        shared: set[str] = set()
        for file in code_of(recipe, name):
            inside = file.relative_to(book.root).parts[0]
            ids = {mark.rule for mark in marks(file.read_text())}
            if inside == "recipes":
                for rule_id in sorted(ids - known):
                    yield f"{file.name} marks {rule_id}: no such rule."
            (shared if inside == "shared" else own).update(ids)
        for rule in recipe.rules:
            yield from kept(rule, name, framework.title, own, shared)


def kept(
    rule: Rule, name: str, title: str, own: set[str], shared: set[str]
) -> Lack:
    """Hold what `kept_by` says against the markers."""
    keeper = rule.keeper(name)
    if keeper == "code" and rule.id not in own:
        yield f"{rule.id} is marked nowhere in {title}'s code."
    if keeper == "shared" and rule.id not in shared:
        yield f"{rule.id} is marked nowhere in shared/ for {title}."
    if keeper == "shared" and rule.id in own:
        yield f"{rule.id} is kept by shared/ and by {title}'s code too."
    if keeper in ("framework", "server") and rule.id in own | shared:
        yield f"{rule.id} is kept by the {keeper}, yet marked for {title}."


def wrong_ways(book: Book, recipe: Recipe) -> Lack:
    """Every rule has a pitfall, in a sync and an async framework."""
    if not recipe.pitfalls.is_file():
        return
    pitfalls = read_pitfalls(recipe)
    for rule in recipe.rules:
        edits = {
            edit.framework
            for pitfall in pitfalls
            if pitfall.rule == rule.id
            for edit in pitfall.edits
        }
        if not edits:
            yield f"No pitfall breaks the rule {rule.id}."
        elif "shared" not in edits and (
            not edits & {"flask", "django"}
            or not edits & {"fastapi", "litestar", "aiohttp"}
        ):
            yield (
                f"The pitfalls of {rule.id} want a sync and an async"
                " framework."
            )


def names(book: Book, recipe: Recipe) -> Lack:
    """The same duty has the same name, in the same order."""
    for name, framework in book.frameworks.items():
        found = [
            one
            for file in recipe.files(name)
            for one in defined(file.read_text())
        ]
        for wanted in recipe.names:
            if recipe.implementation(name) and wanted not in found:
                yield f"{framework.title}'s code defines no {wanted}."
        order = [one for one in found if one in recipe.names]
        if found and sorted(order, key=recipe.names.index) != order:
            yield f"The order of names in {framework.title}'s code differs."


def defined(source: str) -> list[str]:
    """List the names that a module defines, in its order."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            found += [t.id for t in node.targets if isinstance(t, ast.Name)]
        elif isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            found.append(node.name)
    return found


def shape(book: Book, recipe: Recipe) -> Lack:
    """Files are short, functions too, and each begins as all do."""
    for name, framework in book.frameworks.items():
        for file in recipe.files(name):
            text = file.read_text()
            count = len(text.splitlines())
            if count > MOST_LINES:
                yield f"{file.name} has {count} lines; {MOST_LINES} are many."
            head = ast.get_docstring(ast.parse(text)) or ""
            if f" in {framework.title}: " not in head.partition("\n")[0]:
                begin = f"... in {framework.title}: ..."
                yield f"{file.name} does not begin {begin!r}."
            if "\nIdiom: " not in head:
                yield f"{file.name} does not say its idiom."
            for function, lines in long_functions(text):
                yield f"{file.name}: {function} has {lines} lines of code."


def long_functions(source: str) -> Iterator[tuple[str, int]]:
    """Find functions of more than 25 lines, `create_app` aside.

    Counted from the first statement after the docstring, comments aside.
    """
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if not body or node.name == "create_app":
            continue
        span = lines[body[0].lineno - 1 : node.end_lineno]
        code = [one for one in span if one.strip() and one.strip()[0] != "#"]
        if len(code) > MOST_BODY:
            yield node.name, len(code)


def knobs(book: Book, recipe: Recipe) -> Lack:
    """Every knob is read in every framework."""
    for name, framework in book.frameworks.items():
        text = "".join(f.read_text() for f in code_of(recipe, name))
        for knob in recipe.knobs:
            if recipe.implementation(name) and f'"{knob.env}"' not in text:
                yield f"{framework.title}'s code does not read {knob.env}."


LOOKS: tuple[Callable[[Book, Recipe], Lack], ...] = (
    files,
    topics,
    prose,
    tests,
    thread,
    wrong_ways,
    names,
    shape,
    knobs,
)
