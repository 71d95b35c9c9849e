from collections.abc import Callable
from dataclasses import replace

import pytest

from cookbook.book import Book, BookError
from cookbook.pitfalls import (
    Edit,
    marked,
    read_pitfalls,
    take_out,
    tree_of,
)

type Writer = Callable[..., Book]

NAME = "recipes/first/greet/pitfalls.toml"
FILE = "recipes/first/greet/flask_app.py"
PITFALL = f"""
[[pitfalls]]
id = "rude"
rule = "polite"
title = "Nobody is named"
story = "It was quicker."
[[pitfalls.edits]]
framework = "flask"
file = "{FILE}"
find = "        name,"
replace = "        str(),"
[[pitfalls.edits]]
framework = "shared"
file = "shared/lines.py"
find = '" ".join'
replace = '"".join'
"""


def complaints(book: Book) -> list[str]:
    """Read the pitfalls, and say what is wrong with them."""
    with pytest.raises(BookError) as caught:
        read_pitfalls(book.recipe("greet"))
    return list(caught.value.problems)


def test_read(write_book: Writer) -> None:
    """A pitfall has a rule, a story and edits."""
    book = write_book({NAME: PITFALL})
    (pitfall,) = read_pitfalls(book.recipe("greet"))
    assert ("rude", "polite", ()) == (
        pitfall.id,
        pitfall.rule,
        pitfall.also_breaks,
    )
    assert [FILE, "shared/lines.py"] == [e.file for e in pitfall.edits]


def test_none(small_book: Book) -> None:
    """A recipe without the file has no pitfalls."""
    assert () == read_pitfalls(small_book.recipe("greet"))


def test_edits_for_a_framework(write_book: Writer) -> None:
    """Those of `shared/` come first, where the framework uses it."""
    book = write_book({NAME: PITFALL, "shared/lines.py": '" ".join'})
    recipe = book.recipe("greet")
    (pitfall,) = read_pitfalls(recipe)
    edits = pitfall.edits_for(recipe, "flask")
    assert ["shared", "flask"] == [edit.framework for edit in edits]
    edits = pitfall.edits_for(recipe, "litestar")
    assert ["shared"] == [edit.framework for edit in edits]
    assert () == pitfall.edits_for(recipe, "django")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            '"        name,"',
            '"no such text"',
            f"rude: in {FILE} the text to find is there 0 times, not once.",
        ),
        (
            '"        name,"',
            '"name"',
            f"rude: in {FILE} the text to find is there 2 times, not once.",
        ),
        (
            "shared/lines.py",
            "shared/none.py",
            "rude: in shared/none.py the text to find is there 0 times,"
            " not once.",
        ),
        (
            "shared/lines.py",
            "../lines.py",
            "rude: ../lines.py is no part of the recipe.",
        ),
        (
            'framework = "flask"',
            'framework = "flaks"',
            "rude: there is no framework flaks.",
        ),
        ('"polite"', '"pilote"', "rude: there is no rule pilote."),
        (
            'story = "',
            'also_breaks = ["loud"]\nstory = "',
            "rude: there is no rule loud.",
        ),
    ],
)
def test_complaints(
    write_book: Writer, old: str, new: str, expected: str
) -> None:
    """What points nowhere is a plain sentence."""
    book = write_book({NAME: PITFALL.replace(old, new)})
    assert [expected] == complaints(book)


def test_twice(write_book: Writer) -> None:
    """An id is there once."""
    found = complaints(write_book({NAME: PITFALL * 2}))
    assert ["pitfall rude is there twice."] == found


def test_without_edits(write_book: Writer) -> None:
    """A pitfall that changes nothing is none."""
    text = PITFALL.partition("[[pitfalls.edits]]")[0]
    assert ["rude: it has no edits."] == complaints(write_book({NAME: text}))


def test_an_edit_in_the_way_of_the_next(write_book: Writer) -> None:
    """Edits are made one after the other, and each must still fit."""
    second = PITFALL.partition("[[pitfalls.edits]]")[2].partition("[[")[0]
    text = PITFALL + "[[pitfalls.edits]]" + second
    expected = f"rude: in {FILE} the text to find is there 0 times, not once."
    assert [expected] == complaints(write_book({NAME: text}))


def test_an_edit_that_does_not_fit(small_book: Book) -> None:
    """An edit is made where its text stands once, or not at all."""
    edit = Edit("shared", "shared/lines.py", "text", "")
    before = (small_book.root / edit.file).read_text()
    with pytest.raises(ValueError, match="'text' is there 4 times"):
        edit.apply(small_book.root)
    assert before == (small_book.root / edit.file).read_text()
    once = replace(edit, find='"""Lines."""', replace='"""Words."""')
    once.apply(small_book.root)
    assert '"""Words."""' == (small_book.root / edit.file).read_text()[:12]


def test_marked(small_book: Book) -> None:
    """Marked pieces are found in the recipe and in `shared/`."""
    found = marked(small_book.recipe("greet"), "flask")
    rules = [(piece.mark.rule, piece.file) for piece in found]
    assert [("polite", FILE), ("brief", "shared/lines.py")] == rules


def test_a_marker_that_marks_nothing(write_book: Writer) -> None:
    """A wrong marker is a complaint about its file."""
    book = write_book({FILE: "x = 1\n# rule: polite\n"})
    with pytest.raises(BookError) as caught:
        list(marked(book.recipe("greet"), "flask"))
    assert book.root / FILE == caught.value.file


def test_take_out(small_book: Book) -> None:
    """A piece is taken out of the copy, and the copy thrown away."""
    recipe = small_book.recipe("greet")
    (piece, _) = marked(recipe, "flask")
    with tree_of(small_book, recipe) as tree:
        take_out(tree, piece)
        assert "        name,\n" not in (tree / FILE).read_text()
        assert "        name,\n" in (small_book.root / FILE).read_text()
        assert (tree / "shared" / "lines.py").is_file()
    assert not tree.exists()
