"""JWT access tokens in Litestar: authentication middleware, then guards.

Idiom: the middleware makes `user` and `auth`; guards say who may pass.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Annotated, Any

import httpx2
from litestar import Litestar, Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader
from litestar.handlers import BaseRouteHandler
from litestar.middleware import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import Guard
from msgspec import Meta, Struct

from frameworks.litestar.problems import ProblemPlugin
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

logger = logging.getLogger(__name__)

type Connection = ASGIConnection[Any, Any, Any, Any]
type UserRequest = Request[str, Access, Any]


class ReportInput(Struct, forbid_unknown_fields=True):
    """A report, as a client sends it."""

    title: Annotated[str, Meta(min_length=1, max_length=reports.TITLE_MAX)]


class IssuerKeys:
    """The keys of the issuer; one task at a time asks for them."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
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
            answer = await self.client.get(JWKS_URL)
            found = strict_json.loads(answer.raise_for_status().content)
            self.ring.replace(found, monotonic())
        # rule: outage
        except (httpx2.HTTPError, ValueError):
            logger.warning("No keys from %s", JWKS_URL)


class Authenticate(AbstractAuthenticationMiddleware):
    """Know who asks, or refuse."""

    async def authenticate_request(
        self, connection: Connection
    ) -> AuthenticationResult:
        """Give the subject as `user`, what it may as `auth`."""
        token = read_token(connection.headers.getall("Authorization", []))
        keys: IssuerKeys = connection.app.state.issuer_keys
        key = await keys.find(read_kid(token))
        access = check_token(token, key, EXPECTED)
        return AuthenticationResult(user=access.subject, auth=access)


def require_scope(scope: str) -> Guard:
    """Make a guard that lets pass who has a scope."""

    def check(connection: Connection, _handler: BaseRouteHandler) -> None:
        # rule: scopes
        if scope not in connection.auth.scopes:
            raise insufficient_scope(scope)

    return check


def answer_refusal(
    _request: Request[Any, Any, Any], error: Refused
) -> Response[dict[str, Any]]:
    """Answer with the challenge of a refusal."""
    return Response(
        {**problem_document(error.status)},
        status_code=error.status,
        # rule: challenge
        headers=error.headers,
        media_type=MEDIA_TYPE,
    )


@get("/.well-known/oauth-protected-resource")
async def show_metadata() -> dict[str, Any]:
    """Say whose tokens are taken."""
    return reports.metadata(AUDIENCE, ISSUER)


@get("/reports", guards=[require_scope(reports.READ)])
async def list_reports(request: UserRequest) -> dict[str, Any]:
    """List the reports."""
    return {"reports": reports.REPORTS, "reader": request.user}


@post("/reports", status_code=200, guards=[require_scope(reports.WRITE)])
async def add_report(
    data: ReportInput, request: UserRequest
) -> dict[str, str]:
    """Take a report; its author is who the token says."""
    return {"title": data.title, "author": request.user}


@asynccontextmanager
async def keep_keys(app: Litestar) -> AsyncIterator[None]:
    """Keep one client and its keys for the life of a worker."""
    async with httpx2.AsyncClient(timeout=2) as client:
        app.state.issuer_keys = IssuerKeys(client)
        yield


def prepare() -> None:
    """Prepare nothing: keys are fetched when they are asked for."""


def create_app() -> Litestar:
    """Wire the application."""
    private = Router(
        "/",
        route_handlers=[list_reports, add_report],
        # rule: challenge
        cache_control=CacheControlHeader(no_store=True),
        middleware=[Authenticate],
    )
    return Litestar(
        [show_metadata, private],
        exception_handlers={Refused: answer_refusal},
        lifespan=[keep_keys],
        plugins=[ProblemPlugin([Refused])],
        request_max_body_size=2**20,
    )
