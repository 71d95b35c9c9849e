"""Addresses: where each thing of the book lies in the site.

They are from the root of the site and without a leading slash; pages write
them relative to themselves, so that the site works under any path.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from posixpath import dirname, relpath

from cookbook.book import Book, Framework, Recipe

SHOWN = (
    "shared/*.py",
    "frameworks/*/*.py",
    "tests/contracts/*/test_*.py",
    "tests/benchmarks/*.py",
)
"""Files outside of the recipes that have a page."""


def relative(page: str, target: str) -> str:
    """Write an address as it is from a page."""
    path, mark, anchor = target.partition("#")
    path, question, query = path.partition("?")
    found = relpath(path or ".", dirname(page) or ".")
    if path.endswith("/") or not path:
        found += "/"
    return f"{found}{question}{query}{mark}{anchor}"


def recipe_at(slug: str) -> str:
    """Tell where a recipe is."""
    return f"recipes/{slug}/"


def files_at(slug: str) -> str:
    """Tell where the whole files of a recipe are."""
    return f"{recipe_at(slug)}files/"


def diff_at(slug: str, one: str, other: str) -> str:
    """Tell where two implementations are compared as a diff."""
    return f"{recipe_at(slug)}diff/{one}-{other}/"


def try_at(slug: str) -> str:
    """Tell where a recipe is tried, where the explorer is served."""
    return f"{recipe_at(slug)}try/"


def raw_at(recipe: Recipe, file: Path) -> str:
    """Tell where a file of a recipe lies as it is."""
    return recipe_at(recipe.slug) + file.relative_to(recipe.folder).as_posix()


def source_at(file: str) -> str:
    """Tell where a file outside of the recipes is shown."""
    return f"source/{file}/"


def topic_at(number: str) -> str:
    """Tell where a topic of the Canon is."""
    return f"canon/{number}/"


def framework_at(name: str) -> str:
    """Tell where a framework is."""
    return f"frameworks/{name}/"


def pair_at(one: Framework, other: Framework) -> str:
    """Tell where two frameworks are compared."""
    return f"compare/{one.name}-vs-{other.name}/"


def line_at(book: Book, file: str) -> str:
    """Tell where the lines of a file are, but for their numbers."""
    place = Path(file).parts
    if place[0] != "recipes":
        return f"{source_at(file)}#L"
    recipe = book.recipe(place[2])
    inner = (book.root / file).relative_to(recipe.folder)
    return f"{files_at(recipe.slug)}#{anchor(inner)}-"


def anchor(file: Path) -> str:
    """Name a file of an implementation: `flask`, `django-models`."""
    parts = [part.removesuffix("_app") for part in file.with_suffix("").parts]
    return "-".join(part for part in parts if part != "__init__")


def at(book: Book, file: Path) -> str | None:
    """Tell where a file or folder of the book is in the site."""
    try:
        place = file.resolve().relative_to(book.root)
    except ValueError:
        return None
    if place.parts[:1] == ("recipes",) and len(place.parts) > 3:
        return in_recipe(book, place)
    is_room = place.parts[:1] == ("frameworks",) and len(place.parts) > 1
    if is_room and place.name in ("README.md", "framework.toml"):
        return framework_at(place.parts[1])
    is_shown = any(fnmatchcase(place.as_posix(), pattern) for pattern in SHOWN)
    if is_shown and (book.root / place).is_file():
        return source_at(place.as_posix())
    return None


def shown(book: Book) -> list[Path]:
    """List the files outside of recipes that have a page."""
    return sorted(
        file for pattern in SHOWN for file in book.root.glob(pattern)
    )


def in_recipe(book: Book, place: Path) -> str | None:
    """Tell where a file of a recipe is."""
    slug, name = place.parts[2:4]
    if slug not in book.folders:
        return None
    inner = Path(*place.parts[3:])
    if name.removesuffix(".py").endswith("_app"):
        return f"{files_at(slug)}#{anchor(inner)}"
    known = {"README.md": "", "pitfalls.toml": "#pitfalls"}
    return recipe_at(slug) + known.get(name, inner.as_posix())
