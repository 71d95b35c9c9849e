from collections.abc import Callable
from pathlib import Path

import pytest

from cookbook.book import (
    Book,
    BookError,
    Difference,
    Example,
    Knob,
    NotWritten,
    Rule,
    Source,
    UnknownName,
    find_root,
)
from cookbook.parts import parts
from tests.cookbook.conftest import FLASK

type Writer = Callable[..., Book]


def test_recipe(small_book: Book) -> None:
    """A recipe has what its file says."""
    recipe = small_book.recipe("greet")
    assert ("greet", "first", "Greeting", "five", "http") == (
        recipe.slug,
        recipe.shelf,
        recipe.title,
        recipe.kind,
        recipe.server,
    )
    assert ("nobody answers", "hello is said twice") == recipe.symptoms
    assert (Source("On greeting", "https://greet.example/"),) == recipe.sources


def test_rules(small_book: Book) -> None:
    """A rule knows what keeps it, code where nothing else is said."""
    recipe = small_book.recipe("greet")
    kept_by = {"flask": "shared", "litestar": "shared"}
    brief = Rule("brief", "A greeting is one line.", kept_by=kept_by)
    assert brief == recipe.rule("brief")
    assert ["code", "shared", "server"] == [
        rule.keeper("flask") for rule in recipe.rules
    ]


def test_other_parts(small_book: Book) -> None:
    """Differences, knobs and examples are read."""
    recipe = small_book.recipe("greet")
    late = Difference(
        "late",
        "prompt",
        ("litestar",),
        "It takes its time.",
        "It stretches first.",
        "https://litestar.example/1",
    )
    assert (late,) == recipe.differences
    knob = Knob("GREETING", "text", "What is said.", default="Hello")
    assert knob == recipe.knobs[0]
    assert (Example("hello", "polite", "GET", "/hello", 200),) == (
        recipe.examples
    )


def test_places(small_book: Book) -> None:
    """A recipe knows where its parts lie, and which are missing."""
    recipe, root = small_book.recipe("greet"), small_book.root
    assert root == recipe.root
    assert recipe.folder / "flask_app.py" == recipe.implementation("flask")
    assert (recipe.folder / "flask_app.py",) == recipe.files("flask")
    assert "recipes.first.greet.flask_app" == recipe.module("flask")
    assert (None, ()) == (
        recipe.implementation("django"),
        recipe.files("django"),
    )
    assert root / "tests/contracts/first/test_greet.py" == recipe.contract
    assert recipe.folder / "pitfalls.toml" == recipe.pitfalls


def test_implementation_in_a_folder(write_book: Writer) -> None:
    """An implementation may be a folder of files."""
    folder = "recipes/first/greet/django_app"
    book = write_book(
        {f"{folder}/__init__.py": "", f"{folder}/inner/views.py": ""}
    )
    recipe = book.recipe("greet")
    assert book.root / folder == recipe.implementation("django")
    assert ["__init__.py", "views.py"] == [
        file.name for file in recipe.files("django")
    ]


def test_framework(small_book: Book) -> None:
    """A framework has its stack and its servers."""
    flask = small_book.framework("flask")
    assert ("Flask", ("flask>=3",), ("werkzeug",)) == (
        flask.title,
        flask.packages,
        flask.companions,
    )
    serve = flask.serve["http"]
    assert ("--bind fd://{fd}", True) == (serve.fd, serve.workers)


def test_frameworks_in_order(write_book: Writer) -> None:
    """Frameworks come in the order of the house, others after them."""
    text = 'title = "T"\npackages = []\ndocs = "d"\n'
    book = write_book({"frameworks/bottle/framework.toml": text})
    expected = ["flask", "django", "litestar", "bottle"]
    assert expected == list(book.frameworks)


def test_server_command(small_book: Book) -> None:
    """A server's command line is filled in, word by word."""
    serve = small_book.framework("flask").serve["http"]
    words = serve.words("a.b", port=81, workers=2, options=["--reload"])
    expected = "gunicorn --workers 2 --bind 127.0.0.1:81 a.b:create_app()"
    assert [*expected.split(), "--reload"] == words


def test_parts_are_hashable(small_book: Book) -> None:
    """Recipes and frameworks may be keys."""
    parts_of_book = {small_book.recipe("greet"), small_book.framework("flask")}
    assert 2 == len(parts_of_book)


def test_planned_and_gaps(small_book: Book) -> None:
    """What is planned and not written is a gap."""
    assert ["greet", "bow", "leave"] == list(small_book.planned)
    assert ["bow", "leave"] == list(small_book.gaps)
    assert ["greet"] == list(small_book.recipes)
    leave = small_book.planned["leave"]
    assert ("second", ("2.1",), "a door", "five") == (
        leave.shelf,
        leave.canon,
        leave.needs,
        leave.kind,
    )


def test_recipes_in_reading_order(write_book: Writer) -> None:
    """Recipes come in the order of the catalogue, others after them."""
    text = 'title = "T"\nsentence = "S"\ncanon = []\n'
    book = write_book(
        {
            "recipes/first/bow/recipe.toml": text,
            "recipes/first/another/recipe.toml": text,
        }
    )
    assert ["greet", "bow", "another"] == list(book.recipes)


def test_shelves_and_topics(small_book: Book) -> None:
    """Shelves and topics are those of the catalogue."""
    shelves = [(s.name, s.chapter) for s in small_book.shelves.values()]
    assert [("first", 1), ("second", 2)] == shelves
    assert "Farewells" == small_book.topics["2.1"].title


def test_names_are_forgiving(small_book: Book) -> None:
    """Names are found in other spellings, recipes by their shelf too."""
    greet, flask = small_book.recipe("greet"), small_book.framework("flask")
    assert [greet] * 2 == [
        small_book.recipe("Greet"),
        small_book.recipe("first/greet/"),
    ]
    assert flask is small_book.framework("Flask")
    assert greet.rules[0] is greet.rule("Polite")


def test_unknown_recipe(small_book: Book) -> None:
    """A wrong name tells the nearest right ones."""
    with pytest.raises(UnknownName) as caught:
        small_book.recipe("gret")
    assert ("greet",) == caught.value.nearest
    expected = 'There is no recipe "gret". Did you mean greet?'
    assert expected == str(caught.value)


def test_unknown_framework(small_book: Book) -> None:
    """Where nothing is near, all names are told when they are few."""
    with pytest.raises(UnknownName) as caught:
        small_book.framework("xyz")
    expected = (
        'There is no framework "xyz". There is flask, django and litestar.'
    )
    assert expected == str(caught.value)


def test_unknown_rule(small_book: Book) -> None:
    """A wrong rule tells the nearest right ones of its recipe."""
    with pytest.raises(UnknownName, match="Did you mean polite"):
        small_book.recipe("greet").rule("polit")


def test_recipe_that_is_not_written(small_book: Book) -> None:
    """A planned recipe is told from an unknown one."""
    with pytest.raises(NotWritten) as caught:
        small_book.recipe("bow")
    assert small_book.planned["bow"] == caught.value.planned


WRONG_RECIPES = {
    "not TOML": ("title =", ["Not TOML: Invalid value (at end of document)."]),
    "missing": (
        'canon = ["1.1"]',
        ['"title" is missing.', '"sentence" is missing.'],
    ),
    "unknown": (
        'title = "T"\nsentence = "S"\nsentense = "S"\nzzz = 1',
        [
            'unknown key "sentense". Did you mean sentence?',
            'unknown key "zzz".',
        ],
    ),
    "unknown inside": (
        'title = "T"\nsentence = "S"\n'
        '[[rules]]\nid = "a"\ntext = "A."\nwhy = "w"\n',
        ['rules a: unknown key "why".'],
    ),
    "kinds": (
        'title = 1\nsentence = ""\nnames = [1]\nrules = 2\n'
        'knobs = [1]\nexamples = [{ id = "e" }]\n',
        [
            '"title" must be a text.',
            '"sentence" is empty.',
            '"names" must be a list, each a text.',
            '"rules" must be a list.',
            "knobs 1 must be a table.",
            'examples e: "rule" is missing.',
            'examples e: "method" is missing.',
            'examples e: "path" is missing.',
            'examples e: "status" is missing.',
        ],
    ),
    "ids": (
        'title = "T"\nsentence = "S"\nrules = [{ id = "A b", text = "A." }]\n',
        ['rules A b: the id "A b" must be like-this.'],
    ),
    "twice": (
        'title = "T"\nsentence = "S"\n'
        'rules = [{ id = "a", text = "A." }, { id = "a", text = "A." }]\n',
        ['rules: "a" is there twice.'],
    ),
    "kept by": (
        'title = "T"\nsentence = "S"\n'
        'rules = [{ id = "a", text = "A.", kept_by = { flask = "me" } }]\n',
        [
            'rules a: kept_by.flask is "me"; '
            "it must be code, shared, framework or server."
        ],
    ),
    "rules of others": (
        'title = "T"\nsentence = "S"\nkind = "twice"\n'
        "[[examples]]\n"
        'id = "e"\nrule = "b"\nmethod = "GET"\npath = "/"\nstatus = 200\n',
        [
            'kind is "twice"; it must be five or once.',
            'examples e: there is no rule "b".',
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG_RECIPES)
def test_wrong_recipe(write_book: Writer, name: str) -> None:
    """All that is wrong in a recipe is said, with its file."""
    text, expected = WRONG_RECIPES[name]
    path = "recipes/first/greet/recipe.toml"
    book = write_book({path: text})
    with pytest.raises(BookError) as caught:
        book.recipe("greet")
    assert book.root / path == caught.value.file
    assert expected == list(caught.value.problems)


def test_wrong_framework(write_book: Writer) -> None:
    """All that is wrong in a framework is said."""
    book = write_book(
        {"frameworks/flask/framework.toml": "[serve.http]\nworkers = 2\n"}
    )
    with pytest.raises(BookError) as caught:
        book.framework("flask")
    expected = (
        '"title" is missing.',
        '"docs" is missing.',
        'serve, http: "command" is missing.',
        'serve, http: "workers" must be true or false.',
    )
    assert expected == caught.value.problems


def test_wrong_catalogue(write_book: Writer) -> None:
    """A catalogue names its own shelves and topics, each slug once."""
    text = (
        '[shelves]\na = { chapter = 1, title = "A" }\n'
        '[recipes.a]\nx = { canon = ["1.1"], idea = "i" }\n'
        '[recipes.b]\nx = { canon = [], idea = "i" }\n'
    )
    book = write_book({"recipes/canon.toml": text})
    with pytest.raises(BookError) as caught:
        _ = book.planned
    expected = (
        "recipes, b, x: it is on a already.",
        'there is no shelf "b".',
    )
    assert expected == caught.value.problems


def test_slug_on_two_shelves(write_book: Writer) -> None:
    """A slug is there once in all shelves."""
    book = write_book({"recipes/second/greet/recipe.toml": ""})
    with pytest.raises(BookError, match="taken by recipes/first/greet"):
        book.recipe("greet")


def test_missing_catalogue(write_book: Writer) -> None:
    """A book without a catalogue says so, and still gives its recipes."""
    book = write_book({"recipes/canon.toml": None})
    assert "Greeting" == book.recipe("greet").title
    with pytest.raises(BookError, match="The file is missing"):
        _ = book.shelves


def test_root_as_told(
    monkeypatch: pytest.MonkeyPatch, small_book: Book
) -> None:
    """The book is where COOKBOOK_ROOT says, else in the checkout."""
    monkeypatch.setenv("COOKBOOK_ROOT", str(small_book.root))
    assert small_book.root == Book.load().root
    assert Book.load() is Book.load()
    monkeypatch.delenv("COOKBOOK_ROOT")
    assert Path(__file__).parents[2] == find_root()


def test_parts(write_book: Writer) -> None:
    """An implementation is made of what it imports, at any remove."""
    book = write_book(
        {
            "shared/lines.py": "import shared.deep.words\nimport os",
            "shared/deep/words.py": "",
            "shared/unused.py": "",
            "frameworks/flask/room.py": "from shared import lines",
            "recipes/first/greet/flask_app.py": (
                "from frameworks.flask import room\nfrom flask import Flask"
            ),
        }
    )
    found = parts(book.root, book.recipe("greet").files("flask"))
    expected = [
        "recipes/first/greet/flask_app.py",
        "frameworks/flask/room.py",
        "shared/lines.py",
        "shared/deep/words.py",
    ]
    assert expected == [str(file.relative_to(book.root)) for file in found]


def test_real_book(real_book: Book) -> None:
    """The real book can be read as a whole."""
    assert 16 == len(real_book.shelves)
    assert 129 == len(real_book.topics)
    assert "pagination" in real_book.recipes
    assert {r.shelf for r in real_book.recipes.values()} <= set(
        real_book.shelves
    )
    assert real_book.root / ".cookbook" == real_book.home


def test_every_topic_has_a_recipe(real_book: Book) -> None:
    """Every topic of the Canon has a recipe, written or planned."""
    planned = real_book.planned.values()
    served = {number for recipe in planned for number in recipe.canon}
    assert set(real_book.topics) == served


@pytest.mark.parametrize(
    ("serve", "served", "expected"),
    [
        ("", "", True),
        ("", "other", True),
        ('serve = ["http"]', "", True),
        ('serve = ["http"]', "other", False),
        ('serve = ["managed", "other"]', "other", True),
        ('serve = ["managed", "other"]', "", False),
    ],
)
def test_a_difference_may_be_a_servers(
    write_book: Writer, serve: str, served: str, *, expected: bool
) -> None:
    """It holds where that server serves, and not under another."""
    room = f"""{FLASK}
[[differences]]
id = "odd"
{serve}
instead = "It is odd."
why = "It is so."
"""
    book = write_book({"frameworks/flask/framework.toml": room})
    [difference] = book.framework("flask").differences
    assert expected == difference.holds_in(book.recipe("greet"), served)
