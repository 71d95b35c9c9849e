"""Sessions in aiohttp: middlewares open and check, handlers do the rest.

Idiom: what a request has on it, a middleware has put there by key.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field
from sqlalchemy import Executable, Row, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import accounts as tables
from shared import credentials
from shared.accounts import same_token, session_key
from shared.credentials import CHALLENGE, EMAIL, LENGTH_MAX, LENGTH_MIN
from shared.database import async_url, sync_url
from shared.passwords import Passwords
from shared.problems import MEDIA_TYPE, problem_document

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
WRONG_PASSWORD = json.dumps(
    problem_document(422, errors=credentials.WRONG_PASSWORD)
)
ENGINE = web.AppKey("ENGINE", AsyncEngine)
SESSION = web.RequestKey("SESSION", Row[Any])
routes = web.RouteTableDef()


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


@web.middleware
async def open_session(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Open the session of the cookie, if it has not ended."""
    key = session_key(SECRET_KEY, request.cookies.get(COOKIE, ""))
    opened = await run(request, tables.open_session(key, LIFETIME))
    if opened is not None:
        request[SESSION] = opened
    return await handler(request)


@web.middleware
async def check_token(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Let pass what only reads, or has the token of its session."""
    # What leads nowhere is told so.
    found = request.match_info.http_exception is None
    if found and request.method not in ("GET", "HEAD"):
        opened = request.get(SESSION)
        kept = opened.data["csrf_token"] if opened else None
        if not same_token(request.headers.get("X-CSRF-Token"), kept):
            raise web.HTTPForbidden
    return await handler(request)


async def keep_out_of_caches(
    _request: web.Request, response: web.StreamResponse
) -> None:
    """Have no answer kept: each is for one person."""
    # rule: cookie-flags
    response.headers["Cache-Control"] = "no-store"


async def run(
    request: web.Request, *statements: Executable
) -> Row[Any] | None:
    """Run statements in one transaction; give what the last one found."""
    async with request.app[ENGINE].begin() as connection:
        *_, last = [await connection.execute(each) for each in statements]
        return last.one_or_none() if last.returns_rows else None


def unauthorized() -> web.HTTPUnauthorized:
    """Ask for a login; the scheme is named after the cookie."""
    headers = {"WWW-Authenticate": CHALLENGE}
    return web.HTTPUnauthorized(headers=headers)


async def require_account(request: web.Request) -> Row[Any]:
    """Get the account that the session is of."""
    opened = request.get(SESSION)
    if opened is not None:
        account = await run(request, tables.get_account(opened.key))
        if account is not None:
            return account
    raise unauthorized()


def with_cookie(response: web.Response, session_id: str) -> web.Response:
    """Give the browser an id."""
    response.set_cookie(
        COOKIE,
        session_id,
        # rule: cookie-flags
        secure=True,
        # rule: cookie-flags
        httponly=True,
        # rule: cookie-flags
        samesite="Lax",
    )
    return response


@routes.get("/csrf")
async def show_token(request: web.Request) -> web.Response:
    """Give the token of the session, which begins where there is none."""
    opened = request.get(SESSION)
    if opened is not None:
        return web.json_response({"csrf_token": opened.data["csrf_token"]})
    # rule: client-id-refused
    fresh = tables.fresh_session(SECRET_KEY)
    add = tables.add_session(fresh)
    await run(request, tables.sweep_sessions(LIFETIME), add)
    response = web.json_response({"csrf_token": fresh.data["csrf_token"]})
    return with_cookie(response, fresh.id)


@routes.post("/users")
async def sign_up(request: web.Request) -> web.Response:
    """Add an account."""
    given = await read_json(request, SignUp)
    password_hash = await asyncio.to_thread(PASSWORDS.hash, given.password)
    try:
        await run(request, tables.add_account(given.email, password_hash))
    except IntegrityError:
        raise web.HTTPConflict from None
    return web.json_response({"email": given.email.lower()})


@routes.post("/login")
async def log_in(request: web.Request) -> web.Response:
    """Begin a session of an account."""
    given = await read_json(request, Credentials)
    account = await run(request, tables.find_account(given.email))
    kept = account.password_hash if account else None
    right = await asyncio.to_thread(PASSWORDS.check, kept, given.password)
    if account is None or not right:
        raise unauthorized()
    fresh = tables.fresh_session(SECRET_KEY)
    await run(
        request,
        # rule: rotated-at-login
        tables.end_session(request[SESSION].key),
        tables.add_session(fresh, account.id, account.epoch),
    )
    return with_cookie(web.Response(status=204), fresh.id)


@routes.get("/me")
async def show_me(request: web.Request) -> web.Response:
    """Show who is logged in."""
    account = await require_account(request)
    return web.json_response({"email": account.email})


@routes.post("/logout")
async def log_out(request: web.Request) -> web.Response:
    """End this session."""
    account = await require_account(request)
    # rule: logout-revokes
    await run(request, tables.end_session(account.session_key))
    response = web.Response(status=204)
    # rule: cookie-flags
    response.del_cookie(COOKIE, secure=True)
    return response


@routes.post("/logout-everywhere")
async def log_out_everywhere(request: web.Request) -> web.Response:
    """End all sessions of the account."""
    account = await require_account(request)
    await run(request, tables.begin_epoch(account.id))
    response = web.Response(status=204)
    # rule: cookie-flags
    response.del_cookie(COOKIE, secure=True)
    return response


@routes.post("/password")
async def change_password(request: web.Request) -> web.Response:
    """Keep another password, and no other session of the account."""
    account = await require_account(request)
    given = await read_json(request, PasswordChange)
    kept = account.password_hash
    if not await asyncio.to_thread(PASSWORDS.check, kept, given.current):
        raise web.HTTPUnprocessableEntity(
            text=WRONG_PASSWORD, content_type=MEDIA_TYPE
        )
    password_hash = await asyncio.to_thread(PASSWORDS.hash, given.new)
    fresh = tables.fresh_session(SECRET_KEY)
    async with request.app[ENGINE].begin() as connection:
        epoch = await connection.scalar(
            tables.replace_password(account.id, account.epoch, password_hash)
        )
        move = tables.move_session(account.session_key, fresh, epoch)
        # rule: logout-revokes
        if epoch is None or await connection.scalar(move) is None:
            raise unauthorized()
    return with_cookie(web.Response(status=204), fresh.id)


def prepare() -> None:
    """Make the tables, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    tables.Base.metadata.create_all(engine)
    engine.dispose()


async def keep_engine(app: web.Application) -> AsyncIterator[None]:
    """Keep one engine for the life of a worker."""
    app[ENGINE] = create_async_engine(async_url(DATABASE_URL))
    yield
    await app[ENGINE].dispose()


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(
        middlewares=[
            answer_problems,
            open_session,
            # rule: csrf
            check_token,
        ]
    )
    app.cleanup_ctx.append(keep_engine)
    app.on_response_prepare.append(keep_out_of_caches)
    app.add_routes(routes)
    return app
