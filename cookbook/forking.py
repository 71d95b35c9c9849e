"""Work done in processes forked from this one, several at a time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

WORK: list[Callable[[], Any]] = []
"""What the forked processes are to do: they have it from this one."""


@contextmanager
def forked[Made](
    work: Sequence[Callable[[], Made]], jobs: int
) -> Iterator[list[Callable[[], Made]]]:
    """Begin the work, `jobs` at a time; each given call waits for a piece."""
    WORK[:] = work
    pool = ProcessPoolExecutor(jobs, get_context("fork"), start_afresh)
    try:
        yield [pool.submit(do, number).result for number in range(len(work))]
    finally:
        pool.shutdown(cancel_futures=True)


def start_afresh() -> None:
    """Share no helper process with the one that this was forked from."""
    from cookbook.contract.processes import guard
    from cookbook.contract.servers import warm_parent

    guard.cache_clear()
    warm_parent.cache_clear()


def do(number: int) -> Any:
    """Do a piece of the work in a process of its own."""
    return WORK[number]()
