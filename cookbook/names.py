"""Names that a reader may get wrong, and the right ones near them."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches


class WrongUse(Exception):
    """A command that cannot be meant as it was written."""


class UnknownName(LookupError):
    """A name that the book does not have.

    `kind` says what was asked for ("recipe"), `nearest` are the right
    names that look most like it, the likeliest first.
    """

    is_planned = False

    def __init__(self, kind: str, name: str, known: Collection[str]) -> None:
        self.kind = kind
        self.name = name
        self.nearest = nearest(name, known)
        text = f'There is no {kind} "{name}".'
        if self.nearest:
            text += f" Did you mean {alternatives(self.nearest)}?"
        elif len(known) <= 20:
            text += f" There is {listing(list(known)) or 'none yet'}."
        super().__init__(text)


def nearest(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Find up to three names that look like the one given."""
    plain = {spell(other): other for other in known}
    asked = spell(name)
    close = get_close_matches(asked, plain, n=3, cutoff=0.6)
    if len(asked) >= 3:
        close += [other for other in plain if asked in other]
    return tuple(plain[other] for other in dict.fromkeys(close))[:3]


def spell(name: str) -> str:
    """Write a name the way the book does: `HTTP-caching`, `http_caching`."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def alternatives(names: Sequence[str]) -> str:
    """Write `a`, `a or b`, `a, b or c`."""
    return _joined(names, "or")


def listing(names: Sequence[str]) -> str:
    """Write `a`, `a and b`, `a, b and c`."""
    return _joined(names, "and")


def _joined(names: Sequence[str], word: str) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
