"""The books of a bank in SQLAlchemy: accounts, transfers and entries."""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Insert,
    Integer,
    Label,
    Select,
    SQLColumnExpression,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.dml import (
    ReturningDelete,
    ReturningInsert,
    ReturningUpdate,
)

from shared.bank import Leg


class Base(DeclarativeBase):
    """The tables of the books; whole numbers have 64 bits."""

    type_annotation_map = {int: BigInteger().with_variant(Integer, "sqlite")}


def reference(column: str) -> ForeignKey:
    """Refer to a row that has to be there at the commit, and no sooner."""
    # rule: after-commit
    return ForeignKey(column, deferrable=True, initially="DEFERRED")


class Account(Base):
    """An account; the database itself keeps it within its overdraft."""

    __tablename__ = "accounts"
    __table_args__ = (
        # rule: covered
        CheckConstraint("balance + overdraft >= 0", name="accounts_covered"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    opening: Mapped[int]
    overdraft: Mapped[int]
    balance: Mapped[int]


class Transfer(Base):
    """A transfer as it was ordered."""

    __tablename__ = "transfers"

    id: Mapped[int] = mapped_column(primary_key=True)
    payer: Mapped[int] = mapped_column("payer_id", reference("accounts.id"))
    payee: Mapped[int] = mapped_column("payee_id", reference("accounts.id"))
    amount: Mapped[int]


class Entry(Base):
    """One leg of a transfer, on its account."""

    __tablename__ = "entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    transfer_id: Mapped[int] = mapped_column(reference("transfers.id"))
    account_id: Mapped[int] = mapped_column(
        reference("accounts.id"), index=True
    )
    amount: Mapped[int]


def open_account(
    owner: str, opening: int, overdraft: int
) -> ReturningInsert[int, str, int, int, int]:
    """Add an account with the money that is brought in, and see it."""
    statement = insert(Account).values(
        owner=owner, opening=opening, overdraft=overdraft, balance=opening
    )
    return statement.returning(*_ACCOUNT)


def find_account(account_id: int) -> Select[int, str, int, int, int]:
    """Find an account."""
    return select(*_ACCOUNT).where(Account.id == account_id)


def turnover_of(account_id: int) -> Select[int, int]:
    """Add up what the entries of an account brought in and took out."""
    return select(_credits(), _debits()).where(Entry.account_id == account_id)


def close_account(account_id: int) -> ReturningDelete[int]:
    """Take an account out, and see which; or none."""
    statement = delete(Account).where(Account.id == account_id)
    return statement.returning(Account.id)


def owner_of(account_id: int) -> Select[str]:
    """Find whose an account is."""
    return select(Account.owner).where(Account.id == account_id)


def move_money(leg: Leg) -> ReturningUpdate[int]:
    """Change a balance by what is moved, and see which; or none."""
    return (
        update(Account)
        .where(Account.id == leg.account_id)
        .values(
            # rule: conserved
            balance=Account.balance + leg.amount
        )
        .returning(Account.id)
    )


def total_of(owner: str | None) -> Select[int]:
    """Add up what the accounts of an owner hold together."""
    return select(_sum(Account.balance)).where(Account.owner == owner)


def add_transfer(
    payer: int, payee: int, amount: int
) -> ReturningInsert[int, int, int, int]:
    """Add a transfer, and see it with its id."""
    statement = insert(Transfer).values(
        payer=payer, payee=payee, amount=amount
    )
    return statement.returning(*_TRANSFER)


def add_entries(transfer_id: int, legs: Iterable[Leg]) -> Insert:
    """Add the legs of a transfer to the accounts."""
    return insert(Entry).values(
        [leg._asdict() | {"transfer_id": transfer_id} for leg in legs]
    )


def find_transfer(transfer_id: int) -> Select[int, int, int, int]:
    """Find a transfer."""
    return select(*_TRANSFER).where(Transfer.id == transfer_id)


def trial_balance() -> Select[int, int, int, int, int]:
    """Add up all accounts and all entries, in one statement."""
    return select(
        select(func.count(Account.id)).scalar_subquery().label("accounts"),
        select(_sum(Account.opening)).scalar_subquery().label("openings"),
        select(_sum(Account.balance)).scalar_subquery().label("balances"),
        select(_credits()).scalar_subquery().label("credits"),
        select(_debits()).scalar_subquery().label("debits"),
    )


_ACCOUNT = (
    Account.id,
    Account.owner,
    Account.opening,
    Account.overdraft,
    Account.balance,
)
_TRANSFER = Transfer.id, Transfer.payer, Transfer.payee, Transfer.amount


def _credits() -> Label[int]:
    return _sum(Entry.amount, Entry.amount > 0).label("credits")


def _debits() -> Label[int]:
    return _sum(-Entry.amount, Entry.amount < 0).label("debits")


def _sum(
    column: SQLColumnExpression[int], *where: ColumnElement[bool]
) -> ColumnElement[int]:
    total = func.sum(column).filter(*where) if where else func.sum(column)
    # PostgreSQL adds up whole numbers to a decimal.
    return cast(func.coalesce(total, 0), BigInteger)
