"""`cookbook site`: the whole explorer as static files."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from cookbook.book import Book, Recipe
from cookbook.names import WrongUse
from cookbook.results import digest, hashes
from cookbook.site import formats
from cookbook.site.links import raw_at, recipe_at, shown, source_at
from cookbook.site.pages import pages
from cookbook.site.recipe import pages_of
from cookbook.site.rendering import HERE, Page
from cookbook.site.site import Site
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
        self._recipes: dict[str, tuple[str, Files]] = {}
        self._pages: dict[str, tuple[str, bytes]] = {}
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
        files = {f"assets/{p.name}": p.read_bytes() for p in assets()}
        for page in pages(site):
            files[page.file] = self._rendered(site, page)
        for recipe in site.book.recipes.values():
            files |= self._of_recipe(site, recipe)
        files |= sources(site.book)
        files |= self._maps(site, files)
        return files

    def _rendered(self, site: Site, page: Page) -> bytes:
        """Render a page; one that has a `state` only when that is new."""
        state, before = self._pages.get(page.file, ("", b""))
        if page.state and page.state == state:
            return before
        text = page.render(site.shared).encode()
        self._pages[page.file] = page.state, text
        return text

    def _of_recipe(self, site: Site, recipe: Recipe) -> Files:
        state = state_of(site, recipe)
        before, files = self._recipes.get(recipe.slug, ("", {}))
        if before != state:
            files = dict(of_recipe(site, recipe))
            self._recipes[recipe.slug] = state, files
        return files

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


def state_of(site: Site, recipe: Recipe) -> str:
    """Name the state of all that the pages of a recipe are made of."""
    own = sorted(p for p in recipe.folder.rglob("*") if p.is_file())
    templates = sorted((HERE / "templates").iterdir())
    findings = [
        f for f in known(site.book).values() if f.recipe == recipe.slug
    ]
    parts = [
        digest([*own, *templates]),
        *(hashes(site.book, recipe.slug, f) for f in site.book.frameworks),
        site.proofs.rows(recipe),
        findings,
        site.url,
    ]
    return repr(parts)


def of_recipe(site: Site, recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    """Make every file of a recipe."""
    for page in pages_of(site, recipe):
        yield page.file, page.render(site.shared).encode()
    at = recipe_at(recipe.slug)
    yield f"{at}index.md", formats.markdown(site.book, recipe).encode()
    text = formats.data(site.book, recipe, site.kept(recipe), site.proofs)
    yield f"{at}index.json", text.encode()
    for name in site.book.frameworks:
        for file in recipe.files(name):
            yield raw_at(recipe, file), file.read_bytes()
    described = recipe.folder / "openapi.yaml"
    if described.is_file():
        yield raw_at(recipe, described), described.read_bytes()


def sources(book: Book) -> Files:
    """Copy what lies outside of the recipes, as it is."""
    return {
        source_at(file.relative_to(book.root).as_posix())
        + file.name: file.read_bytes()
        for file in shown(book)
    }


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
