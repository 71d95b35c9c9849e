"""Transactions of SQLite in SQLAlchemy, begun where others begin theirs."""

from typing import Any

from sqlalchemy import Connection, Engine, event

READING = {"postgresql_readonly": True}
"""Options of a transaction that changes nothing, in either database."""


def begin_at_once(engine: Engine) -> None:
    """Have who writes wait for its turn before its first look.

    The driver alone begins at the first change, and what was read before
    that is of no transaction. PostgreSQL is left as it is.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up)
        # rule: all-or-nothing
        event.listen(engine, "begin", _begin)


def _set_up(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    # rule: after-commit
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get("postgresql_readonly")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
