"""Which tests a worker runs in a row: those that share a service.

pytest-xdist's own `--dist loadgroup` writes the group of a test into its
id, which pytest 9.2 no longer lets it do, and then spreads the tests one
by one (https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from cookbook.book import Book
from cookbook.results import MANNERS, load


# xdist says nowhere that it is typed.
class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Hands tests out by file, recipe and subject, the longest group first.

    `names` are those of the recipes and of the subjects, and of files whose
    tests belong together; `seconds` is what a group took when last run.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        names: Container[str],
        seconds: Mapping[str, float],
    ) -> None:
        super().__init__(config, log)
        self._names = names
        self._seconds = seconds

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid, self._names)

    def _assign_work_unit(self, node: Any) -> None:
        longest = max(self.workqueue, key=self._length)
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)

    def _length(self, group: str) -> tuple[float, int]:
        return self._seconds.get(group, 0.0), len(self.workqueue[group])


def group_of(nodeid: str, names: Container[str]) -> str:
    """Name the group of a test: its file, its recipe and its subject.

    A test that is run for neither is a group of its own, unless its whole
    file is one.
    """
    file, _, test = nodeid.partition("::")
    stem = PurePosixPath(file).stem
    values = test.partition("[")[2].removesuffix("]").split("-")[:2]
    shared = [value for value in values if value in names]
    whole = shared or stem in names
    return "-".join([stem, *shared]) if whole else nodeid


def last_seconds(book: Book) -> dict[str, float]:
    """Read how long each group took when it was last run."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for (recipe, rule, framework), result in load(book).items():
        own = f"test_{recipe}-{framework}"
        polite = f"test_manners-{recipe}-{framework}"
        seconds[polite if rule == MANNERS else own] += result.seconds
    return dict(seconds)
