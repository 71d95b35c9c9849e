"""CORS in Litestar: `CORSConfig`, and a hook for what it leaves out.

Idiom: configuration of the application; `before_send` sees every answer.
"""

import os
from typing import Annotated, Any

from litestar import (
    Litestar,
    Request,
    Response,
    Router,
    delete,
    get,
    post,
    put,
)
from litestar.config.cors import CORSConfig
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.params import Parameter
from litestar.types import Message, Scope
from msgspec import Meta, Struct

from frameworks.litestar.problems import ProblemPlugin
from shared import drafts
from shared.origins import read_origins
from shared.problems import MEDIA_TYPE, Problem

ALLOWED_ORIGINS = read_origins(
    os.environ.get("ALLOWED_ORIGINS", "https://app.example.com")
)
PREFLIGHT_SECONDS = int(os.environ.get("PREFLIGHT_SECONDS", "600"))
DRAFTS_FILE = os.environ.get("DRAFTS_FILE", "drafts.db")

Token = Annotated[str, Parameter(cookie="session")]
IfMatch = Annotated[str, Parameter(header="If-Match")]


class SessionInput(Struct, forbid_unknown_fields=True):
    """A session, as a client asks for it."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]


class DraftInput(Struct, forbid_unknown_fields=True):
    """A draft, as a client sends it."""

    text: str


@get("/session", sync_to_thread=True)
def get_session(token: Token = "") -> dict[str, str | None]:
    """Tell who is signed in."""
    return {"name": drafts.find_name(DRAFTS_FILE, token)}


@post("/session", status_code=200, sync_to_thread=True)
def begin_session(data: SessionInput) -> Response[dict[str, str]]:
    """Begin a session; a name is enough, for once."""
    token = drafts.begin_session(DRAFTS_FILE, data.name)
    cookie = Cookie(
        "session", value=token, secure=True, httponly=True, samesite="lax"
    )
    return Response({"name": data.name}, cookies=[cookie])


@get("/draft", sync_to_thread=True)
def get_draft(token: Token = "") -> Response[dict[str, str]]:
    """Show the draft."""
    draft = drafts.find_draft(DRAFTS_FILE, token)
    return Response(draft.to_json(), headers={"ETag": draft.etag})


@put("/draft", sync_to_thread=True)
def save_draft(
    data: DraftInput, if_match: IfMatch = "", token: Token = ""
) -> Response[dict[str, str]]:
    """Save the draft."""
    draft = drafts.save_draft(DRAFTS_FILE, token, data.text, if_match)
    return Response(draft.to_json(), headers={"ETag": draft.etag})


@delete("/draft", sync_to_thread=True)
def remove_draft(token: Token = "") -> None:
    """Remove the draft."""
    drafts.remove_draft(DRAFTS_FILE, token)


def answer_refusal(
    _request: Request[Any, Any, Any], error: drafts.DraftError
) -> Response[Problem]:
    """Answer what the domain refuses."""
    problem = drafts.describe(error)
    return Response(
        problem, status_code=problem["status"], media_type=MEDIA_TYPE
    )


async def vary_by_origin(message: Message, scope: Scope) -> None:
    """Say that the answer depends on who asks, even if nobody was named."""
    if message["type"] != "http.response.start":
        return
    names = ["Origin"]
    if scope.get("method") == "OPTIONS":
        # rule: vary-origin
        names += [
            "Access-Control-Request-Method",
            "Access-Control-Request-Headers",
        ]
    headers = MutableScopeHeaders.from_message(message)
    for name in names:
        if name not in headers.get("Vary", ""):
            headers.extend_header_value("Vary", name)


def prepare() -> None:
    """Make the table, once, before any worker starts."""
    drafts.make_table(DRAFTS_FILE)


def create_app() -> Litestar:
    """Wire the application."""
    handlers = [
        get_session,
        begin_session,
        get_draft,
        save_draft,
        remove_draft,
    ]
    return Litestar(
        # In a router: of three handlers of one path, registered one by
        # one, the first is wrapped twice for its thread, and fails
        # (https://github.com/litestar-org/litestar/pull/4738).
        [Router("/", route_handlers=handlers)],
        cors_config=CORSConfig(
            # rule: allow-list
            allow_origins=ALLOWED_ORIGINS,
            # rule: credentials
            allow_credentials=True,
            # rule: granted-by-list
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            # rule: granted-by-list
            allow_headers=["Content-Type", "If-Match"],
            # rule: exposed-headers
            expose_headers=["ETag"],
            # rule: preflight-kept
            max_age=PREFLIGHT_SECONDS,
        ),
        # rule: vary-origin
        before_send=[vary_by_origin],
        exception_handlers={drafts.DraftError: answer_refusal},
        plugins=[ProblemPlugin()],
        request_max_body_size=2**20,
    )
