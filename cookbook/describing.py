"""A recipe described: its rules, differences, knobs and examples."""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cookbook.book import Book, Example, Framework, Knob, Recipe, Rule
from cookbook.comparing import declared
from cookbook.names import listing
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    hang,
    heading,
    say,
)

KEEPERS = {
    "shared": "shared/",
    "framework": "the framework itself",
    "server": "the server",
}


def recipe_to_json(book: Book, recipe: Recipe) -> dict[str, Any]:
    """Give all that `recipe.toml` says, and where the parts lie."""

    def place(path: Any) -> str | None:
        there = path is not None and path.exists()
        return str(path.relative_to(book.root)) if there else None

    known = asdict(recipe)
    known["folder"] = place(recipe.folder)
    known["contract"] = place(recipe.contract)
    known["pitfalls"] = place(recipe.pitfalls)
    known["implementations"] = {
        name: place(recipe.implementation(name)) for name in book.frameworks
    }
    return known


def recipe_page(book: Book, recipe: Recipe, screen: Screen) -> list[Line]:
    """Set all that is known of a recipe."""
    topics = [f"{n} {book.topics[n].title}" for n in recipe.canon]
    lines: list[Line] = [
        [(recipe.title, STRONG), (f"  {recipe.shelf}/{recipe.slug}", FAINT)],
        *say(recipe.sentence, screen.prose),
        *say(f"Canon {'; '.join(topics)}", screen.prose, style=FAINT),
    ]
    sections = {
        "Rules": rules(book, recipe, screen),
        "Differences": differences(book, recipe, screen),
        "Knobs": knobs(recipe, screen),
        "Examples": examples(recipe, screen),
        "Read": implementations(book, recipe),
        "Run": runs(book, recipe, screen),
        "Sources": sources(recipe, screen),
    }
    for title, section in sections.items():
        if section:
            lines += [[], heading(title, screen.width), *section]
    return lines


def rules(book: Book, recipe: Recipe, screen: Screen) -> list[Line]:
    """Set the rules, and what keeps those that no code keeps."""
    indent = column(rule.id for rule in recipe.rules)
    lines: list[Line] = []
    for rule in recipe.rules:
        lines += hang([(rule.id, ACCENT)], rule.text, screen.prose, indent)
        note = kept_elsewhere(book, rule)
        lines += say(note, screen.prose, " " * indent, FAINT)
    return lines


def kept_elsewhere(book: Book, rule: Rule) -> str:
    """Say what keeps a rule where no code of its own does."""
    names: dict[str, list[str]] = {}
    for name, keeper in rule.kept_by.items():
        names.setdefault(keeper, []).append(name)
    notes = [
        f"{KEEPERS[keeper]} keeps it in {titles(book, those)}"
        for keeper, those in names.items()
        if keeper in KEEPERS
    ]
    return "; ".join(notes)


def titles(book: Book, names: Iterable[str]) -> str:
    """Write the titles of frameworks; one without a room has its name."""
    known = book.frameworks
    return listing([known[n].title if n in known else n for n in names])


def differences(book: Book, recipe: Recipe, screen: Screen) -> list[Line]:
    """Set where frameworks do otherwise, each below what it concerns."""
    lines: list[Line] = []
    for difference in recipe.differences:
        where = f" in {titles(book, difference.frameworks)}"
        lines.append([(difference.rule or "", ACCENT), (where, PLAIN)])
        lines += declared(difference, screen.prose)
    return lines


def knobs(recipe: Recipe, screen: Screen) -> list[Line]:
    """Set the settings."""
    indent = column(knob.env for knob in recipe.knobs)
    lines: list[Line] = []
    for knob in recipe.knobs:
        head: Line = [(knob.env, PLAIN)]
        lines += hang(head, knob.text, screen.prose, indent)
        lines += say(measure(knob), screen.prose, " " * indent, FAINT)
    return lines


def measure(knob: Knob) -> str:
    """Say what a knob takes: `integer, 20 rows by default`."""
    if knob.default is None:
        return f"{knob.type}, must be set"
    unit = f" {knob.unit}" if knob.unit else ""
    return f"{knob.type}, {knob.default}{unit} by default"


def examples(recipe: Recipe, screen: Screen) -> list[Line]:
    """Set the exchanges, one after the other."""
    requests = [f"{e.method} {e.path}" for e in recipe.examples]
    most = min(column(requests), screen.width - 24)
    lines: list[Line] = []
    for example in recipe.examples:
        lines += exchange(example, most, screen)
    return lines


def exchange(example: Example, indent: int, screen: Screen) -> list[Line]:
    """Set one exchange: the request, its status, its rule, its body."""
    request = f"{example.method} {example.path}"
    head: Line = [(f"{request:{indent - 2}}  ", PLAIN)]
    head += [(f"{example.status}  ", STRONG), (example.rule, FAINT)]
    lines = [head]
    if example.body is not None:
        body = json.dumps(example.body, ensure_ascii=False)
        lines += say(body, screen.prose, "  ", FAINT)
    return lines


def implementations(book: Book, recipe: Recipe) -> list[Line]:
    """Set the command that shows each implementation, or its gap."""
    indent = column(f.title for f in book.frameworks.values())
    lines: list[Line] = []
    for name, framework in book.frameworks.items():
        head = (f"{framework.title:{indent}}", PLAIN)
        if recipe.implementation(name):
            command = f"cookbook show {recipe.slug} --in {name}"
            lines.append([head, (command, ACCENT)])
        else:
            lines.append([head, ("not written yet", FAINT)])
    return lines


def runs(book: Book, recipe: Recipe, screen: Screen) -> list[Line]:
    """Set how to run it: by the tool, and plainly."""
    there = [
        framework
        for name, framework in book.frameworks.items()
        if recipe.implementation(name) and recipe.server in framework.serve
    ]
    if not there:
        return []
    needed = [knob.env for knob in recipe.knobs if knob.default is None]
    command = f"cookbook run {recipe.slug} --in {there[0].name} --port 8000"
    lines: list[Line] = [[(command, ACCENT)]]
    settings = f"with {listing(needed)} set " if needed else ""
    plainly = (
        f"Without the tool, {settings}and after `prepare()` of the module "
        "has run once:"
    )
    lines += [[], *say(plainly, screen.prose)]
    for framework in there:
        lines += [
            [(framework.title, FAINT)],
            *launch(recipe, framework, screen.prose - 2),
        ]
    return lines


def launch(recipe: Recipe, framework: Framework, width: int) -> list[Line]:
    """Set the command line of a server, broken so that it can be copied."""
    words = framework.serve[recipe.server].words(
        recipe.module(framework.name),
        options=recipe.serve_options.get(framework.name, ()),
    )
    return [[("  ", PLAIN), (line, PLAIN)] for line in joined(words, width)]


def joined(words: Sequence[str], width: int) -> Iterator[str]:
    """Join the words of a command, over several lines as a shell has them."""
    line, *rest = map(shlex.quote, words)
    for word in rest:
        if len(line) + len(word) + 3 > width:
            yield f"{line} \\"
            line = f"  {word}"
        else:
            line += f" {word}"
    yield line


def sources(recipe: Recipe, screen: Screen) -> list[Line]:
    """Set what to read on."""
    lines: list[Line] = []
    for source in recipe.sources:
        lines += say(source.title, screen.prose)
        lines.append([(f"  {source.url}", FAINT)])
    return lines


def column(names: Iterable[str]) -> int:
    """Tell how wide a column of names is, with the gap after it."""
    return max(map(len, names), default=0) + 2
