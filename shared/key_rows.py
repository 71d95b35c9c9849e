"""Idempotency keys in SQLAlchemy: a table, and each step one statement."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    JSON,
    ColumnElement,
    Delete,
    Insert,
    Select,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database import Instant
from shared.idempotency import Answer, Claim


class Base(DeclarativeBase):
    """The tables of the service, the keys among them."""


class IdempotencyKey(Base):
    """A key of an owner: who works on it, or what was answered."""

    __tablename__ = "idempotency_keys"

    # rule: own-keys
    owner: Mapped[str] = mapped_column(primary_key=True)
    # rule: one-effect
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    claim: Mapped[str]
    claimed_until: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime] = mapped_column(Instant, index=True)
    status: Mapped[int | None]
    headers: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    body: Mapped[bytes] = mapped_column(default=b"")


def _named(claim: Claim) -> ColumnElement[bool]:
    """Match the row of a key, whoever holds it."""
    return and_(
        # rule: own-keys
        IdempotencyKey.owner == claim.owner,
        IdempotencyKey.key == claim.key,
    )


def _held(claim: Claim) -> ColumnElement[bool]:
    """Match the row of a key, if this very request holds it."""
    return and_(
        _named(claim),
        # rule: overtaken
        IdempotencyKey.claim == claim.id,
        IdempotencyKey.status.is_(None),
    )


def drop_spent(claim: Claim) -> Delete:
    """Delete a row that is no longer in the way of a claim.

    It has expired, or its holder died at work on the same request.
    """
    now = datetime.now(UTC)
    abandoned = and_(
        IdempotencyKey.status.is_(None),
        # rule: killed
        IdempotencyKey.claimed_until <= now,
        # rule: other-request
        IdempotencyKey.fingerprint == claim.fingerprint,
    )
    # rule: expiry
    expired = IdempotencyKey.expires_at <= now
    return delete(IdempotencyKey).where(_named(claim), or_(expired, abandoned))


def insert_claim(claim: Claim, lease: float, ttl: float) -> Insert:
    """Insert a claim; the database refuses a second one."""
    now = datetime.now(UTC)
    return insert(IdempotencyKey).values(
        owner=claim.owner,
        key=claim.key,
        fingerprint=claim.fingerprint,
        claim=claim.id,
        claimed_until=now + timedelta(seconds=lease),
        expires_at=now + timedelta(seconds=ttl),
    )


def select_key(claim: Claim) -> Select[IdempotencyKey]:
    """Select what is there under the key of a claim."""
    return select(IdempotencyKey).where(_named(claim))


def keep_answer(claim: Claim, answer: Answer) -> ReturningUpdate[str]:
    """Keep an answer, if the claim still holds; or no row."""
    statement = update(IdempotencyKey).where(_held(claim))
    return statement.values(
        status=answer.status, headers=dict(answer.headers), body=answer.body
    ).returning(IdempotencyKey.claim)


def free_key(claim: Claim) -> Delete:
    """Give a key up that has no answer."""
    return delete(IdempotencyKey).where(_held(claim))


def drop_expired() -> Delete:
    """Delete all keys that nobody will ask for again."""
    now = datetime.now(UTC)
    return delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now)
