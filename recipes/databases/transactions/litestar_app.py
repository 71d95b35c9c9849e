"""Transactions in Litestar: work is handed to the one that commits it.

Idiom: the plugin provides the session; committed is before the answer.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import Litestar, Request, Response, delete, get, post
from litestar.exceptions import NotFoundException
from litestar.params import Parameter
from msgspec import Meta, Struct, to_builtins
from sqlalchemy import Executable, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from frameworks.litestar.problems import ProblemPlugin
from shared import bank, ledger
from shared.conflicts import is_conflict, pauses, refused, wait_at_most
from shared.database import async_url, sync_url
from shared.problems import MEDIA_TYPE, Problem
from shared.sqlite import READING, begin_at_once

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bank.db")
SEED = int(os.environ.get("SEED", "0"))
LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "5"))
TRANSACTION_ATTEMPTS = int(os.environ.get("TRANSACTION_ATTEMPTS", "10"))

Owner = Annotated[
    str, Meta(max_length=bank.OWNER_LENGTH, pattern=bank.OWNER.pattern)
]
Cents = Annotated[int, Meta(ge=0, le=bank.CENTS_MAX)]
Number = Annotated[int, Meta(ge=1, le=bank.ID_MAX)]
RowId = Annotated[int, Parameter(le=bank.ID_MAX)]


class AccountInput(Struct, forbid_unknown_fields=True):
    """An account as a client opens it."""

    owner: Owner
    opening: Cents = 0
    overdraft: Cents = 0


class TransferInput(Struct, forbid_unknown_fields=True):
    """A transfer as a client orders it: whole cents, one at least."""

    payer: Number
    payee: Number
    amount: Annotated[
        int,
        # rule: booked
        Meta(ge=1, le=bank.CENTS_MAX),
    ]


async def in_transaction[Result](
    session: AsyncSession,
    work: Callable[[], Awaitable[Result]],
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Commit some work, begun again as often as it has to give way."""
    waits = pauses(TRANSACTION_ATTEMPTS)
    while True:
        try:
            # rule: all-or-nothing
            # rule: after-commit
            # rule: kept
            async with session.begin():
                await session.connection(execution_options=options)
                return await work()
        # rule: retried
        except DBAPIError as error:
            pause = next(waits, None)
            if pause is None or not is_conflict(error.orig):
                # rule: covered
                raise refused(error.orig) or error from error.orig
        await asyncio.sleep(pause)


async def fetch_row(
    session: AsyncSession, statement: Executable
) -> dict[str, Any]:
    """Give the one row of a statement, or answer 404."""
    row = (await session.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundException
    return {**row}


async def book_transfer(
    session: AsyncSession, order: dict[str, int]
) -> dict[str, Any]:
    """Change two balances and write two entries; who raises undoes all."""
    legs = bank.legs_of(**order)
    owner = await session.scalar(ledger.owner_of(order["payer"]))
    for leg in legs:
        # rule: booked
        if await session.scalar(ledger.move_money(leg)) is None:
            raise bank.unknown_account(leg)
    held = await session.scalars(ledger.total_of(owner))
    # rule: together
    # rule: from-the-start
    if held.one() < 0:
        raise bank.insufficient_funds()
    transfer = await fetch_row(session, ledger.add_transfer(**order))
    await session.execute(ledger.add_entries(transfer["id"], legs))
    return transfer


async def read_account(
    session: AsyncSession, account_id: int
) -> dict[str, Any]:
    """Read an account and the sums of its entries."""
    account = await fetch_row(session, ledger.find_account(account_id))
    turnover = await fetch_row(session, ledger.turnover_of(account_id))
    return account | turnover


@post("/accounts")
async def create_account(
    data: AccountInput, session: AsyncSession, request: Request[Any, Any, Any]
) -> Response[dict[str, Any]]:
    """Open an account."""
    statement = ledger.open_account(**to_builtins(data))
    account = await in_transaction(
        session, lambda: fetch_row(session, statement)
    )
    path = request.app.route_reverse("account", account_id=account["id"])
    headers = {
        # rule: booked
        "Location": path,
    }
    return Response(account | bank.UNUSED, headers=headers)


@get("/accounts/{account_id:int}", name="account")
async def get_account(
    account_id: RowId, session: AsyncSession
) -> dict[str, Any]:
    """Show an account, its balance and its entries of one moment."""
    return await in_transaction(
        session, lambda: read_account(session, account_id), READING
    )


@delete("/accounts/{account_id:int}")
async def delete_account(account_id: RowId, session: AsyncSession) -> None:
    """Close an account that nothing was ever booked on."""
    statement = ledger.close_account(account_id)
    await in_transaction(session, lambda: fetch_row(session, statement))


@post("/transfers")
async def create_transfer(
    data: TransferInput, session: AsyncSession, request: Request[Any, Any, Any]
) -> Response[dict[str, Any]]:
    """Move money from one account to another."""
    order = to_builtins(data)
    transfer = await in_transaction(
        session, lambda: book_transfer(session, order)
    )
    path = request.app.route_reverse("transfer", transfer_id=transfer["id"])
    headers = {
        # rule: booked
        "Location": path,
    }
    return Response(transfer, headers=headers)


@get("/transfers/{transfer_id:int}", name="transfer")
async def get_transfer(
    transfer_id: RowId, session: AsyncSession
) -> dict[str, Any]:
    """Show a transfer."""
    statement = ledger.find_transfer(transfer_id)
    return await in_transaction(
        session, lambda: fetch_row(session, statement), READING
    )


@get("/trial-balance")
async def get_trial_balance(session: AsyncSession) -> dict[str, Any]:
    """Show what all accounts and all entries add up to."""
    statement = ledger.trial_balance()
    return await in_transaction(
        session, lambda: fetch_row(session, statement), READING
    )


def answer_refused(
    _request: Request[Any, Any, Any], error: bank.RefusedError
) -> Response[Problem]:
    """Answer what the bank refuses."""
    return Response(
        error.problem,
        status_code=error.problem["status"],
        headers=error.headers,
        media_type=MEDIA_TYPE,
    )


def prepare() -> None:
    """Make the tables and their seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        ledger.Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(ledger.Account.id))):
            for row in bank.seed_accounts(SEED):
                connection.execute(ledger.open_account(**row))
    engine.dispose()


def create_app() -> Litestar:
    """Wire the application."""
    engine = create_async_engine(
        async_url(DATABASE_URL),
        # rule: together
        # rule: one-snapshot
        isolation_level="SERIALIZABLE",
        # rule: bounded
        connect_args=wait_at_most(DATABASE_URL, LOCK_SECONDS),
    )
    # rule: one-snapshot
    begin_at_once(engine.sync_engine)
    database = SQLAlchemyAsyncConfig(
        engine_instance=engine,
        session_config=AsyncSessionConfig(expire_on_commit=False),
        session_dependency_key="session",
    )
    return Litestar(
        [
            create_account,
            get_account,
            delete_account,
            create_transfer,
            get_transfer,
            get_trial_balance,
        ],
        exception_handlers={bank.RefusedError: answer_refused},
        plugins=[
            ProblemPlugin(quiet=[bank.RefusedError]),
            SQLAlchemyInitPlugin(database),
        ],
        request_max_body_size=2**20,
    )
