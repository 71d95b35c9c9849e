from collections.abc import Callable

import pytest

from cookbook.book import Book
from cookbook.generating import generate
from cookbook.terminal import Screen

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

README = "recipes/first/greet/README.md"
CONTRACT = '''
import pytest


@pytest.mark.rule("polite")
def test_the_name_is_said() -> None:
    """Whoever comes hears the own name.

    More of it.
    """


@pytest.mark.parametrize("name", ["a"])
@pytest.mark.rule("polite")
def test_names(name: str) -> None:
    """Every name is a name."""


def helper() -> None:
    """No test."""
'''
PITFALLS = '''
[[pitfalls]]
id = "name-forgotten"
rule = "polite"
title = "The name is forgotten"
story = """It was in a hurry."""
source = "https://greet.example/hurry"
also_breaks = ["brief"]
[pitfalls.absent]
django = "Nobody wrote it."
[[pitfalls.edits]]
framework = "litestar"
file = "recipes/first/greet/litestar_app.py"
find = '["Hello", name]'
replace = '["Hello"]'
[[pitfalls.edits]]
framework = "shared"
file = "shared/lines.py"
find = '" ".join(words)'
replace = '"Hello"'
'''
BY_HAND = """\
# Greeting

By hand.

<!-- generated: run -->
old
<!-- end -->

Between them, <!-- generated: rules --> is only mentioned.

<!-- generated: rules -->
<!-- end -->

## Principle

The end.
"""


def read(book: Book, name: str = README) -> str:
    """Read a file of a book."""
    return (book.root / name).read_text("utf-8")


def section(book: Book, name: str, file: str = README) -> list[str]:
    """Read the lines of a section, without the empty ones."""
    begin = f"<!-- generated: {name} -->\n"
    text = read(book, file).partition(begin)[2]
    lines = text.partition("<!-- end -->")[0].splitlines()
    return [line for line in lines if line]


@pytest.fixture
def whole_book(write_book: Writer) -> Book:
    """The small book with a contract and a pitfall."""
    return write_book(
        {
            "tests/contracts/first/test_greet.py": CONTRACT,
            "recipes/first/greet/pitfalls.toml": PITFALLS,
        }
    )


def test_a_new_readme(ask: Ask, small_book: Book) -> None:
    """A README that is missing begins with title and sentence."""
    code, answer, _ = ask(small_book, "generate")
    assert (0, f"{README} was brought up to date.\n") == (code, answer)
    lines = read(small_book).splitlines()
    expected = ["# Greeting", "", "Say hello to whoever comes.", ""]
    assert expected == lines[:4]
    found = [line for line in lines if line.startswith("<!-- generated")]
    names = ("rules", "pitfalls", "differences", "examples", "run")
    assert [f"<!-- generated: {name} -->" for name in names] == found


def test_twice_is_once(ask: Ask, small_book: Book) -> None:
    """What is up to date is not written again."""
    ask(small_book, "generate")
    before = read(small_book)
    expected = (0, "All is up to date.\n", "")
    assert expected == ask(small_book, "generate")
    assert expected == ask(small_book, "generate", "greet", "--check")
    assert before == read(small_book)


def test_what_is_written_by_hand_stays(ask: Ask, write_book: Writer) -> None:
    """Only what stands between the comments is written anew."""
    book = write_book({README: BY_HAND})
    ask(book, "generate", "greet")
    text = read(book)
    head, _, rest = text.partition("<!-- generated: run -->\n\n## Run it\n")
    assert "# Greeting\n\nBy hand.\n\n" == head
    between = "Between them, <!-- generated: rules --> is only mentioned."
    assert f"<!-- end -->\n\n{between}\n\n<!-- gen" in rest
    assert "<!-- end -->\n\n## Principle\n\nThe end.\n\n<!-- gen" in rest
    assert "\nold\n" not in text
    assert text.index("## Rules") < text.index("## Principle")
    assert text.index("The end.") < text.index("## Pitfalls")


def test_check_changes_nothing(ask: Ask, write_book: Writer) -> None:
    """With --check what is out of date is named, and left alone."""
    book = write_book({README: BY_HAND})
    expected = (
        f"{README} is not up to date.\nMend it by: cookbook generate greet\n"
    )
    assert (1, expected, "") == ask(book, "generate", "greet", "--check")
    assert read(book) == BY_HAND


def test_a_change_is_noticed(
    ask: Ask, small_book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever changes a rule has to generate again."""
    ask(small_book, "generate")
    recipe = small_book.root / "recipes/first/greet/recipe.toml"
    recipe.write_text(recipe.read_text().replace("one line", "a line"))
    changed = Book(small_book.root)
    assert 1 == generate(changed, Screen(), None, check=True)
    expected = f"{README} is not up to date.\nMend it by: cookbook generate\n"
    assert expected == capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- generated: rules -->\n", "line 1: the section is not closed."),
        ("<!-- end -->\n", "line 1: a section is not closed, or not begun."),
        (
            "<!-- generated: rules -->\n<!-- generated: run -->\n",
            "line 2: a section is not closed, or not begun.",
        ),
        (
            "# A\n<!-- generated: rulez -->\n<!-- end -->\n",
            'line 2: no section is called "rulez".',
        ),
        (
            "<!-- generated: run -->\n<!-- end -->\n" * 2,
            'line 3: "run" is there twice.',
        ),
    ],
)
def test_comments_that_do_not_fit(
    ask: Ask, write_book: Writer, text: str, expected: str
) -> None:
    """A section that is not closed, or not known, is said by its line."""
    book = write_book({README: text})
    error = f"{book.root / README}: {expected}\n"
    assert (1, "", error) == ask(book, "generate")
    assert text == read(book)


def test_rules(ask: Ask, whole_book: Book) -> None:
    """A rule has its sentence, who keeps it, and what its tests say."""
    ask(whole_book, "generate")
    lines = section(whole_book, "rules")
    assert "[`tests/contracts/first/test_greet.py`](../../../" in lines[1]
    assert [
        "### `polite`",
        "A greeting has a name in it.",
        "Kept in [`flask_app.py`](flask_app.py) and "
        "[`litestar_app.py`](litestar_app.py).",
        "- Whoever comes hears the own name.",
        "- Every name is a name.",
        "### `brief`",
        "A greeting is one line.",
        "Kept in [`shared/lines.py`](../../../shared/lines.py).",
        "No test proves it yet.",
        "### `prompt`",
        "A greeting comes at once.",
        "In Flask the server itself keeps it. "
        "In Litestar the framework itself keeps it.",
        "No test proves it yet.",
    ] == lines[2:]


def test_pitfalls(ask: Ask, whole_book: Book) -> None:
    """A pitfall has its story, what it breaks, and where it is made."""
    ask(whole_book, "generate")
    assert [
        "### The name is forgotten",
        "It was in a hurry. ([source](https://greet.example/hurry))",
        "`name-forgotten` breaks `polite`, and with it `brief`. Made in "
        "Litestar and `shared/`. Not in Django: Nobody wrote it.",
    ] == section(whole_book, "pitfalls")[2:]


def test_no_pitfalls(ask: Ask, small_book: Book) -> None:
    """Without pitfalls the section says so."""
    ask(small_book, "generate")
    assert ["## Pitfalls", "None yet."] == section(small_book, "pitfalls")


HOUSE_WIDE = """
[[differences]]
id = "deaf"
instead = "It hears nothing."
why = "It has no ears."
upstream = "https://litestar.example/2"

[[differences]]
id = "elsewhere"
rule = "no-rule-of-this-recipe"
instead = "Something."
why = "Somehow."
"""


def test_differences(ask: Ask, write_book: Writer) -> None:
    """Differences are of the recipe, or of all; or there is nothing."""
    room = "frameworks/litestar/framework.toml"
    before = (write_book().root / room).read_text()
    book = write_book({room: before + HOUSE_WIDE})
    ask(book, "generate")
    assert [
        "## Where they differ",
        "In what this recipe is about:",
        "- Litestar, `late` (of `prompt`): It takes its time. "
        "It stretches first. ([upstream](https://litestar.example/1))",
        "In what holds for every recipe:",
        "**Flask**",
        "- Nothing.",
        "**Litestar**",
        "- `deaf`: It hears nothing. It has no ears. "
        "([upstream](https://litestar.example/2))",
    ] == section(book, "differences")


EXAMPLES = """
[[examples]]
id = "introduce"
rule = "polite"
method = "POST"
path = "/names"
headers = { Content-Type = "application/json" }
body = { name = "Zoë" }
status = 201
capture = { who = "/id" }
"""


def test_examples(ask: Ask, write_book: Writer) -> None:
    """Exchanges have headers, body and status, and what they give."""
    file = "recipes/first/greet/recipe.toml"
    before = (write_book().root / file).read_text()
    book = write_book({file: before + EXAMPLES})
    ask(book, "generate")
    assert [
        "`hello` shows `polite`:",
        "```http",
        "GET /hello HTTP/1.1",
        "HTTP/1.1 200 OK",
        "```",
        "`introduce` shows `polite`; `{who}` is `/id` of its answer:",
        "```http",
        "POST /names HTTP/1.1",
        "Content-Type: application/json",
        '{"name": "Zoë"}',
        "HTTP/1.1 201 Created",
        "```",
    ] == section(book, "examples")[2:]


def test_run(ask: Ask, small_book: Book) -> None:
    """How to run it: by the tool, plainly, and with which settings."""
    ask(small_book, "generate")
    lines = section(small_book, "run")
    for expected in (
        "cookbook run greet --in flask --port 8000",
        "cookbook verify greet",
        "  'recipes.first.greet.flask_app:create_app()'",
        "granian --host 127.0.0.1 --port 8000 "
        "recipes.first.greet.litestar_app:app",
        "| `GREETING` | text |  | `Hello` | What is said. |",
        "| `SECRET` | secret |  | must be set | Nobody knows. |",
    ):
        assert expected in lines
    assert "**Django**" not in lines


ROOM = """\
# Flask

<!-- generated: serve -->
<!-- end -->

<!-- generated: differences -->
<!-- end -->

<!-- generated: recipes -->
<!-- end -->
"""


def test_room(ask: Ask, write_book: Writer) -> None:
    """A framework's README has the sections whose comments it has."""
    room = "frameworks/flask/README.md"
    book = write_book({room: ROOM})
    ask(book, "generate")
    assert [
        "```sh",
        "# http",
        "gunicorn --workers 1 --bind 127.0.0.1:8000 'MODULE:create_app()'",
        "```",
    ] == section(book, "serve", room)
    assert ["None."] == section(book, "differences", room)
    assert [
        "- [Greeting](../../recipes/first/greet/flask_app.py): "
        "Say hello to whoever comes."
    ] == section(book, "recipes", room)


def test_table_of_recipes(ask: Ask, write_book: Writer) -> None:
    """The book's README lists the recipes, with their gaps."""
    book = write_book(
        {"README.md": "# Book\n\n<!-- generated: recipes -->\n<!-- end -->\n"}
    )
    ask(book, "generate")
    assert [
        "| recipe | what it is for | Flask | Django | Litestar | rules |",
        "| --- | --- | --- | --- | --- | --- |",
        "| [Greeting](recipes/first/greet/README.md) "
        "| Say hello to whoever comes. "
        "| [code](recipes/first/greet/flask_app.py) |  "
        "| [code](recipes/first/greet/litestar_app.py) | 3 |",
    ] == section(book, "recipes", "README.md")


def test_readmes_without_comments_are_left_alone(
    ask: Ask, write_book: Writer
) -> None:
    """Nothing is added to the README of the book or of a framework."""
    files = {"README.md": "# Book\n", "frameworks/flask/README.md": "# F\n"}
    book = write_book(files)
    ask(book, "generate")
    assert files == {name: read(book, name) for name in files}


def test_the_real_book_is_up_to_date(ask: Ask, real_book: Book) -> None:
    """Whoever changes a recipe generates its README again."""
    expected = (0, "All is up to date.\n", "")
    assert expected == ask(real_book, "generate", "--check")
