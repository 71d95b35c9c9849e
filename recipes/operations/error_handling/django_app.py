"""Error handling in Django: a middleware answers, signals tell the tracker.

Idiom: views raise; `process_exception` of a middleware answers.
"""

import json
import os
from collections.abc import Callable, Iterator

import sentry_sdk
from django.core.handlers.wsgi import WSGIHandler
from django.http import (
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ConfigDict, Field
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

from frameworks.django.config import SETTINGS, configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
from shared import rates
from shared.failures import failure_document, name_report

RATES_FILE = os.environ.get("RATES_FILE", "rates.txt")
AMOUNT_MAX = int(os.environ.get("AMOUNT_MAX", "1000000"))
SENTRY_DSN = os.environ.get("SENTRY_DSN", "")

configure(
    __name__,
    "sqlite://:memory:",
    MIDDLEWARE=[
        *SETTINGS["MIDDLEWARE"],
        # rule: named-problems
        f"{__name__}.RefusalMiddleware",
    ],
)


class ConversionInput(BaseModel):
    """An amount of whole euros, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: int = Field(ge=1)


@require_safe
def get_rate(request: HttpRequest, currency: str) -> HttpResponse:
    """Show the rate of a currency."""
    return JsonResponse(rates.find_rate(RATES_FILE, currency).to_json())


@require_POST
def convert_amount(request: HttpRequest, currency: str) -> HttpResponse:
    """Convert an amount of euros."""
    amount = read_json(request, ConversionInput).amount
    converted = rates.convert(RATES_FILE, currency, amount, AMOUNT_MAX)
    return JsonResponse({"currency": currency, "amount": converted})


@require_safe
def list_rates(request: HttpRequest) -> StreamingHttpResponse:
    """List all rates, streamed."""
    lines = write_lines(rates.open_rates(RATES_FILE))
    return StreamingHttpResponse(lines, content_type="application/x-ndjson")


def write_lines(found: Iterator[rates.Rate]) -> Iterator[str]:
    """Write a line for each rate; a failure is the last, and no end."""
    try:
        for rate in found:
            yield json.dumps(rate.to_json()) + "\n"
    except Exception as error:
        # rule: stream-broken
        yield json.dumps(failure_document(error)) + "\n"
        # Nothing but the cut connection says that the body is not whole.
        # rule: stream-broken
        raise


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
        """Leave to Django what it is to report."""
        if isinstance(exception, rates.RatesError):
            return answer_refusal(exception)
        return None


def answer_refusal(error: rates.RatesError) -> HttpResponse:
    """Answer what the domain refuses."""
    return problem_response(rates.describe(error))


urlpatterns = [
    path("rates", list_rates),
    path("rates/<currency>", get_rate),
    path("rates/<currency>/conversions", convert_amount),
]


def prepare() -> None:
    """Make the rates, once, before any worker starts."""
    rates.write_seed(RATES_FILE)


def connect_tracker() -> None:
    """Report failures; what is logged is reported by no second way."""
    sentry_sdk.init(
        dsn=SENTRY_DSN,
        auto_enabling_integrations=False,
        integrations=[
            # rule: reported-once
            DjangoIntegration(),
            LoggingIntegration(event_level=None),
        ],
        # rule: findable
        before_send=name_report,
    )


def create_app() -> WSGIHandler:
    """Wire the application."""
    connect_tracker()
    return Handler()
