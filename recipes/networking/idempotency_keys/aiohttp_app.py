"""Idempotency keys in aiohttp: a middleware around the handlers that act.

Idiom: a middleware has the response, and the session that it shares.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import idempotency, key_rows, wallet_rows, wallets
from shared.database import async_url, sync_url
from shared.idempotency import Answer, Claim
from shared.problems import MEDIA_TYPE
from shared.signed_users import read_user, sign_user
from shared.wallet_rows import Payment, Wallet

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///wallets.db")
SEED = int(os.environ.get("SEED", "0"))
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
SCREENING_FILE = os.environ.get("SCREENING_FILE", "screening.txt")
OPENING_CREDIT = int(os.environ.get("OPENING_CREDIT", "10000"))
TTL = float(os.environ.get("IDEMPOTENCY_TTL_SECONDS", "86400"))
LEASE = float(os.environ.get("IDEMPOTENCY_LEASE_SECONDS", "60"))

SESSIONS = web.AppKey("SESSIONS", async_sessionmaker[AsyncSession])
SESSION = web.RequestKey("SESSION", AsyncSession)
USER = web.RequestKey("USER", str)
UUID_PATH = "{payment_id:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}"
routes = web.RouteTableDef()


class PaymentInput(BaseModel):
    """A payment, as a client asks for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    payee: Annotated[str, Field(pattern=wallets.WALLET)]
    amount: Annotated[int, Field(ge=1, le=wallets.AMOUNT_MAX)]


@web.middleware
async def authenticate(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Know whose request it is, or refuse."""
    if request.match_info.handler in PRIVATE:
        sent = request.headers.getall("Authorization", [])
        user = read_user(sent, TOKEN_SECRET)
        if user is None:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        request[USER] = user
    return await handler(request)


async def claim_key(session: AsyncSession, claim: Claim) -> Answer | None:
    """Have the key, or give what to answer who may not work."""
    try:
        await session.execute(key_rows.drop_spent(claim))
        await session.execute(key_rows.insert_claim(claim, LEASE, TTL))
        # Others see it from now on, and no lock waits for the work.
        # rule: in-flight
        await session.commit()
    # rule: one-effect
    except IntegrityError:
        await session.rollback()
        return idempotency.answer_again(
            await session.scalar(key_rows.select_key(claim)), claim
        )
    return None


async def release_key(session: AsyncSession, claim: Claim) -> None:
    """Undo what was begun, and let the next request have the key."""
    # rule: together
    await session.rollback()
    # rule: together
    await session.execute(key_rows.free_key(claim))
    await session.commit()


async def record_answer(
    session: AsyncSession, claim: Claim, response: web.StreamResponse
) -> web.StreamResponse:
    """Keep the answer together with what was done, or neither."""
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    if response.status >= 400:
        # rule: refusals-kept
        await session.rollback()
    answer = Answer(
        response.status,
        idempotency.kept_headers(response.headers),
        response.body,
    )
    # rule: overtaken
    if await session.scalar(key_rows.keep_answer(claim, answer)) is None:
        await session.rollback()
        return give(idempotency.IN_PROGRESS)
    # rule: together
    await session.commit()
    return response


@web.middleware
async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Act once for each key, and answer all who bring it alike."""
    if request.match_info.handler not in KEYED:
        return await handler(request)
    claim = idempotency.make_claim(
        # rule: own-keys
        request[USER],
        request.headers.getall("Idempotency-Key", []),
        f"{request.method} {request.path_qs}",
        await read_body(request),
    )
    # rule: key-required
    if claim is None:
        return give(idempotency.KEY_REQUIRED)
    session = request[SESSION]
    if (known := await claim_key(session, claim)) is not None:
        return give(known)
    try:
        response = await run(handler, request)
        return await record_answer(session, claim, response)
    except Exception:
        # rule: not-begun
        # rule: together
        await release_key(session, claim)
        raise


async def read_body(request: web.Request) -> bytes:
    """Read the body; the handler has it then."""
    try:
        return await request.read()
    except (ConnectionError, web.RequestPayloadError):
        raise web.HTTPBadRequest from None


async def run(handler: Handler, request: web.Request) -> web.StreamResponse:
    """Have a handler's answer; what is refused before it begins is raised."""
    try:
        return await handler(request)
    # rule: refusals-kept
    except wallets.Refusal as refusal:
        problem = refusal.problem
        return web.json_response(
            problem, status=problem["status"], content_type=MEDIA_TYPE
        )


def give(answer: Answer) -> web.Response:
    """Make a response of an answer that was kept, or is always the same."""
    return web.Response(
        body=answer.body, status=answer.status, headers=answer.headers
    )


@routes.post("/wallets")
async def open_wallet(request: web.Request) -> web.Response:
    """Open a wallet, and give the token that goes with it."""
    wallet = Wallet(id=wallets.new_wallet(), balance=OPENING_CREDIT)
    request[SESSION].add(wallet)
    await request[SESSION].commit()
    token = f"{wallet.id}.{sign_user(wallet.id, TOKEN_SECRET)}"
    shown = {"id": wallet.id, "balance": wallet.balance, "token": token}
    headers = {"Location": f"/wallets/{wallet.id}"}
    return web.json_response(shown, status=201, headers=headers)


@routes.get("/wallets/{wallet_id}")
async def show_wallet(request: web.Request) -> web.Response:
    """Show its owner what a wallet has."""
    wallet_id = request.match_info["wallet_id"]
    balance = await request[SESSION].scalar(
        wallet_rows.select_balance(request[USER])
    )
    if wallet_id != request[USER] or balance is None:
        raise web.HTTPNotFound
    return web.json_response({"id": wallet_id, "balance": balance})


@routes.post("/payments")
async def make_payment(request: web.Request) -> web.Response:
    """Pay somebody."""
    asked = await read_json(request, PaymentInput)
    # No transaction is open while somebody else is asked.
    await asyncio.to_thread(wallets.screen, SCREENING_FILE, asked.payee)
    payment = Payment(payer=request[USER], **asked.model_dump())
    return await move_money(request[SESSION], payment)


@routes.get(f"/payments/{UUID_PATH}")
async def show_payment(request: web.Request) -> web.Response:
    """Show a payment to those who were in it."""
    payment_id = UUID(request.match_info["payment_id"])
    payment = await request[SESSION].get(Payment, payment_id)
    if payment is None or request[USER] not in (payment.payer, payment.payee):
        raise web.HTTPNotFound
    return web.json_response(wallets.show_payment(payment))


@routes.post(f"/payments/{UUID_PATH}/refund")
async def refund_payment(request: web.Request) -> web.Response:
    """Give a payment back."""
    session, user = request[SESSION], request[USER]
    payment_id = UUID(request.match_info["payment_id"])
    paid = await session.scalar(wallet_rows.mark_refunded(payment_id, user))
    if paid is None:
        known = await session.get(Payment, payment_id)
        received = known is not None and known.payee == user
        raise wallets.not_refunded(received=received)
    payment = Payment(
        payer=user, payee=paid.payer, amount=paid.amount, refund_of=paid.id
    )
    return await move_money(session, payment)


KEYED = {make_payment, refund_payment}
PRIVATE = KEYED | {show_wallet, show_payment}


async def move_money(session: AsyncSession, payment: Payment) -> web.Response:
    """Take it from one wallet and give it to the other; nothing commits."""
    payer, payee, amount = payment.payer, payment.payee, payment.amount
    for move in wallets.moves(payer, payee, amount):
        if await session.scalar(wallet_rows.change_balance(move)) is None:
            balance = await session.scalar(
                wallet_rows.select_balance(move.wallet)
            )
            raise wallets.not_moved(move, balance)
    session.add(payment)
    await session.flush()
    headers = {"Location": f"/payments/{payment.id}"}
    return web.json_response(
        wallets.show_payment(payment), status=201, headers=headers
    )


def prepare() -> None:
    """Make what must be there once, and forget keys that have expired."""
    wallets.write_seed(SCREENING_FILE)
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        key_rows.Base.metadata.create_all(connection)
        connection.execute(key_rows.drop_expired())
        if not connection.scalar(select(func.count(Wallet.id))):
            for wallet in wallets.seed_wallets(SEED):
                row = insert(Wallet).values(id=wallet, balance=OPENING_CREDIT)
                connection.execute(row)
    engine.dispose()


async def keep_engine(app: web.Application) -> AsyncIterator[None]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    app[SESSIONS] = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


@web.middleware
async def open_session(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Open a session for one request."""
    async with request.app[SESSIONS]() as session:
        request[SESSION] = session
        return await handler(request)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(
        middlewares=[answer_problems, authenticate, open_session, once]
    )
    app.cleanup_ctx.append(keep_engine)
    app.add_routes(routes)
    return app
