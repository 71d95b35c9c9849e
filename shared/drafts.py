"""A draft for each session, in an SQLite file.

The domain knows no HTTP, but for the form of its tags. What it refuses is
an error of its own, and `describe` says once, for all, which problem each
of them is.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from shared.problems import Problem, named_problem

_TABLE = """
CREATE TABLE IF NOT EXISTS session (
    token TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    draft TEXT,
    version INTEGER NOT NULL DEFAULT 0
)
"""


class Draft(NamedTuple):
    """A text, and how often it was changed."""

    text: str
    version: int

    @property
    def etag(self) -> str:
        """The tag of this version (RFC 9110, section 8.8.3)."""
        return f'"{self.version}"'

    def to_json(self) -> dict[str, str]:
        """Show the draft."""
        return {"text": self.text}


class DraftError(Exception):
    """What the domain refuses."""


class NotSignedIn(DraftError):
    """The token is of no session."""


class NoDraft(DraftError):
    """The session has no draft."""


class DraftChanged(DraftError):
    """The draft is no longer the one that was meant."""


def describe(error: DraftError) -> Problem:
    """Say which problem it is: the one place that knows."""
    match error:
        case NotSignedIn():
            return named_problem(
                401,
                "not-signed-in",
                "Not signed in",
                "A draft belongs to a session; begin one.",
            )
        case NoDraft():
            return named_problem(
                404, "no-draft", "No draft", "Nothing has been saved yet."
            )
        case DraftChanged():
            return named_problem(
                412,
                "draft-changed",
                "Draft changed",
                "The draft is another one than `If-Match` names.",
            )
    raise error


def make_table(path: str) -> None:
    """Make the file with its table, unless there is one."""
    with _writing(path) as database:
        database.execute(_TABLE)


def begin_session(path: str, name: str) -> str:
    """Begin a session, and give its token."""
    token = secrets.token_urlsafe(32)
    with _writing(path) as database:
        database.execute(
            "INSERT INTO session (token, name) VALUES (?, ?)", (token, name)
        )
    return token


def find_name(path: str, token: str) -> str | None:
    """Find who is signed in."""
    with closing(sqlite3.connect(path)) as database:
        row = database.execute(
            "SELECT name FROM session WHERE token = ?", (token,)
        ).fetchone()
    return row[0] if row else None


def find_draft(path: str, token: str) -> Draft:
    """Find the draft of a session."""
    with closing(sqlite3.connect(path)) as database:
        draft, _ = _look(database, token)
    if draft is None:
        raise NoDraft
    return draft


def save_draft(path: str, token: str, text: str, if_match: str) -> Draft:
    """Save the draft, if it still is the one that `If-Match` names."""
    with _writing(path) as database:
        draft, version = _look(database, token)
        if if_match and not _matches(draft, if_match):
            raise DraftChanged
        saved = Draft(text, version + 1)
        _store(database, token, *saved)
    return saved


def remove_draft(path: str, token: str) -> None:
    """Remove the draft; what is saved later is yet another version."""
    with _writing(path) as database:
        draft, version = _look(database, token)
        if draft is None:
            raise NoDraft
        _store(database, token, None, version)


def _look(
    database: sqlite3.Connection, token: str
) -> tuple[Draft | None, int]:
    row = database.execute(
        "SELECT draft, version FROM session WHERE token = ?", (token,)
    ).fetchone()
    if row is None:
        raise NotSignedIn
    text, version = row
    return (None if text is None else Draft(text, version)), version


def _store(
    database: sqlite3.Connection, token: str, text: str | None, version: int
) -> None:
    database.execute(
        "UPDATE session SET draft = ?, version = ? WHERE token = ?",
        (text, version, token),
    )


def _matches(draft: Draft | None, if_match: str) -> bool:
    if draft is None:
        return False
    tags = [tag.strip() for tag in if_match.split(",")]
    return tags == ["*"] or draft.etag in tags


@contextmanager
def _writing(path: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        # What is read here must not change before it is written.
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")
