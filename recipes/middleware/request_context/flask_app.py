"""Request context in Flask: hooks around the view, a variable set in them.

Idiom: `before_request` and `teardown_request` set and clear; threads of
one's own get a copy.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from logging.config import dictConfig

from flask import Blueprint, Flask, Response, abort, g, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields
from marshmallow.validate import Length, OneOf
from werkzeug.datastructures import WWWAuthenticate

from frameworks.flask.problems import register_problems
from shared import cafe
from shared.json_logs import logging_config
from shared.locales import DEFAULT, choose_locale
from shared.request_context import CONTEXT, RequestContext, choose_id
from shared.signed_users import read_user

PRICES_FILE = os.environ.get("PRICES_FILE", "prices.txt")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]

logger = logging.getLogger(__name__)
counter = Blueprint("counter", __name__)
helpers = ThreadPoolExecutor(8, "helper")


class OrderInput(Schema):
    """What a customer would like."""

    items = fields.List(
        fields.String(validate=OneOf(cafe.ITEMS)),
        required=True,
        validate=Length(1, cafe.ITEMS_MAX),
    )


@counter.get("/menu")
def get_menu() -> ResponseReturnValue:
    """Show the menu."""
    return {**cafe.read_menu(PRICES_FILE)}


@counter.post("/orders")
def place_order() -> ResponseReturnValue:
    """Take an order: prices side by side, the receipt afterwards."""
    items = OrderInput().load(request.get_json())["items"]
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
    return {**order}


def read_context() -> RequestContext:
    """Read what the headers say, as far as they are to be believed."""
    headers = request.headers
    return RequestContext(
        method=request.method,
        path=request.path,
        # rule: bounded-id
        request_id=choose_id(headers.getlist("X-Request-ID")),
        # rule: proven-user
        user=read_user(headers.getlist("Authorization"), TOKEN_SECRET),
        # rule: locale
        locale=choose_locale(",".join(headers.getlist("Accept-Language"))),
    )


def begin_request() -> None:
    """Set the context, before anything else is done."""
    g.context = read_context()
    # rule: every-line
    # rule: kept-apart
    CONTEXT.set(g.context)
    # rule: every-line
    logger.info("request begun")


def refuse_forgery() -> None:
    """Refuse whoever claims to be somebody and does not prove it."""
    # rule: proven-user
    if "Authorization" in request.headers and g.context.user is None:
        abort(401, www_authenticate=WWWAuthenticate("bearer"))


def answer_request(response: Response) -> Response:
    """Say which request is answered, errors too, and in which language."""
    # rule: answered-id
    response.headers["X-Request-ID"] = g.context.request_id
    written = g.context.locale if response.status_code < 400 else DEFAULT
    # rule: locale
    response.content_language.add(written)
    # rule: locale
    response.vary.add("Accept-Language")
    # rule: every-line
    logger.info("request answered", extra={"status": response.status_code})
    return response


def end_request(_error: BaseException | None) -> None:
    """Clear the context: the thread goes on to other requests."""
    # rule: nothing-remains
    CONTEXT.set(None)


def prepare() -> None:
    """Write the prices, once, before any worker starts."""
    cafe.write_seed(PRICES_FILE)


def create_app() -> Flask:
    """Wire the application."""
    dictConfig(logging_config({"gunicorn.error": "INFO"}))
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    register_problems(app)
    app.before_request(begin_request)
    app.before_request(refuse_forgery)
    app.after_request(answer_request)
    app.teardown_request(end_request)
    app.register_blueprint(counter)
    logger.info("service ready")
    return app
