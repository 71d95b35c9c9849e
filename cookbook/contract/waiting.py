"""Wait for what must come to be."""

from collections.abc import Callable
from time import monotonic, sleep

PATIENCE = 15.0
"""For how many seconds a test waits before it says that nothing came."""

STEP = 0.01


def until[T](condition: Callable[[], T], what: str) -> T:
    """Give the first true value of a condition.

    Fails the test, saying `what` did not come to be, once `PATIENCE` is
    over. No test passes sooner or later by it.
    """
    end = monotonic() + PATIENCE
    while not (found := condition()):
        assert monotonic() < end, what
        sleep(STEP)
    return found
