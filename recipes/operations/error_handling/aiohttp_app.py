"""Error handling in aiohttp: middlewares catch, exceptions are responses.

Idiom: handlers raise; a middleware for each family of exceptions answers.
"""

import asyncio
import json
import os
from collections.abc import Iterator

import sentry_sdk
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import rates
from shared.failures import failure_document, name_report
from shared.problems import MEDIA_TYPE

RATES_FILE = os.environ.get("RATES_FILE", "rates.txt")
AMOUNT_MAX = int(os.environ.get("AMOUNT_MAX", "1000000"))
SENTRY_DSN = os.environ.get("SENTRY_DSN", "")

routes = web.RouteTableDef()


class ConversionInput(BaseModel):
    """An amount of whole euros, as a client sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: int = Field(ge=1)


@routes.get("/rates/{currency}")
async def get_rate(request: web.Request) -> web.Response:
    """Show the rate of a currency."""
    currency = request.match_info["currency"]
    rate = await asyncio.to_thread(rates.find_rate, RATES_FILE, currency)
    return web.json_response(rate.to_json())


@routes.post("/rates/{currency}/conversions")
async def convert_amount(request: web.Request) -> web.Response:
    """Convert an amount of euros."""
    currency = request.match_info["currency"]
    amount = (await read_json(request, ConversionInput)).amount
    converted = await asyncio.to_thread(
        rates.convert, RATES_FILE, currency, amount, AMOUNT_MAX
    )
    return web.json_response({"currency": currency, "amount": converted})


@routes.get("/rates")
async def list_rates(request: web.Request) -> web.StreamResponse:
    """List all rates, streamed."""
    found = await asyncio.to_thread(rates.open_rates, RATES_FILE)
    response = web.StreamResponse()
    response.content_type = "application/x-ndjson"
    await response.prepare(request)
    # To HEAD, what is written would be taken for the next answer.
    if request.method == "GET":
        await write_lines(found, response)
    return response


async def write_lines(
    found: Iterator[rates.Rate], response: web.StreamResponse
) -> None:
    """Write a line for each rate; a failure is the last, and no end."""
    try:
        while rate := await asyncio.to_thread(next, found, None):
            await response.write(to_line(rate.to_json()))
    except Exception as error:
        # rule: stream-broken
        await response.write(to_line(failure_document(error)))
        # Nothing but the cut connection says that the body is not whole.
        # rule: stream-broken
        raise


def to_line(value: object) -> bytes:
    """Write a value as one line of JSON."""
    return json.dumps(value).encode() + b"\n"


@web.middleware
async def answer_refusal(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer what the domain refuses."""
    try:
        return await handler(request)
    # rule: named-problems
    except rates.RatesError as error:
        problem = rates.describe(error)
        return web.json_response(
            problem, status=problem["status"], content_type=MEDIA_TYPE
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
            AioHttpIntegration(),
            LoggingIntegration(event_level=None),
        ],
        # rule: findable
        before_send=name_report,
    )


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    connect_tracker()
    app = web.Application(middlewares=[answer_problems, answer_refusal])
    app.add_routes(routes)
    return app
