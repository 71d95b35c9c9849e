"""What a database breaks off, holds up or refuses, and what to make of it.

PostgreSQL has a code for each error (SQLSTATE), SQLite a name.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from shared.bank import (
    RefusedError,
    account_in_use,
    busy,
    insufficient_funds,
)

CONFLICTS = {
    # rule: retried
    "40001",  # serialization failure
    # rule: retried
    "40P01",  # deadlock
}
REFUSALS: dict[str, Callable[[], RefusedError]] = {
    # rule: bounded
    "40001": busy,
    "40P01": busy,
    # rule: bounded
    "55P03": busy,  # a lock that was not to be had in time
    # rule: bounded
    "SQLITE_BUSY": busy,
    # rule: covered
    "23514": insufficient_funds,
    # rule: covered
    "SQLITE_CONSTRAINT_CHECK": insufficient_funds,
    # rule: after-commit
    "23503": account_in_use,
    # rule: after-commit
    "SQLITE_CONSTRAINT_FOREIGNKEY": account_in_use,
}
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.5


def is_conflict(error: BaseException | None) -> bool:
    """Tell whether the same work may succeed when it is begun again."""
    return code_of(error) in CONFLICTS


def refused(error: BaseException | None) -> RefusedError | None:
    """Say what an error of the driver means; `None`: it is our failure."""
    refusal = REFUSALS.get(code_of(error))
    return refusal() if refusal else None


def code_of(error: BaseException | None) -> str:
    """Take the SQLSTATE, or SQLite's name, from an error of a driver."""
    code = getattr(error, "sqlstate", None)
    return code or getattr(error, "sqlite_errorname", None) or ""


def pauses(attempts: int) -> Iterator[float]:
    """Say how long to wait before each attempt but the first.

    Longer each time, and by chance: who met would else meet again.
    """
    for number in range(attempts - 1):
        yield random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**number))


def wait_at_most(url: str, seconds: float) -> dict[str, Any]:
    """Bound, for either driver, how long a statement waits for a lock."""
    if urlsplit(url).scheme == "sqlite":
        return {"timeout": seconds}
    return {"options": f"-c lock_timeout={round(seconds * 1000)}"}
