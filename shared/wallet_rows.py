"""Wallets and payments in SQLAlchemy, each step one statement."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Select, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database import Instant
from shared.key_rows import Base
from shared.wallets import Move


class Wallet(Base):
    """What somebody has, in cents."""

    __tablename__ = "wallets"

    id: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)


class Payment(Base):
    """A payment from one wallet to another."""

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    payer: Mapped[str]
    payee: Mapped[str]
    amount: Mapped[int]
    refund_of: Mapped[UUID | None]
    refunded: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(
        Instant, default=lambda: datetime.now(UTC)
    )


def change_balance(move: Move) -> ReturningUpdate[int]:
    """Add to a wallet, or take what it has; or no row."""
    balance = Wallet.balance + move.amount
    found = update(Wallet).where(Wallet.id == move.wallet, balance >= 0)
    return found.values(balance=balance).returning(Wallet.balance)


def select_balance(wallet: str) -> Select[int]:
    """Select what a wallet has."""
    return select(Wallet.balance).where(Wallet.id == wallet)


def mark_refunded(payment_id: UUID, payee: str) -> ReturningUpdate[Payment]:
    """Mark a payment that a wallet has got and not refunded; or no row."""
    found = update(Payment).where(
        Payment.id == payment_id, Payment.payee == payee, ~Payment.refunded
    )
    return found.values(refunded=True).returning(Payment)
