"""JWT access tokens in aiohttp: a decorator around each handler.

Idiom: what a request has on it is there by key; refusals are raised.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from functools import wraps
from time import monotonic
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import reports, strict_json
from shared.access_tokens import (
    Access,
    Expected,
    Refused,
    check_token,
    insufficient_scope,
    read_kid,
    read_token,
)
from shared.key_sets import KeyRing
from shared.problems import MEDIA_TYPE, problem_document

ISSUER = os.environ.get("ISSUER", "https://issuer.example.com")
AUDIENCE = os.environ.get("AUDIENCE", "https://reports.example.com")
JWKS_URL = os.environ.get("JWKS_URL", f"{ISSUER}/jwks.json")
ALGORITHM = os.environ.get("ALGORITHM", "RS256")
LEEWAY_SECONDS = int(os.environ.get("LEEWAY_SECONDS", "30"))
JWKS_CACHE_SECONDS = int(os.environ.get("JWKS_CACHE_SECONDS", "300"))
JWKS_COOLDOWN_SECONDS = int(os.environ.get("JWKS_COOLDOWN_SECONDS", "10"))
JWKS_STALE_SECONDS = int(os.environ.get("JWKS_STALE_SECONDS", "86400"))
EXPECTED = Expected(ISSUER, AUDIENCE, ALGORITHM, LEEWAY_SECONDS)

logger = logging.getLogger("aiohttp.server")
ACCESS = web.RequestKey("ACCESS", Access)
routes = web.RouteTableDef()


class ReportInput(BaseModel, extra="forbid"):
    """A report, as a client sends it."""

    title: str = Field(min_length=1, max_length=reports.TITLE_MAX)


class IssuerKeys:
    """The keys of the issuer; one task at a time asks for them."""

    def __init__(self, client: ClientSession) -> None:
        self.client = client
        self.lock = asyncio.Lock()
        self.ring = KeyRing(
            ALGORITHM,
            JWKS_CACHE_SECONDS,
            JWKS_COOLDOWN_SECONDS,
            JWKS_STALE_SECONDS,
        )

    async def find(self, kid: str) -> Any:
        """Give a key; who has one that is known waits for nobody."""
        waits = not self.ring.knows(kid, monotonic())
        if waits or not self.lock.locked():
            async with self.lock:
                # rule: rotation
                if self.ring.is_due(kid, monotonic()):
                    await self.fetch()
        return self.ring.find(kid, monotonic())

    async def fetch(self) -> None:
        """Ask the issuer; if it is silent, what is known goes on."""
        self.ring.begin(monotonic())
        try:
            async with self.client.get(
                JWKS_URL, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise ValueError("no keys")
                found = strict_json.loads(await answer.read())
            self.ring.replace(found, monotonic())
        # rule: outage
        except (ClientError, TimeoutError, ValueError):
            logger.warning("No keys from %s", JWKS_URL)


KEYS = web.AppKey("KEYS", IssuerKeys)


def require_scope(scope: str) -> Callable[[Handler], Handler]:
    """Have a handler answer only who has a token for it."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def check(request: web.Request) -> web.StreamResponse:
            sent = request.headers.getall("Authorization", [])
            token = read_token(sent)
            key = await request.app[KEYS].find(read_kid(token))
            request[ACCESS] = check_token(token, key, EXPECTED)
            # rule: scopes
            if scope not in request[ACCESS].scopes:
                raise insufficient_scope(scope)
            return await handler(request)

        return check

    return decorate


@web.middleware
async def answer_refusal(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer with the challenge of a refusal."""
    try:
        return await handler(request)
    except Refused as error:
        return web.json_response(
            problem_document(error.status),
            status=error.status,
            # rule: challenge
            headers=error.headers,
            content_type=MEDIA_TYPE,
        )


async def keep_out_of_caches(
    _request: web.Request, response: web.StreamResponse
) -> None:
    """Have no answer kept: most are for one person."""
    # rule: challenge
    response.headers["Cache-Control"] = "no-store"


@routes.get("/.well-known/oauth-protected-resource")
async def show_metadata(_request: web.Request) -> web.Response:
    """Say whose tokens are taken."""
    return web.json_response(reports.metadata(AUDIENCE, ISSUER))


@routes.get("/reports")
@require_scope(reports.READ)
async def list_reports(request: web.Request) -> web.Response:
    """List the reports."""
    reader = request[ACCESS].subject
    return web.json_response({"reports": reports.REPORTS, "reader": reader})


@routes.post("/reports")
@require_scope(reports.WRITE)
async def add_report(request: web.Request) -> web.Response:
    """Take a report; its author is who the token says."""
    given = await read_json(request, ReportInput)
    author = request[ACCESS].subject
    return web.json_response({"title": given.title, "author": author})


def prepare() -> None:
    """Prepare nothing: keys are fetched when they are asked for."""


async def keep_keys(app: web.Application) -> AsyncIterator[None]:
    """Keep one client and its keys for the life of a worker."""
    timeout = ClientTimeout(total=2)
    async with ClientSession(timeout=timeout) as client:
        app[KEYS] = IssuerKeys(client)
        yield


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    app = web.Application(middlewares=[answer_problems, answer_refusal])
    app.cleanup_ctx.append(keep_keys)
    app.on_response_prepare.append(keep_out_of_caches)
    app.add_routes(routes)
    return app
