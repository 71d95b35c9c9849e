"""What `cookbook check` asks of a recipe."""

import pytest

from cookbook.checking import lacks
from tests.house.tree import BOOK


@pytest.mark.parametrize("slug", BOOK.folders)
def test_a_recipe_lacks_nothing(slug: str) -> None:
    """Every recipe has all that the house asks for."""
    assert [] == lacks(BOOK, slug)
