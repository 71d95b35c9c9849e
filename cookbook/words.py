"""Words: what a reader asks for, held against what a text has."""

import re
from functools import cache

SMALL = frozenset(
    "a an and are as at be by do does for from how i in is it my not of on "
    "or the this to what when where which why with".split()
)
"""Words that say nothing, unless there are no others."""

_WORD = re.compile(r"[a-z0-9]+")
_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def understood(query: str) -> list[str]:
    """Take the words of a query that say something."""
    words = list(dict.fromkeys(words_of(query)))
    return [word for word in words if word not in SMALL] or words


def words_of(text: str) -> list[str]:
    """List the words of a text; `before_request` has two, and so on."""
    return _WORD.findall(text.lower())


def fit(word: str, text: str) -> float:
    """Tell how well a word fits a text, from 0 to 1."""
    asked = stem(word)
    return max((likeness(asked, other) for other in stems(text)), default=0)


def likeness(asked: str, other: str) -> float:
    """Compare two stems: the same, the beginning of one, or neither."""
    if asked == other:
        return 1.0
    if other.startswith(asked) and len(asked) >= 3:
        return 0.6
    if asked.startswith(other) and len(other) >= 4:
        return 0.4 if len(asked) - len(other) <= 2 else 0.0
    return 0.0


def root(word: str) -> str:
    """Cut a word to what every text that it fits has in it."""
    asked = stem(word)
    return asked[: max(4, len(asked) - 2)]


@cache
def stems(text: str) -> frozenset[str]:
    """Take the stems of a text's words; names are taken apart."""
    return frozenset(stem(word) for word in words_of(taken_apart(text)))


def taken_apart(text: str) -> str:
    """Put spaces between the words of `BackgroundTasks`."""
    return _JOINT.sub(" ", text)


def stem(word: str) -> str:
    """Cut the endings that say how a word is used."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith("ss"):
            break
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
