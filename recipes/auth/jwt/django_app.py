"""JWT access tokens in Django: a decorator around each view.

Idiom: a view says by its decorators what it wants of a request.
"""

import logging
import os
from collections.abc import Callable
from functools import wraps
from threading import Lock
from time import monotonic
from typing import Any

import httpx2
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe
from pydantic import BaseModel, Field

from frameworks.django.config import configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
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
from shared.problems import problem_document

ISSUER = os.environ.get("ISSUER", "https://issuer.example.com")
AUDIENCE = os.environ.get("AUDIENCE", "https://reports.example.com")
JWKS_URL = os.environ.get("JWKS_URL", f"{ISSUER}/jwks.json")
ALGORITHM = os.environ.get("ALGORITHM", "RS256")
LEEWAY_SECONDS = int(os.environ.get("LEEWAY_SECONDS", "30"))
JWKS_CACHE_SECONDS = int(os.environ.get("JWKS_CACHE_SECONDS", "300"))
JWKS_COOLDOWN_SECONDS = int(os.environ.get("JWKS_COOLDOWN_SECONDS", "10"))
JWKS_STALE_SECONDS = int(os.environ.get("JWKS_STALE_SECONDS", "86400"))
EXPECTED = Expected(ISSUER, AUDIENCE, ALGORITHM, LEEWAY_SECONDS)

logger = logging.getLogger("django.request")

configure(
    __name__,
    "sqlite://:memory:",
    DATA_UPLOAD_MAX_MEMORY_SIZE=2**20,
    MIDDLEWARE=[
        "frameworks.django.problems.ProblemMiddleware",
        "django.middleware.common.CommonMiddleware",
        "frameworks.django.wsgi.chunked_bodies",
        f"{__name__}.RefusalMiddleware",
    ],
)


class Request(HttpRequest):
    """A request whose token has been proven."""

    access: Access


type View = Callable[[Request], HttpResponse]


class ReportInput(BaseModel, extra="forbid"):
    """A report, as a client sends it."""

    title: str = Field(min_length=1, max_length=reports.TITLE_MAX)


class IssuerKeys:
    """The keys of the issuer; one thread at a time asks for them."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.ring = KeyRing(
            ALGORITHM,
            JWKS_CACHE_SECONDS,
            JWKS_COOLDOWN_SECONDS,
            JWKS_STALE_SECONDS,
        )

    def find(self, kid: str) -> Any:
        """Give a key; who has one that is known waits for nobody."""
        if self.ring.is_due(kid, monotonic()) or self.lock.locked():
            known = self.ring.knows(kid, monotonic())
            if self.lock.acquire(blocking=not known):
                try:
                    # rule: rotation
                    if self.ring.is_due(kid, monotonic()):
                        self.fetch()
                finally:
                    self.lock.release()
        return self.ring.find(kid, monotonic())

    def fetch(self) -> None:
        """Ask the issuer; if it is silent, what is known goes on."""
        self.ring.begin(monotonic())
        try:
            answer = httpx2.get(JWKS_URL, timeout=2).raise_for_status()
            found = strict_json.loads(answer.content)
            self.ring.replace(found, monotonic())
        # rule: outage
        except (httpx2.HTTPError, ValueError):
            logger.warning("No keys from %s", JWKS_URL)


KEYS = IssuerKeys()


def require_scope(scope: str) -> Callable[[View], View]:
    """Have a view answer only who has a token for it."""

    def decorate(view: View) -> View:
        @wraps(view)
        def check(request: Request) -> HttpResponse:
            sent = request.headers.get("Authorization")
            token = read_token([sent] if sent else [])
            key = KEYS.find(read_kid(token))
            request.access = check_token(token, key, EXPECTED)
            # rule: scopes
            if scope not in request.access.scopes:
                raise insufficient_scope(scope)
            return view(request)

        return check

    return decorate


class RefusalMiddleware:
    """Answer what a view has refused."""

    def __init__(self, get_response: Callable[[Any], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer a refusal; leave other exceptions to others."""
        if isinstance(exception, Refused):
            return answer_refusal(exception)
        return None


def answer_refusal(error: Refused) -> HttpResponse:
    """Answer with the challenge of a refusal."""
    response = problem_response(problem_document(error.status))
    for name, value in error.headers.items():
        # rule: challenge
        response.headers[name] = value
    return response


@require_safe
def show_metadata(request: HttpRequest) -> HttpResponse:
    """Say whose tokens are taken."""
    return JsonResponse(reports.metadata(AUDIENCE, ISSUER))


@require_scope(reports.READ)
def list_reports(request: Request) -> HttpResponse:
    """List the reports."""
    reader = request.access.subject
    return JsonResponse({"reports": reports.REPORTS, "reader": reader})


@require_scope(reports.WRITE)
def add_report(request: Request) -> HttpResponse:
    """Take a report; its author is who the token says."""
    given = read_json(request, ReportInput)
    author = request.access.subject
    return JsonResponse({"title": given.title, "author": author})


@require_http_methods(["GET", "HEAD", "POST"])
# rule: challenge
@cache_control(no_store=True)
def route_reports(request: Request) -> HttpResponse:
    """Choose by the method."""
    view = add_report if request.method == "POST" else list_reports
    return view(request)


urlpatterns = [
    path(".well-known/oauth-protected-resource", show_metadata),
    path("reports", route_reports),
]


def prepare() -> None:
    """Prepare nothing: keys are fetched when they are asked for."""


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
