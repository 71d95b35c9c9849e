import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cookbook.book import Book, BookError
from cookbook.equivalents import read_entries, read_equivalents
from cookbook.holding import lacks
from cookbook.translating import find

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

FILE = "frameworks/equivalents.toml"
ROOT = Path(__file__).parents[2]

TABLE = """
[[concepts]]
id = "before-greeting"
title = "Before every greeting"
group = "Hooks"
words = [
  "before_greeting",
  "interceptor",
]
recipe = "greet"

[concepts.flask]
name = "@app.before_greeting"
kind = "import"
equal = "same"
docs = "https://flask.example/hooks"
snippet = '''
from flask import Flask

app = Flask(__name__)
name = "not the name"
'''

[concepts.litestar]
name = "before_greeting="
kind = "argument"
equal = "near"
note = "Not for strangers."
docs = "https://litestar.example/hooks"
snippet = '''
app = Litestar(before_greeting=print)
'''

[concepts.django]
name = "MIDDLEWARE"
kind = "setting"
equal = "near"
note = "A layer."
docs = "https://django.example/layers"
snippet = '''
MIDDLEWARE = ["shop.greeting"]
'''

[[concepts]]
id = "farewell"
title = "A last word"
group = "Hooks"
words = [
  "goodbye",
  "the \\"last\\" word",
]

[concepts.flask]
name = "none"
kind = "pattern"
equal = "none"
note = "People wave."
docs = "https://flask.example/waves"

[concepts.litestar]
name = "LastWord"
kind = "import"
equal = "same"
docs = "https://litestar.example/words"
snippet = '''
from litestar import LastWord
'''

[concepts.django]
name = "bye()"
kind = "import"
equal = "same"
docs = "https://django.example/bye"
snippet = '''
from django import bye
'''
"""


@pytest.fixture
def book(write_book: Writer) -> Book:
    """A small book with two concepts."""
    return write_book({FILE: TABLE})


def test_reading(book: Book) -> None:
    """A concept has its words, and a cell for each framework."""
    first, second = read_equivalents(book)
    assert ("before-greeting", "Hooks", "greet") == (
        first.id,
        first.group,
        first.recipe,
    )
    assert ["flask", "django", "litestar"] == [*first.equivalents]
    found = first.equivalents["litestar"]
    assert ("argument", "near", "Not for strangers.") == (
        found.kind,
        found.equal,
        found.note,
    )
    assert (None, None) == (second.recipe, second.equivalents["flask"].snippet)


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (
            'kind = "argument"',
            'kind = "option"',
            "concepts before-greeting, litestar: kind is "
            '"option"; it must be import, setting, argument or pattern.',
        ),
        (
            'equal = "none"',
            'equal = "no"',
            'concepts farewell, flask: equal is "no"; '
            "it must be same, near or none.",
        ),
        (
            'id = "farewell"',
            'id = "before-greeting"',
            'concepts: "before-greeting" is there twice.',
        ),
        (
            'id = "farewell"',
            'id = "Farewell"',
            'concepts Farewell: the id "Farewell" must be like-this.',
        ),
        (
            'title = "A last word"',
            "",
            'concepts farewell: "title" is missing.',
        ),
        (
            "[concepts.litestar]\nname",
            "[concepts.litstar]\nname",
            'concepts before-greeting: unknown key "litstar".',
        ),
    ],
)
def test_a_wrong_file(
    write_book: Writer, right: str, wrong: str, expected: str
) -> None:
    """What is wrong is said with the name of the concept."""
    assert right in TABLE
    book = write_book({FILE: TABLE.replace(right, wrong, 1)})
    with pytest.raises(BookError) as caught:
        read_equivalents(book)
    assert [
        problem
        for problem in caught.value.problems
        if problem.startswith(expected)
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (
            'note = "Not for strangers."\n',
            "",
            "before-greeting in Litestar is near, and no note says why.",
        ),
        (
            'recipe = "greet"',
            'recipe = "leave"',
            'before-greeting: there is no recipe "leave" yet.',
        ),
        (
            'docs = "https://django.example/layers"',
            'docs = "django.example/layers"',
            "before-greeting in Django: docs is no address.",
        ),
        (
            "app = Litestar(before_greeting=print)",
            "app = Litestar(before_greeting=print",
            "before-greeting in Litestar: not Python: "
            "'(' was never closed, line 1.",
        ),
        (
            "snippet = '''\nfrom litestar import LastWord\n'''",
            "",
            "farewell in Litestar has no snippet.",
        ),
        (
            'name = "bye()"',
            'name = "none"',
            "farewell in Django has no name.",
        ),
        (
            '  "goodbye",\n  "the \\"last\\" word",\n',
            "",
            "farewell has no words to search it by.",
        ),
        (
            "from django import bye\n",
            f"bye = '{'e' * 60}'\n",
            "farewell in Django: a line of 68 columns; 64 fit.",
        ),
        (
            "from django import bye\n",
            "bye = 1\n\n" * 17,
            "farewell in Django: 17 lines; 16 are many.",
        ),
    ],
)
def test_what_lacks(
    write_book: Writer, right: str, wrong: str, expected: str
) -> None:
    """What a table lacks is said in a sentence."""
    assert right in TABLE
    assert [] == [*lacks(write_book({FILE: TABLE}))]
    book = write_book({FILE: TABLE.replace(right, wrong, 1)})
    assert [expected] == [*lacks(book)]


def test_a_missing_cell_lacks(write_book: Writer) -> None:
    """Every framework has a cell, if only one that says none."""
    table = TABLE.partition('[concepts.django]\nname = "bye()"')[0]
    book = write_book({FILE: table})
    assert ["farewell in Django is missing."] == [*lacks(book)]


def test_check(ask: Ask, book: Book) -> None:
    """`cookbook check` holds the table too, after the recipes."""
    _, answer, _ = ask(book, "check", "--json")
    assert [] == json.loads(answer)["equivalents.toml"]
    _, answer, _ = ask(book, "check", "greet", "--json")
    assert ["greet"] == [*json.loads(answer)]


def test_check_of_a_wrong_file(ask: Ask, write_book: Writer) -> None:
    """A malformed table is something that lacks, not a crash."""
    book = write_book({FILE: "[[concepts]]\nid = 1\n"})
    code, answer, _ = ask(book, "check", "--json")
    found = json.loads(answer)["equivalents.toml"]
    assert 1 == code
    assert 'concepts 1: "id" must be a text.' in found


def test_entries(book: Book) -> None:
    """What is searched are titles, words and names, and no snippet."""
    entry, other = read_entries(book)
    assert (
        "Before every greeting",
        "before_greeting",
        "interceptor",
        "@app.before_greeting",
        "before_greeting=",
        "MIDDLEWARE",
    ) == entry.texts
    assert 'the "last" word' in other.texts


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("before_greeting", ["before-greeting"]),
        ("@app.before_greeting", ["before-greeting"]),
        ("Before-Greeting", ["before-greeting"]),
        ("interceptors", ["before-greeting"]),
        ("last word", ["farewell"]),
        ("lastword", ["farewell"]),
        ("MIDDLEWARE", ["before-greeting"]),
        ("greeting goodbye", []),
        ("", []),
        ("?!", []),
    ],
)
def test_finding(book: Book, query: str, expected: list[str]) -> None:
    """A concept is found by any framework's word, however it is spelled."""
    assert expected == [one.entry.id for one in find(book, query)]


def test_all_of_a_text_before_a_part(write_book: Writer) -> None:
    """Who is called so comes before who has it among others."""
    table = TABLE.replace('"goodbye"', '"before every greeting card"')
    found = find(write_book({FILE: table}), "before every greeting")
    assert ["before-greeting", "farewell"] == [one.entry.id for one in found]
    assert found[0].score > found[1].score


def test_the_table(ask: Ask, book: Book) -> None:
    """On a narrow terminal each framework has a line of its own."""
    code, answer, _ = ask(book, "equivalents")
    expected = [
        "= the same, ≈ near, ╌ none: what people do instead",
        "",
        "── Hooks " + "─" * 71,
        "",
        "Before every greeting  cookbook equivalents before-greeting",
        "  Flask     = @app.before_greeting",
        "  Django    ≈ MIDDLEWARE",
        "  Litestar  ≈ before_greeting=",
        "",
        "A last word  cookbook equivalents farewell",
        "  Flask     ╌ none",
        "  Django    = bye()",
        "  Litestar  = LastWord",
    ]
    assert (0, expected) == (code, answer.splitlines())


def test_the_table_in_columns(ask: Ask, book: Book) -> None:
    """Where they fit, the frameworks stand side by side."""
    _, answer, _ = ask(book, "equivalents", "--in", "litestar,flask", width=90)
    lines = answer.splitlines()
    assert " " * 30 + f"{'Litestar':30}Flask" == lines[3]
    line = f"{'Before every greeting':30}{'≈ before_greeting=':30}"
    assert f"{line}= @app.before_greeting" == lines[5]
    assert "before-greeting" == lines[6]


def test_one_concept(ask: Ask, book: Book) -> None:
    """One that is meant is shown with notes, snippets and its recipe."""
    code, answer, _ = ask(
        book, "equivalents", "interceptor", "--in", "litestar"
    )
    expected = [
        "── Before every greeting " + "─" * 49 + " Hooks",
        "= the same, ≈ near, ╌ none: what people do instead",
        "",
        "Litestar  ≈ before_greeting=",
        "Not for strangers.",
        "",
        "  app = Litestar(before_greeting=print)",
        "",
        "https://litestar.example/hooks",
        "",
        "cookbook show greet   the recipe that shows it",
    ]
    assert (0, expected) == (code, answer.splitlines())


def test_one_concept_in_colour(ask: Ask, book: Book) -> None:
    """In colour the snippet is highlighted, as all sources are."""
    _, answer, _ = ask(book, "equivalents", "last word", colour=True)
    assert "  \x1b[1mfrom\x1b[0m litestar \x1b[1mimport\x1b[0m" in answer


def test_several_concepts(ask: Ask, write_book: Writer) -> None:
    """Where more than one is meant, each is shown by its names."""
    table = TABLE.replace('"goodbye"', '"interceptor"')
    book = write_book({FILE: table})
    code, answer, _ = ask(book, "equivalents", "interceptor", "--in", "flask")
    expected = [
        "= the same, ≈ near, ╌ none: what people do instead",
        "",
        "Before every greeting  cookbook equivalents before-greeting",
        "  Flask  = @app.before_greeting",
        "",
        "A last word  cookbook equivalents farewell",
        "  Flask  ╌ none",
    ]
    assert (0, expected) == (code, answer.splitlines())


def test_others_that_have_the_word(ask: Ask, write_book: Writer) -> None:
    """Below the one that is meant come those that have it among others."""
    table = TABLE.replace('"goodbye"', '"some interceptor"')
    book = write_book({FILE: table})
    _, answer, _ = ask(book, "equivalents", "interceptor", "--in", "flask")
    expected = "cookbook equivalents farewell   A last word"
    assert expected == answer.splitlines()[-1]


def test_no_concept(ask: Ask, book: Book) -> None:
    """What no framework has is a negative answer that tells what is near."""
    code, answer, _ = ask(book, "equivalents", "godbye")
    expected = 'No concept has the word "godbye". Near it: goodbye.\n'
    assert (1, expected) == (code, answer)


def test_a_wrong_framework(ask: Ask, book: Book) -> None:
    """A wrong name gets the nearest right one."""
    expected = 'There is no framework "flsk". Did you mean flask?\n'
    found = ask(book, "equivalents", "--in", "litestar,flsk")
    assert (2, "", expected) == found


def test_as_json(ask: Ask, book: Book) -> None:
    """As JSON a concept has all of the file."""
    _, answer, _ = ask(
        book, "equivalents", "LastWord", "--in", "flask", "--json"
    )
    expected = {
        "frameworks": ["flask"],
        "concepts": [
            {
                "id": "farewell",
                "title": "A last word",
                "group": "Hooks",
                "words": ["goodbye", 'the "last" word'],
                "equivalents": {
                    "flask": {
                        "name": "none",
                        "kind": "pattern",
                        "equal": "none",
                        "docs": "https://flask.example/waves",
                        "note": "People wave.",
                        "snippet": None,
                    }
                },
                "recipe": None,
            }
        ],
    }
    assert expected == json.loads(answer)


def test_a_book_without_equivalents(ask: Ask, small_book: Book) -> None:
    """A book that has no table says so, and is searched all the same."""
    code, _, error = ask(small_book, "equivalents")
    assert (1, f"{small_book.root / FILE}: The file is missing.\n") == (
        code,
        error,
    )
    assert 1 == ask(small_book, "equivalents", "hook")[0]
    assert 0 == ask(small_book, "search", "greeting")[0]


def test_search(ask: Ask, book: Book) -> None:
    """A search shows the names above the recipes."""
    code, answer, _ = ask(book, "search", "before_greeting")
    expected = [
        "Before every greeting  cookbook equivalents before-greeting",
        "  Flask     = @app.before_greeting",
        "  Django    ≈ MIDDLEWARE",
        "  Litestar  ≈ before_greeting=",
        "",
        "Greeting  cookbook show greet",
    ]
    assert (0, expected) == (code, answer.splitlines()[:6])


def test_search_without_a_recipe(ask: Ask, book: Book) -> None:
    """A name alone is something found."""
    code, answer, _ = ask(book, "search", "interceptor", "--json")
    expected = [
        {
            "id": "before-greeting",
            "title": "Before every greeting",
            "names": {
                "flask": "@app.before_greeting",
                "django": "MIDDLEWARE",
                "litestar": "before_greeting=",
            },
            "command": "cookbook equivalents before-greeting",
        }
    ]
    assert (0, expected) == (code, json.loads(answer)["concepts"])


REAL = {
    "before_request": "before-request",
    "Depends": "dependency-injection",
    "Blueprint": "route-group",
    "APIRouter": "route-group",
    "url_for": "url-reversing",
    "app.use": "before-request",
    "@PostConstruct": "startup-shutdown",
    "lifespan": "startup-shutdown",
    "BackgroundTasks": "background-task",
    "rescue_from": "error-handler",
    "ControllerAdvice": "error-handler",
    "flask.g": "request-state",
    "web.AppKey": "application-state",
    "ALLOWED_HOSTS": "host-check",
    "helmet": "security-headers",
    "SSE": "server-sent-events",
    "Guard": "permission",
    "dependency_overrides": "override-dependency",
}


@pytest.mark.parametrize("query", REAL)
def test_real_words(real_book: Book, query: str) -> None:
    """Who knows one framework finds what it is in the others."""
    found = find(real_book, query)
    best = [one.entry.id for one in found if one.score == found[0].score]
    assert REAL[query] in best


def test_a_symptom_shows_no_concept(ask: Ask, real_book: Book) -> None:
    """What went wrong is searched as before."""
    _, answer, _ = ask(real_book, "search", "page two repeats rows")
    assert "cookbook equivalents" not in answer


def test_search_imports_little() -> None:
    """A search of names imports no framework and nothing heavy."""
    code = (
        "import sys; from cookbook.cli import run;"
        "run(['search', 'before_request']);"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    heavy = {"pygments", "pytest", "flask", "django", "fastapi", "litestar"}
    assert set() == loaded & heavy
