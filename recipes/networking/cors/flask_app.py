"""CORS in Flask: Flask-CORS writes the headers, a hook answers preflights.

Idiom: an extension on the application; `before_request` and `after_request`.
"""

import os
import re

from flask import Blueprint, Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from marshmallow import Schema, fields
from marshmallow.validate import Length
from werkzeug.wrappers import Response as BaseResponse

from frameworks.flask.problems import problem_response, register_problems
from shared import drafts
from shared.origins import read_origins

ALLOWED_ORIGINS = read_origins(
    os.environ.get("ALLOWED_ORIGINS", "https://app.example.com")
)
PREFLIGHT_SECONDS = int(os.environ.get("PREFLIGHT_SECONDS", "600"))
DRAFTS_FILE = os.environ.get("DRAFTS_FILE", "drafts.db")

desk = Blueprint("desk", __name__)


class SessionInput(Schema):
    """A session, as a client asks for it."""

    name = fields.String(required=True, validate=Length(1, 100))


class DraftInput(Schema):
    """A draft, as a client sends it."""

    text = fields.String(required=True)


@desk.get("/session")
def get_session() -> ResponseReturnValue:
    """Tell who is signed in."""
    return {"name": drafts.find_name(DRAFTS_FILE, read_token())}


@desk.post("/session")
def begin_session() -> ResponseReturnValue:
    """Begin a session; a name is enough, for once."""
    name = SessionInput().load(request.get_json())["name"]
    token = drafts.begin_session(DRAFTS_FILE, name)
    response = jsonify(name=name)
    response.set_cookie(
        "session", token, secure=True, httponly=True, samesite="Lax"
    )
    return response


@desk.get("/draft")
def get_draft() -> ResponseReturnValue:
    """Show the draft."""
    draft = drafts.find_draft(DRAFTS_FILE, read_token())
    return draft.to_json(), {"ETag": draft.etag}


@desk.put("/draft")
def save_draft() -> ResponseReturnValue:
    """Save the draft."""
    text = DraftInput().load(request.get_json())["text"]
    if_match = request.headers.get("If-Match", "")
    draft = drafts.save_draft(DRAFTS_FILE, read_token(), text, if_match)
    return draft.to_json(), {"ETag": draft.etag}


@desk.delete("/draft")
def remove_draft() -> ResponseReturnValue:
    """Remove the draft."""
    drafts.remove_draft(DRAFTS_FILE, read_token())
    return "", 204


def read_token() -> str:
    """Read the token of the session, empty if there is none."""
    return request.cookies.get("session", "")


def answer_refusal(error: drafts.DraftError) -> BaseResponse:
    """Answer what the domain refuses."""
    problem = drafts.describe(error)
    return problem_response(Response(status=problem["status"]), problem)


def answer_preflight() -> Response | None:
    """Answer a preflight on any path, before anyone asks who it is."""
    if request.method != "OPTIONS" or "Origin" not in request.headers:
        return None
    # rule: plain-options
    if "Access-Control-Request-Method" not in request.headers:
        return None
    response = Response(status=204)
    # Flask-CORS grants what is asked for, not all that could be.
    # rule: vary-origin
    response.vary.update(
        ["Access-Control-Request-Method", "Access-Control-Request-Headers"]
    )
    return response


def vary_by_origin(response: Response) -> Response:
    """Say that the answer depends on who asks, even if nobody was named."""
    response.vary.add("Origin")
    return response


def prepare() -> None:
    """Make the table, once, before any worker starts."""
    drafts.make_table(DRAFTS_FILE)


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    register_problems(app)
    app.register_error_handler(drafts.DraftError, answer_refusal)
    # rule: preflight-by-itself
    app.before_request(answer_preflight)
    # rule: vary-origin
    app.after_request(vary_by_origin)
    CORS(
        app,
        # A pattern: Flask-CORS compares texts without regard to case.
        # rule: allow-list
        origins=[
            re.compile(re.escape(origin) + r"\Z") for origin in ALLOWED_ORIGINS
        ],
        # rule: credentials
        supports_credentials=True,
        # rule: granted-by-list
        methods=["GET", "POST", "PUT", "DELETE"],
        # rule: granted-by-list
        allow_headers=["Content-Type", "If-Match"],
        # rule: exposed-headers
        expose_headers=["ETag"],
        # rule: preflight-kept
        max_age=PREFLIGHT_SECONDS,
        vary_header=False,
    )
    app.register_blueprint(desk)
    return app
