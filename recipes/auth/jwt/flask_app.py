"""JWT access tokens in Flask: a hook before requests, a decorator.

Idiom: the hook of a blueprint knows who asks; a decorator says for what.
"""

import os
from collections.abc import Callable
from functools import wraps
from threading import Lock
from time import monotonic
from typing import Any

import httpx2
from flask import Blueprint, Flask, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields
from marshmallow.validate import Length

from frameworks.flask.problems import problem_response, register_problems
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

type View = Callable[..., ResponseReturnValue]

public = Blueprint("public", __name__)
private = Blueprint("private", __name__)


class ReportInput(Schema):
    """A report, as a client sends it."""

    title = fields.String(required=True, validate=Length(1, reports.TITLE_MAX))


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
            current_app.logger.warning("No keys from %s", JWKS_URL)


def authenticate() -> None:
    """Know who asks, or refuse."""
    token = read_token(request.headers.getlist("Authorization"))
    keys: IssuerKeys = current_app.extensions["issuer_keys"]
    key = keys.find(read_kid(token))
    g.access = check_token(token, key, EXPECTED)


def require_scope(scope: str) -> Callable[[View], View]:
    """Have a view answer only who has a scope."""

    def decorate(view: View) -> View:
        @wraps(view)
        def check(**arguments: Any) -> ResponseReturnValue:
            # rule: scopes
            if scope not in g.access.scopes:
                raise insufficient_scope(scope)
            return view(**arguments)

        return check

    return decorate


def keep_out_of_caches(response: Response) -> Response:
    """Have no answer kept: each is for one person."""
    # rule: challenge
    response.headers["Cache-Control"] = "no-store"
    return response


def answer_refusal(error: Refused) -> ResponseReturnValue:
    """Answer with the challenge of a refusal."""
    response = Response(
        status=error.status,
        # rule: challenge
        headers=error.headers,
    )
    return problem_response(response, problem_document(error.status))


@public.get("/.well-known/oauth-protected-resource")
def show_metadata() -> ResponseReturnValue:
    """Say whose tokens are taken."""
    return reports.metadata(AUDIENCE, ISSUER)


@private.get("/reports")
@require_scope(reports.READ)
def list_reports() -> ResponseReturnValue:
    """List the reports."""
    return {"reports": reports.REPORTS, "reader": g.access.subject}


@private.post("/reports")
@require_scope(reports.WRITE)
def add_report() -> ResponseReturnValue:
    """Take a report; its author is who the token says."""
    given: dict[str, Any] = ReportInput().load(request.get_json())
    return {"title": given["title"], "author": g.access.subject}


def prepare() -> None:
    """Prepare nothing: keys are fetched when they are asked for."""


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.extensions["issuer_keys"] = IssuerKeys()
    register_problems(app)
    app.register_error_handler(Refused, answer_refusal)
    private.before_request(authenticate)
    private.after_request(keep_out_of_caches)
    app.register_blueprint(public)
    app.register_blueprint(private)
    return app
