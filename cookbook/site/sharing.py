"""Work shared out to the processors, where there are several."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

FEW = 4
"""So little is done sooner than other processes are there."""

_work: list[Callable[[], object]] = []


def all_of[Made](work: Sequence[Callable[[], Made]]) -> list[Made]:
    """Do each piece of work, and give what came of it in its order.

    It is done in copies of this process, which know all that this one
    knows, the last piece by this one; all by this one where it has
    threads, which no copy would have.
    """
    count = min(os.cpu_count() or 1, len(work))
    has_fork = "fork" in multiprocessing.get_all_start_methods()
    is_alone = threading.active_count() == 1
    if count < 2 or len(work) < FEW or not has_fork or not is_alone:
        return [each() for each in work]
    context = multiprocessing.get_context("fork")
    with context.Pool(count, _work.extend, (work,)) as pool:
        others = pool.map_async(_do, range(len(work) - 1), chunksize=1)
        own = work[-1]()
        return [*others.get(), own]


def _do(number: int) -> Any:
    return _work[number]()
