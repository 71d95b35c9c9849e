"""Error handling in Flask: handlers by exception, signals for the tracker.

Idiom: views raise; one handler for each family of exceptions answers.
"""

import os
from collections.abc import Iterator

import sentry_sdk
from flask import Blueprint, Flask, Response, json, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields
from marshmallow.validate import Range
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from werkzeug.wrappers import Response as BaseResponse

from frameworks.flask.problems import problem_response, register_problems
from shared import rates
from shared.failures import failure_document, name_report

RATES_FILE = os.environ.get("RATES_FILE", "rates.txt")
AMOUNT_MAX = int(os.environ.get("AMOUNT_MAX", "1000000"))
SENTRY_DSN = os.environ.get("SENTRY_DSN", "")

exchange = Blueprint("exchange", __name__)


class ConversionInput(Schema):
    """An amount of whole euros, as a client sends it."""

    amount = fields.Integer(required=True, strict=True, validate=Range(1))


@exchange.get("/rates/<currency>")
def get_rate(currency: str) -> ResponseReturnValue:
    """Show the rate of a currency."""
    return rates.find_rate(RATES_FILE, currency).to_json()


@exchange.post("/rates/<currency>/conversions")
def convert_amount(currency: str) -> ResponseReturnValue:
    """Convert an amount of euros."""
    amount = ConversionInput().load(request.get_json())["amount"]
    converted = rates.convert(RATES_FILE, currency, amount, AMOUNT_MAX)
    return {"currency": currency, "amount": converted}


@exchange.get("/rates")
def list_rates() -> ResponseReturnValue:
    """List all rates, streamed."""
    lines = write_lines(rates.open_rates(RATES_FILE))
    return Response(lines, content_type="application/x-ndjson")


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


def answer_refusal(error: rates.RatesError) -> BaseResponse:
    """Answer what the domain refuses."""
    problem = rates.describe(error)
    return problem_response(Response(status=problem["status"]), problem)


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
            FlaskIntegration(),
            LoggingIntegration(event_level=None),
        ],
        # rule: findable
        before_send=name_report,
    )


def create_app() -> Flask:
    """Wire the application."""
    connect_tracker()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    register_problems(app)
    # rule: named-problems
    app.register_error_handler(rates.RatesError, answer_refusal)
    app.register_blueprint(exchange)
    return app
