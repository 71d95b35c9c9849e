"""A copy shop: jobs in a spool of files, and a meter read at the end.

A job is a file: the number of its pages, and a dot for each that is
printed. Whoever prints it holds a lock on it, which ends with the process.
"""

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.problems import named_problem

DRAINING = named_problem(
    503, "draining", "Draining", "This process takes no new clients."
)
_NAME = re.compile(r"[0-9a-f]{24}")


class Job:
    """Pages to be printed; `done` of them are."""

    def __init__(self, path: Path) -> None:
        self.id = path.name
        self._path = path
        self.read()

    def read(self) -> None:
        """Read from the file what is printed by now."""
        pages, dots = self._path.read_text(encoding="ascii").split("\n")
        self.pages = int(pages)
        self.done = len(dots)

    @property
    def printed(self) -> bool:
        """Tell whether all pages are printed."""
        return self.done >= self.pages

    def add_page(self) -> None:
        """Note that one page more is printed."""
        with self._path.open("ab") as file:
            file.write(b".")
        self.done += 1

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the job, if nobody else does; tell whether that is so."""
        with self._path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                self.read()
                yield True

    def to_json(self) -> dict[str, Any]:
        """Show the job."""
        return {
            "id": self.id,
            "pages": self.pages,
            "done": self.done,
            "state": "printed" if self.printed else "waiting",
        }


class Spool:
    """The jobs that were accepted, the oldest first."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder, "jobs")

    def make(self) -> None:
        """Make the folder, unless there is one."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, pages: int) -> Job:
        """Accept a job; it is on disk when this returns."""
        name = f"{time.time_ns():016x}{secrets.token_hex(4)}"
        path = self._folder / name
        # What takes jobs does not see it before it is whole.
        draft = path.with_suffix(".new")
        with draft.open("x", encoding="ascii") as file:
            file.write(f"{pages}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        return Job(path)

    def find(self, name: str) -> Job | None:
        """Find a job by its id."""
        path = self._folder / name
        known = _NAME.fullmatch(name) and path.exists()
        return Job(path) if known else None

    def count(self) -> int:
        """Count the jobs that are not printed."""
        return sum(not job.printed for job in self._jobs())

    def _jobs(self) -> Iterator[Job]:
        for path in sorted(self._folder.iterdir()):
            if _NAME.fullmatch(path.name):
                yield Job(path)

    @contextmanager
    def take(self) -> Iterator[Job | None]:
        """Hold a job that nobody else holds; afterwards it is free again."""
        for job in self._jobs():
            with job.locked() as is_ours:
                # It may have been printed since.
                if is_ours and not job.printed:
                    yield job
                    return
        yield None


class Meter:
    """Counts pages in memory, and writes the sum when it is closed."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder, "usage")
        self._count = 0
        self._closed = False

    def count(self, pages: int) -> None:
        """Count pages; `RuntimeError` once it is closed."""
        if self._closed:
            raise RuntimeError("the meter is closed")
        self._count += pages

    def close(self) -> None:
        """Write what was counted."""
        self._closed = True
        if self._count:
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"{self._count}\n")


def read_usage(folder: str) -> int:
    """Add up what all meters have written."""
    path = Path(folder, "usage")
    return sum(map(int, path.read_text().split())) if path.exists() else 0


def write_event(name: str, waiting: int) -> str:
    """Write an event of a stream: how many jobs wait."""
    data = json.dumps({"waiting": waiting})
    return f"event: {name}\ndata: {data}\n\n"
