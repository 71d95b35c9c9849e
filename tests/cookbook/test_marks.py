from pathlib import Path
from textwrap import dedent

import pytest

from cookbook.marks import Mark, MarkError, Position, Scope, ablate, marks

ROOT = Path(__file__).parents[2]


def only(source: str) -> tuple[str, Mark]:
    """Give the source, set straight, and the one mark in it."""
    text = dedent(source).lstrip("\n")
    [mark] = marks(text)
    return text, mark


def marked_text(source: str) -> tuple[str, str]:
    """Give the kind of the one mark, and the text that it spans."""
    text, mark = only(source)
    lines = text.split("\n")[mark.start.line - 1 : mark.end.line]
    lines[-1] = lines[-1][: mark.end.column]
    lines[0] = lines[0][mark.start.column :]
    return mark.kind, "\n".join(lines)


def without(source: str) -> str:
    """Take the first marked piece out of a source."""
    text = dedent(source).lstrip("\n")
    return ablate(text, marks(text)[0])


def straight(text: str) -> str:
    """Set an expected source straight."""
    return dedent(text).lstrip("\n")


SPANS = {
    "a statement": (
        """
        # rule: it
        x = f(
            1
        )
        """,
        ("statement", "x = f(\n    1\n)"),
    ),
    "a compound statement, with all that hangs on it": (
        """
        # rule: it
        if a:
            b()
        else:
            c()
        """,
        ("statement", "if a:\n    b()\nelse:\n    c()"),
    ),
    "a function below its decorator": (
        """
        @one
        # rule: it
        def f():
            pass
        """,
        ("statement", "def f():\n    pass"),
    ),
    "one decorator": (
        """
        # rule: it
        @one(1)
        @two
        def f():
            pass
        """,
        ("decorator", "@one(1)"),
    ),
    "a parameter, with its annotation and default": (
        """
        def f(
            a,
            # rule: it
            b: int = (1),
        ): pass
        """,
        ("parameter", "b: int = (1)"),
    ),
    "a parameter for the rest": (
        """
        def f(
            # rule: it
            *rest: int,
        ): pass
        """,
        ("parameter", "*rest: int"),
    ),
    "a parameter for the rest by name": (
        """
        def f(
            # rule: it
            **rest
        ): pass
        """,
        ("parameter", "**rest"),
    ),
    "a keyword-only parameter": (
        """
        def f(
            *,
            # rule: it
            a: int,
        ): pass
        """,
        ("parameter", "a: int"),
    ),
    "an argument by position": (
        """
        f(
            # rule: it
            a + b,
            c,
        )
        """,
        ("argument", "a + b"),
    ),
    "an argument by keyword": (
        """
        f(
            a,
            # rule: it
            key=g(1),
        )
        """,
        ("argument", "key=g(1)"),
    ),
    "an argument that unpacks": (
        """
        f(
            # rule: it
            **options,
        )
        """,
        ("argument", "**options"),
    ),
    "an argument in parentheses": (
        """
        f(
            # rule: it
            (a or b),
            c,
        )
        """,
        ("argument", "(a or b)"),
    ),
    "the only argument, in parentheses": (
        """
        f(
            # rule: it
            (a or b)
        )
        """,
        ("argument", "(a or b)"),
    ),
    "a base class": (
        """
        class A(
            # rule: it
            B,
            key=1,
        ): pass
        """,
        ("argument", "B"),
    ),
    "an element of a list": (
        """
        x = [
            # rule: it
            (1, 2),
            3,
        ]
        """,
        ("element", "(1, 2)"),
    ),
    "an element of a tuple": (
        """
        x = (
            1,
            # rule: it
            2,
        )
        """,
        ("element", "2"),
    ),
    "an element of a set": (
        """
        x = {
            # rule: it
            1,
            2,
        }
        """,
        ("element", "1"),
    ),
    "an element of a subscript": (
        """
        x: Annotated[
            int,
            # rule: it
            Field(ge=1),
        ]
        """,
        ("element", "Field(ge=1)"),
    ),
    "an entry of a dictionary": (
        """
        x = {
            # rule: it
            "a": [
                1
            ],
        }
        """,
        ("entry", '"a": [\n        1\n    ]'),
    ),
    "an entry in parentheses": (
        """
        x = {
            # rule: it
            ("a"): (
                1
            ),
            "b": 2,
        }
        """,
        ("entry", '("a"): (\n        1\n    )'),
    ),
    "an unpacked entry": (
        """
        x = {
            # rule: it
            **others,
            "a": 1,
        }
        """,
        ("entry", "**others"),
    ),
    "a link of a chain, with its call": (
        """
        x = (
            select(A)
            # rule: it
            .where(
                a
            )
            .limit(1)
        )
        """,
        ("link", ".where(\n        a\n    )"),
    ),
    "a link without a call": (
        """
        x = (
            a
            # rule: it
            .b
            .c
        )
        """,
        ("link", ".b"),
    ),
    "a link that is called and indexed": (
        """
        x = (
            a
            # rule: it
            .b(1)[2](3)
        )
        """,
        ("link", ".b(1)[2](3)"),
    ),
    "a clause of a try": (
        """
        try:
            a()
        # rule: it
        except ValueError:
            b()
        """,
        ("clause", "except ValueError:\n    b()"),
    ),
    "a clause of an if": (
        """
        if a:
            b()
        # rule: it
        elif c:
            d()
        else:
            e()
        """,
        ("clause", "elif c:\n    d()"),
    ),
    "a piece after letters that are not ASCII": (
        """
        f(
            "ä",
            # rule: it
            g("äöü"), "ß")
        """,
        ("argument", 'g("äöü")'),
    ),
}


@pytest.mark.parametrize("name", SPANS)
def test_span(name: str) -> None:
    """A marker marks the piece that begins on the next line of code."""
    source, expected = SPANS[name]
    assert expected == marked_text(source)


def test_mark_says_where_it_stands() -> None:
    """A mark knows its lines, its statement and what is around."""
    _, mark = only(
        """
        class A:
            def f(self):
                return g(
                    1,
                    # rule: the-rule
                    x=2,
                )
        """
    )
    assert (
        Mark(
            rule="the-rule",
            line=5,
            kind="argument",
            start=Position(6, 12),
            end=Position(6, 15),
            statement=3,
            scopes=(Scope("A", 1, 7), Scope("f", 2, 7)),
        )
        == mark
    )


def test_parameter_is_within_its_function() -> None:
    """A parameter and a decorator stand within what they belong to."""
    source = """
    # rule: one
    @first
    def f(
        # rule: two
        a,
    ): pass
    """
    found = [mark.scopes for mark in marks(straight(source))]
    assert [(Scope("f", 3, 6),)] * 2 == found


def test_function_is_not_within_itself() -> None:
    """A marked function stands within what is around it alone."""
    _, mark = only("# rule: it\ndef f():\n    pass\n")
    assert ((), 2) == (mark.scopes, mark.statement)


def test_markers_are_stacked() -> None:
    """Several markers may stand above one piece."""
    source = """
    # rule: one
    # Why it is so.
    # rule: two

    x = 1
    """
    found = marks(straight(source))
    expected = [("one", 1, Position(5, 0)), ("two", 3, Position(5, 0))]
    assert expected == [(m.rule, m.line, m.start) for m in found]


def test_marker_in_a_text_is_none() -> None:
    """What looks like a marker in a text is left alone."""
    assert [] == marks('x = """\n# rule: it\n"""\n')


def test_source_without_markers() -> None:
    """A source without markers has no marks."""
    assert [] == marks("x = 1  # rules are elsewhere\n")


WRONG = {
    "at the end": (
        "x = 1\n# rule: it\n",
        (2, 'the marker "it" marks nothing that can be taken out.'),
    ),
    "above a bracket that closes": (
        "f(\n    1,\n    # rule: it\n)\n",
        (3, 'the marker "it" marks nothing that can be taken out.'),
    ),
    "above else": (
        "if a:\n    b()\n# rule: it\nelse:\n    c()\n",
        (3, 'the marker "it" marks nothing that can be taken out.'),
    ),
    "above half an expression": (
        "x = (\n    1\n    # rule: it\n    + 2\n)\n",
        (3, 'the marker "it" marks nothing that can be taken out.'),
    ),
    "above what only stands in parentheses": (
        "x = (\n    # rule: it\n    f(1)\n)\n",
        (2, 'the marker "it" marks nothing that can be taken out.'),
    ),
    "at the end of a block": (
        "def f():\n    a()\n    # rule: it\nb()\n",
        (3, 'the marker "it" is not indented like what is below it.'),
    ),
    "beside code": (
        "x = 1  # rule: it\n",
        (1, "a marker stands on a line of its own."),
    ),
    "with two ids": (
        "# rule: one two\nx = 1\n",
        (1, "a marker is written `# rule: its-id`."),
    ),
    "without a space": (
        "#rule: it\nx = 1\n",
        (1, "a marker is written `# rule: its-id`."),
    ),
    "with capitals": (
        "# Rule: It\nx = 1\n",
        (1, "a marker is written `# rule: its-id`."),
    ),
    "in what is not Python": (
        "# rule: it\nx = = 1\n",
        (2, "this is not Python: invalid syntax."),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_marker(name: str) -> None:
    """A marker that marks nothing is an error that names its line."""
    source, expected = WRONG[name]
    with pytest.raises(MarkError) as caught:
        marks(source)
    assert expected == (caught.value.line, caught.value.problem)


ABLATED = {
    "a statement": (
        """
        a = 1
        # rule: it
        b = f(
            2
        )  # why
        c = 3
        """,
        """
        a = 1
        c = 3
        """,
    ),
    "the last line, without its end": ("a = 1\n# rule: it\nb = 2", "a = 1\n"),
    "all of a module": ("# rule: it\nb = 2\n", ""),
    "a statement that is all of its block": (
        """
        if a:
            # rule: it
            b()
        c()
        """,
        """
        if a:
            pass
        c()
        """,
    ),
    "a statement below a docstring": (
        """
        def f():
            \"\"\"Do it.\"\"\"
            # rule: it
            return 1
        """,
        """
        def f():
            \"\"\"Do it.\"\"\"
        """,
    ),
    "all of an else": (
        """
        for a in b:
            c()
        else:
            # rule: it
            d()
        """,
        """
        for a in b:
            c()
        else:
            pass
        """,
    ),
    "all of a case": (
        """
        match a:
            case 1:
                # rule: it
                b()
        """,
        """
        match a:
            case 1:
                pass
        """,
    ),
    "a statement that shares its line": (
        "# rule: it\na = 1; b = 2\n",
        "pass; b = 2\n",
    ),
    "a function with its decorators": (
        """
        @one
        @(
            two
        )
        # rule: it
        def f():
            pass
        x = 1
        """,
        """
        x = 1
        """,
    ),
    "a decorator": (
        """
        @one
        # rule: it
        @two(
            1
        )
        def f():
            pass
        """,
        """
        @one
        def f():
            pass
        """,
    ),
    "a parameter": (
        """
        def f(
            a,
            # rule: it
            b: int = 1,
            c=2,
        ): pass
        """,
        """
        def f(
            a,
            c=2,
        ): pass
        """,
    ),
    "the only parameter": (
        "def f(\n    # rule: it\n    a\n): pass\n",
        "def f(\n): pass\n",
    ),
    "the only parameter after a star": (
        """
        def f(
            a,
            *,
            # rule: it
            b,
        ): pass
        """,
        """
        def f(
            a,
        ): pass
        """,
    ),
    "one of the parameters after a star": (
        """
        def f(
            *,
            # rule: it
            b,
            c,
        ): pass
        """,
        """
        def f(
            *,
            c,
        ): pass
        """,
    ),
    "the only parameter before a slash": (
        """
        def f(
            # rule: it
            a,
            /,
            b,
        ): pass
        """,
        """
        def f(
            b,
        ): pass
        """,
    ),
    "the rest before keyword-only parameters": (
        """
        def f(
            # rule: it
            *rest,
            b,
        ): pass
        """,
        """
        def f(
            *,
            b,
        ): pass
        """,
    ),
    "the rest by name": (
        """
        def f(
            a,
            # rule: it
            **rest,
        ): pass
        """,
        """
        def f(
            a,
        ): pass
        """,
    ),
    "an argument": (
        """
        f(
            a,
            # rule: it
            b=g(
                1,
            ),  # why
            c=2,
        )
        """,
        """
        f(
            a,
            c=2,
        )
        """,
    ),
    "an argument before others on its line": (
        """
        f(
            a,
            # rule: it
            b, c
        )
        """,
        """
        f(
            a,
             c
        )
        """,
    ),
    "the last argument, without a comma": (
        """
        f(
            a,
            # rule: it
            b=1
        )
        """,
        """
        f(
            a,
        )
        """,
    ),
    "the last argument, before the bracket": (
        "f(a,\n  # rule: it\n  b)\n",
        "f(a,\n  )\n",
    ),
    "the only base class": (
        "class A(\n    # rule: it\n    B\n): pass\n",
        "class A(\n): pass\n",
    ),
    "an element": (
        """
        x = [
            1,
            # rule: it
            2,
        ]
        """,
        """
        x = [
            1,
        ]
        """,
    ),
    "the second of a pair, which stays a tuple": (
        "x = (1,\n     # rule: it\n     2)\n",
        "x = (1,\n     )\n",
    ),
    "the only element of a tuple": (
        "x = (\n    # rule: it\n    1,\n)\n",
        "x = (\n)\n",
    ),
    "the only element of a set, which stays a set": (
        "x = {\n    # rule: it\n    1,\n}\n",
        "x = {\n    *(),\n}\n",
    ),
    "the only word on a type, which stays alone": (
        """
        x: Annotated[
            int,
            # rule: it
            Field(ge=1),
        ] = 1
        """,
        """
        x: (int) = 1
        """,
    ),
    "one of two words on a type": (
        """
        x: t.Annotated[
            int,
            # rule: it
            Field(ge=1),
            Other(),
        ] = 1
        """,
        """
        x: t.Annotated[
            int,
            Other(),
        ] = 1
        """,
    ),
    "an entry": (
        """
        x = {
            # rule: it
            "a": 1,
            **b,
        }
        """,
        """
        x = {
            **b,
        }
        """,
    ),
    "a link": (
        """
        x = (
            select(A)
            # rule: it
            .where(
                a
            )
            .limit(1)
        )
        """,
        """
        x = (
            select(A)
            .limit(1)
        )
        """,
    ),
    "the last link, before the bracket": (
        "x = (a\n     # rule: it\n     .b())\n",
        "x = (a\n     )\n",
    ),
    "one of two clauses": (
        """
        try:
            a()
        # rule: it
        except ValueError:
            b()
        except KeyError:
            c()
        """,
        """
        try:
            a()
        except KeyError:
            c()
        """,
    ),
    "the only clause of a try, which catches nothing then": (
        """
        def f():
            try:
                a()
            # rule: it
            except ValueError as error:
                b(error)
            else:
                c()
        """,
        """
        def f():
            try:
                a()
            except ():
                pass
            else:
                c()
        """,
    ),
    "an elif before an else": (
        """
        if a:
            b()
        # rule: it
        elif c:
            d()
        else:
            e()
        """,
        """
        if a:
            b()
        else:
            e()
        """,
    ),
    "a piece with other letters": (
        'f(\n    "ä",\n    # rule: it\n    g("ö"),\n    "ß",\n)\n',
        'f(\n    "ä",\n    "ß",\n)\n',
    ),
}


@pytest.mark.parametrize("name", ABLATED)
def test_ablate(name: str) -> None:
    """A piece is taken out alone, with its marker, and the rest holds."""
    source, expected = ABLATED[name]
    assert straight(expected) == without(source)


def test_ablate_takes_all_markers_of_the_piece() -> None:
    """Stacked markers go with their piece, other comments stay."""
    source = """
    # rule: one
    # Why it is so.
    # rule: two
    x = 1
    # rule: three
    y = 2
    """
    expected = """
    # Why it is so.
    # rule: three
    y = 2
    """
    assert straight(expected) == without(source)


def test_ablate_takes_markers_within_the_piece() -> None:
    """Markers within a piece go with it."""
    source = """
    # rule: one
    f(
        # rule: two
        a,
    )
    x = 1
    """
    assert "x = 1\n" == without(source)


def test_ablate_knows_its_source() -> None:
    """A mark of another source is refused."""
    _, mark = only("# rule: it\nx = 1\n")
    with pytest.raises(MarkError, match="the mark is not of this source"):
        ablate("# rule: other\nx = 1\n", mark)


def test_ablate_refuses_what_would_not_hold() -> None:
    """What cannot be taken out alone is refused, with the marker's line."""
    text, mark = only("x[\n    # rule: it\n    1,\n]\n")
    with pytest.raises(MarkError) as caught:
        ablate(text, mark)
    expected = (2, "this element cannot be taken out alone.")
    assert expected == (caught.value.line, caught.value.problem)


def book_files() -> list[str]:
    """List the sources of the book that have markers."""
    folders = ("recipes", "shared", "frameworks")
    files = (f for name in folders for f in (ROOT / name).rglob("*.py"))
    return sorted(
        str(file.relative_to(ROOT))
        for file in files
        if "# rule: " in file.read_text("utf-8")
    )


@pytest.mark.parametrize("name", book_files())
def test_book_can_be_ablated(name: str) -> None:
    """Each piece of the book can be taken out, the other marks stay."""
    source = (ROOT / name).read_text("utf-8")
    found = marks(source)
    for mark in found:
        left = marks(ablate(source, mark))
        gone = [m for m in found if mark.start <= m.start < mark.end]
        expected = [m.rule for m in found if m not in gone]
        assert expected == [m.rule for m in left]
