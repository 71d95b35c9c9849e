"""CORS in aiohttp: a middleware for preflights, a signal for all answers.

Idiom: `on_response_prepare` sees every answer, whoever has made it.
"""

import asyncio
import os

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import drafts
from shared.origins import read_origins
from shared.problems import MEDIA_TYPE

ALLOWED_ORIGINS = read_origins(
    os.environ.get("ALLOWED_ORIGINS", "https://app.example.com")
)
PREFLIGHT_SECONDS = int(os.environ.get("PREFLIGHT_SECONDS", "600"))
DRAFTS_FILE = os.environ.get("DRAFTS_FILE", "drafts.db")

routes = web.RouteTableDef()


class SessionInput(BaseModel):
    """A session, as a client asks for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=100)


class DraftInput(BaseModel):
    """A draft, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str


@routes.get("/session")
async def get_session(request: web.Request) -> web.Response:
    """Tell who is signed in."""
    name = await asyncio.to_thread(
        drafts.find_name, DRAFTS_FILE, read_token(request)
    )
    return web.json_response({"name": name})


@routes.post("/session")
async def begin_session(request: web.Request) -> web.Response:
    """Begin a session; a name is enough, for once."""
    name = (await read_json(request, SessionInput)).name
    token = await asyncio.to_thread(drafts.begin_session, DRAFTS_FILE, name)
    response = web.json_response({"name": name})
    response.set_cookie(
        "session", token, secure=True, httponly=True, samesite="Lax"
    )
    return response


@routes.get("/draft")
async def get_draft(request: web.Request) -> web.Response:
    """Show the draft."""
    draft = await asyncio.to_thread(
        drafts.find_draft, DRAFTS_FILE, read_token(request)
    )
    return web.json_response(draft.to_json(), headers={"ETag": draft.etag})


@routes.put("/draft")
async def save_draft(request: web.Request) -> web.Response:
    """Save the draft."""
    text = (await read_json(request, DraftInput)).text
    if_match = request.headers.get("If-Match", "")
    draft = await asyncio.to_thread(
        drafts.save_draft, DRAFTS_FILE, read_token(request), text, if_match
    )
    return web.json_response(draft.to_json(), headers={"ETag": draft.etag})


@routes.delete("/draft")
async def remove_draft(request: web.Request) -> web.Response:
    """Remove the draft."""
    await asyncio.to_thread(
        drafts.remove_draft, DRAFTS_FILE, read_token(request)
    )
    return web.Response(status=204)


def read_token(request: web.Request) -> str:
    """Read the token of the session, empty if there is none."""
    return request.cookies.get("session", "")


@web.middleware
async def answer_refusal(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer what the domain refuses."""
    try:
        return await handler(request)
    except drafts.DraftError as error:
        problem = drafts.describe(error)
        return web.json_response(
            problem, status=problem["status"], content_type=MEDIA_TYPE
        )


@web.middleware
async def answer_preflight(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer a preflight on any path, before anyone asks who it is."""
    if request.method != "OPTIONS" or "Origin" not in request.headers:
        return await handler(request)
    # rule: plain-options
    if "Access-Control-Request-Method" not in request.headers:
        return await handler(request)
    headers = {
        # rule: granted-by-list
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        # rule: granted-by-list
        "Access-Control-Allow-Headers": "Content-Type, If-Match",
        # rule: preflight-kept
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return web.Response(status=204, headers=headers)


async def name_origin(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Name the origin, if it is on the list, just before any answer goes."""
    # rule: vary-origin
    response.headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin in ALLOWED_ORIGINS:
        # rule: allow-list
        response.headers["Access-Control-Allow-Origin"] = origin
        # rule: credentials
        response.headers["Access-Control-Allow-Credentials"] = "true"
        # rule: exposed-headers
        response.headers["Access-Control-Expose-Headers"] = "ETag"


def prepare() -> None:
    """Make the table, once, before any worker starts."""
    drafts.make_table(DRAFTS_FILE)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    app = web.Application(
        middlewares=[
            # rule: preflight-by-itself
            answer_preflight,
            answer_problems,
            answer_refusal,
        ]
    )
    # rule: errors-too
    app.on_response_prepare.append(name_origin)
    app.add_routes(routes)
    return app
