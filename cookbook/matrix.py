"""`cookbook matrix`: recipe by framework, what was proven and when.

As JSON, a list of cells: recipe, framework, state (passed, failed, stale,
not verified, missing), the date of the newest result, the versions of it,
the rules that are broken and those whose result is stale; for a recipe that
can run on real parts, the same of those runs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from cookbook.book import Book, Recipe
from cookbook.results import MANNERS, Result, load
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    print_json,
    say,
)

FORMS = {
    "passed": "━━━━━━━",
    "as declared": "═══════",
    "stale": "╌╌╌╌╌╌╌",
    "not verified": "╌╌╌╌╌╌╌",
    "failed": "━━━ ━━━",
    "missing": "·······",
}
NAMES = 24
CELL = 12


@dataclass(frozen=True)
class Cell:
    """A recipe in a framework."""

    recipe: str
    framework: str
    state: str
    date: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    on_parts: "Cell | None" = None

    @property
    def has_failed(self) -> bool:
        """Tell whether a rule was broken, here or on real parts."""
        found = (self, self.on_parts)
        return any(cell and cell.state == "failed" for cell in found)


def show_matrix(book: Book, screen: Screen, *, as_json: bool) -> int:
    """Show all cells; 1 where one has failed."""
    cells = all_cells(book)
    if as_json:
        print_json([asdict(cell) for cell in cells])
    else:
        screen.print(table(book, screen, cells))
    return 1 if any(cell.has_failed for cell in cells) else 0


def all_cells(book: Book) -> list[Cell]:
    """Judge every recipe in every framework."""
    known, on_parts = load(book), load(book, on_parts=True)
    found = []
    for recipe in book.recipes.values():
        for name in book.frameworks:
            cell = cell_of(book, recipe, name, known)
            if recipe.services and cell.state != "missing":
                own = [rule.id for rule in recipe.rules]
                beside = cell_of(book, recipe, name, on_parts, own)
                cell = replace(cell, on_parts=beside)
            found.append(cell)
    return found


def cell_of(
    book: Book,
    recipe: Recipe,
    framework: str,
    known: dict[tuple[str, str, str], Result],
    rules: Sequence[str] = (),
) -> Cell:
    """Judge a recipe in a framework by its newest results.

    By those of its rules and of the manners, unless `rules` are named.
    """
    if recipe.implementation(framework) is None:
        return Cell(recipe.slug, framework, "missing")
    rules = rules or [*(rule.id for rule in recipe.rules), MANNERS]
    found = {r: known.get((recipe.slug, r, framework)) for r in rules}
    results = [result for result in found.values() if result is not None]
    stale = tuple(result.rule for result in results if result.is_stale(book))
    broken = tuple(r.rule for r in results if r.verdict == "broken")
    newest = max(results, key=lambda r: r.date, default=None)
    declared = tuple(
        d.id for d in recipe.differences if framework in d.frameworks
    )
    if broken:
        state = "failed"
    elif len([r for r in results if r.verdict == "kept"]) < len(rules):
        state = "not verified"
    elif stale:
        state = "stale"
    else:
        state = "as declared" if declared else "passed"
    return Cell(
        recipe.slug,
        framework,
        state,
        newest.date if newest else None,
        newest.versions if newest else {},
        broken,
        stale,
        declared,
    )


def table(book: Book, screen: Screen, cells: list[Cell]) -> list[Line]:
    """Draw the cells, a line for a state."""
    titles = [f.title for f in book.frameworks.values()]
    head = " " * NAMES + "".join(f"{title:<{CELL}}" for title in titles)
    lines: list[Line] = [[(head.rstrip(), STRONG)]]
    for recipe in book.recipes.values():
        own = [cell for cell in cells if cell.recipe == recipe.slug]
        lines.append([(f"{recipe.slug:<{NAMES}}", PLAIN)])
        for cell in own:
            look = STRONG if cell.state == "failed" else ACCENT
            form = FORMS[cell.state]
            lines[-1] += [(form, look), (" " * (CELL - len(form)), PLAIN)]
        lines += notes(recipe, screen, own)
    used = {cell.state for cell in cells}
    lines.append([])
    for state, form in FORMS.items():
        if state in used:
            lines.append([(form, ACCENT), (f"  {state}", FAINT)])
    return [*lines, [], *footer(book, cells)]


def notes(recipe: Recipe, screen: Screen, cells: list[Cell]) -> list[Line]:
    """Say what is broken or stale."""
    lines: list[Line] = []
    for cell in cells:
        for word, rules in (("failed", cell.broken), ("stale", cell.stale)):
            if rules and not (word == "stale" and cell.broken):
                names = ", ".join(rules)
                if len(rules) > len(recipe.rules):
                    names = "all rules"
                text = f"{cell.framework} {word}: {names}"
                lines += say(text, screen.prose, "  ", FAINT)
    if recipe.services and cells:
        lines += say(on_parts(recipe, cells), screen.prose, "  ", FAINT)
    return lines


def on_parts(recipe: Recipe, cells: list[Cell]) -> str:
    """Say what runs on real parts have found, and where."""
    places: dict[str, list[str]] = {}
    for cell in cells:
        if cell.on_parts is not None:
            said = cell.on_parts.state
            if cell.on_parts.broken:
                said += f": {', '.join(cell.on_parts.broken)}"
            places.setdefault(said, []).append(cell.framework)
    found = [
        said if len(names) == len(cells) else f"{', '.join(names)} {said}"
        for said, names in places.items()
    ]
    names = [service.removesuffix("?") for service in recipe.services]
    return f"on {' and '.join(names)}: {'; '.join(found) or 'missing'}"


def footer(book: Book, cells: list[Cell]) -> list[Line]:
    """Name the versions and the dates of the newest results."""
    lines: list[Line] = []
    for name, framework in book.frameworks.items():
        dated = [c for c in cells if c.framework == name and c.date]
        if dated:
            newest = max(dated, key=lambda cell: cell.date or "")
            found = newest.versions
            text = (
                f"{framework.title} {found.get(name, '?')},"
                f" Python {found.get('python', '?')},"
                f" {(newest.date or '')[:10]}"
            )
            lines.append([(text, FAINT)])
    if not lines:
        lines.append([("Nothing was verified here yet: uv run tox", FAINT)])
    return lines
