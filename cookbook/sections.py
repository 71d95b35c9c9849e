"""What is generated of the prose: sections in Markdown, from the files.

Paths in links are from the folder of the README that they stand in.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from os.path import relpath
from pathlib import Path

from cookbook.book import (
    Book,
    Difference,
    Example,
    Framework,
    Knob,
    Recipe,
    Rule,
    Serve,
)
from cookbook.describing import joined, titles
from cookbook.keeping import keeping
from cookbook.names import listing
from cookbook.pitfalls import Pitfall, read_pitfalls

type Text = Iterator[str]

WIDTH = 79

COMMON = {
    "DATABASE_URL": ("URL", "Where the rows are: SQLite or PostgreSQL."),
    "REDIS_URL": ("URL", "Where Redis is; without it, in the process."),
    "NAMESPACE": ("text", "What each key in Redis begins with."),
    "SEED": ("integer", "How many rows `prepare()` makes, for a trial."),
}
"""Knobs that recipes have in common: type, and what they are for."""

RANDOM = "python -c 'import secrets; print(secrets.token_hex(32))'"


def rules(book: Book, recipe: Recipe) -> Text:
    """Write each rule: who keeps it, and which tests prove it."""
    proofs = proven(recipe)
    yield "## Rules"
    yield (
        f"`cookbook show {recipe.slug} --rule {recipe.rules[0].id}` shows the "
        "lines that keep a rule; the tests are in "
        f"{link(recipe.contract, recipe.folder)}."
        if recipe.rules
        else "None."
    )
    for rule in recipe.rules:
        yield f"### `{rule.id}`"
        yield f"{rule.text}{sources(rule.sources)}"
        if rule.asvs:
            yield f"OWASP ASVS 5.0: {listing(rule.asvs)}."
        if text := keepers(book, recipe, rule):
            yield text
        tests = proofs.get(rule.id, [])
        yield items(tests) if tests else "No test proves it yet."


def keepers(book: Book, recipe: Recipe, rule: Rule) -> str:
    """Say in which files a rule is kept, and where nothing is written."""
    there = present(book, recipe)
    files: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for framework in there:
        found = keeping(book, recipe, rule, framework)
        for kept in found.kept:
            files.setdefault(kept.file, []).append(framework.name)
        if not found.kept and found.keeper in ("framework", "server"):
            others.setdefault(found.keeper, []).append(framework.name)
    places = [
        link(book.root / file, recipe.folder)
        + shared_by(book, file, names, len(there))
        for file, names in files.items()
    ]
    sentences = [f"Kept in {listing(places)}."] if places else []
    for keeper, names in others.items():
        who = f"the {keeper} itself"
        sentences.append(f"In {titles(book, names)} {who} keeps it.")
    return " ".join(sentences)


def shared_by(book: Book, file: str, names: Sequence[str], all_: int) -> str:
    """Say which frameworks use a file, where its path does not."""
    if not file.startswith("shared/") or len(names) == all_:
        return ""
    return f" ({titles(book, names)})"


def proven(recipe: Recipe) -> dict[str, list[str]]:
    """List what the tests of each rule say that they prove."""
    if not recipe.contract.is_file():
        return {}
    found: dict[str, list[str]] = {}
    for node in ast.parse(recipe.contract.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_":
            words = (ast.get_docstring(node) or node.name).split("\n")[0]
            for rule in rules_of(node):
                found.setdefault(rule, []).append(words)
    return found


def rules_of(test: ast.FunctionDef) -> Iterator[str]:
    """Read the rules that a test is marked with."""
    for decorator in test.decorator_list:
        match = re.search(r"mark\.rule\('([^']+)'\)", ast.unparse(decorator))
        if match:
            yield match[1]


def pitfalls(book: Book, recipe: Recipe) -> Text:
    """Write each wrong way: its story, what it breaks, and where."""
    found = read_pitfalls(recipe)
    yield "## Pitfalls"
    if not found:
        yield "None yet."
        return
    yield (
        f"Each is kept as edits in {link(recipe.pitfalls, recipe.folder)}, "
        f"and `cookbook pitfalls {recipe.slug}` shows that the contract "
        "notices it."
    )
    for pitfall in found:
        yield f"### {pitfall.title}"
        yield pitfall.story + (
            f" ([source]({pitfall.source}))" if pitfall.source else ""
        )
        yield broken(book, pitfall)


def broken(book: Book, pitfall: Pitfall) -> str:
    """Say what a pitfall breaks, where it is made, and where it cannot be."""
    text = f"`{pitfall.id}` breaks {ticked([pitfall.rule])}"
    if pitfall.also_breaks:
        text += f", and with it {ticked(pitfall.also_breaks)}"
    names = dict.fromkeys(edit.framework for edit in pitfall.edits)
    places = [
        "`shared/`" if name == "shared" else titles(book, [name])
        for name in names
    ]
    text += f". Made in {listing(places)}."
    for name, why in pitfall.absent.items():
        text += f" Not in {titles(book, [name])}: {why}"
    return text


def differences(book: Book, recipe: Recipe) -> Text:
    """Write where frameworks do otherwise: here, and in all recipes."""
    yield "## Where they differ"
    yield "In what this recipe is about:"
    if recipe.differences:
        yield items(
            f"{titles(book, one.frameworks)}, {told(one)}"
            for one in recipe.differences
        )
    else:
        yield items(["Nothing: every rule holds in all of them."])
    yield "In what holds for every recipe:"
    known = {rule.id for rule in recipe.rules}
    for framework in present(book, recipe):
        apply = [
            one
            for one in framework.differences
            if one.holds_in(recipe) and (one.rule is None or one.rule in known)
        ]
        yield f"**{framework.title}**"
        yield items(map(told, apply)) if apply else items(["Nothing."])


def told(difference: Difference) -> str:
    """Tell a difference: what is done instead, why, and who says so."""
    rule = f" (of `{difference.rule}`)" if difference.rule else ""
    text = f"`{difference.id}`{rule}: {difference.instead} {difference.why}"
    if difference.upstream:
        text += f" ([upstream]({difference.upstream}))"
    return text


def examples(book: Book, recipe: Recipe) -> Text:
    """Write the exchanges, in the order in which they can be tried."""
    yield "## Examples"
    if not recipe.examples:
        yield "None yet."
        return
    told = (
        "In this order; a name in braces stands for what an earlier answer "
        "gave"
    )
    if any("{unique}" in f"{each.body}" for each in recipe.examples):
        told += ", `{unique}` for a text that is another one each time"
    yield f"{told}."
    for example in recipe.examples:
        yield caption(example)
        yield fence("http", exchange(example))


def caption(example: Example) -> str:
    """Say which rule an example shows, and what is taken from it."""
    text = f"`{example.id}` shows `{example.rule}`"
    if example.capture:
        taken = [
            f"`{{{name}}}` is `{place}` of its answer"
            for name, place in example.capture.items()
        ]
        text += f"; {listing(taken)}"
    return f"{text}:"


def exchange(example: Example) -> str:
    """Write a request as it is sent, and the status that answers it."""
    lines = [f"{example.method} {example.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in example.headers.items()]
    if isinstance(example.body, str):
        lines += ["", *example.body.splitlines()]
    elif example.body is not None:
        lines += ["", json.dumps(example.body, ensure_ascii=False)]
    phrase = HTTPStatus(example.status).phrase
    return "\n".join([*lines, "", f"HTTP/1.1 {example.status} {phrase}"])


def run(book: Book, recipe: Recipe) -> Text:
    """Write how to run it: with the tool, and plainly in each framework."""
    there = [f for f in present(book, recipe) if recipe.server in f.serve]
    yield "## Run it"
    if there:
        yield fence("sh", "\n".join(with_the_tool(recipe, there[0])))
        yield (
            "Without the tool, from the folder that has `recipes/` in it, "
            "with the packages of `frameworks/<name>/framework.toml`:"
        )
        yield fence("sh", "\n".join(exports(recipe)))
        yield (
            "Then what must be there once, the server, or the server for "
            "development; each framework with a database of its own:"
        )
    for framework in there:
        yield f"**{framework.title}**"
        yield fence("sh", "\n".join(plainly(recipe, framework)))
    if rows := knobs(book, recipe):
        yield "The knobs, all taken from the environment:"
        yield table(["knob", "type", "unit", "default", "what it does"], rows)


def with_the_tool(recipe: Recipe, framework: Framework) -> Text:
    """Write the commands of the tool."""
    yield f"cookbook run {recipe.slug} --in {framework.name} --port 8000"
    yield f"cookbook verify {recipe.slug}"
    yield f"cookbook pitfalls {recipe.slug}"


def exports(recipe: Recipe) -> Text:
    """Set what has no default, and a few rows to look at."""
    for knob in recipe.knobs:
        if knob.default is None:
            secret = knob.type == "secret"
            value = f'"$({RANDOM})"' if secret else "..."
            yield f"export {knob.env}={value}"
    yield "export SEED=100"


def plainly(recipe: Recipe, framework: Framework) -> Text:
    """Write a framework's own command lines."""
    module = recipe.module(framework.name)
    serve = framework.serve[recipe.server]
    options = recipe.serve_options.get(framework.name, ())
    prepare = f"from {module} import prepare; prepare()"
    yield f'export DATABASE_URL="sqlite:///$PWD/{framework.name}.db"'
    yield from joined(["python", "-c", prepare], WIDTH)
    yield from joined(serve.words(module, options=options), WIDTH)
    if serve.dev:
        yield "# with reload and debugger:"
        yield from joined(dev_words(serve, module), WIDTH)


def dev_words(serve: Serve, module: str) -> list[str]:
    """Write the command with reload and debugger."""
    fill = {"{module}": module, "{host}": "127.0.0.1", "{port}": "8000"}
    words = (serve.dev or "").split()
    for name, value in fill.items():
        words = [word.replace(name, value) for word in words]
    return words


def knobs(book: Book, recipe: Recipe) -> list[list[str]]:
    """Make the rows of the table of settings."""
    own = [knob_row(knob) for knob in recipe.knobs]
    named = {knob.env for knob in recipe.knobs}
    texts = "".join(
        file.read_text("utf-8")
        for name in book.frameworks
        for file in recipe.files(name)
    )
    common = []
    for env, (kind, text) in COMMON.items():
        match = re.search(rf'"{env}",\s*"([^"]*)"', texts)
        if match and env not in named:
            default = f"`{match[1]}`" if match[1] else ""
            common.append([f"`{env}`", kind, "", default, text])
    return own + common


def knob_row(knob: Knob) -> list[str]:
    """Make the row of a knob."""
    default = "must be set" if knob.default is None else f"`{knob.default}`"
    return [f"`{knob.env}`", knob.type, knob.unit or "", default, knob.text]


def recipes(book: Book, folder: Path) -> Text:
    """Write the table of all recipes, shelf by shelf."""
    names = list(book.frameworks)
    head = ["recipe", "what it is for", *titles_of(book), "rules"]
    rows = []
    for recipe in book.recipes.values():
        readme = relpath(recipe.folder / "README.md", folder)
        cells = [
            f"[code]({relpath(path, folder)})" if path else ""
            for path in map(recipe.implementation, names)
        ]
        name = f"[{recipe.title}]({readme})"
        rows.append([name, recipe.sentence, *cells, str(len(recipe.rules))])
    yield table(head, rows) if rows else "None yet."


def titles_of(book: Book) -> list[str]:
    """List the titles of the frameworks."""
    return [framework.title for framework in book.frameworks.values()]


def room_recipes(book: Book, framework: Framework) -> Text:
    """List the recipes that are written in a framework."""
    room = book.root / "frameworks" / framework.name
    found = []
    for recipe in book.recipes.values():
        path = recipe.implementation(framework.name)
        if path:
            place = relpath(path, room)
            found.append(f"[{recipe.title}]({place}): {recipe.sentence}")
    yield items(found) if found else "None yet."


def room_differences(book: Book, framework: Framework) -> Text:
    """Write what a framework does otherwise in every recipe."""
    found = map(told, framework.differences)
    yield items(found) if framework.differences else "None."


def room_serve(book: Book, framework: Framework) -> Text:
    """Write the command lines of a framework's servers."""
    lines = []
    for name, serve in framework.serve.items():
        lines.append(f"# {name}")
        lines += joined(serve.words("MODULE"), WIDTH)
        if serve.dev:
            lines.append(f"# {name}, with reload and debugger")
            lines += joined(dev_words(serve, "MODULE"), WIDTH)
    yield fence("sh", "\n".join(lines))


RECIPE: dict[str, Callable[[Book, Recipe], Text]] = {
    "rules": rules,
    "pitfalls": pitfalls,
    "differences": differences,
    "examples": examples,
    "run": run,
}
"""The sections of a recipe's README."""

ROOM: dict[str, Callable[[Book, Framework], Text]] = {
    "serve": room_serve,
    "differences": room_differences,
    "recipes": room_recipes,
}
"""The sections of a framework's README."""


def present(book: Book, recipe: Recipe) -> list[Framework]:
    """List the frameworks in which a recipe is written."""
    return [
        framework
        for name, framework in book.frameworks.items()
        if recipe.implementation(name)
    ]


def link(path: Path, folder: Path) -> str:
    """Link to a file by its name, or by its path from further away."""
    place = relpath(path, folder)
    return f"[`{place.removeprefix('../' * place.count('../'))}`]({place})"


def sources(urls: Sequence[str]) -> str:
    """Link to what says so."""
    links = [f"[{domain(url)}]({url})" for url in urls]
    return f" ({', '.join(links)})" if links else ""


def domain(url: str) -> str:
    """Name the place that a link leads to."""
    return url.partition("://")[2].partition("/")[0].removeprefix("www.")


def ticked(names: Sequence[str]) -> str:
    """List ids."""
    return listing([f"`{name}`" for name in names])


def items(texts: Iterable[str]) -> str:
    """Write a list."""
    return "\n".join(f"- {text}" for text in texts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '\\|') for cell in line)} |"
        for line in lines
    )


def fence(language: str, text: str) -> str:
    """Write a block of code."""
    return f"```{language}\n{text}\n```"
