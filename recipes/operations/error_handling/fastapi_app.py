"""Error handling in FastAPI: handlers by exception, the tracker around all.

Idiom: path functions raise; one handler for each family answers.
"""

import json
import os
from collections.abc import Iterator
from typing import Annotated, Any

import sentry_sdk
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration

from frameworks.fastapi.problems import StrictRoute, register_problems
from shared import rates
from shared.failures import failure_document, name_report
from shared.problems import MEDIA_TYPE

RATES_FILE = os.environ.get("RATES_FILE", "rates.txt")
AMOUNT_MAX = int(os.environ.get("AMOUNT_MAX", "1000000"))
SENTRY_DSN = os.environ.get("SENTRY_DSN", "")

exchange = APIRouter(route_class=StrictRoute)


class ConversionInput(BaseModel):
    """An amount of whole euros, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: Annotated[int, Field(ge=1)]


@exchange.get("/rates/{currency}")
def get_rate(currency: str) -> dict[str, str]:
    """Show the rate of a currency."""
    return rates.find_rate(RATES_FILE, currency).to_json()


@exchange.post("/rates/{currency}/conversions")
def convert_amount(
    currency: str, conversion: ConversionInput
) -> dict[str, Any]:
    """Convert an amount of euros."""
    converted = rates.convert(
        RATES_FILE, currency, conversion.amount, AMOUNT_MAX
    )
    return {"currency": currency, "amount": converted}


@exchange.get("/rates")
def list_rates() -> StreamingResponse:
    """List all rates, streamed."""
    lines = write_lines(rates.open_rates(RATES_FILE))
    return StreamingResponse(lines, media_type="application/x-ndjson")


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


async def answer_refusal(
    _request: Request, error: rates.RatesError
) -> Response:
    """Answer what the domain refuses."""
    problem = rates.describe(error)
    return JSONResponse(problem, problem["status"], media_type=MEDIA_TYPE)


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
            StarletteIntegration(),
            FastApiIntegration(),
            LoggingIntegration(event_level=None),
        ],
        # rule: findable
        before_send=name_report,
    )


def create_app() -> FastAPI:
    """Wire the application."""
    connect_tracker()
    app = FastAPI(max_body_size=2**20, redirect_slashes=False)
    register_problems(app)
    # rule: named-problems
    app.exception_handler(rates.RatesError)(answer_refusal)
    app.include_router(exchange)
    return app
