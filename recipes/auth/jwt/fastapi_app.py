"""JWT access tokens in FastAPI: `Security` with scopes, by parameter.

Idiom: a path function says which scope it wants where it takes the user.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Annotated, Any

import httpx2
from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.security import HTTPBearer, SecurityScopes
from pydantic import BaseModel, Field

from frameworks.fastapi.problems import (
    StrictRoute,
    problem_response,
    register_problems,
)
from shared import reports, strict_json
from shared.access_tokens import (
    Expected,
    Refused,
    check_token,
    insufficient_scope,
    read_kid,
    read_token,
)
from shared.key_sets import KeyRing

ISSUER = os.environ.get("ISSUER", "https://issuer.example.com")
AUDIENCE = os.environ.get("AUDIENCE", "https://reports.example.com")
JWKS_URL = os.environ.get("JWKS_URL", f"{ISSUER}/jwks.json")
ALGORITHM = os.environ.get("ALGORITHM", "RS256")
LEEWAY_SECONDS = int(os.environ.get("LEEWAY_SECONDS", "30"))
JWKS_CACHE_SECONDS = int(os.environ.get("JWKS_CACHE_SECONDS", "300"))
JWKS_COOLDOWN_SECONDS = int(os.environ.get("JWKS_COOLDOWN_SECONDS", "10"))
JWKS_STALE_SECONDS = int(os.environ.get("JWKS_STALE_SECONDS", "86400"))
EXPECTED = Expected(ISSUER, AUDIENCE, ALGORITHM, LEEWAY_SECONDS)

logger = logging.getLogger("uvicorn.error")
public = APIRouter()
private = APIRouter(route_class=StrictRoute)
# It tells the documentation; of two headers it would take the first.
bearer = HTTPBearer(bearerFormat="JWT", auto_error=False)


class ReportInput(BaseModel, extra="forbid"):
    """A report, as a client sends it."""

    title: Annotated[
        str, Field(min_length=1, max_length=reports.TITLE_MAX, strict=True)
    ]


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


async def require_scope(
    wanted: SecurityScopes,
    request: Request,
    response: Response,
    _declared: Annotated[Any, Security(bearer)],
) -> str:
    """Give who asks, if the token is for this."""
    # rule: challenge
    response.headers["Cache-Control"] = "no-store"
    token = read_token(request.headers.getlist("Authorization"))
    key = await request.state.keys.find(read_kid(token))
    access = check_token(token, key, EXPECTED)
    for scope in wanted.scopes:
        # rule: scopes
        if scope not in access.scopes:
            raise insufficient_scope(scope)
    return access.subject


type Reader = Annotated[str, Security(require_scope, scopes=[reports.READ])]
type Writer = Annotated[str, Security(require_scope, scopes=[reports.WRITE])]


async def answer_refusal(_request: Request, error: Exception) -> Response:
    """Answer with the challenge of a refusal."""
    assert isinstance(error, Refused)
    return problem_response(
        error.status,
        # rule: challenge
        headers=error.headers,
    )


@public.get("/.well-known/oauth-protected-resource")
async def show_metadata() -> dict[str, Any]:
    """Say whose tokens are taken."""
    return reports.metadata(AUDIENCE, ISSUER)


@private.get("/reports")
async def list_reports(reader: Reader) -> dict[str, Any]:
    """List the reports."""
    return {"reports": reports.REPORTS, "reader": reader}


@private.post("/reports")
async def add_report(given: ReportInput, author: Writer) -> dict[str, str]:
    """Take a report; its author is who the token says."""
    return {"title": given.title, "author": author}


@asynccontextmanager
async def keep_keys(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one client and its keys for the life of a worker."""
    async with httpx2.AsyncClient(timeout=2) as client:
        yield {"keys": IssuerKeys(client)}


def prepare() -> None:
    """Prepare nothing: keys are fetched when they are asked for."""


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        lifespan=keep_keys, redirect_slashes=False, max_body_size=2**20
    )
    register_problems(app)
    app.exception_handler(Refused)(answer_refusal)
    app.include_router(public)
    app.include_router(private)
    return app
