import json
from collections.abc import Callable

import pytest

from cookbook.book import Book
from cookbook.searching import Hit, search
from cookbook.words import understood

type Ask = Callable[..., tuple[int, str, str]]


def first(book: Book, query: str) -> Hit:
    """Give the best hit."""
    return search(book, understood(query))[0]


FOUND = {
    "nobody answers": ("greet", "symptom", "cookbook show greet"),
    "greeting": ("greet", "title", "cookbook show greet"),
    "one line": ("greet", "rule", "cookbook show greet --rule brief"),
    "polite": ("greet", "rule", "cookbook show greet --rule polite"),
    "takes its time": (
        "greet",
        "difference",
        "cookbook show greet --rule prompt",
    ),
    "SECRET": ("greet", "knob", "cookbook show greet"),
    "farewell": ("leave", "topic", "cookbook list second"),
    "429": ("leave", "sentence", "cookbook list second"),
    "bow": ("bow", "title", "cookbook list first"),
}


@pytest.mark.parametrize("query", FOUND)
def test_found(small_book: Book, query: str) -> None:
    """A hit tells its place and the command that opens it."""
    place = first(small_book, query).place
    assert FOUND[query] == (place.recipe, place.kind, place.command)


def test_name_in_all_frameworks(small_book: Book) -> None:
    """A name that all implementations have opens the first of them."""
    hits = search(small_book, ["say", "hello"])
    names = [hit.place for hit in hits if hit.place.kind == "name"]
    expected = [("say_hello", "cookbook show greet --in flask")]
    assert expected == [(place.text, place.command) for place in names]


def test_words_in_other_forms(small_book: Book) -> None:
    """Words are found in other forms, and by their beginning."""
    expected = [first(small_book, "hello").place.recipe] * 3
    found = [
        first(small_book, query).place.recipe
        for query in ("answering", "greetings", "gree")
    ]
    assert expected == found


def test_all_words_before_some(small_book: Book) -> None:
    """A recipe that has all the words leaves out those with some."""
    hits = search(small_book, understood("say goodbye"))
    assert {"leave"} == {hit.place.recipe for hit in hits}


def test_written_before_planned(small_book: Book) -> None:
    """Of equal hits the recipe that is written comes first."""
    hits = search(small_book, ["say"])
    recipes = list(dict.fromkeys(hit.place.recipe for hit in hits))
    assert ["greet", "leave"] == recipes


def test_small_words_say_nothing() -> None:
    """Words that say nothing are left out, unless they are all."""
    assert ["page", "repeats"] == understood("the page is what repeats")
    assert ["to", "be"] == understood("To be")


def test_answer(ask: Ask, small_book: Book) -> None:
    """An answer has the recipe, the best places and their commands."""
    code, answer, _ = ask(small_book, "search", "one", "line")
    expected = [
        "Greeting  cookbook show greet",
        "  rule        brief: A greeting is one line.",
        "              cookbook show greet --rule brief",
    ]
    assert (0, expected) == (code, answer.splitlines())


def test_answer_for_a_gap(ask: Ask, small_book: Book) -> None:
    """What is planned is found, and said to be missing."""
    code, answer, _ = ask(small_book, "search", "429")
    expected = ["leave  not written yet", "  sentence    say goodbye by 429"]
    assert (0, expected) == (code, answer.splitlines())


def test_answer_as_json(ask: Ask, small_book: Book) -> None:
    """As JSON there are the words understood, and all hits."""
    code, answer, _ = ask(small_book, "search", "the 429", "--json")
    expected = {
        "words": ["429"],
        "concepts": [],
        "hits": [
            {
                "recipe": "leave",
                "kind": "sentence",
                "text": "say goodbye by 429",
                "command": "cookbook list second",
                "written": False,
                "score": 5.0,
            }
        ],
    }
    assert (0, expected) == (code, json.loads(answer))


def test_nothing_found(ask: Ask, small_book: Book) -> None:
    """Nothing found is a negative answer that tells what is near."""
    code, answer, _ = ask(small_book, "search", "answrs")
    expected = 'Nothing found for "answrs". Near it: answers.\n'
    assert (1, expected) == (code, answer)


def test_nothing_found_as_json(ask: Ask, small_book: Book) -> None:
    """Nothing found is an empty list in JSON."""
    code, answer, _ = ask(small_book, "search", "xyzzy", "--json")
    expected = {"words": ["xyzzy"], "concepts": [], "hits": []}
    assert (1, expected) == (code, json.loads(answer))


@pytest.mark.parametrize(
    "query",
    ["page two repeats rows", "OFFSET is slow", "opaque-cursor", "keyset"],
)
def test_real_book(real_book: Book, query: str) -> None:
    """Pagination is the first that its own words find."""
    assert "pagination" == first(real_book, query).place.recipe


@pytest.mark.parametrize("query", ["", "?!", "…", "日本", "a" * 1000])
def test_odd_words(ask: Ask, small_book: Book, query: str) -> None:
    """Words that cannot be in the book find nothing."""
    assert 1 == ask(small_book, "search", query)[0]
