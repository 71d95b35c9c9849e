"""The same for programs: Markdown, JSON, `llms.txt`, a map of the site."""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin
from xml.sax.saxutils import escape

from cookbook.book import Book, Recipe
from cookbook.comparing import to_json
from cookbook.describing import recipe_to_json
from cookbook.keeping import Keeping
from cookbook.sections import fence
from cookbook.site.links import at, recipe_at, relative
from cookbook.site.proof import Proofs

COMMENT = re.compile(r"^<!--.*?-->\n*", re.S | re.M)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)[^)\s]*\)")


def markdown(book: Book, recipe: Recipe) -> str:
    """Write a recipe as Markdown: its README, then every file."""
    readme = recipe.folder / "README.md"
    text = readme.read_text("utf-8") if readme.is_file() else ""
    text = COMMENT.sub("", text).strip()
    parts = [LINK.sub(lambda match: led(book, recipe, match), text), "## Code"]
    for name in book.frameworks:
        for file in recipe.files(name):
            place = file.relative_to(book.root).as_posix()
            source = file.read_text("utf-8").rstrip("\n")
            parts += [f"### `{place}`", fence("python", source)]
    return "\n\n".join(parts) + "\n"


def led(book: Book, recipe: Recipe, match: re.Match[str]) -> str:
    """Make a link between files of the book one of the site."""
    place = at(book, recipe.folder / match[1])
    if place is None:
        return "]"
    return f"]({relative(recipe_at(recipe.slug), place)})"


def data(
    book: Book, recipe: Recipe, rows: list[list[Keeping]], proofs: Proofs
) -> str:
    """Write a recipe as JSON: what it is, who keeps what, what is proven."""
    frameworks = list(book.frameworks.values())
    proven = {
        rule.id: {
            framework.name: proof_to_json(proofs, recipe, rule.id, framework)
            for framework in frameworks
        }
        for rule in recipe.rules
    }
    known = {
        "recipe": recipe_to_json(book, recipe),
        "comparison": to_json(recipe, frameworks, rows),
        "proof": proven,
    }
    return json.dumps(known, ensure_ascii=False, default=str)


def proof_to_json(
    proofs: Proofs, recipe: Recipe, rule: str, framework: Any
) -> dict[str, Any]:
    """Give what was proven of a rule in a framework."""
    proof = proofs.of(recipe, rule, framework)
    return {
        "state": proof.word,
        "date": proof.date,
        "versions": list(proof.versions),
        "tests": dict(proof.tests),
    }


def llms(book: Book, url: str) -> str:
    """Tell assistants what is here, and where it is to be had plainly."""
    lines = [
        "# The Backend Cookbook",
        "",
        "> Every backend recipe side by side in Flask, Django, FastAPI, "
        "Litestar and aiohttp, held to one contract over real sockets.",
        "",
        "Each recipe has a page, the same as Markdown (index.md) and as JSON "
        "(index.json), and its source files as plain text.",
        "",
        "## Recipes",
        "",
    ]
    for recipe in book.recipes.values():
        place = urljoin(url, f"{recipe_at(recipe.slug)}index.md")
        lines.append(f"- [{recipe.title}]({place}): {recipe.sentence}")
    lines += ["", "## More", ""]
    for place, title in (
        ("equivalents/", "Equivalents"),
        ("canon/", "The Canon: every topic, and what is there of it"),
        ("symptoms/", "Symptoms"),
    ):
        lines.append(f"- [{title}]({urljoin(url, place)})")
    return "\n".join(lines) + "\n"


def sitemap(url: str, paths: Iterable[str]) -> str:
    """Write the map of the site."""
    places = (escape(urljoin(url, path)) for path in sorted(paths))
    rows = "".join(f"<url><loc>{place}</loc></url>\n" for place in places)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        f"{rows}</urlset>\n"
    )


def robots(url: str) -> str:
    """Let everybody read, and say where the map is."""
    lines = ["User-agent: *", "Allow: /"]
    if url:
        lines.append(f"Sitemap: {urljoin(url, 'sitemap.xml')}")
    return "\n".join(lines) + "\n"
