"""Sessions in Litestar: its authentication middleware opens, guards check.

Idiom: the middleware makes `user` and `auth`; guards say who may pass.
"""

import asyncio
import os
from typing import Annotated, Any

from advanced_alchemy.extensions.litestar import (
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import Litestar, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader, Cookie
from litestar.exceptions import (
    ClientException,
    NotAuthorizedException,
    PermissionDeniedException,
    ValidationException,
)
from litestar.handlers import BaseRouteHandler
from litestar.middleware import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from msgspec import Meta, Struct
from sqlalchemy import Executable, Row, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from frameworks.litestar.problems import ProblemPlugin
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
WRONG_PASSWORD = {
    "source": "body",
    "key": "current",
    "message": "Not the password.",
}

type Connection = ASGIConnection[Any, Any, Any, Any]
type AccountRequest = Request[Row[Any], Row[Any], Any]
Email = Annotated[str, Meta(pattern=EMAIL.pattern)]
Password = Annotated[str, Meta(min_length=1, max_length=LENGTH_MAX)]
NewPassword = Annotated[
    str, Meta(min_length=LENGTH_MIN, max_length=LENGTH_MAX)
]


class Credentials(Struct, forbid_unknown_fields=True):
    """Who logs in, as a client says."""

    email: Email
    password: Password


class SignUp(Struct, forbid_unknown_fields=True):
    """A new account, as a client sends it."""

    email: Email
    password: NewPassword


class PasswordChange(Struct, forbid_unknown_fields=True):
    """The password that was, and the one that shall be."""

    current: Password
    new: NewPassword


class OpenSession(AbstractAuthenticationMiddleware):
    """Open the session of the cookie, if it has not ended."""

    async def authenticate_request(
        self, connection: Connection
    ) -> AuthenticationResult:
        """Give the session as `auth`, its account as `user`."""
        engine = connection.app.state.db_engine
        key = session_key(SECRET_KEY, connection.cookies.get(COOKIE, ""))
        opened = await run(engine, tables.open_session(key, LIFETIME))
        if opened is None:
            return AuthenticationResult(user=None, auth=None)
        account = await run(engine, tables.get_account(opened.key))
        return AuthenticationResult(user=account, auth=opened)


def check_token(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Let pass what only reads, or has the token of its session."""
    if connection.scope.get("method") in ("GET", "OPTIONS"):
        return
    kept = connection.auth.data["csrf_token"] if connection.auth else None
    if not same_token(connection.headers.get("X-CSRF-Token"), kept):
        raise PermissionDeniedException


def require_account(
    connection: Connection, _handler: BaseRouteHandler
) -> None:
    """Let pass whose session is of an account."""
    if connection.user is None:
        raise unauthorized()


async def run(engine: AsyncEngine, *statements: Executable) -> Row[Any] | None:
    """Run statements in one transaction; give what the last one found."""
    async with engine.begin() as connection:
        *_, last = [await connection.execute(each) for each in statements]
        return last.one_or_none() if last.returns_rows else None


def unauthorized() -> NotAuthorizedException:
    """Ask for a login; the scheme is named after the cookie."""
    headers = {"WWW-Authenticate": CHALLENGE}
    return NotAuthorizedException(headers=headers)


def make_cookie(session_id: str, max_age: int | None = None) -> Cookie:
    """Give the browser an id, or have it forgotten; it is Lax by itself."""
    return Cookie(
        COOKIE,
        value=session_id,
        max_age=max_age,
        # rule: cookie-flags
        secure=True,
        # rule: cookie-flags
        httponly=True,
    )


@get("/csrf")
async def show_token(
    request: Request[Any, Any, Any], db_engine: AsyncEngine
) -> Response[dict[str, str]]:
    """Give the token of the session, which begins where there is none."""
    if request.auth is not None:
        return Response({"csrf_token": request.auth.data["csrf_token"]})
    # rule: client-id-refused
    fresh = tables.fresh_session(SECRET_KEY)
    add = tables.add_session(fresh)
    await run(db_engine, tables.sweep_sessions(LIFETIME), add)
    body = {"csrf_token": fresh.data["csrf_token"]}
    return Response(body, cookies=[make_cookie(fresh.id)])


@post("/users", status_code=200)
async def sign_up(data: SignUp, db_engine: AsyncEngine) -> dict[str, str]:
    """Add an account."""
    password_hash = await asyncio.to_thread(PASSWORDS.hash, data.password)
    try:
        await run(db_engine, tables.add_account(data.email, password_hash))
    except IntegrityError:
        raise ClientException(status_code=409) from None
    return {"email": data.email.lower()}


@post("/login", status_code=204)
async def log_in(
    data: Credentials, request: AccountRequest, db_engine: AsyncEngine
) -> Response[None]:
    """Begin a session of an account."""
    account = await run(db_engine, tables.find_account(data.email))
    kept = account.password_hash if account else None
    right = await asyncio.to_thread(PASSWORDS.check, kept, data.password)
    if account is None or not right:
        raise unauthorized()
    fresh = tables.fresh_session(SECRET_KEY)
    await run(
        db_engine,
        # rule: rotated-at-login
        tables.end_session(request.auth.key),
        tables.add_session(fresh, account.id, account.epoch),
    )
    return Response(None, cookies=[make_cookie(fresh.id)])


@get("/me", guards=[require_account])
async def show_me(request: AccountRequest) -> dict[str, str]:
    """Show who is logged in."""
    return {"email": request.user.email}


@post("/logout", status_code=204, guards=[require_account])
async def log_out(
    request: AccountRequest, db_engine: AsyncEngine
) -> Response[None]:
    """End this session."""
    # rule: logout-revokes
    await run(db_engine, tables.end_session(request.auth.key))
    # `delete_cookie` would leave out Secure, and browsers would refuse it.
    return Response(None, cookies=[make_cookie("", max_age=0)])


@post("/logout-everywhere", status_code=204, guards=[require_account])
async def log_out_everywhere(
    request: AccountRequest, db_engine: AsyncEngine
) -> Response[None]:
    """End all sessions of the account."""
    await run(db_engine, tables.begin_epoch(request.user.id))
    return Response(None, cookies=[make_cookie("", max_age=0)])


@post("/password", status_code=204, guards=[require_account])
async def change_password(
    data: PasswordChange, request: AccountRequest, db_engine: AsyncEngine
) -> Response[None]:
    """Keep another password, and no other session of the account."""
    account = request.user
    kept = account.password_hash
    if not await asyncio.to_thread(PASSWORDS.check, kept, data.current):
        raise ValidationException(extra=[WRONG_PASSWORD])
    password_hash = await asyncio.to_thread(PASSWORDS.hash, data.new)
    fresh = tables.fresh_session(SECRET_KEY)
    async with db_engine.begin() as connection:
        epoch = await connection.scalar(
            tables.replace_password(account.id, account.epoch, password_hash)
        )
        move = tables.move_session(account.session_key, fresh, epoch)
        # rule: logout-revokes
        if epoch is None or await connection.scalar(move) is None:
            raise unauthorized()
    return Response(None, cookies=[make_cookie(fresh.id)])


def prepare() -> None:
    """Make the tables, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    tables.Base.metadata.create_all(engine)
    engine.dispose()


def create_app() -> Litestar:
    """Wire the application."""
    database = SQLAlchemyAsyncConfig(
        engine_instance=create_async_engine(async_url(DATABASE_URL))
    )
    return Litestar(
        [
            show_token,
            sign_up,
            log_in,
            show_me,
            log_out,
            log_out_everywhere,
            change_password,
        ],
        # rule: cookie-flags
        cache_control=CacheControlHeader(no_store=True),
        guards=[
            # rule: csrf
            check_token,
        ],
        middleware=[OpenSession],
        plugins=[ProblemPlugin(), SQLAlchemyInitPlugin(database)],
        request_max_body_size=2**20,
    )
