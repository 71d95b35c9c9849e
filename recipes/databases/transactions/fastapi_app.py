"""Transactions in FastAPI: work is handed to the one that commits it.

Idiom: a dependency opens the session; committed is before the answer.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Path,
    Request,
    Response,
)
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Executable, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.fastapi.problems import StrictRoute, register_problems
from shared import bank, ledger
from shared.conflicts import is_conflict, pauses, refused, wait_at_most
from shared.database import async_url, sync_url
from shared.problems import MEDIA_TYPE
from shared.sqlite import READING, begin_at_once

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bank.db")
SEED = int(os.environ.get("SEED", "0"))
LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "5"))
TRANSACTION_ATTEMPTS = int(os.environ.get("TRANSACTION_ATTEMPTS", "10"))

api = APIRouter(route_class=StrictRoute)

Owner = Annotated[str, Field(max_length=bank.OWNER_LENGTH, pattern=bank.OWNER)]
Cents = Annotated[int, Field(ge=0, le=bank.CENTS_MAX)]
Number = Annotated[int, Field(ge=1, le=bank.ID_MAX)]
RowId = Annotated[int, Path(le=bank.ID_MAX)]


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


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request; who works with it commits."""
    async with request.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


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
        raise HTTPException(404)
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


@api.post("/accounts", status_code=201)
async def create_account(
    opened: AccountInput, session: Session, response: Response
) -> dict[str, Any]:
    """Open an account."""
    statement = ledger.open_account(**opened.model_dump())
    account = await in_transaction(
        session, lambda: fetch_row(session, statement)
    )
    # rule: booked
    response.headers["Location"] = api.url_path_for(
        "get_account", account_id=account["id"]
    )
    return account | bank.UNUSED


@api.get("/accounts/{account_id}")
async def get_account(account_id: RowId, session: Session) -> dict[str, Any]:
    """Show an account, its balance and its entries of one moment."""
    return await in_transaction(
        session, lambda: read_account(session, account_id), READING
    )


@api.delete("/accounts/{account_id}", status_code=204, response_class=Response)
async def delete_account(account_id: RowId, session: Session) -> None:
    """Close an account that nothing was ever booked on."""
    statement = ledger.close_account(account_id)
    await in_transaction(session, lambda: fetch_row(session, statement))


@api.post("/transfers", status_code=201)
async def create_transfer(
    ordered: TransferInput, session: Session, response: Response
) -> dict[str, Any]:
    """Move money from one account to another."""
    order = ordered.model_dump()
    transfer = await in_transaction(
        session, lambda: book_transfer(session, order)
    )
    # rule: booked
    response.headers["Location"] = api.url_path_for(
        "get_transfer", transfer_id=transfer["id"]
    )
    return transfer


@api.get("/transfers/{transfer_id}")
async def get_transfer(transfer_id: RowId, session: Session) -> dict[str, Any]:
    """Show a transfer."""
    statement = ledger.find_transfer(transfer_id)
    return await in_transaction(
        session, lambda: fetch_row(session, statement), READING
    )


@api.get("/trial-balance")
async def get_trial_balance(session: Session) -> dict[str, Any]:
    """Show what all accounts and all entries add up to."""
    statement = ledger.trial_balance()
    return await in_transaction(
        session, lambda: fetch_row(session, statement), READING
    )


async def answer_refused(
    _request: Request, error: bank.RefusedError
) -> Response:
    """Answer what the bank refuses."""
    status, problem = error.problem["status"], error.problem
    return JSONResponse(problem, status, error.headers, MEDIA_TYPE)


def prepare() -> None:
    """Make the tables and their seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        ledger.Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(ledger.Account.id))):
            for row in bank.seed_accounts(SEED):
                connection.execute(ledger.open_account(**row))
    engine.dispose()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
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
    yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
    await engine.dispose()


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        lifespan=lifespan, max_body_size=2**20, redirect_slashes=False
    )
    register_problems(app)
    app.exception_handler(bank.RefusedError)(answer_refused)
    app.include_router(api)
    return app
