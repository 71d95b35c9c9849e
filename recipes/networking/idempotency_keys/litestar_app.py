"""Idempotency keys in Litestar: hooks before, around and behind a handler.

Idiom: `before_request` may answer; `after_exception` sees what was raised.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any
from uuid import UUID

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import Litestar, Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.middleware import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import Scope
from msgspec import Meta, Struct, structs
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from frameworks.litestar.problems import ProblemPlugin
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

database = SQLAlchemyAsyncConfig(
    connection_string=async_url(DATABASE_URL).render_as_string(
        hide_password=False
    ),
    session_config=AsyncSessionConfig(expire_on_commit=False),
    session_dependency_key="session",
)

type Handler = Callable[..., Awaitable[Response[Any]]]


class PaymentInput(Struct, forbid_unknown_fields=True):
    """A payment, as a client asks for it."""

    payee: Annotated[str, Meta(pattern=wallets.WALLET.pattern)]
    amount: Annotated[int, Meta(ge=1, le=wallets.AMOUNT_MAX)]


class Authentication(AbstractAuthenticationMiddleware):
    """Know whose request it is, or refuse."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Read the token of a wallet."""
        sent = connection.headers.getall("Authorization", [])
        user = read_user(sent, TOKEN_SECRET)
        if user is None:
            raise NotAuthorizedException(
                headers={"WWW-Authenticate": "Bearer"}
            )
        return AuthenticationResult(user=user, auth=None)


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
    session: AsyncSession,
    claim: Claim,
    request: Request[str, None, Any],
    response: Response[Any],
) -> Response[Any]:
    """Keep the answer together with what was done, or neither."""
    rendered = response.to_asgi_response(None, request)
    if rendered.status_code >= 400:
        # rule: refusals-kept
        await session.rollback()
    answer = Answer(
        rendered.status_code,
        idempotency.kept_headers(rendered.headers),
        rendered.body,
    )
    # rule: overtaken
    if await session.scalar(key_rows.keep_answer(claim, answer)) is None:
        await session.rollback()
        return give(idempotency.IN_PROGRESS)
    # rule: together
    await session.commit()
    return response


async def claim_first(
    request: Request[str, None, Any],
) -> Response[bytes] | None:
    """Claim the key, before anything is validated or called."""
    claim = idempotency.make_claim(
        # rule: own-keys
        request.user,
        request.headers.getall("Idempotency-Key", []),
        f"{request.method} {request.url.path}?{request.url.query}",
        await request.body(),
    )
    # rule: key-required
    if claim is None:
        return give(idempotency.KEY_REQUIRED)
    session = database.provide_session(request.app.state, request.scope)
    if (known := await claim_key(session, claim)) is not None:
        return give(known)
    request.state.claim = claim
    return None


def once(handler: Handler) -> Handler:
    """Keep the answer of a handler that has the key."""

    @wraps(handler)
    async def keyed(
        request: Request[str, None, Any], session: AsyncSession, **given: Any
    ) -> Response[Any]:
        given |= {"request": request, "session": session}
        response = await run(handler, given)
        claim = request.state.claim
        return await record_answer(session, claim, request, response)

    return keyed


async def run(handler: Handler, given: dict[str, Any]) -> Response[Any]:
    """Have the answer of a handler, to what it refuses too."""
    try:
        return await handler(**given)
    # rule: refusals-kept
    except wallets.Refusal as refusal:
        problem = refusal.problem
        status = problem["status"]
        return Response(problem, status_code=status, media_type=MEDIA_TYPE)


async def free_after(_error: Exception, scope: Scope) -> None:
    """Free the key behind what failed, or was not valid."""
    claim = scope["state"].get("claim")
    if claim is not None:
        state = scope["litestar_app"].state
        # rule: not-begun
        # rule: together
        await release_key(database.provide_session(state, scope), claim)


def give(answer: Answer) -> Response[bytes]:
    """Make a response of an answer that was kept, or is always the same."""
    return Response(
        answer.body,
        status_code=answer.status,
        headers=answer.headers,
        media_type=answer.headers["Content-Type"],
    )


@post("/wallets")
async def open_wallet(session: AsyncSession) -> Response[dict[str, Any]]:
    """Open a wallet, and give the token that goes with it."""
    wallet = Wallet(id=wallets.new_wallet(), balance=OPENING_CREDIT)
    session.add(wallet)
    await session.commit()
    token = f"{wallet.id}.{sign_user(wallet.id, TOKEN_SECRET)}"
    shown = {"id": wallet.id, "balance": wallet.balance, "token": token}
    return Response(shown, headers={"Location": f"/wallets/{wallet.id}"})


@get("/wallets/{wallet_id:str}")
async def show_wallet(
    wallet_id: str, request: Request[str, None, Any], session: AsyncSession
) -> dict[str, Any]:
    """Show its owner what a wallet has."""
    balance = await session.scalar(wallet_rows.select_balance(request.user))
    if wallet_id != request.user or balance is None:
        raise NotFoundException
    return {"id": wallet_id, "balance": balance}


@post("/payments", before_request=claim_first)
@once
async def make_payment(
    data: PaymentInput,
    request: Request[str, None, Any],
    session: AsyncSession,
) -> Response[dict[str, Any]]:
    """Pay somebody."""
    # No transaction is open while somebody else is asked.
    await asyncio.to_thread(wallets.screen, SCREENING_FILE, data.payee)
    payment = Payment(payer=request.user, **structs.asdict(data))
    return await move_money(session, payment)


@get("/payments/{payment_id:uuid}")
async def show_payment(
    payment_id: UUID, request: Request[str, None, Any], session: AsyncSession
) -> dict[str, Any]:
    """Show a payment to those who were in it."""
    payment = await session.get(Payment, payment_id)
    if payment is None or request.user not in (payment.payer, payment.payee):
        raise NotFoundException
    return wallets.show_payment(payment)


@post("/payments/{payment_id:uuid}/refund", before_request=claim_first)
@once
async def refund_payment(
    payment_id: UUID, request: Request[str, None, Any], session: AsyncSession
) -> Response[dict[str, Any]]:
    """Give a payment back."""
    paid = await session.scalar(
        wallet_rows.mark_refunded(payment_id, request.user)
    )
    if paid is None:
        known = await session.get(Payment, payment_id)
        received = known is not None and known.payee == request.user
        raise wallets.not_refunded(received=received)
    payment = Payment(
        payer=request.user,
        payee=paid.payer,
        amount=paid.amount,
        refund_of=paid.id,
    )
    return await move_money(session, payment)


async def move_money(
    session: AsyncSession, payment: Payment
) -> Response[dict[str, Any]]:
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
    return Response(
        wallets.show_payment(payment), status_code=201, headers=headers
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


def create_app() -> Litestar:
    """Wire the application."""
    private = Router(
        "/",
        route_handlers=[
            show_wallet,
            make_payment,
            show_payment,
            refund_payment,
        ],
        middleware=[Authentication],
    )
    return Litestar(
        [open_wallet, private],
        after_exception=[free_after],
        plugins=[ProblemPlugin(), SQLAlchemyInitPlugin(database)],
        request_max_body_size=2**20,
    )
