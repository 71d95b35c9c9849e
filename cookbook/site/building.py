"""`cookbook site`: the whole explorer as static files."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from cookbook.book import Book, Recipe
from cookbook.equivalents import file_of
from cookbook.kills import blocks, to_json
from cookbook.names import WrongUse
from cookbook.results import digest, hashes
from cookbook.site import formats
from cookbook.site.links import raw_at, recipe_at, shown, source_at
from cookbook.site.pages import equivalents, pages
from cookbook.site.recipe import pages_of
from cookbook.site.rendering import HERE, Page
from cookbook.site.sharing import all_of
from cookbook.site.site import Site
from cookbook.site.sources import sources
from cookbook.terminal import FAINT, PLAIN, Screen
from cookbook.trials import known

type Files = dict[str, bytes]

MARK = ".cookbook-site"
"""A folder with this file was made here, and may be renewed."""


class Builder:
    """Writes the site into a folder, and again what has changed of it.

    `serves` says that recipes can be tried; `site` is what was last built.
    """

    def __init__(
        self,
        out: Path,
        *,
        url: str = "",
        base: str = "/",
        serves: bool = False,
    ) -> None:
        self.out = out
        self.site: Site | None = None
        self._serves = serves
        self._url = url and f"{url.rstrip('/')}/"
        self._base = base if base.endswith("/") else f"{base}/"
        self._states: dict[str, str] = {}
        self._parts: dict[str, Files] = {}
        self._written: Files = {}

    def build(self, book: Book) -> int:
        """Write every page, then the index for search; count the pages."""
        count = self.write(book)
        index(self.out)
        return count

    def write(self, book: Book) -> int:
        """Write every page that is new or changed; count them all."""
        prepare(self.out)
        site = Site(book, self._url, self._base, serves=self._serves)
        files = self._files(site)
        self._write(files)
        self.site = site
        return sum(name.endswith(".html") for name in files)

    def _files(self, site: Site) -> Files:
        parts = list(parts_of(site))
        todo = [
            part
            for part in parts
            if not part.state or part.state != self._states.get(part.name)
        ]
        made = all_of([part.make for part in todo])
        self._parts |= {p.name: f for p, f in zip(todo, made, strict=True)}
        self._states = {part.name: part.state for part in parts if part.state}
        files = {f"assets/{p.name}": p.read_bytes() for p in assets()}
        for part in parts:
            files |= self._parts[part.name]
        return files | self._maps(site, files)

    def _maps(self, site: Site, files: Files) -> Files:
        found = {
            "llms.txt": formats.llms(site.book, self._url),
            "robots.txt": formats.robots(self._url),
        }
        if self._url:
            places = [
                name.removesuffix("index.html")
                for name in files
                if name.endswith("index.html")
            ]
            found["sitemap.xml"] = formats.sitemap(self._url, places)
        return {name: text.encode() for name, text in found.items()}

    def _write(self, files: Files) -> None:
        for name, content in files.items():
            if self._written.get(name) != content:
                path = self.out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for name in self._written.keys() - files.keys():
            (self.out / name).unlink(missing_ok=True)
        self._written = files


def assets() -> list[Path]:
    """List the files that every page shares."""
    return sorted(f for f in (HERE / "assets").iterdir() if f.is_file())


@dataclass(frozen=True)
class Part:
    """Some files of the site, made anew where their state is another.

    `state` names all that they are made of; without one, they always are.
    """

    name: str
    state: str
    make: Callable[[], Files]


def parts_of(site: Site) -> Iterator[Part]:
    """List the parts of the site; the long ones first."""
    looks = digest(sorted((HERE / "templates").iterdir()))
    same = f"{looks} {site.url} {site.newest}"
    outside = digest(shown(site.book))
    yield Part("sources", f"{same} {outside}", partial(of_sources, site))
    for recipe in site.book.recipes.values():
        # What all parts need is read before the work is shared out.
        site.kept(recipe)
        state = f"{same} {state_of(site, recipe)}"
        yield Part(recipe.slug, state, partial(of_recipe, site, recipe))
    table = f"{same} {digest([file_of(site.book)])}"
    yield Part("equivalents", table, partial(of_equivalents, site))
    yield Part("pages", "", partial(of_pages, site))


def state_of(site: Site, recipe: Recipe) -> str:
    """Name the state of all that the pages of a recipe are made of."""
    own = sorted(p for p in recipe.folder.rglob("*") if p.is_file())
    findings = [
        f for f in known(site.book).values() if f.recipe == recipe.slug
    ]
    parts = [
        digest(own),
        *(hashes(site.book, recipe.slug, f) for f in site.book.frameworks),
        site.proofs.rows(recipe),
        site.on_parts.rows(recipe),
        findings,
    ]
    return repr(parts)


def rendered(site: Site, pages: Iterable[Page]) -> Files:
    """Render pages."""
    return {page.file: page.render(site.shared).encode() for page in pages}


def of_pages(site: Site) -> Files:
    """Make the pages that are no recipe's own."""
    return rendered(site, pages(site))


def of_equivalents(site: Site) -> Files:
    """Make the table of equivalents."""
    return rendered(site, [equivalents()])


def of_sources(site: Site) -> Files:
    """Show what lies outside of the recipes, and copy it as it is."""
    copies = {
        source_at(file.relative_to(site.book.root).as_posix())
        + file.name: file.read_bytes()
        for file in shown(site.book)
    }
    return rendered(site, sources(site)) | copies


def of_recipe(site: Site, recipe: Recipe) -> Files:
    """Make every file of a recipe."""
    files = rendered(site, pages_of(site, recipe))
    at = recipe_at(recipe.slug)
    files[f"{at}index.md"] = formats.markdown(site.book, recipe).encode()
    text = formats.data(site.book, recipe, site.kept(recipe), site.proofs)
    files[f"{at}index.json"] = text.encode()
    noticed = json.dumps(to_json(recipe, blocks(site.book, recipe)), indent=1)
    files[f"{at}pitfalls/kills.json"] = noticed.encode()
    described = recipe.folder / "openapi.yaml"
    own = [f for name in site.book.frameworks for f in recipe.files(name)]
    for file in (*own, described):
        if file.is_file():
            files[raw_at(recipe, file)] = file.read_bytes()
    return files


def prepare(out: Path) -> None:
    """Make the folder; refuse one that holds something else."""
    if out.exists() and not (out / MARK).exists() and any(out.iterdir()):
        raise WrongUse(f"{out} is not empty, and was not made by this.")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def index(out: Path) -> None:
    """Let Pagefind read the pages."""
    command = [sys.executable, "-m", "pagefind", "--site", str(out)]
    done = subprocess.run(
        [*command, "--quiet"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WrongUse(f"The index for search failed:\n{done.stderr}")


def write_site(
    book: Book, screen: Screen, out: Path, url: str, base: str
) -> int:
    """Write the site, and say how long it took."""
    begun = perf_counter()
    count = Builder(out, url=url, base=base).build(book)
    took = f" in {perf_counter() - begun:.1f} s"
    screen.print([[(f"{count} pages in {out}", PLAIN), (took, FAINT)]])
    return 0
