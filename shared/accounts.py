"""Accounts and their sessions: two tables, and each step one statement.

A statement decides and acts at once, so that no two requests can come
between: what has ended is neither opened, nor moved, nor written again.
"""

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    Delete,
    Insert,
    Select,
    String,
    Update,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database import Instant


class Base(DeclarativeBase):
    """The tables of the accounts."""


class Account(Base):
    """Who can log in; a new `epoch` ends all sessions of the old one."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    epoch: Mapped[int] = mapped_column(default=0)


class Session(Base):
    """A session, of nobody before login; `data` is what it remembers."""

    __tablename__ = "sessions"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int | None]
    epoch: Mapped[int | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Instant, index=True)
    seen_at: Mapped[datetime] = mapped_column(Instant, index=True)


class Lifetime(NamedTuple):
    """How many seconds a session may be unused, and how old it may be."""

    idle: int
    absolute: int


class Fresh(NamedTuple):
    """A session that is to begin: its id, its key, what it remembers."""

    id: str
    key: str
    data: dict[str, Any]


def fresh_session(secret: str) -> Fresh:
    """Make a session under a new id, with a new token against CSRF."""
    session_id = make_token()
    key = session_key(secret, session_id)
    return Fresh(session_id, key, {"csrf_token": make_token()})


def make_token() -> str:
    """Make what nobody can guess: 256 bits, as text for a cookie."""
    return secrets.token_urlsafe(32)


def session_key(secret: str, session_id: str) -> str:
    """Make of an id the key to find it by, which is no id.

    Who reads the table has no id to send; who writes into it, but does
    not know the secret, cannot make one either.
    """
    key = session_id.encode(errors="surrogatepass")
    # rule: shared-store
    key = hmac.digest(secret.encode(), key, "sha256")
    return key.hex()


def same_token(given: str | None, kept: str | None) -> bool:
    """Compare tokens in a time that tells nothing; none equals none."""
    if not given or not kept:
        return False
    return hmac.compare_digest(
        given.encode(errors="surrogatepass"), kept.encode()
    )


def add_account(email: str, password_hash: str) -> Insert:
    """Add an account; an address that is taken is an `IntegrityError`."""
    return insert(Account).values(
        email=email.lower(), password_hash=password_hash
    )


def find_account(email: str) -> Select[int, str, str, int]:
    """Find an account by its address."""
    return select(
        Account.id, Account.email, Account.password_hash, Account.epoch
    ).where(Account.email == email.lower())


def get_account(key: str) -> Select[int, str, str, int, str]:
    """Get the account of an open session; one of nobody has none."""
    return (
        select(
            Account.id,
            Account.email,
            Account.password_hash,
            Account.epoch,
            Session.key.label("session_key"),
        )
        .join(Session, Session.account_id == Account.id)
        .where(Session.key == key, Session.epoch == Account.epoch)
    )


def begin_epoch(account_id: int) -> Update:
    """End all sessions of an account."""
    return (
        update(Account)
        .where(Account.id == account_id)
        # rule: logout-everywhere
        .values(epoch=Account.epoch + 1)
    )


def replace_password(
    account_id: int, epoch: int, password_hash: str
) -> ReturningUpdate[int]:
    """Keep another hash and begin an epoch, if this one still lasts."""
    return (
        update(Account)
        .where(
            Account.id == account_id,
            # rule: logout-everywhere
            Account.epoch == epoch,
        )
        .values(
            password_hash=password_hash,
            # rule: password-change
            epoch=Account.epoch + 1,
        )
        .returning(Account.epoch)
    )


def add_session(
    fresh: Fresh, account_id: int | None = None, epoch: int | None = None
) -> Insert:
    """Begin a session, of an account or of nobody."""
    now = datetime.now(UTC)
    return insert(Session).values(
        key=fresh.key,
        data=fresh.data,
        account_id=account_id,
        epoch=epoch,
        created_at=now,
        seen_at=now,
    )


def open_session(
    key: str, lifetime: Lifetime
) -> ReturningUpdate[str, dict[str, Any]]:
    """Find a session that has not ended, and note that it is used."""
    return (
        update(Session)
        .where(
            Session.key == key,
            *_young(lifetime),
            # rule: logout-everywhere
            or_(Session.account_id.is_(None), Session.epoch == _epoch()),
        )
        # rule: idle-expiry
        .values(seen_at=datetime.now(UTC))
        .returning(Session.key, Session.data)
    )


def _young(lifetime: Lifetime) -> tuple[ColumnElement[bool], ...]:
    now = datetime.now(UTC)
    return (
        # rule: idle-expiry
        Session.seen_at > now - timedelta(seconds=lifetime.idle),
        # rule: absolute-expiry
        Session.created_at > now - timedelta(seconds=lifetime.absolute),
    )


def _epoch() -> ColumnElement[int]:
    return (
        select(Account.epoch)
        .where(Account.id == Session.account_id)
        .scalar_subquery()
    )


def save_session(key: str, data: dict[str, Any]) -> ReturningUpdate[str]:
    """Write what a session remembers, if it has not ended meanwhile."""
    return (
        update(Session)
        .where(Session.key == key)
        .values(data=data)
        .returning(Session.key)
    )


def move_session(
    key: str, fresh: Fresh, epoch: int | None
) -> ReturningUpdate[str]:
    """Give a session another key, if it has not ended meanwhile.

    Its age stays: who changes a password every day still has to log in.
    """
    return (
        update(Session)
        .where(Session.key == key)
        .values(key=fresh.key, data=fresh.data, epoch=epoch)
        .returning(Session.key)
    )


def end_session(key: str) -> Delete:
    """End one session."""
    return delete(Session).where(Session.key == key)


def sweep_sessions(lifetime: Lifetime) -> Delete:
    """Take out what has ended by its age."""
    now = datetime.now(UTC)
    return delete(Session).where(
        or_(
            Session.seen_at <= now - timedelta(seconds=lifetime.idle),
            Session.created_at <= now - timedelta(seconds=lifetime.absolute),
        )
    )
