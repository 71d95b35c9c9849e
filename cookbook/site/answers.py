"""Answers side by side, what differs marked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cookbook.site.exchange import Answer


@dataclass(frozen=True)
class Cell:
    """What one server has in a row; `None` where it has nothing."""

    text: str | None
    differs: bool


@dataclass(frozen=True)
class Row:
    """A part of the answers: the status, or a header."""

    name: str
    cells: tuple[Cell, ...]

    @property
    def is_same(self) -> bool:
        """Tell whether all have the same here."""
        return not any(cell.differs for cell in self.cells)


def rows(answers: Sequence[Answer]) -> list[Row]:
    """Compare the statuses, then every header that any of them has."""
    headers = [answer.headers for answer in answers]
    names = sorted({name for each in headers for name in each})
    heads = [row(n, [each.get(n) for each in headers], answers) for n in names]
    status = row("status", [a.status or None for a in answers], answers)
    return [status, *heads]


def row(
    name: str, texts: Sequence[str | None], answers: Sequence[Answer]
) -> Row:
    """Mark what few have; all, where there is no telling which are few.

    Who has not answered takes no part.
    """
    took_part = [answer.response is not None for answer in answers]
    counted = Counter(
        text for text, there in zip(texts, took_part, strict=True) if there
    ).most_common()
    usual = {text for text, n in counted if n == counted[0][1]}
    agreed = len(usual) == 1
    cells = (
        Cell(text, there and not (agreed and text in usual))
        for text, there in zip(texts, took_part, strict=True)
    )
    return Row(name, tuple(cells))


def bodies(answers: Sequence[Answer]) -> list[list[Cell]]:
    """Mark each line that is not in all of the bodies.

    The order of a JSON object means nothing, nor which line has no comma.
    """
    lines = [
        {line.rstrip(",") for line in answer.body}
        for answer in answers
        if answer.response is not None
    ]
    common = set.intersection(*lines) if lines else set()
    return [
        [Cell(line, line.rstrip(",") not in common) for line in answer.body]
        for answer in answers
    ]
