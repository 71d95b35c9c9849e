"""CORS in FastAPI: Starlette's middleware, around the whole application.

Idiom: `CORSMiddleware` outside of the application, so that a 500 passes it.
"""

import os
from typing import Annotated

from fastapi import APIRouter, Cookie, FastAPI, Header, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from frameworks.fastapi.problems import StrictRoute, register_problems
from shared import drafts
from shared.origins import read_origins
from shared.problems import MEDIA_TYPE

ALLOWED_ORIGINS = read_origins(
    os.environ.get("ALLOWED_ORIGINS", "https://app.example.com")
)
PREFLIGHT_SECONDS = int(os.environ.get("PREFLIGHT_SECONDS", "600"))
DRAFTS_FILE = os.environ.get("DRAFTS_FILE", "drafts.db")

Token = Annotated[str, Cookie(alias="session")]

desk = APIRouter(route_class=StrictRoute)


class SessionInput(BaseModel):
    """A session, as a client asks for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]


class DraftInput(BaseModel):
    """A draft, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str


@desk.get("/session")
def get_session(token: Token = "") -> dict[str, str | None]:
    """Tell who is signed in."""
    return {"name": drafts.find_name(DRAFTS_FILE, token)}


@desk.post("/session")
def begin_session(session: SessionInput, response: Response) -> dict[str, str]:
    """Begin a session; a name is enough, for once."""
    token = drafts.begin_session(DRAFTS_FILE, session.name)
    response.set_cookie(
        "session", token, secure=True, httponly=True, samesite="lax"
    )
    return {"name": session.name}


@desk.get("/draft")
def get_draft(response: Response, token: Token = "") -> dict[str, str]:
    """Show the draft."""
    draft = drafts.find_draft(DRAFTS_FILE, token)
    response.headers["ETag"] = draft.etag
    return draft.to_json()


@desk.put("/draft")
def save_draft(
    new: DraftInput,
    response: Response,
    if_match: Annotated[str, Header()] = "",
    token: Token = "",
) -> dict[str, str]:
    """Save the draft."""
    draft = drafts.save_draft(DRAFTS_FILE, token, new.text, if_match)
    response.headers["ETag"] = draft.etag
    return draft.to_json()


@desk.delete("/draft", status_code=204)
def remove_draft(token: Token = "") -> None:
    """Remove the draft."""
    drafts.remove_draft(DRAFTS_FILE, token)


async def answer_refusal(
    _request: Request, error: drafts.DraftError
) -> Response:
    """Answer what the domain refuses."""
    problem = drafts.describe(error)
    return JSONResponse(problem, problem["status"], media_type=MEDIA_TYPE)


def prepare() -> None:
    """Make the table, once, before any worker starts."""
    drafts.make_table(DRAFTS_FILE)


def create_app() -> ASGIApp:
    """Wire the application."""
    app = FastAPI(max_body_size=2**20, redirect_slashes=False)
    register_problems(app)
    app.exception_handler(drafts.DraftError)(answer_refusal)
    app.include_router(desk)
    # `add_middleware` would put it inside of what answers 413 and 500.
    # rule: errors-too
    return CORSMiddleware(
        app,
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
    )
