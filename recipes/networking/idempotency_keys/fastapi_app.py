"""Idempotency keys in FastAPI: a class of route around each that acts.

Idiom: a dependency never sees the response; the class of the route does.
"""

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
)
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from starlette.requests import ClientDisconnect

from frameworks.fastapi.problems import StrictRequest, register_problems
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

type Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class PaymentInput(BaseModel):
    """A payment, as a client asks for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    payee: Annotated[str, Field(pattern=wallets.WALLET)]
    amount: Annotated[int, Field(ge=1, le=wallets.AMOUNT_MAX)]


def authenticate(request: Request) -> str:
    """Know whose request it is, or refuse."""
    sent = request.headers.getlist("Authorization")
    user = read_user(sent, TOKEN_SECRET)
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


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
    session: AsyncSession, claim: Claim, response: Response
) -> Response:
    """Keep the answer together with what was done, or neither."""
    if response.status_code >= 400:
        # rule: refusals-kept
        await session.rollback()
    answer = Answer(
        response.status_code,
        idempotency.kept_headers(response.headers),
        bytes(response.body),
    )
    # rule: overtaken
    if await session.scalar(key_rows.keep_answer(claim, answer)) is None:
        await session.rollback()
        return give(idempotency.IN_PROGRESS)
    # rule: together
    await session.commit()
    return response


class OnceRoute(APIRoute):
    """A route that acts once for each key, and answers all alike."""

    def get_route_handler(self) -> Handle:
        """Claim the key around all that FastAPI does."""
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            user = authenticate(request)
            request = StrictRequest(request.scope, request.receive)
            async with request.state.sessions() as session:
                request.state.session = session
                return await act_once(session, user, request, handle)

        return handle_once


async def act_once(
    session: AsyncSession, user: str, request: Request, handle: Handle
) -> Response:
    """Act once for each key, and answer all who bring it alike."""
    claim = idempotency.make_claim(
        # rule: own-keys
        user,
        request.headers.getlist("Idempotency-Key"),
        f"{request.method} {request.url.path}?{request.url.query}",
        await read_body(request),
    )
    # rule: key-required
    if claim is None:
        return give(idempotency.KEY_REQUIRED)
    if (known := await claim_key(session, claim)) is not None:
        return give(known)
    try:
        response = await run(handle, request)
        return await record_answer(session, claim, response)
    except Exception:
        # rule: not-begun
        # rule: together
        await release_key(session, claim)
        raise


async def read_body(request: Request) -> bytes:
    """Read the body; FastAPI would do it later, and has it then."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(400) from None


async def run(handle: Handle, request: Request) -> Response:
    """Have a handler's answer; what is refused before it begins is raised."""
    try:
        return await handle(request)
    # rule: refusals-kept
    except wallets.Refusal as refusal:
        problem = refusal.problem
        return JSONResponse(problem, problem["status"], None, MEDIA_TYPE)


def give(answer: Answer) -> Response:
    """Make a response of an answer that was kept, or is always the same."""
    return Response(answer.body, answer.status, answer.headers)


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with request.state.sessions() as session:
        yield session


def find_session(request: Request) -> AsyncSession:
    """Find the session in which the answer will be kept."""
    session: AsyncSession = request.state.session
    return session


User = Annotated[str, Depends(authenticate)]
Session = Annotated[AsyncSession, Depends(get_session)]
KeyedSession = Annotated[AsyncSession, Depends(find_session)]

routes = APIRouter()
keyed = APIRouter(route_class=OnceRoute)


@routes.post("/wallets", status_code=201)
async def open_wallet(session: Session, response: Response) -> dict[str, Any]:
    """Open a wallet, and give the token that goes with it."""
    wallet = Wallet(id=wallets.new_wallet(), balance=OPENING_CREDIT)
    session.add(wallet)
    await session.commit()
    token = f"{wallet.id}.{sign_user(wallet.id, TOKEN_SECRET)}"
    response.headers["Location"] = f"/wallets/{wallet.id}"
    return {"id": wallet.id, "balance": wallet.balance, "token": token}


@routes.get("/wallets/{wallet_id}")
async def show_wallet(
    wallet_id: str, user: User, session: Session
) -> dict[str, Any]:
    """Show its owner what a wallet has."""
    balance = await session.scalar(wallet_rows.select_balance(user))
    if wallet_id != user or balance is None:
        raise HTTPException(404)
    return {"id": wallet_id, "balance": balance}


@keyed.post("/payments", status_code=201)
async def make_payment(
    asked: PaymentInput, user: User, session: KeyedSession, response: Response
) -> dict[str, Any]:
    """Pay somebody."""
    # No transaction is open while somebody else is asked.
    await run_in_threadpool(wallets.screen, SCREENING_FILE, asked.payee)
    payment = Payment(payer=user, **asked.model_dump())
    return await move_money(session, payment, response)


@routes.get("/payments/{payment_id}")
async def show_payment(
    payment_id: UUID, user: User, session: Session
) -> dict[str, Any]:
    """Show a payment to those who were in it."""
    payment = await session.get(Payment, payment_id)
    if payment is None or user not in (payment.payer, payment.payee):
        raise HTTPException(404)
    return wallets.show_payment(payment)


@keyed.post("/payments/{payment_id}/refund", status_code=201)
async def refund_payment(
    payment_id: UUID, user: User, session: KeyedSession, response: Response
) -> dict[str, Any]:
    """Give a payment back."""
    paid = await session.scalar(wallet_rows.mark_refunded(payment_id, user))
    if paid is None:
        known = await session.get(Payment, payment_id)
        received = known is not None and known.payee == user
        raise wallets.not_refunded(received=received)
    payment = Payment(
        payer=user, payee=paid.payer, amount=paid.amount, refund_of=paid.id
    )
    return await move_money(session, payment, response)


async def move_money(
    session: AsyncSession, payment: Payment, response: Response
) -> dict[str, Any]:
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
    response.headers["Location"] = f"/payments/{payment.id}"
    return wallets.show_payment(payment)


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


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
    await engine.dispose()


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        lifespan=lifespan, max_body_size=2**20, redirect_slashes=False
    )
    register_problems(app)
    app.include_router(routes)
    app.include_router(keyed)
    return app
