"""Transactions in aiohttp: work is handed to the one that commits it.

Idiom: the application keeps the sessions; the rest is explicit.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Executable, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import bank, ledger
from shared.conflicts import is_conflict, pauses, refused, wait_at_most
from shared.database import async_url, sync_url
from shared.problems import MEDIA_TYPE
from shared.sqlite import READING, begin_at_once

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bank.db")
SEED = int(os.environ.get("SEED", "0"))
LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "5"))
TRANSACTION_ATTEMPTS = int(os.environ.get("TRANSACTION_ATTEMPTS", "10"))

SESSIONS = web.AppKey("SESSIONS", async_sessionmaker[AsyncSession])
routes = web.RouteTableDef()

Owner = Annotated[str, Field(max_length=bank.OWNER_LENGTH, pattern=bank.OWNER)]
Cents = Annotated[int, Field(ge=0, le=bank.CENTS_MAX)]
Number = Annotated[int, Field(ge=1, le=bank.ID_MAX)]


class AccountInput(BaseModel):
    """An account as a client opens it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    owner: Owner
    opening: Cents = 0
    overdraft: Cents = 0


class TransferInput(BaseModel):
    """A transfer as a client orders it: whole cents, one at least."""

    model_config = ConfigDict(strict=True, extra="forbid")

    payer: Number
    payee: Number
    amount: Annotated[
        int,
        # rule: booked
        Field(ge=1, le=bank.CENTS_MAX),
    ]


async def in_transaction[Result](
    request: web.Request,
    work: Callable[[AsyncSession], Awaitable[Result]],
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Commit some work, begun again as often as it has to give way."""
    waits = pauses(TRANSACTION_ATTEMPTS)
    while True:
        try:
            # rule: all-or-nothing
            # rule: after-commit
            # rule: kept
            async with request.app[SESSIONS].begin() as session:
                await session.connection(execution_options=options)
                return await work(session)
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
        raise web.HTTPNotFound
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


def id_in(request: web.Request) -> int:
    """Read the id in a path; what no row can have is 404."""
    row_id = int(request.match_info["id"])
    if row_id > bank.ID_MAX:
        raise web.HTTPNotFound
    return row_id


def show_new(
    request: web.Request, name: str, row: dict[str, Any]
) -> web.Response:
    """Show a row that is new, and where it is."""
    place = request.app.router[name].url_for(id=str(row["id"]))
    headers = {
        # rule: booked
        "Location": str(place),
    }
    return web.json_response(row, status=201, headers=headers)


@routes.post("/accounts")
async def create_account(request: web.Request) -> web.Response:
    """Open an account."""
    opened = await read_json(request, AccountInput)
    statement = ledger.open_account(**opened.model_dump())
    account = await in_transaction(
        request, lambda session: fetch_row(session, statement)
    )
    return show_new(request, "account", account | bank.UNUSED)


@routes.get("/accounts/{id:[0-9]+}", name="account")
async def get_account(request: web.Request) -> web.Response:
    """Show an account, its balance and its entries of one moment."""
    account_id = id_in(request)
    account = await in_transaction(
        request, lambda session: read_account(session, account_id), READING
    )
    return web.json_response(account)


@routes.delete("/accounts/{id:[0-9]+}")
async def delete_account(request: web.Request) -> web.Response:
    """Close an account that nothing was ever booked on."""
    statement = ledger.close_account(id_in(request))
    await in_transaction(
        request, lambda session: fetch_row(session, statement)
    )
    return web.Response(status=204)


@routes.post("/transfers")
async def create_transfer(request: web.Request) -> web.Response:
    """Move money from one account to another."""
    order = (await read_json(request, TransferInput)).model_dump()
    transfer = await in_transaction(
        request, lambda session: book_transfer(session, order)
    )
    return show_new(request, "transfer", transfer)


@routes.get("/transfers/{id:[0-9]+}", name="transfer")
async def get_transfer(request: web.Request) -> web.Response:
    """Show a transfer."""
    statement = ledger.find_transfer(id_in(request))
    transfer = await in_transaction(
        request, lambda session: fetch_row(session, statement), READING
    )
    return web.json_response(transfer)


@routes.get("/trial-balance")
async def get_trial_balance(request: web.Request) -> web.Response:
    """Show what all accounts and all entries add up to."""
    statement = ledger.trial_balance()
    sums = await in_transaction(
        request, lambda session: fetch_row(session, statement), READING
    )
    return web.json_response(sums)


@web.middleware
async def answer_refused(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer what the bank refuses."""
    try:
        return await handler(request)
    except bank.RefusedError as error:
        return web.json_response(
            error.problem,
            status=error.problem["status"],
            headers=error.headers,
            content_type=MEDIA_TYPE,
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


async def keep_engine(app: web.Application) -> AsyncIterator[None]:
    """Keep one engine for the life of a worker."""
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
    app[SESSIONS] = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(middlewares=[answer_problems, answer_refused])
    app.cleanup_ctx.append(keep_engine)
    app.add_routes(routes)
    return app
