"""The book, read as files: recipes, rules, frameworks, and what is planned.

Nothing here imports a recipe or a framework.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

from cookbook.names import UnknownName, alternatives, spell
from cookbook.tables import BookError, Table, read

__all__ = [
    "FRAMEWORKS",
    "Book",
    "BookError",
    "Canon",
    "Difference",
    "Example",
    "Framework",
    "Knob",
    "NotWritten",
    "Planned",
    "ReadingPath",
    "Recipe",
    "Rule",
    "Serve",
    "Shelf",
    "Source",
    "Topic",
    "UnknownName",
]

FRAMEWORKS = ("flask", "django", "fastapi", "litestar", "aiohttp")
"""The order in which frameworks are shown; any other comes after them."""

KEEPERS = ("code", "shared", "framework", "server")
"""What can keep a rule: see `Rule.kept_by`."""

IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class NotWritten(UnknownName):
    """A recipe that is planned, and not there yet."""

    is_planned = True

    def __init__(self, planned: "Planned") -> None:
        super().__init__("recipe", planned.slug, [])
        self.planned = planned

    def __str__(self) -> str:
        return (
            f'The recipe "{self.name}" is planned, and not written yet: '
            f"{self.planned.idea}."
        )


@dataclass(frozen=True)
class Source:
    """Something to read on, by title and address."""

    title: str
    url: str

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take a source from its table."""
        return cls(table.text("title"), table.text("url"))


@dataclass(frozen=True)
class Rule:
    """One sentence of observable behaviour.

    `kept_by` tells for a framework what keeps the rule there: "code"
    (marked in the implementation), "shared" (marked in `shared/`),
    "framework" or "server" (nothing to write).
    """

    id: str
    text: str
    sources: tuple[str, ...] = ()
    asvs: tuple[str, ...] = ()
    kept_by: Mapping[str, str] = field(default_factory=dict, hash=False)

    def keeper(self, framework: str) -> str:
        """Tell what keeps the rule in a framework."""
        return self.kept_by.get(framework, "code")

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take a rule from its table."""
        kept_by = table.mapping("kept_by")
        for framework, keeper in kept_by.items():
            if keeper not in KEEPERS:
                table.complain(
                    f'kept_by.{framework} is "{keeper}"; '
                    f"it must be {alternatives(KEEPERS)}."
                )
        return cls(
            read_id(table),
            table.text("text"),
            table.texts("sources"),
            table.texts("asvs"),
            kept_by,
        )


@dataclass(frozen=True)
class Difference:
    """Where frameworks do otherwise than the rule, and say so.

    `instead` is what they do, `upstream` a link that shows it was forced.
    `serve` names the servers that do so, where others do not; `httplint`
    what httplint calls bad in answers because of it, by its names. `alone`
    says that only a server with one worker does so.
    """

    id: str
    rule: str | None
    frameworks: tuple[str, ...]
    instead: str
    why: str
    upstream: str | None = None
    serve: tuple[str, ...] = ()
    httplint: tuple[str, ...] = ()
    alone: bool = False

    @classmethod
    def read(cls, table: Table, framework: str | None = None) -> Self:
        """Take a difference from its table, or from a framework's own."""
        if framework is None:
            rule: str | None = table.text("rule")
            frameworks = table.texts("frameworks")
            if not frameworks:
                table.complain('"frameworks" names none.')
        else:
            rule, frameworks = table.optional_text("rule"), (framework,)
        return cls(
            read_id(table),
            rule,
            frameworks,
            table.text("instead"),
            table.text("why"),
            table.optional_text("upstream"),
            table.texts("serve"),
            table.texts("httplint"),
            table.flag("alone"),
        )

    def holds_in(self, recipe: "Recipe", served: str = "") -> bool:
        """Tell whether a recipe is served by what it is about.

        `served` is the server's name, where it is not the recipe's own.
        """
        return not self.serve or (served or recipe.server) in self.serve


@dataclass(frozen=True)
class Knob:
    """A setting that an implementation takes from its environment.

    Without a `default` it must be given.
    """

    env: str
    type: str
    text: str
    unit: str | None = None
    default: str | int | float | bool | None = None

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take a knob from its table."""
        default = table.value("default")
        if not isinstance(default, str | int | float | None):
            table.complain('"default" must be a text or a number.')
            default = None
        return cls(
            table.text("env"),
            table.text("type"),
            table.text("text"),
            table.optional_text("unit"),
            default,
        )


@dataclass(frozen=True)
class Example:
    """An exchange that shows a rule.

    `capture` names what later examples use from this answer, each by a
    JSON pointer: `{"cursor": "/next"}` makes `{cursor}`.
    """

    id: str
    rule: str
    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: Any = field(default=None, hash=False)
    capture: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take an example from its table."""
        return cls(
            read_id(table),
            table.text("rule"),
            table.text("method"),
            table.text("path"),
            table.number("status"),
            table.mapping("headers"),
            table.value("body"),
            table.mapping("capture"),
        )


@dataclass(frozen=True)
class Serve:
    """How a server is started: words with `{module}` and the like in them.

    `bind` in the command is `port`, or `fd` where the server can take a
    socket that listens already. `workers` tells whether it can have many.
    `started` is what it logs for each worker that is up, where it must not
    be told to end before.
    """

    command: str
    port: str
    fd: str | None = None
    workers: bool = False
    dev: str | None = None
    started: str | None = None

    def words(
        self,
        module: str,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        workers: int = 1,
        options: Sequence[str] = (),
    ) -> list[str]:
        """Write the command that listens on a port, word by word."""
        fill = {
            "{module}": module,
            "{host}": host,
            "{port}": str(port),
            "{workers}": str(workers),
        }
        found = self.command.replace("{bind}", self.port).split()
        for name, value in fill.items():
            found = [word.replace(name, value) for word in found]
        return [*found, *options]

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take a server from its table."""
        return cls(
            table.text("command"),
            table.optional_text("port") or "",
            table.optional_text("fd"),
            table.flag("workers"),
            table.optional_text("dev"),
            table.optional_text("started"),
        )


@dataclass(frozen=True)
class Framework:
    """A framework, with its stack and its servers."""

    name: str
    title: str
    packages: tuple[str, ...]
    companions: tuple[str, ...]
    warm: tuple[str, ...]
    docs: str
    serve: Mapping[str, Serve] = field(hash=False)
    differences: tuple[Difference, ...] = ()

    @classmethod
    def read(cls, name: str, table: Table) -> Self:
        """Take a framework from its file."""
        return cls(
            name,
            table.text("title"),
            table.texts("packages"),
            table.texts("companions"),
            table.texts("warm"),
            table.text("docs"),
            {
                key: Serve.read(inner)
                for key, inner in table.table("serve").entries()
            },
            tuple(
                Difference.read(inner, name)
                for inner in table.tables("differences")
            ),
        )


@dataclass(frozen=True)
class Recipe:
    """A recipe as its `recipe.toml` describes it.

    `kind` is "five", one implementation for each framework, or "once".
    """

    slug: str
    shelf: str
    folder: Path
    title: str
    sentence: str
    canon: tuple[str, ...]
    symptoms: tuple[str, ...]
    sources: tuple[Source, ...]
    names: tuple[str, ...]
    server: str
    serve_options: Mapping[str, tuple[str, ...]] = field(hash=False)
    services: tuple[str, ...]
    kind: str
    rules: tuple[Rule, ...]
    differences: tuple[Difference, ...]
    knobs: tuple[Knob, ...]
    examples: tuple[Example, ...]

    @property
    def root(self) -> Path:
        """The folder of the whole book."""
        return self.folder.parents[2]

    @property
    def contract(self) -> Path:
        """The file of the tests that hold the recipe to its rules."""
        tests = self.root / "tests" / "contracts" / self.shelf
        return tests / f"test_{self.slug}.py"

    @property
    def pitfalls(self) -> Path:
        """The file of the wrong ways."""
        return self.folder / "pitfalls.toml"

    def rule(self, identifier: str) -> Rule:
        """Find a rule by its id."""
        rules = {rule.id: rule for rule in self.rules}
        for key, rule in rules.items():
            if spell(key) == spell(identifier):
                return rule
        raise UnknownName(f"rule of {self.slug}", identifier, rules)

    def implementation(self, framework: str) -> Path | None:
        """Find the file or folder for a framework; `None` is a gap."""
        for name in (f"{framework}_app.py", f"{framework}_app"):
            if (self.folder / name).exists():
                return self.folder / name
        return None

    def files(self, framework: str) -> tuple[Path, ...]:
        """List the source files for a framework."""
        path = self.implementation(framework)
        if path is None:
            return ()
        return tuple(sorted(path.rglob("*.py"))) if path.is_dir() else (path,)

    def module(self, framework: str) -> str:
        """Name the module for a framework, with dots."""
        return f"recipes.{self.shelf}.{self.slug}.{framework}_app"

    @classmethod
    def read(cls, folder: Path, table: Table) -> Self:
        """Take a recipe from its file."""
        recipe = cls(
            folder.name,
            folder.parent.name,
            folder,
            table.text("title"),
            table.text("sentence"),
            table.texts("canon"),
            table.texts("symptoms"),
            tuple(map(Source.read, table.tables("sources"))),
            table.texts("names"),
            table.optional_text("server") or "http",
            read_options(table.table("serve_options")),
            table.texts("services"),
            table.optional_text("kind") or "five",
            tuple(map(Rule.read, table.tables("rules"))),
            tuple(map(Difference.read, table.tables("differences"))),
            tuple(map(Knob.read, table.tables("knobs"))),
            tuple(map(Example.read, table.tables("examples"))),
        )
        check_recipe(recipe, table)
        return recipe


@dataclass(frozen=True)
class Shelf:
    """A chapter of the Canon, and the folder of its recipes."""

    name: str
    chapter: int
    title: str


@dataclass(frozen=True)
class Topic:
    """A topic of the Canon, by its number ("7.5")."""

    number: str
    title: str


@dataclass(frozen=True)
class ReadingPath:
    """Which chapters to read at a level, and which after them."""

    level: str
    chapters: tuple[int, ...]
    then: tuple[int, ...]


@dataclass(frozen=True)
class Planned:
    """A recipe that the book means to hold, written or not."""

    slug: str
    shelf: str
    canon: tuple[str, ...]
    idea: str
    needs: str | None = None
    kind: str = "five"

    @classmethod
    def read(cls, slug: str, shelf: str, table: Table) -> Self:
        """Take a planned recipe from the catalogue."""
        return cls(
            slug,
            shelf,
            table.texts("canon"),
            table.text("idea"),
            table.optional_text("needs"),
            table.optional_text("kind") or "five",
        )


@dataclass(frozen=True)
class Canon:
    """The catalogue: shelves, topics, and every recipe that is planned."""

    shelves: Mapping[str, Shelf]
    topics: Mapping[str, Topic]
    paths: tuple[ReadingPath, ...]
    planned: Mapping[str, Planned]
    capstones: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, table: Table) -> Self:
        """Take the catalogue from its file."""
        capstones = table.table("capstones")
        return cls(
            {
                name: Shelf(name, inner.number("chapter"), inner.text("title"))
                for name, inner in table.table("shelves").entries()
            },
            {
                number: Topic(number, title)
                for number, title in table.mapping("topics").items()
            },
            tuple(
                ReadingPath(
                    level, inner.numbers("chapters"), inner.numbers("then")
                )
                for level, inner in table.table("paths").entries()
            ),
            read_planned(table.table("recipes")),
            {level: capstones.texts(level) for level in capstones},
        )


class Book:
    """All that the book holds; each part is read when it is first asked for.

    A malformed file raises `BookError` then.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._read: dict[str, Recipe] = {}

    @classmethod
    def load(cls) -> "Book":
        """Open the book that the tool works on."""
        return _open(find_root())

    @property
    def home(self) -> Path:
        """The folder of what the tool keeps between runs."""
        if (self.root / "pyproject.toml").exists():
            return self.root / ".cookbook"
        return Path.home() / ".cache" / "backend-cookbook"

    @cached_property
    def frameworks(self) -> dict[str, Framework]:
        """Every framework that has a room, by name, in the order shown."""
        files = self.root.glob("frameworks/*/framework.toml")
        found = sorted(
            (file.parent for file in files),
            key=lambda folder: (rank(folder.name), folder.name),
        )
        return {folder.name: read_framework(folder) for folder in found}

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """Every recipe that has a folder, by slug, in reading order."""
        order = {slug: number for number, slug in enumerate(self.planned)}
        slugs = sorted(
            self.folders, key=lambda slug: (order.get(slug, len(order)), slug)
        )
        return {slug: self.recipe(slug) for slug in slugs}

    @cached_property
    def folders(self) -> dict[str, Path]:
        """The folder of every recipe, by slug, read or not."""
        found: dict[str, Path] = {}
        for file in sorted(self.root.glob("recipes/*/*/recipe.toml")):
            other = found.setdefault(file.parent.name, file.parent)
            if other != file.parent:
                where = other.relative_to(self.root)
                raise BookError(file, [f"The slug is taken by {where}."])
        return found

    @cached_property
    def canon(self) -> Canon:
        """The catalogue."""
        file = self.root / "recipes" / "canon.toml"
        table = read(file)
        canon = Canon.read(table)
        check_canon(canon, table)
        table.finish(file)
        return canon

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """Every shelf by name, in the order of the Canon."""
        return self.canon.shelves

    @property
    def topics(self) -> Mapping[str, Topic]:
        """Every topic of the Canon by number."""
        return self.canon.topics

    @property
    def planned(self) -> Mapping[str, Planned]:
        """Every recipe of the catalogue by slug, written or not."""
        return self.canon.planned

    @property
    def gaps(self) -> dict[str, Planned]:
        """The recipes of the catalogue that are not written yet."""
        return {
            slug: planned
            for slug, planned in self.planned.items()
            if slug not in self.folders
        }

    def recipe(self, name: str) -> Recipe:
        """Find a recipe by its slug, or by `shelf/slug`."""
        slug = spell(name.rstrip("/").rpartition("/")[2])
        if slug not in self._read:
            self._read[slug] = read_recipe(self._folder(slug, name))
        return self._read[slug]

    def framework(self, name: str) -> Framework:
        """Find a framework by its name."""
        for key in (name, spell(name)):
            if key in self.frameworks:
                return self.frameworks[key]
        raise UnknownName("framework", name, self.frameworks)

    def _folder(self, slug: str, name: str) -> Path:
        if slug in self.folders:
            return self.folders[slug]
        if slug in self.planned:
            raise NotWritten(self.planned[slug])
        raise UnknownName("recipe", name, [*self.folders, *self.gaps])


@cache
def _open(root: Path) -> Book:
    return Book(root)


def find_root() -> Path:
    """Find the book: as told, the checkout, or what was installed."""
    told = os.environ.get("COOKBOOK_ROOT")
    return Path(told) if told else _own_root()


@cache
def _own_root() -> Path:
    package = Path(__file__).resolve().parent
    if (package.parent / "recipes").is_dir():
        return package.parent
    return package / "_book"


def read_recipe(folder: Path) -> Recipe:
    """Read the recipe that lies in a folder."""
    file = folder / "recipe.toml"
    table = read(file)
    recipe = Recipe.read(folder, table)
    table.finish(file)
    return recipe


def read_framework(folder: Path) -> Framework:
    """Read the framework whose room is a folder."""
    file = folder / "framework.toml"
    table = read(file)
    framework = Framework.read(folder.name, table)
    table.finish(file)
    return framework


def read_id(table: Table) -> str:
    """Read an id: lower-case words joined by hyphens."""
    found = table.text("id")
    if found and not IDENTIFIER.fullmatch(found):
        table.complain(f'the id "{found}" must be like-this.')
    return found


def read_options(table: Table) -> dict[str, tuple[str, ...]]:
    """Read what a recipe adds to a server's command line."""
    return {name: table.texts(name) for name in table}


def read_planned(table: Table) -> dict[str, Planned]:
    """Read what is planned, by slug; a slug is there once in all shelves."""
    found: dict[str, Planned] = {}
    for shelf, recipes in table.entries():
        for slug, inner in recipes.entries():
            if slug in found:
                inner.complain(f"it is on {found[slug].shelf} already.")
            found[slug] = Planned.read(slug, shelf, inner)
    return found


def rank(framework: str) -> int:
    """Tell the place of a framework in the order shown."""
    try:
        return FRAMEWORKS.index(framework)
    except ValueError:
        return len(FRAMEWORKS)


def check_recipe(recipe: Recipe, table: Table) -> None:
    """Complain where the parts of a recipe do not fit together."""
    if recipe.kind not in ("five", "once"):
        table.complain(f'kind is "{recipe.kind}"; it must be five or once.')
    rules = [rule.id for rule in recipe.rules]
    check_unique("rules", rules, table)
    check_unique("knobs", [knob.env for knob in recipe.knobs], table)
    for kind, parts in (
        ("differences", recipe.differences),
        ("examples", recipe.examples),
    ):
        check_unique(kind, [part.id for part in parts], table)
        for part in parts:
            if part.rule and part.rule not in rules:
                table.complain(
                    f'{kind} {part.id}: there is no rule "{part.rule}".'
                )


def check_unique(kind: str, names: Collection[str], table: Table) -> None:
    """Complain about each name that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            table.complain(f'{kind}: "{name}" is there twice.')
        seen.add(name)


def check_canon(canon: Canon, table: Table) -> None:
    """Complain about shelves and topics that the catalogue lacks."""
    for planned in canon.planned.values():
        if planned.shelf not in canon.shelves:
            table.complain(f'there is no shelf "{planned.shelf}".')
        for number in planned.canon:
            if number not in canon.topics:
                table.complain(
                    f'recipes, {planned.slug}: there is no topic "{number}".'
                )
