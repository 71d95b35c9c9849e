"""CORS in Django: django-cors-headers, a middleware before all others.

Idiom: settings say who may; the middleware answers preflights by itself.
"""

import os
import re
from collections.abc import Callable

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.views import View
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import SETTINGS, configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
from shared import drafts
from shared.origins import read_origins

ALLOWED_ORIGINS = read_origins(
    os.environ.get("ALLOWED_ORIGINS", "https://app.example.com")
)
PREFLIGHT_SECONDS = int(os.environ.get("PREFLIGHT_SECONDS", "600"))
DRAFTS_FILE = os.environ.get("DRAFTS_FILE", "drafts.db")

configure(
    __name__,
    "sqlite://:memory:",
    MIDDLEWARE=[
        # The first: what others answer passes by it.
        # rule: preflight-by-itself
        # rule: errors-too
        "corsheaders.middleware.CorsMiddleware",
        *SETTINGS["MIDDLEWARE"],
        f"{__name__}.RefusalMiddleware",
    ],
    # Its default leaves out a path with a line break.
    # rule: errors-too
    CORS_URLS_REGEX="",
    # Patterns: `CORS_ALLOWED_ORIGINS` compares parts of URLs.
    # rule: allow-list
    CORS_ALLOWED_ORIGIN_REGEXES=[
        re.compile(re.escape(origin) + r"\Z") for origin in ALLOWED_ORIGINS
    ],
    # rule: credentials
    CORS_ALLOW_CREDENTIALS=True,
    # rule: granted-by-list
    CORS_ALLOW_METHODS=["GET", "POST", "PUT", "DELETE"],
    # rule: granted-by-list
    CORS_ALLOW_HEADERS=["content-type", "if-match"],
    # rule: exposed-headers
    CORS_EXPOSE_HEADERS=["ETag"],
    # rule: preflight-kept
    CORS_PREFLIGHT_MAX_AGE=PREFLIGHT_SECONDS,
)


class SessionInput(BaseModel):
    """A session, as a client asks for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=100)


class DraftInput(BaseModel):
    """A draft, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str


def get_session(request: HttpRequest) -> HttpResponse:
    """Tell who is signed in."""
    name = drafts.find_name(DRAFTS_FILE, read_token(request))
    return JsonResponse({"name": name})


def begin_session(request: HttpRequest) -> HttpResponse:
    """Begin a session; a name is enough, for once."""
    name = read_json(request, SessionInput).name
    token = drafts.begin_session(DRAFTS_FILE, name)
    response = JsonResponse({"name": name})
    response.set_cookie(
        "session", token, secure=True, httponly=True, samesite="Lax"
    )
    return response


def get_draft(request: HttpRequest) -> HttpResponse:
    """Show the draft."""
    draft = drafts.find_draft(DRAFTS_FILE, read_token(request))
    return JsonResponse(draft.to_json(), headers={"ETag": draft.etag})


def save_draft(request: HttpRequest) -> HttpResponse:
    """Save the draft."""
    text = read_json(request, DraftInput).text
    if_match = request.headers.get("If-Match", "")
    draft = drafts.save_draft(DRAFTS_FILE, read_token(request), text, if_match)
    return JsonResponse(draft.to_json(), headers={"ETag": draft.etag})


def remove_draft(request: HttpRequest) -> HttpResponse:
    """Remove the draft."""
    drafts.remove_draft(DRAFTS_FILE, read_token(request))
    return HttpResponse(status=204)


def read_token(request: HttpRequest) -> str:
    """Read the token of the session, empty if there is none."""
    return request.COOKIES.get("session", "")


class SessionView(View):
    """The session."""

    get = staticmethod(get_session)
    post = staticmethod(begin_session)


class DraftView(View):
    """The draft of the session."""

    get = staticmethod(get_draft)
    put = staticmethod(save_draft)
    delete = staticmethod(remove_draft)


class RefusalMiddleware:
    """Answer what the domain refuses."""

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase]
    ) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Let requests and responses pass."""
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Leave to Django what nobody expected."""
        if isinstance(exception, drafts.DraftError):
            return answer_refusal(exception)
        return None


def answer_refusal(error: drafts.DraftError) -> HttpResponse:
    """Answer what the domain refuses."""
    return problem_response(drafts.describe(error))


urlpatterns = [
    path("session", SessionView.as_view()),
    path("draft", DraftView.as_view()),
]


def prepare() -> None:
    """Make the table, once, before any worker starts."""
    drafts.make_table(DRAFTS_FILE)


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
