"""Idempotency keys in Flask: a decorator around each view that acts.

Idiom: the decorator has the response, whether a view returns or raises.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from marshmallow import Schema, fields
from marshmallow.validate import Range, Regexp
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response as BaseResponse

from frameworks.flask.problems import problem_response, register_problems
from shared import idempotency, key_rows, wallet_rows, wallets
from shared.database import sync_url
from shared.idempotency import Answer, Claim
from shared.signed_users import read_user, sign_user
from shared.wallet_rows import Payment, Wallet

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///wallets.db")
SEED = int(os.environ.get("SEED", "0"))
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
SCREENING_FILE = os.environ.get("SCREENING_FILE", "screening.txt")
OPENING_CREDIT = int(os.environ.get("OPENING_CREDIT", "10000"))
TTL = float(os.environ.get("IDEMPOTENCY_TTL_SECONDS", "86400"))
LEASE = float(os.environ.get("IDEMPOTENCY_LEASE_SECONDS", "60"))

db = SQLAlchemy(session_options={"expire_on_commit": False})
public = Blueprint("public", __name__)
private = Blueprint("private", __name__)


class PaymentInput(Schema):
    """A payment, as a client asks for it."""

    payee = fields.String(required=True, validate=Regexp(wallets.WALLET))
    amount = fields.Integer(
        required=True, strict=True, validate=Range(1, wallets.AMOUNT_MAX)
    )


def authenticate() -> None:
    """Know whose request it is."""
    g.user = read_user(request.headers.getlist("Authorization"), TOKEN_SECRET)
    if g.user is None:
        raise Unauthorized(www_authenticate=WWWAuthenticate("Bearer"))


def claim_key(claim: Claim) -> Answer | None:
    """Have the key, or give what to answer who may not work."""
    try:
        db.session.execute(key_rows.drop_spent(claim))
        db.session.execute(key_rows.insert_claim(claim, LEASE, TTL))
        # Others see it from now on, and no lock waits for the work.
        # rule: in-flight
        db.session.commit()
    # rule: one-effect
    except IntegrityError:
        db.session.rollback()
        return idempotency.answer_again(
            db.session.scalar(key_rows.select_key(claim)), claim
        )
    return None


def release_key(claim: Claim) -> None:
    """Undo what was begun, and let the next request have the key."""
    # rule: together
    db.session.rollback()
    # rule: together
    db.session.execute(key_rows.free_key(claim))
    db.session.commit()


def record_answer(claim: Claim, response: Response) -> Response:
    """Keep the answer together with what was done, or neither."""
    # rule: not-begun
    if not idempotency.keeps(response.status_code):
        release_key(claim)
        return response
    if response.status_code >= 400:
        # rule: refusals-kept
        db.session.rollback()
    answer = Answer(
        response.status_code,
        idempotency.kept_headers(dict(response.headers)),
        response.get_data(),
    )
    # rule: overtaken
    if db.session.scalar(key_rows.keep_answer(claim, answer)) is None:
        db.session.rollback()
        return give(idempotency.IN_PROGRESS)
    # rule: together
    db.session.commit()
    return response


def once(view: Callable[..., ResponseReturnValue]) -> Callable[..., Response]:
    """Act once for each key, and answer all who bring it alike."""

    @wraps(view)
    def keyed(**places: Any) -> Response:
        sent = request.headers.getlist("Idempotency-Key")
        target = f"{request.path}?{request.environ['QUERY_STRING']}"
        asked = f"{request.method} {target}"
        claim = idempotency.make_claim(
            # rule: own-keys
            g.user,
            sent,
            asked,
            request.get_data(),
        )
        # rule: key-required
        if claim is None:
            return give(idempotency.KEY_REQUIRED)
        if (known := claim_key(claim)) is not None:
            return give(known)
        try:
            return record_answer(claim, run(view, places))
        except Exception:
            release_key(claim)
            raise

    return keyed


def run(view: Callable[..., ResponseReturnValue], places: Any) -> Response:
    """Have a view's answer, or the one to what it raises."""
    try:
        answer = view(**places)
    except Exception as error:
        # rule: refusals-kept
        answer = current_app.handle_user_exception(error)
    return current_app.make_response(answer)


def give(answer: Answer) -> Response:
    """Make a response of an answer that was kept, or is always the same."""
    return Response(answer.body, answer.status, answer.headers)


@public.post("/wallets")
def open_wallet() -> ResponseReturnValue:
    """Open a wallet, and give the token that goes with it."""
    wallet = Wallet(id=wallets.new_wallet(), balance=OPENING_CREDIT)
    db.session.add(wallet)
    db.session.commit()
    token = f"{wallet.id}.{sign_user(wallet.id, TOKEN_SECRET)}"
    shown = {"id": wallet.id, "balance": wallet.balance, "token": token}
    return shown, 201, {"Location": f"/wallets/{wallet.id}"}


@private.get("/wallets/<wallet_id>")
def show_wallet(wallet_id: str) -> ResponseReturnValue:
    """Show its owner what a wallet has."""
    balance = db.session.scalar(wallet_rows.select_balance(g.user))
    if wallet_id != g.user or balance is None:
        abort(404)
    return {"id": wallet_id, "balance": balance}


@private.post("/payments")
@once
def make_payment() -> ResponseReturnValue:
    """Pay somebody."""
    asked: dict[str, Any] = PaymentInput().load(request.get_json())
    # No transaction is open while somebody else is asked.
    wallets.screen(SCREENING_FILE, asked["payee"])
    payment = move_money(Payment(payer=g.user, **asked))
    return (
        wallets.show_payment(payment),
        201,
        {"Location": f"/payments/{payment.id}"},
    )


@private.get("/payments/<uuid:payment_id>")
def show_payment(payment_id: UUID) -> ResponseReturnValue:
    """Show a payment to those who were in it."""
    payment = db.session.get(Payment, payment_id)
    if payment is None or g.user not in (payment.payer, payment.payee):
        abort(404)
    return wallets.show_payment(payment)


@private.post("/payments/<uuid:payment_id>/refund")
@once
def refund_payment(payment_id: UUID) -> ResponseReturnValue:
    """Give a payment back."""
    paid = db.session.scalar(wallet_rows.mark_refunded(payment_id, g.user))
    if paid is None:
        known = db.session.get(Payment, payment_id)
        received = known is not None and known.payee == g.user
        raise wallets.not_refunded(received=received)
    payment = move_money(
        Payment(
            payer=g.user,
            payee=paid.payer,
            amount=paid.amount,
            refund_of=paid.id,
        )
    )
    return (
        wallets.show_payment(payment),
        201,
        {"Location": f"/payments/{payment.id}"},
    )


def move_money(payment: Payment) -> Payment:
    """Take it from one wallet and give it to the other; nothing commits."""
    payer, payee, amount = payment.payer, payment.payee, payment.amount
    for move in wallets.moves(payer, payee, amount):
        if db.session.scalar(wallet_rows.change_balance(move)) is None:
            balance = db.session.scalar(
                wallet_rows.select_balance(move.wallet)
            )
            raise wallets.not_moved(move, balance)
    db.session.add(payment)
    db.session.flush()
    return payment


def answer_refusal(error: wallets.Refusal) -> BaseResponse:
    """Answer what the operation refuses."""
    problem = error.problem
    return problem_response(Response(status=problem["status"]), problem)


def prepare() -> None:
    """Make what must be there once, and forget keys that have expired."""
    wallets.write_seed(SCREENING_FILE)
    with create_app().app_context(), db.engine.begin() as connection:
        key_rows.Base.metadata.create_all(connection)
        connection.execute(key_rows.drop_expired())
        if not connection.scalar(select(func.count(Wallet.id))):
            for wallet in wallets.seed_wallets(SEED):
                row = insert(Wallet).values(id=wallet, balance=OPENING_CREDIT)
                connection.execute(row)


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.config["SQLALCHEMY_ENGINES"] = {"default": sync_url(DATABASE_URL)}
    db.init_app(app)
    register_problems(app)
    app.register_error_handler(wallets.Refusal, answer_refusal)
    private.before_request(authenticate)
    app.register_blueprint(public)
    app.register_blueprint(private)
    return app
