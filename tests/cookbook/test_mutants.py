"""Changes drawn by lot, and the score."""

import builtins
import json
from collections.abc import Callable
from typing import Any

import pytest

from cookbook import mutants
from cookbook.book import Book
from cookbook.mutants import Found, counted, drawn, score

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

FILE = "recipes/first/greet/http_app.py"


def test_the_same_seed_draws_the_same(served_book: Writer) -> None:
    """Another one draws others; a place is drawn once."""
    book = served_book()
    recipes = [book.recipe("greet")]
    draws = [drawn(book, recipes, ["http"], 4, seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert 4 == len(set(draws[0]))
    everything = drawn(book, recipes, ["http"], 1000, 1)
    assert {FILE, "shared/words.py"} >= {one.file for one in everything}
    assert 4 < len(everything) < 100


def test_a_mutant_is_judged(ask: Ask, served_book: Writer) -> None:
    """The contract notices what it looks at, and nothing else."""
    book = served_book()
    words = ("mutants", "greet", "--sample", "100", "--jobs", "2", "--json")
    code, answer, _ = ask(book, *words)
    found = json.loads(answer)
    assert 0 == code
    assert {"killed", "survived", "crashed"} >= {f["verdict"] for f in found}
    missed = [f for f in found if f["verdict"] == "survived"]
    [status] = [f for f in found if "status = 200" in f["diff"]]
    assert "killed" == status["verdict"]
    assert all(f["test"] for f in found if f["verdict"] == "killed")
    assert all(f["test"] == "" for f in missed)


def test_the_score_leaves_out_what_did_not_start() -> None:
    """What never answered says nothing of the contract."""
    verdicts = ["killed"] * 3 + ["survived"] + ["crashed"] * 4
    assert "   3 of 4      75%, 4 did not start" == counted(verdicts)
    assert "none" in counted(["crashed"])
    found = [
        Found("greet", "http", FILE, 1, "AddNot", verdict, "", "")
        for verdict in verdicts
    ]
    lines = ["".join(text for text, _ in line) for line in score(found)]
    assert "greet" == lines[1].split()[0]
    assert "all" == lines[2].split()[0]


def test_without_cosmic_ray_it_says_what_to_do(
    ask: Ask, served_book: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in a group of its own."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("cosmic_ray"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    mutants.places.cache_clear()
    code, _, errors = ask(served_book(), "mutants")
    assert 2 == code
    assert "uv sync --group mutation" in errors
