"""What a contract has counted: how much was asked, and what went wrong."""

from collections import Counter

_counted: Counter[str] = Counter()


def figure(text: str, number: int) -> None:
    """Count what a test did, for the run to say at its end.

    `text` says what was counted ("transfers fired"); the same text in
    several tests is added up.
    """
    _counted[text] += number


def take_figures() -> dict[str, int]:
    """Give what was counted since the last time."""
    found = dict(_counted)
    _counted.clear()
    return found
