"""Request context in Django: a middleware around all, a variable set in it.

Idiom: a middleware sets and clears; threads of one's own get a copy.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Annotated

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import SETTINGS, configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
from shared import cafe
from shared.json_logs import logging_config
from shared.locales import DEFAULT, choose_locale
from shared.problems import problem_document
from shared.request_context import CONTEXT, RequestContext, choose_id
from shared.signed_users import read_user

PRICES_FILE = os.environ.get("PRICES_FILE", "prices.txt")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]

type View = Callable[[HttpRequest], HttpResponse]

configure(
    __name__,
    "sqlite://:memory:",
    LOGGING=logging_config({"django": "ERROR", "gunicorn.error": "INFO"}),
    MIDDLEWARE=[
        f"{__name__}.carry_context",
        f"{__name__}.refuse_forgery",
        *SETTINGS["MIDDLEWARE"],
    ],
)

logger = logging.getLogger(__name__)
helpers = ThreadPoolExecutor(8, "helper")


class OrderInput(BaseModel):
    """What a customer would like."""

    model_config = ConfigDict(extra="forbid", strict=True)

    items: Annotated[
        list[cafe.Item], Field(min_length=1, max_length=cafe.ITEMS_MAX)
    ]


@require_safe
def get_menu(request: HttpRequest) -> HttpResponse:
    """Show the menu."""
    return JsonResponse(cafe.read_menu(PRICES_FILE))


@require_POST
def place_order(request: HttpRequest) -> HttpResponse:
    """Take an order: prices side by side, the receipt afterwards."""
    items = read_json(request, OrderInput).items
    prices = [
        helpers.submit(
            # A copy can be entered once at a time: one for each.
            # rule: carried
            copy_context().run,
            cafe.read_price,
            PRICES_FILE,
            item,
        )
        for item in items
    ]
    order = cafe.take_order([price.result() for price in prices])
    helpers.submit(
        # rule: after-answer
        copy_context().run,
        cafe.send_receipt,
        order,
    )
    return JsonResponse(order)


def read_context(request: HttpRequest) -> RequestContext:
    """Read what the headers say, as far as they are to be believed."""
    headers = request.headers
    return RequestContext(
        method=request.method or "",
        path=request.path,
        # rule: bounded-id
        request_id=choose_id([headers.get("X-Request-ID", "")]),
        # rule: proven-user
        user=read_user([headers.get("Authorization", "")], TOKEN_SECRET),
        # rule: locale
        locale=choose_locale(headers.get("Accept-Language", "")),
    )


def carry_context(get_response: View) -> View:
    """Set the context around all else, and clear it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        context = read_context(request)
        # rule: every-line
        # rule: kept-apart
        CONTEXT.set(context)
        # rule: every-line
        logger.info("request begun")
        try:
            with translation.override(context.locale):
                return answer_request(get_response(request), context)
        finally:
            # rule: nothing-remains
            CONTEXT.set(None)

    return middleware


def refuse_forgery(get_response: View) -> View:
    """Refuse whoever claims to be somebody and does not prove it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        context = CONTEXT.get()
        # rule: proven-user
        if "Authorization" in request.headers and not (
            context and context.user
        ):
            response = problem_response(problem_document(401))
            response["WWW-Authenticate"] = "Bearer"
            return response
        return get_response(request)

    return middleware


def answer_request(
    response: HttpResponse, context: RequestContext
) -> HttpResponse:
    """Say which request is answered, errors too, and in which language."""
    # rule: answered-id
    response["X-Request-ID"] = context.request_id
    written = context.locale if response.status_code < 400 else DEFAULT
    # rule: locale
    response["Content-Language"] = written
    # rule: locale
    patch_vary_headers(response, ["Accept-Language"])
    # rule: every-line
    logger.info("request answered", extra={"status": response.status_code})
    return response


urlpatterns = [
    path("menu", get_menu),
    path("orders", place_order),
]


def prepare() -> None:
    """Write the prices, once, before any worker starts."""
    cafe.write_seed(PRICES_FILE)


def create_app() -> WSGIHandler:
    """Wire the application."""
    handler = Handler()
    logger.info("service ready")
    return handler
