"""Error handling in Litestar: handlers by exception, a hook for the tracker.

Idiom: handlers raise; exception handlers of a layer answer.
"""

import json
import os
from collections.abc import Iterator
from typing import Annotated, Any

import sentry_sdk
from litestar import Litestar, Request, Response, get, post
from litestar.response import Stream
from msgspec import Meta, Struct
from sentry_sdk.integrations.litestar import LitestarIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

from frameworks.litestar.problems import ProblemPlugin, log_failure
from shared import rates
from shared.failures import failure_document, name_report
from shared.problems import MEDIA_TYPE, Problem

RATES_FILE = os.environ.get("RATES_FILE", "rates.txt")
AMOUNT_MAX = int(os.environ.get("AMOUNT_MAX", "1000000"))
SENTRY_DSN = os.environ.get("SENTRY_DSN", "")


class ConversionInput(Struct, forbid_unknown_fields=True):
    """An amount of whole euros, as a client sends it."""

    amount: Annotated[int, Meta(ge=1)]


@get("/rates/{currency:str}", sync_to_thread=True)
def get_rate(currency: str) -> dict[str, str]:
    """Show the rate of a currency."""
    return rates.find_rate(RATES_FILE, currency).to_json()


@post(
    "/rates/{currency:str}/conversions", status_code=200, sync_to_thread=True
)
def convert_amount(currency: str, data: ConversionInput) -> dict[str, Any]:
    """Convert an amount of euros."""
    converted = rates.convert(RATES_FILE, currency, data.amount, AMOUNT_MAX)
    return {"currency": currency, "amount": converted}


@get("/rates", sync_to_thread=True)
def list_rates(request: Request[Any, Any, Any]) -> Stream:
    """List all rates, streamed."""
    lines = write_lines(rates.open_rates(RATES_FILE), request)
    return Stream(lines, media_type="application/x-ndjson")


def write_lines(
    found: Iterator[rates.Rate], request: Request[Any, Any, Any]
) -> Iterator[str]:
    """Write a line for each rate; a failure is the last, and no end."""
    try:
        for rate in found:
            yield json.dumps(rate.to_json()) + "\n"
    except Exception as error:
        # Litestar's hooks see nothing of what fails once an answer began.
        # rule: stream-broken
        log_failure(request.logger, request.scope, [])
        # rule: stream-broken
        sentry_sdk.capture_exception(error)
        # rule: stream-broken
        yield json.dumps(failure_document(error)) + "\n"
        # Nothing but the cut connection says that the body is not whole.
        # rule: stream-broken
        raise


def answer_refusal(
    _request: Request[Any, Any, Any], error: rates.RatesError
) -> Response[Problem]:
    """Answer what the domain refuses."""
    problem = rates.describe(error)
    return Response(
        problem, status_code=problem["status"], media_type=MEDIA_TYPE
    )


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
            LitestarIntegration(),
            LoggingIntegration(event_level=None),
        ],
        # The hook is given what a handler answers, too.
        # rule: expected-quiet
        ignore_errors=[rates.RatesError],
        # rule: findable
        before_send=name_report,
    )


def create_app() -> Litestar:
    """Wire the application."""
    connect_tracker()
    return Litestar(
        [get_rate, convert_amount, list_rates],
        # rule: named-problems
        exception_handlers={rates.RatesError: answer_refusal},
        plugins=[
            ProblemPlugin(
                # rule: expected-quiet
                quiet=[rates.UnknownCurrency, rates.AmountTooLarge],
            )
        ],
        request_max_body_size=2**20,
    )
