"""Middleware order in Django: a list of functions, each around the next.

Idiom: `MIDDLEWARE` is the order; an exception is an answer at each layer.
"""

import os
from collections.abc import Callable

from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
from shared import tariff
from shared.access_lines import HEADERS, InHand, configure_log, write_line
from shared.problems import problem_document
from shared.request_context import choose_id
from shared.signed_users import read_user

TARIFF_FILE = os.environ.get("TARIFF_FILE", "tariff.json")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
PRIVATE = ("/depots/", "/quotes")

configure(
    __name__,
    "sqlite://:memory:",
    MIDDLEWARE=[
        f"{__name__}.identify",
        f"{__name__}.log_request",
        f"{__name__}.add_headers",
        "frameworks.django.problems.ProblemMiddleware",
        "django.middleware.common.CommonMiddleware",
        f"{__name__}.authenticate",
        # From here on the body is read.
        "frameworks.django.wsgi.chunked_bodies",
    ],
)


class Request(HttpRequest):
    """A request that has passed the outer layers."""

    request_id: str
    sender: str | None


type Layer = Callable[[Request], HttpResponse]


class ParcelInput(BaseModel):
    """A parcel, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    depot: str = Field(min_length=1, max_length=40)
    weight: int = Field(ge=1, le=tariff.WEIGHT_MAX)


@require_safe
def get_tariff(request: HttpRequest) -> HttpResponse:
    """Show the tariff to everybody."""
    return JsonResponse(tariff.show_tariff(TARIFF_FILE))


@require_safe
def get_depot(request: Request, depot: str) -> HttpResponse:
    """Show what a depot adds."""
    try:
        surcharge = tariff.find_surcharge(TARIFF_FILE, depot)
    except tariff.UnknownDepot:
        raise Http404 from None
    return JsonResponse(
        {"depot": depot, "surcharge": surcharge, "user": request.sender}
    )


@require_POST
def make_quote(request: Request) -> HttpResponse:
    """Say what a parcel would cost."""
    # rule: judged-before-done
    parcel = read_json(request, ParcelInput).model_dump()
    try:
        price = tariff.find_price(TARIFF_FILE, **parcel)
    except tariff.UnknownDepot:
        raise Http404 from None
    return JsonResponse({**parcel, "price": price, "user": request.sender})


def identify(get_response: Layer) -> Layer:
    """Know the request by its id, and tell the client."""

    def middleware(request: Request) -> HttpResponse:
        sent = request.headers.get("X-Request-ID")
        request.request_id = choose_id([sent] if sent else [])
        request.sender = None
        response = get_response(request)
        # rule: id-on-all
        response.headers["X-Request-ID"] = request.request_id
        return response

    return middleware


def log_request(get_response: Layer) -> Layer:
    """Write what came and what goes, once."""
    in_hand = InHand()

    def middleware(request: Request) -> HttpResponse:
        in_hand.take()
        response = get_response(request)
        # rule: logged-once
        write_line(
            request.request_id,
            str(request.method),
            request.path,
            response.status_code,
            request.sender,
            in_hand.count,
        )
        # rule: unwinds
        in_hand.leave()
        return response

    return middleware


def add_headers(get_response: Layer) -> Layer:
    """Say what holds for every answer."""

    def middleware(request: Request) -> HttpResponse:
        response = get_response(request)
        # rule: headers-on-all
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    return middleware


def authenticate(get_response: Layer) -> Layer:
    """Know the user, or refuse; the body has not been read."""

    def middleware(request: Request) -> HttpResponse:
        if not request.path.startswith(PRIVATE):
            return get_response(request)
        sent = request.headers.get("Authorization")
        # rule: known-before-read
        request.sender = read_user([sent] if sent else [], TOKEN_SECRET)
        # rule: known-before-read
        if request.sender is None:
            response = problem_response(problem_document(401))
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return get_response(request)

    return middleware


urlpatterns = [
    path("tariff", get_tariff),
    path("depots/<depot>", get_depot),
    path("quotes", make_quote),
]


def prepare() -> None:
    """Make the tariff, once, before any worker starts."""
    tariff.write_seed(TARIFF_FILE)


def create_app() -> WSGIHandler:
    """Wire the application."""
    configure_log()
    return Handler()
