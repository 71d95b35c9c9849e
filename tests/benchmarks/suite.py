"""Print what the contracts cost: by stack, by recipe, in all.

uv run python tests/benchmarks/suite.py [FRAMEWORK ...]

For each framework: seconds from start to first answer, plainly and from
the warm parent, and to stop; then the seconds of each recipe's contract.
No test depends on these figures.
"""

import sys
from statistics import median
from time import perf_counter

from cookbook.book import Book
from cookbook.contract import Subject, start
from cookbook.contract.runs import judge

TRIALS = 5


def start_and_stop(recipe: str, subject: Subject) -> tuple[float, float]:
    """Time a start, to the first answer, and a stop."""
    begun = perf_counter()
    with start(recipe, subject):
        started = perf_counter()
    return started - begun, perf_counter() - started


def main() -> None:
    """Measure and print."""
    book = Book.load()
    names = sys.argv[1:] or list(book.frameworks)
    recipes = list(book.recipes)
    print(f"{'':10} plain start  warm start  stop   (medians of {TRIALS}, s)")
    for name in names:
        start_and_stop(recipes[0], Subject(name))
        plain = [
            start_and_stop(recipes[0], Subject(name, plainly=True))[0]
            for _ in range(TRIALS)
        ]
        warm = [
            start_and_stop(recipes[0], Subject(name)) for _ in range(TRIALS)
        ]
        starts, stops = zip(*warm, strict=True)
        print(
            f"{name:10} {median(plain):11.2f} {median(starts):11.2f}"
            f" {median(stops):6.2f}"
        )
    print(f"\n{'contract':26}" + "".join(f"{name:>10}" for name in names))
    whole = 0.0
    for recipe in recipes:
        taken = []
        for name in names:
            begun = perf_counter()
            judge(recipe, Subject(name), manners=True)
            taken.append(perf_counter() - begun)
        whole += sum(taken)
        print(f"{recipe:26}" + "".join(f"{one:10.1f}" for one in taken))
    print(f"\n{'in all':26}{whole:10.1f}")


if __name__ == "__main__":
    main()
