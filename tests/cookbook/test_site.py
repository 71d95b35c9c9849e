import gzip
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx2
import pytest

from cookbook.book import Book
from cookbook.cli import run
from cookbook.results import hashes, results_file
from cookbook.site.building import Builder
from cookbook.site.links import relative
from cookbook.site.proof import Proofs
from tests.cookbook.conftest import ROOT, exploring

pytestmark = pytest.mark.xdist_group("explorer")

MOST = 60_000
"""How many bytes a recipe's page may have, compressed, with all it needs.

Search is not needed until somebody searches.
"""

ORIGIN = "https://cookbook.example/book/"
LOADED = {"script": "src", "link": "href", "img": "src"}


class Reader(HTMLParser):
    """Collects what a page links to, loads, and writes inline."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.tags: list[str] = []
        self._is_script = False

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        """Note what a tag says."""
        said = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [said["id"]] if "id" in said else []
        if tag in ("a", "form"):
            self.links.append(said.get("href", said.get("action", "")))
        is_canonical = said.get("rel") == "canonical"
        if tag in LOADED and LOADED[tag] in said and not is_canonical:
            self.loads.append(said[LOADED[tag]])
        self.inline += [n for n in said if n == "style" or n[:2] == "on"]
        self.inline += ["<style>"] if tag == "style" else []
        self._is_script = tag == "script"

    def handle_data(self, data: str) -> None:
        """Note code between the tags of a script."""
        if self._is_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Note that a script ends."""
        self._is_script = False


@pytest.fixture(scope="module")
def book() -> Book:
    """The real book."""
    return Book(ROOT)


@pytest.fixture(scope="module")
def site(book: Book, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole explorer of the real book."""
    out = tmp_path_factory.mktemp("site")
    Builder(out, url=ORIGIN, base="/book/").build(book)
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Reader]:
    """Every page, read."""
    found = {}
    for file in site.rglob("*.html"):
        reader = Reader()
        reader.feed(file.read_text("utf-8"))
        name = file.relative_to(site).as_posix()
        found[name.removesuffix("index.html")] = reader
    return found


def zipped(file: Path) -> int:
    """Measure a file as it is sent; fonts are compressed already."""
    if file.suffix == ".woff2":
        return file.stat().st_size
    return len(gzip.compress(file.read_bytes(), 9))


def test_everything_has_a_page(book: Book, pages: dict[str, Reader]) -> None:
    """Recipes, gaps, topics, frameworks and pairs have pages."""
    pairs = combinations(book.frameworks, 2)
    expected = {
        "",
        "404.html",
        "canon/",
        "equivalents/",
        "proof/",
        "recipes/",
        "symptoms/",
        "words/",
        *(f"recipes/{slug}/" for slug in [*book.recipes, *book.gaps]),
        *(f"recipes/{slug}/files/" for slug in book.recipes),
        *(f"recipes/{slug}/pitfalls/" for slug in book.recipes),
        *(f"canon/{number}/" for number in book.topics),
        *(f"frameworks/{name}/" for name in book.frameworks),
        *(f"compare/{one}-vs-{other}/" for one, other in pairs),
    }
    assert set() == expected - set(pages)


def test_links_lead_somewhere(site: Path, pages: dict[str, Reader]) -> None:
    """Every link within the site ends at a file, and at an id in it."""
    dead = []
    for name, page in pages.items():
        for link in [*page.links, *page.loads]:
            target = urlsplit(urljoin(f"{ORIGIN}{name}", link))
            if target.netloc != "cookbook.example":
                continue
            path = unquote(target.path).removeprefix("/book/")
            known = pages.get(path)
            is_there = known or (site / path).is_file()
            if not is_there or (
                known and target.fragment not in ("", *known.ids)
            ):
                dead.append((name, link))
    assert [] == dead


def test_the_site_works_under_any_path(pages: dict[str, Reader]) -> None:
    """Links within the site are relative, but on the page for no page."""
    for name, page in pages.items():
        own = [link for link in page.links if not urlsplit(link).netloc]
        rooted = {link for link in own if link.startswith("/")}
        assert not rooted or name == "404.html"


def test_an_id_is_there_once(pages: dict[str, Reader]) -> None:
    """No page has the same id twice."""
    assert [] == [n for n, p in pages.items() if len(p.ids) != len({*p.ids})]


def test_rules_lines_and_tests_have_anchors(
    book: Book, pages: dict[str, Reader]
) -> None:
    """Each rule, each line of each file and each test has its own link."""
    for recipe in book.recipes.values():
        page = pages[f"recipes/{recipe.slug}/"]
        assert {rule.id for rule in recipe.rules} <= {*page.ids}
        lines = {*pages[f"recipes/{recipe.slug}/files/"].ids}
        for name in book.frameworks:
            for file in recipe.files(name):
                inner = file.relative_to(recipe.folder).with_suffix("")
                place = "-".join(
                    part.removesuffix("_app")
                    for part in inner.parts
                    if part != "__init__"
                )
                count = len(file.read_text("utf-8").splitlines())
                wanted = {f"{place}-{n}" for n in range(1, count + 1)}
                assert set() == wanted - lines, file
        contract = recipe.contract.relative_to(book.root).as_posix()
        tests = [i for i in pages[f"source/{contract}/"].ids if "test_" in i]
        assert tests


def test_nothing_is_written_inline(pages: dict[str, Reader]) -> None:
    """No page has a style or a script of its own."""
    assert [] == [(n, p.inline) for n, p in pages.items() if p.inline]


def test_no_page_loads_from_elsewhere(pages: dict[str, Reader]) -> None:
    """Scripts, styles and pictures come from the site itself."""
    assert [] == [
        (name, load)
        for name, page in pages.items()
        for load in page.loads
        if urlsplit(load).netloc
    ]


def test_a_recipe_on_real_parts_says_so(book: Book, site: Path) -> None:
    """What can run on real parts has a line for that, and nothing else."""
    for recipe in book.recipes.values():
        text = (site / "recipes" / recipe.slug / "index.html").read_text()
        assert bool(recipe.services) == (">all, on " in text), recipe.slug


def test_a_recipe_is_light(
    book: Book, site: Path, pages: dict[str, Reader]
) -> None:
    """A recipe's page and all that it needs stay under 60 KB."""
    fonts = sum(zipped(file) for file in site.glob("assets/*.woff2"))
    weights = {}
    for slug in book.recipes:
        folder = site / "recipes" / slug
        loads = {folder / name for name in pages[f"recipes/{slug}/"].loads}
        needed = [f for f in loads if f.suffix in (".css", ".js", ".svg")]
        page = zipped(folder / "index.html")
        weights[slug] = fonts + page + sum(map(zipped, needed))
    assert min(weights.values()) > MOST / 2, "nothing was found to weigh"
    assert {} == {slug: n for slug, n in weights.items() if n > MOST}


def test_what_is_copied_is_the_file(book: Book, site: Path) -> None:
    """The files that are copied are byte for byte those of the book."""
    for recipe in book.recipes.values():
        for name in book.frameworks:
            for file in recipe.files(name):
                inner = file.relative_to(recipe.folder)
                copied = site / "recipes" / recipe.slug / inner
                assert file.read_bytes() == copied.read_bytes()


def test_programs_have_their_forms(book: Book, site: Path) -> None:
    """A recipe is there as Markdown and JSON, the site as a map."""
    for recipe in book.recipes.values():
        folder = site / "recipes" / recipe.slug
        data = json.loads((folder / "index.json").read_text("utf-8"))
        rules = [rule["id"] for rule in data["comparison"]["rules"]]
        assert [rule.id for rule in recipe.rules] == rules
        assert recipe.title in (folder / "index.md").read_text("utf-8")
    assert f"{ORIGIN}recipes/cors/" in (site / "sitemap.xml").read_text()
    assert "recipes/cors/index.md" in (site / "llms.txt").read_text()


@pytest.mark.parametrize(
    ("page", "target", "expected"),
    [
        ("", "recipes/crud/", "recipes/crud/"),
        ("recipes/crud/", "", "../../"),
        ("recipes/crud/", "recipes/crud/#links", "./#links"),
        ("recipes/crud/", "assets/site.css", "../../assets/site.css"),
        ("words/", "equivalents/?w=a#b", "../equivalents/?w=a#b"),
    ],
)
def test_an_address_is_relative(page: str, target: str, expected: str) -> None:
    """An address is written as it is from the page."""
    assert expected == relative(page, target)


def test_what_a_book_says_is_no_markup(
    write_book: Callable[..., Book], tmp_path: Path
) -> None:
    """Markup in a file of the book is shown as text."""
    nasty = "<img src=x onerror=alert(1)>"
    greet = write_book().root / "recipes/first/greet/recipe.toml"
    text = greet.read_text()
    book = write_book(
        {
            "recipes/first/greet/recipe.toml": text.replace(
                "Say hello to whoever comes.", nasty
            ).replace("A greeting is one line.", nasty),
            "recipes/first/greet/README.md": f"# A\n\n## Principle\n\n{nasty}",
        }
    )
    out = tmp_path / "out"
    Builder(out).build(book)
    for file in out.rglob("*.html"):
        reader = Reader()
        reader.feed(file.read_text())
        assert "img" not in reader.tags
    page = (out / "recipes/greet/index.html").read_text()
    assert page.count("&lt;img src=x") >= 3


def test_an_edit_changes_the_pages_of_its_recipe(
    write_book: Callable[..., Book], tmp_path: Path
) -> None:
    """A second build shows the edit, and keeps what did not change."""
    out = tmp_path / "out"
    builder = Builder(out)
    builder.build(write_book())
    untouched = out / "canon/2.1/index.html"
    before = untouched.stat().st_mtime_ns
    app = tmp_path / "recipes/first/greet/flask_app.py"
    app.write_text(app.read_text().replace('"Hello"', '"Good day"'))
    builder.build(Book(tmp_path))
    assert "Good day" in (out / "recipes/greet/index.html").read_text()
    assert "Good day" in (out / "recipes/greet/flask_app.py").read_text()
    assert before == untouched.stat().st_mtime_ns


def test_a_folder_with_other_things_is_refused(
    small_book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not made by the tool is not overwritten."""
    monkeypatch.setenv("COOKBOOK_ROOT", str(small_book.root))
    assert 2 == run(["site", "--out", str(tmp_path)])
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("verdict", "rule", "is_changed", "expected"),
    [
        (None, "polite", False, "never"),
        ("kept", "polite", False, "passed"),
        ("kept", "prompt", False, "declared"),
        ("broken", "polite", False, "failed"),
        ("kept", "polite", True, "stale"),
        ("broken", "polite", True, "stale"),
        ("not checked", "polite", False, "never"),
    ],
)
def test_the_state_of_a_cell(
    write_book: Callable[..., Book],
    verdict: str | None,
    rule: str,
    is_changed: bool,
    expected: str,
) -> None:
    """A cell shows what the newest result says, while it still holds."""
    book = write_book({"pyproject.toml": ""})
    found = hashes(book, "greet", "litestar", rule)
    if is_changed:
        found["implementation"] = "other"
    row = {
        "recipe": "greet",
        "rule": rule,
        "framework": "litestar",
        "verdict": verdict,
        "tests": {"test_it": "passed"},
        "seconds": 0.1,
        "date": "2026-11-22T10:00:00+00:00",
        "versions": {"python": "3.13.0"},
        "hashes": found,
    }
    results_file(book).parent.mkdir(exist_ok=True)
    if verdict:
        results_file(book).write_text(json.dumps(row))
    proofs, recipe = Proofs(book), book.recipe("greet")
    proof = proofs.of(recipe, rule, book.framework("litestar"))
    assert expected == proof.state
    missing = proofs.of(recipe, rule, book.framework("django"))
    assert "missing" == missing.state


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A server of a folder with two files."""
    (tmp_path / "index.html").write_text("home")
    (tmp_path / "404.html").write_text("lost")
    with exploring(Builder(tmp_path)) as url:
        yield "127.0.0.1", urlsplit(url).port or 0


def ask(
    address: tuple[str, int], path: str, **headers: str
) -> tuple[int, str, http.client.HTTPMessage]:
    """Send a request to the server."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def test_the_server_says_what_a_page_may_load(
    address: tuple[str, int],
) -> None:
    """Each answer has the policy in its header."""
    for path in ("/", "/no/such"):
        _, _, headers = ask(address, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy


def test_an_unknown_address_gets_the_page_for_it(
    address: tuple[str, int],
) -> None:
    """What is not there is answered with 404 and a page that helps."""
    status, body, _ = ask(address, "/no/such/page")
    assert (404, "lost") == (status, body)


def test_another_name_of_the_host_is_refused(
    address: tuple[str, int],
) -> None:
    """A page elsewhere cannot read the server by a name of its own."""
    status, body, _ = ask(address, "/", Host="evil.example")
    assert 421 == status
    assert "home" not in body


def test_serving_ends_clean(
    write_book: Callable[..., Book], tmp_path: Path
) -> None:
    """The explorer is renewed on an edit, and leaves nothing behind."""
    book = write_book()
    (tmp_path / "left").mkdir()
    command = [sys.executable, "-m", "cookbook", "serve", "--no-open"]
    running = subprocess.Popen(
        [*command, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "COOKBOOK_ROOT": str(book.root),
            "TMPDIR": str(tmp_path / "left"),
        },
    )
    assert running.stdout is not None
    url = running.stdout.readline().split()[-1]
    page = f"{url}recipes/greet/"
    assert "Say hello" in httpx2.get(page).text
    file = book.root / "recipes/first/greet/recipe.toml"
    file.write_text(file.read_text().replace("Say hello", "Shout"))
    assert "Built again" in running.stdout.readline()
    assert "Shout" in httpx2.get(page).text
    running.terminate()
    assert 0 == running.wait(30)
    assert [] == list((tmp_path / "left").iterdir())
