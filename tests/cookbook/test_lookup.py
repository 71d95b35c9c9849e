import json
from collections.abc import Callable

import pytest

from cookbook.book import Book
from cookbook.differing import Changed, changes
from cookbook.terminal import FAINT, Line, Screen, wrap_code

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

PAGINATION = "recipes/business_logic/pagination"


def shown(text: str) -> list[str]:
    """Split an answer into its lines, without the empty ones."""
    return [line for line in text.splitlines() if line.strip()]


def test_show_source(ask: Ask, real_book: Book) -> None:
    """In a pipe the source comes as it lies, byte by byte."""
    for framework in real_book.frameworks:
        for file in real_book.recipe("pagination").files(framework):
            expected = (0, file.read_text("utf-8"), "")
            assert expected == ask(
                real_book, "show", "pagination", "--in", framework
            )


def test_show_source_of_several_files(ask: Ask, write_book: Writer) -> None:
    """Several files come one after the other, each below its name."""
    folder = "recipes/first/greet/django_app"
    book = write_book(
        {f"{folder}/__init__.py": "a = 1\n", f"{folder}/views.py": "b = 2\n"}
    )
    expected = f"# {folder}/__init__.py\na = 1\n# {folder}/views.py\nb = 2\n"
    code, answer, _ = ask(book, "show", "greet", "--in", "django")
    assert (0, expected) == (code, answer)


def test_show_source_in_colour(ask: Ask, small_book: Book) -> None:
    """In colour the lines have numbers, marked pieces a bar."""
    code, answer, _ = ask(
        small_book, "show", "greet", "--in", "flask", colour=True
    )
    lines = answer.splitlines()
    assert (0, "\x1b[2m── \x1b[0m") == (code, lines[0][:11])
    assert (
        "\x1b[2m  11 \x1b[0m\x1b[38;5;63m┃ \x1b[0m        name," == lines[11]
    )
    assert "        \x1b[38;5;63m# rule: polite\x1b[0m" in lines[10]


def test_show_gap(ask: Ask, small_book: Book) -> None:
    """A missing implementation is said, with those that are there."""
    code, answer, _ = ask(small_book, "show", "greet", "--in", "django")
    expected = [
        "Greeting is not written yet in Django.",
        "  cookbook show greet --in flask",
        "  cookbook show greet --in litestar",
    ]
    assert (1, expected) == (code, answer.splitlines())


def test_show_source_as_json(ask: Ask, small_book: Book) -> None:
    """As JSON an implementation has its sources and their marks."""
    code, answer, _ = ask(
        small_book, "show", "greet", "--in", "litestar", "--json"
    )
    path = "recipes/first/greet/litestar_app.py"
    expected = {
        "recipe": "greet",
        "framework": "litestar",
        "files": [
            {
                "file": path,
                "source": (small_book.root / path).read_text(),
                "marks": [
                    {
                        "rule": "polite",
                        "marker": 8,
                        "kind": "statement",
                        "start": [9, 4],
                        "end": [9, 27],
                    }
                ],
            }
        ],
    }
    assert (0, expected) == (code, json.loads(answer))


def test_show_rule_in_a_framework(ask: Ask, small_book: Book) -> None:
    """A rule's lines come below the first lines of what is around."""
    code, answer, _ = ask(
        small_book, "show", "greet", "--rule", "polite", "--in", "flask"
    )
    expected = [
        "── polite " + "─" * 64 + " Flask",
        "A greeting has a name in it.",
        "recipes/first/greet/flask_app.py",
        "   6   def say_hello(name: str) -> str:",
        "   8       return one_line(",
        "  11 ┃         name,",
    ]
    assert (0, expected) == (code, shown(answer))


def test_show_rule_kept_in_shared(ask: Ask, small_book: Book) -> None:
    """Where shared code keeps the rule, its lines are shown."""
    code, answer, _ = ask(
        small_book, "show", "greet", "--rule", "brief", "--in", "flask"
    )
    expected = [
        "Kept in shared/.",
        "shared/lines.py",
        "   4   def one_line(*words: str) -> str:",
        '   8 ┃     text = text.replace("\\n", " ")',
    ]
    assert (0, expected) == (code, shown(answer)[2:])


def test_show_rule_kept_by_the_framework(ask: Ask, small_book: Book) -> None:
    """Where nothing is to write it is said, and what differs."""
    code, answer, _ = ask(
        small_book, "show", "greet", "--rule", "prompt", "--in", "litestar"
    )
    expected = [
        "Nothing to write: Litestar keeps it.",
        "≠ It takes its time.",
        "  It stretches first.",
        "  https://litestar.example/1",
    ]
    assert (0, expected) == (code, shown(answer)[2:])


def test_show_rule_in_a_gap(ask: Ask, small_book: Book) -> None:
    """A rule of what is not written is a negative answer."""
    code, answer, _ = ask(
        small_book, "show", "greet", "--rule", "prompt", "--in", "django"
    )
    assert (1, "Not written yet.") == (code, shown(answer)[-1])


def test_show_rule_without_marks(ask: Ask, write_book: Writer) -> None:
    """A rule that no line keeps is a negative answer."""
    book = write_book({"recipes/first/greet/flask_app.py": "x = 1\n"})
    code, answer, _ = ask(
        book, "show", "greet", "--rule", "polite", "--in", "flask"
    )
    assert (1, "No line is marked for it.") == (code, shown(answer)[-1])


def test_show_rule_with_a_wrong_marker(ask: Ask, write_book: Writer) -> None:
    """A marker that marks nothing is named with its file and line."""
    path = "recipes/first/greet/flask_app.py"
    book = write_book({path: "# rule: polite\n"})
    code, _, error = ask(book, "show", "greet", "--rule", "polite")
    expected = (
        f"{book.root / path}: line 1: "
        'the marker "polite" marks nothing that can be taken out.\n'
    )
    assert (1, expected) == (code, error)


def test_show_recipe(ask: Ask, small_book: Book) -> None:
    """A recipe is described: rules, knobs, examples, how to run it."""
    code, answer, _ = ask(small_book, "show", "greet")
    lines = shown(answer)
    assert (0, "Greeting  first/greet") == (code, lines[0])
    for expected in (
        "polite  A greeting has a name in it.",
        "        shared/ keeps it in Flask and Litestar",
        "prompt in Litestar",
        "GREETING  What is said.",
        "          text, Hello by default",
        "          secret, must be set",
        "GET /hello  200  polite",
        "Django    not written yet",
        "cookbook run greet --in flask --port 8000",
        "  gunicorn --workers 1 --bind 127.0.0.1:8000 \\",
        "    'recipes.first.greet.flask_app:create_app()'",
        "  https://greet.example/",
    ):
        assert expected in lines


def test_show_recipe_as_json(ask: Ask, small_book: Book) -> None:
    """As JSON a recipe has all of its file, and where its parts lie."""
    code, answer, _ = ask(small_book, "show", "greet", "--json")
    found = json.loads(answer)
    assert (0, "greet", "Greeting") == (code, found["slug"], found["title"])
    assert {
        "id": "brief",
        "text": "A greeting is one line.",
        "sources": [],
        "asvs": [],
        "kept_by": {"flask": "shared", "litestar": "shared"},
    } == found["rules"][1]
    assert {
        "flask": "recipes/first/greet/flask_app.py",
        "django": None,
        "litestar": "recipes/first/greet/litestar_app.py",
    } == found["implementations"]
    assert (None, "recipes/first/greet") == (
        found["contract"],
        found["folder"],
    )


def test_compare_side_by_side(ask: Ask, small_book: Book) -> None:
    """On a wide terminal two frameworks stand side by side."""
    code, answer, _ = ask(
        small_book, "compare", "greet", "flask", "litestar", width=100
    )
    expected = [
        "Greeting in Flask and Litestar",
        "Say hello to whoever comes.",
        "── polite " + "─" * 90,
        "A greeting has a name in it.",
        "Flask                                              Litestar",
        "       say_hello › return one_line(                       say_hello",
        "  11 ┃ name,                                   "
        '       9 ┃ words = ["Hello", name]',
        "── brief " + "─" * 91,
        "A greeting is one line.",
        "shared/lines.py  for Flask and Litestar",
        "       one_line",
        '   8 ┃ text = text.replace("\\n", " ")',
        "── prompt " + "─" * 90,
        "A greeting comes at once.",
        "Flask                                              Litestar",
        "Nothing to write: the server keeps it.             "
        "Nothing to write: Litestar keeps it.",
        "                                                   "
        "≠ It takes its time.",
        "                                                   "
        "  It stretches first.",
        "                                                   "
        "  https://litestar.example/1",
    ]
    assert (0, expected) == (code, shown(answer))


def test_compare_stacked(ask: Ask, small_book: Book) -> None:
    """On a narrow terminal they stand one below the other, gaps too."""
    code, answer, _ = ask(small_book, "compare", "greet", "--rule", "polite")
    expected = [
        "Flask",
        "       say_hello › return one_line(",
        "  11 ┃ name,",
        "Django",
        "Not written yet.",
        "Litestar",
        "       say_hello",
        '   9 ┃ words = ["Hello", name]',
    ]
    assert (0, expected) == (code, shown(answer)[4:])


def test_show_rule_in_all(ask: Ask, small_book: Book) -> None:
    """A rule without a framework is shown in all of them."""
    row = ask(small_book, "compare", "greet", "--rule", "polite")[1]
    rule = ask(small_book, "show", "greet", "--rule", "polite")[1]
    assert shown(row)[2:] == shown(rule)


def test_compare_as_json(ask: Ask, small_book: Book) -> None:
    """As JSON each rule has who keeps it, and in which pieces."""
    code, answer, _ = ask(small_book, "compare", "greet", "--json")
    found = json.loads(answer)
    assert (0, ["flask", "django", "litestar"], ["django"]) == (
        code,
        found["frameworks"],
        found["missing"],
    )
    polite, brief, prompt = found["rules"]
    assert {
        "kept_by": "code",
        "files": [
            {
                "file": "recipes/first/greet/flask_app.py",
                "pieces": [
                    {
                        "kind": "argument",
                        "marker": 10,
                        "start": [11, 8],
                        "end": [11, 12],
                        "within": ["say_hello"],
                        "code": "        name,",
                    }
                ],
            }
        ],
        "differences": [],
    } == polite["frameworks"]["flask"]
    files = brief["frameworks"]["litestar"]["files"]
    assert ["shared/lines.py"] == [part["file"] for part in files]
    in_django = prompt["frameworks"]["django"]
    assert {"kept_by": None, "files": [], "differences": []} == in_django


def test_compare_needs_two(ask: Ask, small_book: Book) -> None:
    """One framework is not compared with itself."""
    expected = (2, "", "Name two frameworks or more; without any, all.\n")
    assert expected == ask(small_book, "compare", "greet", "flask", "flask")


def test_compare_gaps(ask: Ask, write_book: Writer) -> None:
    """Comparing what is nowhere written is a negative answer."""
    book = write_book(
        {
            "recipes/first/greet/flask_app.py": None,
            "recipes/first/greet/litestar_app.py": None,
        }
    )
    assert 1 == ask(book, "compare", "greet")[0]


def test_compare_real(ask: Ask, real_book: Book) -> None:
    """The real recipe is compared within the width of the terminal."""
    for width in (80, 100, 140):
        code, answer, _ = ask(real_book, "compare", "pagination", width=width)
        assert (0, True) == (code, width >= max(map(len, shown(answer))))
        for rule in real_book.recipe("pagination").rules:
            assert f"── {rule.id} " in answer


def test_diff(ask: Ask, small_book: Book) -> None:
    """A diff shows how one file becomes the other."""
    code, answer, _ = ask(
        small_book, "compare", "greet", "flask", "litestar", "--diff"
    )
    expected = [
        "- recipes/first/greet/flask_app.py",
        "+ recipes/first/greet/litestar_app.py",
        "─" * 80,
        '   1      - """Greeting in Flask."""',
        '        1 + """Greeting in Litestar."""',
        "   2    2",
        "   3    3   from shared.lines import one_line",
    ]
    assert (0, expected) == (code, answer.splitlines()[:7])


def test_diff_as_json(ask: Ask, small_book: Book) -> None:
    """As JSON a diff has its lines, numbers and changed columns."""
    _, answer, _ = ask(
        small_book, "compare", "greet", "flask", "litestar", "--diff", "--json"
    )
    [file] = json.loads(answer)["files"]
    assert "recipes/first/greet/flask_app.py" == file["before"]
    assert {
        "sign": "+",
        "text": '"""Greeting in Litestar."""',
        "numbers": [None, 1],
        "stretches": [[15, 23]],
    } == file["groups"][0][1]


def test_diff_with_a_gap(ask: Ask, small_book: Book) -> None:
    """A diff with what is not written is a negative answer."""
    expected = (1, "Greeting is not written yet in Django.\n", "")
    assert expected == ask(
        small_book, "compare", "greet", "flask", "django", "--diff"
    )


@pytest.mark.parametrize(
    "names", [[], ["flask"], ["flask", "django", "litestar"]]
)
def test_diff_needs_exactly_two(
    ask: Ask, small_book: Book, names: list[str]
) -> None:
    """A diff is between exactly two frameworks."""
    expected = (2, "", "A diff needs two frameworks: name exactly two.\n")
    assert expected == ask(small_book, "compare", "greet", *names, "--diff")


def test_diff_of_folders(ask: Ask, write_book: Writer) -> None:
    """Files of two folders are paired by name, a file with the first."""
    folder = "recipes/first/greet/django_app"
    book = write_book(
        {f"{folder}/__init__.py": "a = 1\n", f"{folder}/views.py": "b = 2\n"}
    )
    _, answer, _ = ask(
        book, "compare", "greet", "flask", "django", "--diff", "--json"
    )
    expected = [
        ("recipes/first/greet/flask_app.py", f"{folder}/__init__.py"),
        (None, f"{folder}/views.py"),
    ]
    files = json.loads(answer)["files"]
    assert expected == [(file["before"], file["after"]) for file in files]


def test_changed_words() -> None:
    """Of similar lines only the words that differ are changed."""
    [group] = changes(["x = one(a, 1)"], ["x = two(b, 1)"])
    expected = (
        Changed("-", "x = one(a, 1)", (1, None), ((4, 9),)),
        Changed("+", "x = two(b, 1)", (None, 1), ((4, 9),)),
    )
    assert expected == group


def test_changed_lines() -> None:
    """Lines with little in common differ as a whole."""
    [group] = changes(["return nothing"], ["x = two(b, 1)"])
    expected = (
        Changed("-", "return nothing", (1, None)),
        Changed("+", "x = two(b, 1)", (None, 1)),
    )
    assert expected == group


WRAPPED = {
    "fits": ("    f(a)", 20, ["    f(a)"]),
    "at a space": (
        "    value = first + second",
        20,
        ["    value = first + ", "        second"],
    ),
    "at a bracket": (
        "validate=[Length(max=library.LENGTH), Other]",
        26,
        ["validate=[Length(", "    max=library.LENGTH), ", "    Other]"],
    ),
    "not within a short text": (
        'f(first, "some words", b)',
        18,
        ["f(first, ", '    "some words", ', "    b)"],
    ),
    "not after an arrow": (
        "def f(number: int) -> str:",
        22,
        ["def f(number: int) ", "    -> str:"],
    ),
    "where nothing else helps": (
        "abcdefghijklmnopqrstuvwxyz",
        10,
        ["abcdefghij", "    klmnop", "    qrstuv", "    wxyz"],
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrap_code(name: str) -> None:
    """A long line of code breaks where it reads well, and hangs."""
    text, width, expected = WRAPPED[name]
    lines = wrap_code([(text, "")], width)
    assert expected == ["".join(part for part, _ in line) for line in lines]


def test_wrap_code_keeps_looks() -> None:
    """What is broken looks as before."""
    line: Line = [("abcdef ", FAINT), ("ghi", "")]
    expected = [[("abcdef ", FAINT)], [("    ", ""), ("ghi", "")]]
    assert expected == wrap_code(line, 8)


def test_no_looks_without_colour() -> None:
    """Without colour only the text is left."""
    assert "a b" == Screen().paint([("a ", FAINT), ("b ", "")])
