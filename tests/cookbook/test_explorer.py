"""The explorer in a real browser: the system's Chromium, by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cookbook.book import Book
from cookbook.site.building import Builder
from tests.cookbook.conftest import ROOT, exploring

playwright = pytest.importorskip(
    "playwright.sync_api", reason="not checked: Playwright is not here"
)
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KINDS = {
    "home": "",
    "recipe": "recipes/cors/?f=flask,fastapi",
    "five": "recipes/cors/?f=flask,django,fastapi,litestar,aiohttp",
    "files": "recipes/cors/files/",
    "diff": "recipes/cors/diff/flask-fastapi/",
    "pitfalls": "recipes/cors/pitfalls/",
    "missing": "recipes/rate_limiting/",
    "recipes": "recipes/",
    "canon": "canon/",
    "topic": "canon/1.6/",
    "framework": "frameworks/django/",
    "frameworks": "frameworks/",
    "pair": "compare/flask-vs-fastapi/",
    "pairs": "compare/",
    "equivalents": "equivalents/",
    "symptoms": "symptoms/",
    "words": "words/",
    "proof": "proof/",
    "source": "source/shared/origins.py/",
    "try": "recipes/cors/try/?example=begin",
    "lost": "no/such/page",
}
"""A page of each kind."""

WANTED = ("404 (Not Found)", "400 (Bad Request)", "ERR_FAILED")
"""What a browser logs when tests ask for what must fail."""

type Open = Callable[..., Any]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole explorer, served on loopback."""
    builder = Builder(tmp_path_factory.mktemp("explorer"), serves=True)
    builder.build(Book(ROOT))
    with exploring(builder) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser of this machine."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not on this machine.")
        pytest.skip("not checked: Chromium is not on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, origin: str) -> Iterator[Open]:
    """Open a page of the real book as a reader would."""
    with reading(chromium, origin) as visit:
        yield visit


@pytest.fixture
def visit_tried(
    chromium: Any, tried_book: Book, tmp_path: Path
) -> Iterator[Open]:
    """Open a page of a small book that can be tried."""
    builder = Builder(tmp_path / "explorer", serves=True)
    builder.write(tried_book)
    with exploring(builder) as url, reading(chromium, url) as visit:
        yield visit


@contextmanager
def reading(chromium: Any, origin: str) -> Iterator[Open]:
    """Open pages; no error may be left behind, and nothing comes from afar."""
    contexts = []
    errors: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error":
            errors.append(message.text)

    def visit(path: str = "", **options: Any) -> Any:
        context = chromium.new_context(
            viewport=options.pop("viewport", {"width": 1440, "height": 900}),
            permissions=["clipboard-read", "clipboard-write"],
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(origin)
                else errors.append(request.url)
            ),
        )
        page.goto(origin + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [] == [e for e in errors if not any(w in e for w in WANTED)]


def titles(page: Any) -> list[str]:
    """List the frameworks whose panes are seen."""
    heads = page.locator(".heads .head:visible h2")
    return list(heads.all_inner_texts())


def clipboard(page: Any) -> str:
    """Read what was copied."""
    return str(page.evaluate("navigator.clipboard.readText()"))


def search(page: Any, words: str) -> Any:
    """Search, and give the list of what was found."""
    page.keyboard.press("/")
    page.keyboard.type(words)
    found = page.locator(".found:visible")
    found.locator("[role=option], .none").first.wait_for()
    return found


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("keyset pagination", "/recipes/pagination/"),
        ("page two repeats rows", "/recipes/pagination/"),
        ("opaque-cursor", "/recipes/pagination/#rule-opaque-cursor"),
        ("before_request", "/equivalents/"),
        ("429", "/recipes/rate_limiting/"),
        ("rate limiting", "/recipes/rate_limiting/"),
        ("status code strategy", "/canon/1.7/"),
    ],
)
def test_search_finds(visit: Open, words: str, address: str) -> None:
    """A task, a symptom, a rule, a framework's word or a topic is found."""
    page = visit("proof/")
    found = search(page, words)
    wanted = found.locator(f'[role=option][href^="{address}"]')
    wanted.first.wait_for()


def test_arrows_move_through_what_was_found(visit: Open) -> None:
    """Arrows choose a result, and Enter opens it."""
    page = visit()
    found = search(page, "cursor")
    options = found.locator("[role=option]")
    playwright.expect(options.nth(0)).to_have_attribute(
        "aria-selected", "true"
    )
    page.keyboard.press("ArrowDown")
    playwright.expect(options.nth(1)).to_have_attribute(
        "aria-selected", "true"
    )
    address = options.nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")


@pytest.mark.parametrize(
    "words", ["<img src=x onerror=alert(1)>", "'\"><script>alert(1)</script>"]
)
def test_hostile_words_are_text(visit: Open, words: str) -> None:
    """What is searched for is never taken as markup."""
    page = visit("words/?q=" + words.replace("<", "%3C"))
    page.locator(".found:visible").wait_for()
    assert 0 == page.locator(".found img, .found script").count()
    assert words == page.locator(".top input").input_value()


def test_nothing_found_helps(visit: Open) -> None:
    """Words that nothing has get near ones, and the doors."""
    page = visit()
    found = search(page, "paginashun")
    playwright.expect(found).to_contain_text("Nothing found for “paginashun”")
    assert found.get_by_text("every recipe").is_visible()


def test_frameworks_are_chosen(visit: Open) -> None:
    """Choosing shows panes, changes the address, and is remembered."""
    page = visit("recipes/cors/?f=flask,fastapi")
    assert ["Flask", "FastAPI"] == titles(page)
    page.get_by_text("Litestar", exact=True).first.click()
    page.locator("label[for=f-litestar]").click()
    page.locator("label[for=f-flask]").click()
    page.wait_for_url("**/?f=fastapi,litestar")
    assert ["FastAPI", "Litestar"] == titles(page)
    page.goto(page.url.partition("recipes/")[0] + "recipes/crud/")
    assert ["FastAPI", "Litestar"] == titles(page)
    page.go_back()
    page.wait_for_url("**/recipes/cors/?f=fastapi,litestar")
    assert ["FastAPI", "Litestar"] == titles(page)
    page.go_forward()
    page.wait_for_url("**/recipes/crud/")
    assert ["FastAPI", "Litestar"] == titles(page)


def test_the_last_framework_stays(visit: Open) -> None:
    """The only framework that is shown cannot be taken away."""
    page = visit("recipes/cors/?f=django")
    page.locator("label[for=f-django]").click()
    assert ["Django"] == titles(page)


def test_an_unknown_framework_is_said(visit: Open) -> None:
    """A framework that is not there is passed over, with a sentence."""
    page = visit("recipes/cors/?f=rails<b>,django")
    note = page.locator(".unknown")
    playwright.expect(note).to_contain_text("“rails<b>”")
    assert 0 == note.locator("b").count()
    assert ["Django"] == titles(page)


def test_views_keep_the_frameworks(visit: Open) -> None:
    """Whole files and the diff show what was chosen by rule."""
    page = visit("recipes/cors/?f=django,aiohttp")
    page.get_by_role("link", name="Whole files").click()
    page.wait_for_url("**/files/?f=django,aiohttp")
    assert ["Django", "aiohttp"] == titles(page)
    page.get_by_role("link", name="Diff").click()
    page.wait_for_url("**/diff/django-aiohttp/")
    assert page.locator(".d2.no mark").count() > 20


def test_copying_gives_the_file(visit: Open) -> None:
    """What the button copies is the file, and `c` does the same."""
    source = (ROOT / "recipes/networking/cors/fastapi_app.py").read_text()
    page = visit("recipes/cors/?f=fastapi")
    page.get_by_role("button", name="Copy file").locator(
        "visible=true"
    ).click()
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert source == clipboard(page)
    page.evaluate("navigator.clipboard.writeText('')")
    page.reload()
    page.keyboard.press("c")
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert source == clipboard(page)


def test_a_line_has_a_link(visit: Open) -> None:
    """The gutter copies the link of its line, and the link shows it."""
    page = visit("recipes/cors/files/?f=flask")
    line = page.locator("#flask-30")
    line.click(position={"x": 8, "y": 8})
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert clipboard(page).endswith("#flask-30")
    page.goto(clipboard(page))
    playwright.expect(line).to_be_in_viewport()


def test_a_pitfall_unfolds_where_it_is_linked(visit: Open) -> None:
    """A link to a pitfall opens its story and its diff in the row."""
    page = visit("recipes/cors/?f=flask#whoever-asks")
    row = page.locator("#whoever-asks")
    row.locator(".ins").first.wait_for()
    playwright.expect(row).to_be_in_viewport()
    row.locator("a").first.click()
    playwright.expect(row.locator(".story")).to_be_hidden()


def test_a_link_to_a_rule_shows_it(visit: Open) -> None:
    """A link to a rule leads to its row."""
    page = visit("recipes/cors/#errors-too")
    playwright.expect(page.locator("#errors-too h3")).to_be_in_viewport()


def test_everything_unfolds(visit: Open) -> None:
    """One button shows every function around the marked lines."""
    page = visit("recipes/cors/?f=flask")
    fold = page.locator(".pane:visible details.f li").first
    assert not fold.is_visible()
    page.get_by_role("button", name="Unfold all").click()
    assert fold.is_visible()


def test_the_keyboard_is_enough(visit: Open) -> None:
    """Keys choose frameworks, help, and close what they opened."""
    page = visit("recipes/cors/?f=flask")
    page.keyboard.press("4")
    page.wait_for_url("**/?f=flask,litestar")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.keyboard.press("l")
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert clipboard(page).endswith("?f=flask,litestar")


def test_it_is_read_without_javascript(visit: Open) -> None:
    """Choosing, folds, diffs and search's form work without code."""
    page = visit("recipes/cors/", java_script_enabled=False)
    assert ["Flask", "FastAPI"] == titles(page)
    page.locator("label[for=f-django]").click()
    assert ["Flask", "Django", "FastAPI"] == titles(page)
    fold = page.locator(".pane:visible details.f").first
    fold.locator("summary").click()
    assert fold.locator("li").first.is_visible()
    assert 0 == page.locator("button:visible").count()
    page.locator(".pit a").first.click()
    page.wait_for_url("**/pitfalls/#*")
    assert page.locator(".ins:visible").count() > 0
    page.locator(".top input").fill("429")
    page.keyboard.press("Enter")
    page.wait_for_url("**/words/?q=429")
    assert page.get_by_text("429").first.is_visible()


def test_a_phone_shows_one_framework(visit: Open) -> None:
    """Tabs choose the one column, and nothing scrolls sideways."""
    phone = {"width": 390, "height": 844}
    page = visit("recipes/cors/?f=fastapi,django", viewport=phone)
    panes = page.locator(".rule").first.locator(".pane:visible")
    assert 1 == panes.count()
    page.locator("label[for=t-aiohttp]").click()
    assert "p-aiohttp" in (panes.get_attribute("class") or "")
    page.get_by_role("button", name="Menu").click()
    assert page.get_by_role("link", name="Equivalents").is_visible()


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_scrolls_sideways_on_a_phone(visit: Open, kind: str) -> None:
    """Every page fits 390 pixels."""
    page = visit(KINDS[kind], viewport={"width": 390, "height": 844})
    wide = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(wide)


def test_dark_is_chosen_and_kept(visit: Open) -> None:
    """The system's theme is the first; the button's choice is kept."""
    colour = "getComputedStyle(document.body).backgroundColor"
    page = visit(color_scheme="dark")
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(colour)
    assert dark != light
    page.reload()
    assert light == page.evaluate(colour)


def test_paper_shows_what_is_folded(visit: Open) -> None:
    """Folds are open while the page is printed."""
    page = visit("recipes/cors/?f=flask")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert 0 == page.locator("details:not([open])").count()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(visit: Open, kind: str, theme: str) -> None:
    """No page kind has a violation of the rules for access."""
    page = visit(KINDS[kind], color_scheme=theme, reduced_motion="reduce")
    # The themes have the same markup: they differ in colours alone.
    if kind == "words":
        # Thousands of lines that are one: some of them are enough.
        page.evaluate(
            "document.querySelectorAll('.letters section:nth-child(n+4)')"
            ".forEach((section) => section.remove())"
        )
    only = {"runOnly": ["color-contrast"]} if theme == "dark" else None
    found = axe.Axe().run(page, options=only)
    assert 0 == found.violations_count, found.generate_report()


def test_a_recipe_is_tried(visit_tried: Open) -> None:
    """From the recipe's page to five answers, one of which never comes."""
    page = visit_tried("recipes/greet/?f=flask,django,litestar")
    page.click("text=Try it >> nth=0")
    assert "No server runs" == page.inner_text(".running")
    page.click("button[value=hello]")
    page.wait_for_selector("#answers .names")
    assert "2 servers run" == page.inner_text(".running")
    assert "did not start: prepare() failed" in page.inner_text(".broke")
    assert "No <b>, no hello" in page.inner_text(".log")
    assert 0 == page.locator("#answers b").count()
    assert 1 == page.locator("p.p-django.other:has-text('Good day')").count()
    assert 1 == page.locator(".p-django .other:has-text('Good day')").count()
    assert "hello" == page.evaluate("document.activeElement.value")
    page.click("text=Stop and forget")
    page.wait_for_selector("text=No server runs")


def test_a_request_of_ones_own_is_sent(visit_tried: Open) -> None:
    """By the keyboard, to those that are chosen; what is wrong is said."""
    page = visit_tried("recipes/greet/try/?f=flask")
    path = page.locator("[name=path]")
    path.fill("/echo?<b>")
    page.fill("[name=headers]", "X-One: 1")
    page.fill("[name=body]", "all\nof it")
    path.press("Enter")
    page.wait_for_selector("#answers .names")
    assert ["Flask"] == page.locator(".names h2").all_inner_texts()
    assert "/echo?<b> all\nof it" == page.inner_text(".got").strip()
    path = page.locator("[name=path]")
    assert "/echo?<b>" == path.input_value()
    path.fill("no path")
    with page.expect_response(lambda answer: answer.status == 400):
        path.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert "must begin with a slash" in page.inner_text("[role=alert]")
    assert "all\nof it" == page.input_value("[name=body]")


def test_it_is_tried_without_javascript(visit_tried: Open) -> None:
    """The form and the answers are a page like any other."""
    page = visit_tried("recipes/greet/try/", java_script_enabled=False)
    page.click("button[value=again]")
    assert "2 servers run" == page.inner_text(".running")
    assert 2 == page.locator(".got:has-text('/echo?1')").count()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_answers(visit_tried: Open, theme: str) -> None:
    """Answers, marks, logs and the form have no violation."""
    page = visit_tried("recipes/greet/try/", color_scheme=theme)
    page.click("button[value=hello]")
    page.wait_for_selector("#answers .names")
    found = axe.Axe().run(page)
    assert 0 == found.violations_count, found.generate_report()


def test_an_explorer_that_is_gone_is_said(visit_tried: Open) -> None:
    """A reader learns that nobody answers, and can send again."""
    page = visit_tried("recipes/greet/try/?f=flask")
    page.route("**/try/", lambda route: route.abort(), times=1)
    with page.expect_event("requestfailed"):
        page.click("text=Send")
    page.wait_for_selector("text=Does it still run?")
    page.click("text=Send")
    page.wait_for_selector("#answers .names")
