"""Sessions in Django: its session store made stricter, its login and CSRF.

Idiom: settings and middleware do the work; views call `login` and `logout`.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps

from django.contrib.auth import (
    authenticate,
    login,
    logout,
    update_session_auth_hash,
)
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.base import UpdateError
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token, rotate_token
from django.urls import path
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, Field

from frameworks.django.config import SETTINGS, ModuleConfig, configure
from frameworks.django.problems import (
    ProblemError,
    problem_response,
    read_json,
)
from frameworks.django.wsgi import Handler
from shared.credentials import (
    CHALLENGE,
    EMAIL,
    LENGTH_MAX,
    LENGTH_MIN,
    WRONG_PASSWORD,
)
from shared.problems import problem_document

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///accounts.db")
SECRET_KEY = os.environ["SECRET_KEY"]
SESSION_IDLE_SECONDS = int(os.environ.get("SESSION_IDLE_SECONDS", "1800"))
SESSION_ABSOLUTE_SECONDS = int(
    os.environ.get("SESSION_ABSOLUTE_SECONDS", "43200")
)
ARGON2_TIME_COST = int(os.environ.get("ARGON2_TIME_COST", "2"))
ARGON2_MEMORY_KIB = int(os.environ.get("ARGON2_MEMORY_KIB", "19456"))

configure(
    __name__,
    DATABASE_URL,
    CSRF_HEADER_NAME="HTTP_X_CSRF_TOKEN",
    # rule: csrf
    CSRF_USE_SESSIONS=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        ModuleConfig(__name__, sys.modules[__name__]),
    ],
    MIDDLEWARE=[
        f"{__name__}.keep_out_of_caches",
        *SETTINGS["MIDDLEWARE"],
        "django.contrib.sessions.middleware.SessionMiddleware",
        # rule: csrf
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=[f"{__name__}.hashers.Hasher"],
    SECRET_KEY=SECRET_KEY,
    # rule: idle-expiry
    SESSION_COOKIE_AGE=SESSION_IDLE_SECONDS,
    # rule: cookie-flags
    SESSION_COOKIE_NAME="__Host-session",
    # rule: cookie-flags
    SESSION_COOKIE_SECURE=True,
    SESSION_ENGINE=f"{__name__}.sessions",
    # rule: cookie-flags
    SESSION_EXPIRE_AT_BROWSER_CLOSE=True,
)


# Models need the settings.
from django.contrib.auth.models import User  # noqa: E402

# So do ours.
from recipes.auth.sessions.django_app.models import (  # noqa: E402
    AccountSession,
)


class Credentials(BaseModel, extra="forbid"):
    """Who logs in, as a client says."""

    email: str = Field(pattern=EMAIL)
    password: str = Field(min_length=1, max_length=LENGTH_MAX)


class SignUp(Credentials):
    """A new account, as a client sends it."""

    password: str = Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)


class PasswordChange(BaseModel, extra="forbid"):
    """The password that was, and the one that shall be."""

    current: str = Field(min_length=1, max_length=LENGTH_MAX)
    new: str = Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)


def unauthorized() -> HttpResponse:
    """Ask for a login; the scheme is named after the cookie."""
    response = problem_response(problem_document(401))
    response.headers["WWW-Authenticate"] = CHALLENGE
    return response


type View = Callable[[HttpRequest], HttpResponse]


def account_required(view: View) -> View:
    """Let pass whose session is of an account."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return unauthorized()
        return view(request)

    return guarded


@require_safe
def show_token(request: HttpRequest) -> HttpResponse:
    """Give the token of the session, which begins where there is none."""
    return JsonResponse({"csrf_token": get_token(request)})


@require_POST
def sign_up(request: HttpRequest) -> HttpResponse:
    """Add an account."""
    given = read_json(request, SignUp)
    email = given.email.lower()
    try:
        User.objects.create_user(email, password=given.password)
    except IntegrityError:
        raise ProblemError(409) from None
    return JsonResponse({"email": email})


@require_POST
def log_in(request: HttpRequest) -> HttpResponse:
    """Begin a session of an account."""
    given = read_json(request, Credentials)
    user = authenticate(
        request, username=given.email.lower(), password=given.password
    )
    if user is None:
        return unauthorized()
    # Django keeps the session where the same person logs in again.
    # rule: rotated-at-login
    request.session.flush()
    login(request, user)
    return HttpResponse(status=204)


@require_safe
@account_required
def show_me(request: HttpRequest) -> HttpResponse:
    """Show who is logged in."""
    return JsonResponse({"email": request.user.get_username()})


@require_POST
@account_required
def log_out(request: HttpRequest) -> HttpResponse:
    """End this session."""
    logout(request)
    return HttpResponse(status=204)


@require_POST
@account_required
def log_out_everywhere(request: HttpRequest) -> HttpResponse:
    """End all sessions of the account."""
    # rule: logout-everywhere
    AccountSession.objects.filter(account_id=request.user.pk).delete()
    logout(request)
    return HttpResponse(status=204)


@require_POST
@account_required
def change_password(request: HttpRequest) -> HttpResponse:
    """Keep another password, and no other session of the account."""
    user = request.user
    assert isinstance(user, User)
    given = read_json(request, PasswordChange)
    if not user.check_password(given.current):
        raise ProblemError(422, errors=WRONG_PASSWORD)
    kept, user.password = user.password, make_password(given.new)
    try:
        with transaction.atomic():
            rows = User.objects.filter(pk=user.pk, password=kept)
            if not rows.update(password=user.password):
                raise UpdateError
            # rule: password-change
            update_session_auth_hash(request, user)
    except UpdateError:
        request.session.flush()
        return unauthorized()
    # rule: csrf
    rotate_token(request)
    return HttpResponse(status=204)


def keep_out_of_caches(get_response: View) -> View:
    """Have no answer kept: each is for one person."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        # rule: cookie-flags
        patch_cache_control(response, no_store=True)
        return response

    return middleware


urlpatterns = [
    path("csrf", show_token),
    path("users", sign_up),
    path("login", log_in),
    path("me", show_me),
    path("logout", log_out),
    path("logout-everywhere", log_out_everywhere),
    path("password", change_password),
]


def prepare() -> None:
    """Make the tables, once, before any worker starts."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
