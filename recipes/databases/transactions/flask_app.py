"""Transactions in Flask: work is handed to the one that commits it.

Idiom: `db.session` is the request's; committed is before the answer.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from marshmallow import Schema, fields
from marshmallow.validate import Length, Range, Regexp
from sqlalchemy import Executable, func, select
from sqlalchemy.exc import DBAPIError
from werkzeug.wrappers import Response as BaseResponse

from frameworks.flask.problems import problem_response, register_problems
from shared import bank, ledger
from shared.conflicts import is_conflict, pauses, refused, wait_at_most
from shared.database import sync_url
from shared.sqlite import READING, begin_at_once

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bank.db")
SEED = int(os.environ.get("SEED", "0"))
LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "5"))
TRANSACTION_ATTEMPTS = int(os.environ.get("TRANSACTION_ATTEMPTS", "10"))

# What was written is shown, not what others have made of it since.
db = SQLAlchemy(session_options={"expire_on_commit": False})
api = Blueprint("api", __name__)


class AccountInput(Schema):
    """An account as a client opens it."""

    owner = fields.String(
        required=True,
        validate=[Length(max=bank.OWNER_LENGTH), Regexp(bank.OWNER)],
    )
    opening = fields.Integer(
        load_default=0, strict=True, validate=Range(0, bank.CENTS_MAX)
    )
    overdraft = fields.Integer(
        load_default=0, strict=True, validate=Range(0, bank.CENTS_MAX)
    )


class TransferInput(Schema):
    """A transfer as a client orders it: whole cents, one at least."""

    payer = fields.Integer(
        required=True, strict=True, validate=Range(1, bank.ID_MAX)
    )
    payee = fields.Integer(
        required=True, strict=True, validate=Range(1, bank.ID_MAX)
    )
    amount = fields.Integer(
        required=True,
        strict=True,
        # rule: booked
        validate=Range(1, bank.CENTS_MAX),
    )


def in_transaction[Result](
    work: Callable[[], Result], options: Mapping[str, Any] | None = None
) -> Result:
    """Commit some work, begun again as often as it has to give way."""
    waits = pauses(TRANSACTION_ATTEMPTS)
    while True:
        try:
            # rule: all-or-nothing
            # rule: after-commit
            # rule: kept
            with db.session.begin():
                db.session.connection(execution_options=options)
                return work()
        # rule: retried
        except DBAPIError as error:
            pause = next(waits, None)
            if pause is None or not is_conflict(error.orig):
                # rule: covered
                raise refused(error.orig) or error from error.orig
        time.sleep(pause)


def fetch_row(statement: Executable) -> dict[str, Any]:
    """Give the one row of a statement, or answer 404."""
    row = db.session.execute(statement).mappings().one_or_none()
    if row is None:
        abort(404)
    return {**row}


def book_transfer(order: dict[str, int]) -> dict[str, Any]:
    """Change two balances and write two entries; who raises undoes all."""
    legs = bank.legs_of(**order)
    owner = db.session.scalar(ledger.owner_of(order["payer"]))
    for leg in legs:
        # rule: booked
        if db.session.scalar(ledger.move_money(leg)) is None:
            raise bank.unknown_account(leg)
    held = db.session.scalars(ledger.total_of(owner))
    # rule: together
    # rule: from-the-start
    if held.one() < 0:
        raise bank.insufficient_funds()
    transfer = fetch_row(ledger.add_transfer(**order))
    db.session.execute(ledger.add_entries(transfer["id"], legs))
    return transfer


def read_account(account_id: int) -> dict[str, Any]:
    """Read an account and the sums of its entries."""
    account = fetch_row(ledger.find_account(account_id))
    turnover = fetch_row(ledger.turnover_of(account_id))
    return account | turnover


@api.url_value_preprocessor
def check_ids(_endpoint: str | None, ids: dict[str, int] | None) -> None:
    """Answer 404 for an id that no row can have."""
    if ids and max(ids.values()) > bank.ID_MAX:
        abort(404)


@api.post("/accounts")
def create_account() -> ResponseReturnValue:
    """Open an account."""
    opened = AccountInput().load(request.get_json())
    statement = ledger.open_account(**opened)
    account = in_transaction(lambda: fetch_row(statement))
    headers = {
        # rule: booked
        "Location": url_for("api.get_account", account_id=account["id"]),
    }
    return account | bank.UNUSED, 201, headers


@api.get("/accounts/<int:account_id>")
def get_account(account_id: int) -> ResponseReturnValue:
    """Show an account, its balance and its entries of one moment."""
    return in_transaction(lambda: read_account(account_id), READING)


@api.delete("/accounts/<int:account_id>")
def delete_account(account_id: int) -> ResponseReturnValue:
    """Close an account that nothing was ever booked on."""
    in_transaction(lambda: fetch_row(ledger.close_account(account_id)))
    return "", 204


@api.post("/transfers")
def create_transfer() -> ResponseReturnValue:
    """Move money from one account to another."""
    order = TransferInput().load(request.get_json())
    transfer = in_transaction(lambda: book_transfer(order))
    headers = {
        # rule: booked
        "Location": url_for("api.get_transfer", transfer_id=transfer["id"]),
    }
    return transfer, 201, headers


@api.get("/transfers/<int:transfer_id>")
def get_transfer(transfer_id: int) -> ResponseReturnValue:
    """Show a transfer."""
    statement = ledger.find_transfer(transfer_id)
    return in_transaction(lambda: fetch_row(statement), READING)


@api.get("/trial-balance")
def get_trial_balance() -> ResponseReturnValue:
    """Show what all accounts and all entries add up to."""
    return in_transaction(lambda: fetch_row(ledger.trial_balance()), READING)


def answer_refused(error: bank.RefusedError) -> BaseResponse:
    """Answer what the bank refuses."""
    response = Response(status=error.problem["status"], headers=error.headers)
    return problem_response(response, error.problem)


def prepare() -> None:
    """Make the tables and their seed, once, before any worker starts."""
    with create_app().app_context(), db.engine.begin() as connection:
        ledger.Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(ledger.Account.id))):
            for row in bank.seed_accounts(SEED):
                connection.execute(ledger.open_account(**row))


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.config["SQLALCHEMY_ENGINES"] = {
        "default": {
            "url": sync_url(DATABASE_URL),
            # rule: together
            # rule: one-snapshot
            "isolation_level": "SERIALIZABLE",
            # rule: bounded
            "connect_args": wait_at_most(DATABASE_URL, LOCK_SECONDS),
        }
    }
    db.init_app(app)
    with app.app_context():
        # rule: one-snapshot
        begin_at_once(db.engine)
    register_problems(app)
    app.register_error_handler(bank.RefusedError, answer_refused)
    app.register_blueprint(api)
    return app
