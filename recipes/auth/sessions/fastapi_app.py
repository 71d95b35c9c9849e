"""Sessions in FastAPI: dependencies open and check, path functions decide.

Idiom: what a path function needs of the session, its parameters say.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
)
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyCookie
from pydantic import BaseModel, Field
from sqlalchemy import Executable, Row, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from frameworks.fastapi.problems import StrictRoute, register_problems
from shared import accounts as tables
from shared.accounts import same_token, session_key
from shared.credentials import CHALLENGE, EMAIL, LENGTH_MAX, LENGTH_MIN
from shared.database import async_url, sync_url
from shared.passwords import Passwords

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///accounts.db")
SECRET_KEY = os.environ["SECRET_KEY"]
SESSION_IDLE_SECONDS = int(os.environ.get("SESSION_IDLE_SECONDS", "1800"))
SESSION_ABSOLUTE_SECONDS = int(
    os.environ.get("SESSION_ABSOLUTE_SECONDS", "43200")
)
ARGON2_TIME_COST = int(os.environ.get("ARGON2_TIME_COST", "2"))
ARGON2_MEMORY_KIB = int(os.environ.get("ARGON2_MEMORY_KIB", "19456"))
LIFETIME = tables.Lifetime(SESSION_IDLE_SECONDS, SESSION_ABSOLUTE_SECONDS)
PASSWORDS = Passwords(ARGON2_TIME_COST, ARGON2_MEMORY_KIB)

COOKIE = "__Host-session"
session_cookie = APIKeyCookie(name=COOKIE, auto_error=False)
WRONG_PASSWORD = {
    "type": "value_error",
    "loc": ("body", "current"),
    "msg": "Not the password.",
}


class Credentials(BaseModel, extra="forbid"):
    """Who logs in, as a client says."""

    email: str = Field(pattern=EMAIL)
    password: str = Field(min_length=1, max_length=LENGTH_MAX)


class SignUp(Credentials):
    """A new account, as a client sends it."""

    password: str = Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)


class PasswordChange(BaseModel, extra="forbid"):
    """The password that was, and the one that shall be."""

    current: str = Field(min_length=1, max_length=LENGTH_MAX)
    new: str = Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)


async def open_session(
    request: Request,
    response: Response,
    session_id: Annotated[str | None, Depends(session_cookie)],
) -> Row[Any] | None:
    """Open the session of the cookie; caches keep nothing of its answer."""
    # rule: cookie-flags
    response.headers["Cache-Control"] = "no-store"
    key = session_key(SECRET_KEY, session_id or "")
    return await run(request, tables.open_session(key, LIFETIME))


Opened = Annotated[Row[Any] | None, Depends(open_session)]


async def check_token(request: Request, opened: Opened) -> None:
    """Let pass what only reads, or has the token of its session."""
    kept = opened.data["csrf_token"] if opened else None
    given = request.headers.get("X-CSRF-Token")
    if request.method != "GET" and not same_token(given, kept):
        raise HTTPException(403)


async def require_account(request: Request, opened: Opened) -> Row[Any]:
    """Get the account that the session is of."""
    if opened is not None:
        account = await run(request, tables.get_account(opened.key))
        if account is not None:
            return account
    raise unauthorized()


Account = Annotated[Row[Any], Depends(require_account)]
accounts = APIRouter(
    route_class=StrictRoute,
    # rule: csrf
    dependencies=[Depends(check_token)],
)


async def run(request: Request, *statements: Executable) -> Row[Any] | None:
    """Run statements in one transaction; give what the last one found."""
    async with request.state.engine.begin() as connection:
        *_, last = [await connection.execute(each) for each in statements]
        return last.one_or_none() if last.returns_rows else None


def unauthorized() -> HTTPException:
    """Ask for a login; the scheme is named after the cookie."""
    headers = {"WWW-Authenticate": CHALLENGE}
    return HTTPException(401, headers=headers)


def set_cookie(response: Response, session_id: str) -> None:
    """Give the browser an id; SameSite is Lax where nothing is said."""
    response.set_cookie(
        COOKIE,
        session_id,
        # rule: cookie-flags
        secure=True,
        # rule: cookie-flags
        httponly=True,
    )


@accounts.get("/csrf")
async def show_token(
    request: Request, opened: Opened, response: Response
) -> dict[str, str]:
    """Give the token of the session, which begins where there is none."""
    if opened is not None:
        return {"csrf_token": opened.data["csrf_token"]}
    # rule: client-id-refused
    fresh = tables.fresh_session(SECRET_KEY)
    add = tables.add_session(fresh)
    await run(request, tables.sweep_sessions(LIFETIME), add)
    set_cookie(response, fresh.id)
    return {"csrf_token": fresh.data["csrf_token"]}


@accounts.post("/users")
async def sign_up(request: Request, given: SignUp) -> dict[str, str]:
    """Add an account."""
    password_hash = await asyncio.to_thread(PASSWORDS.hash, given.password)
    try:
        await run(request, tables.add_account(given.email, password_hash))
    except IntegrityError:
        raise HTTPException(409) from None
    return {"email": given.email.lower()}


@accounts.post("/login", status_code=204, response_class=Response)
async def log_in(
    request: Request, given: Credentials, opened: Opened, response: Response
) -> None:
    """Begin a session of an account."""
    account = await run(request, tables.find_account(given.email))
    kept = account.password_hash if account else None
    right = await asyncio.to_thread(PASSWORDS.check, kept, given.password)
    if account is None or not right:
        raise unauthorized()
    assert opened is not None
    fresh = tables.fresh_session(SECRET_KEY)
    await run(
        request,
        # rule: rotated-at-login
        tables.end_session(opened.key),
        tables.add_session(fresh, account.id, account.epoch),
    )
    set_cookie(response, fresh.id)


@accounts.get("/me")
async def show_me(account: Account) -> dict[str, str]:
    """Show who is logged in."""
    return {"email": account.email}


@accounts.post("/logout", status_code=204, response_class=Response)
async def log_out(
    request: Request, account: Account, response: Response
) -> None:
    """End this session."""
    # rule: logout-revokes
    await run(request, tables.end_session(account.session_key))
    # rule: cookie-flags
    response.delete_cookie(COOKIE, secure=True)


@accounts.post("/logout-everywhere", status_code=204, response_class=Response)
async def log_out_everywhere(
    request: Request, account: Account, response: Response
) -> None:
    """End all sessions of the account."""
    await run(request, tables.begin_epoch(account.id))
    # rule: cookie-flags
    response.delete_cookie(COOKIE, secure=True)


@accounts.post("/password", status_code=204, response_class=Response)
async def change_password(
    request: Request,
    given: PasswordChange,
    account: Account,
    response: Response,
) -> None:
    """Keep another password, and no other session of the account."""
    kept = account.password_hash
    if not await asyncio.to_thread(PASSWORDS.check, kept, given.current):
        raise RequestValidationError([WRONG_PASSWORD])
    password_hash = await asyncio.to_thread(PASSWORDS.hash, given.new)
    fresh = tables.fresh_session(SECRET_KEY)
    async with request.state.engine.begin() as connection:
        epoch = await connection.scalar(
            tables.replace_password(account.id, account.epoch, password_hash)
        )
        move = tables.move_session(account.session_key, fresh, epoch)
        # rule: logout-revokes
        if epoch is None or await connection.scalar(move) is None:
            raise unauthorized()
    set_cookie(response, fresh.id)


def prepare() -> None:
    """Make the tables, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    tables.Base.metadata.create_all(engine)
    engine.dispose()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    yield {"engine": engine}
    await engine.dispose()


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        lifespan=lifespan, max_body_size=2**20, redirect_slashes=False
    )
    register_problems(app)
    app.include_router(accounts)
    return app
