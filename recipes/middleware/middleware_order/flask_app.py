"""Middleware order in Flask: hooks before, after and at the end of all.

Idiom: what goes out passes the hooks in the reverse of their order.
"""

import os
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    request,
)
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields
from marshmallow.validate import Length, Range
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from frameworks.flask.problems import problem_response, register_problems
from shared import tariff
from shared.access_lines import HEADERS, InHand, configure_log, write_line
from shared.problems import problem_document
from shared.request_context import choose_id
from shared.signed_users import read_user

TARIFF_FILE = os.environ.get("TARIFF_FILE", "tariff.json")
TOKEN_SECRET = os.environ["TOKEN_SECRET"]

public = Blueprint("public", __name__)
private = Blueprint("private", __name__)


class ParcelInput(Schema):
    """A parcel, as a client sends it."""

    depot = fields.String(required=True, validate=Length(1, 40))
    weight = fields.Integer(
        required=True, strict=True, validate=Range(1, tariff.WEIGHT_MAX)
    )


@public.get("/tariff")
def get_tariff() -> ResponseReturnValue:
    """Show the tariff to everybody."""
    return tariff.show_tariff(TARIFF_FILE)


@private.get("/depots/<depot>")
def get_depot(depot: str) -> ResponseReturnValue:
    """Show what a depot adds."""
    surcharge = tariff.find_surcharge(TARIFF_FILE, depot)
    return {"depot": depot, "surcharge": surcharge, "user": g.user}


@private.post("/quotes")
def make_quote() -> ResponseReturnValue:
    """Say what a parcel would cost."""
    # rule: judged-before-done
    parcel: dict[str, Any] = ParcelInput().load(request.get_json())
    price = tariff.find_price(TARIFF_FILE, **parcel)
    return {**parcel, "price": price, "user": g.user}


def answer_unknown(_error: tariff.UnknownDepot) -> ResponseReturnValue:
    """Answer what the domain does not have."""
    return problem_response(Response(status=404), problem_document(404))


def identify() -> None:
    """Know the request by its id, before anything can answer it."""
    g.request_id = choose_id(request.headers.getlist("X-Request-ID"))
    g.user = None
    in_hand().take()


def answer_with_id(response: Response) -> Response:
    """Tell the client the id."""
    # rule: id-on-all
    response.headers["X-Request-ID"] = g.request_id
    return response


def log_request(response: Response) -> Response:
    """Write what came and what goes, once."""
    # rule: logged-once
    write_line(
        g.request_id,
        request.method,
        request.path,
        response.status_code,
        g.user,
        in_hand().count,
    )
    return response


def add_headers(response: Response) -> Response:
    """Say what holds for every answer."""
    # rule: headers-on-all
    response.headers.update(HEADERS)
    return response


def leave(_error: BaseException | None) -> None:
    """Undo what was done on the way in: this hook runs always."""
    # rule: unwinds
    in_hand().leave()


def in_hand() -> InHand:
    """Give the count of this process."""
    count: InHand = current_app.extensions["in_hand"]
    return count


def authenticate() -> None:
    """Know the user, or refuse; the body has not been read."""
    # rule: known-before-read
    g.user = read_user(request.headers.getlist("Authorization"), TOKEN_SECRET)
    # rule: known-before-read
    if g.user is None:
        raise Unauthorized(www_authenticate=WWWAuthenticate("Bearer"))


def prepare() -> None:
    """Make the tariff, once, before any worker starts."""
    tariff.write_seed(TARIFF_FILE)


def create_app() -> Flask:
    """Wire the application: the layers, from the outside in."""
    configure_log()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.extensions["in_hand"] = InHand()
    app.before_request(identify)
    app.teardown_request(leave)
    # What is registered last runs first.
    app.after_request(answer_with_id)
    app.after_request(log_request)
    app.after_request(add_headers)
    register_problems(app)
    app.register_error_handler(tariff.UnknownDepot, answer_unknown)
    private.before_request(authenticate)
    app.register_blueprint(public)
    app.register_blueprint(private)
    return app
