"""The catalogue of all recipes, written and planned."""

import tomllib
from collections import Counter

import pytest

from tests.house.tree import BOOK, ROOT

CATALOGUE = tomllib.loads((ROOT / "recipes" / "canon.toml").read_text())


def test_the_canon_has_sixteen_chapters() -> None:
    """Every chapter of the Canon is a shelf, in its order."""
    shelves = BOOK.shelves.values()
    assert [*range(1, 17)] == [shelf.chapter for shelf in shelves]


def test_the_canon_has_129_topics() -> None:
    """Every topic of the Canon is in the catalogue."""
    assert 129 == len(BOOK.topics)


def test_a_slug_is_there_once() -> None:
    """A recipe is named by its slug alone, without its shelf."""
    slugs = Counter(
        slug for shelf in CATALOGUE["recipes"].values() for slug in shelf
    )
    assert {} == {slug: count for slug, count in slugs.items() if count > 1}


@pytest.mark.parametrize("number", BOOK.topics)
def test_a_topic_has_a_recipe(number: str) -> None:
    """Every topic has a recipe, written or planned."""
    planned = BOOK.planned.values()
    assert [one.slug for one in planned if number in one.canon]


@pytest.mark.parametrize("slug", BOOK.folders)
def test_a_written_recipe_was_planned(slug: str) -> None:
    """A recipe serves the topics that the catalogue gives it."""
    recipe = BOOK.recipe(slug)
    assert BOOK.planned[slug].canon == recipe.canon
    assert BOOK.planned[slug].kind == recipe.kind
