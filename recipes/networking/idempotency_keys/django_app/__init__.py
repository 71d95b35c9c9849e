"""Idempotency keys in Django: a decorator around each view that acts.

Idiom: `atomic` around the view, with the record of its answer inside.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Annotated, Any
from uuid import UUID

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import configure
from frameworks.django.problems import (
    ProblemError,
    problem_response,
    read_json,
)
from frameworks.django.wsgi import Handler
from shared import idempotency, wallets
from shared.idempotency import Answer, Claim
from shared.problems import problem_document
from shared.signed_users import read_user, sign_user

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///wallets.db")
SEED = int(os.environ.get("SEED", "0"))
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
SCREENING_FILE = os.environ.get("SCREENING_FILE", "screening.txt")
OPENING_CREDIT = int(os.environ.get("OPENING_CREDIT", "10000"))
TTL = float(os.environ.get("IDEMPOTENCY_TTL_SECONDS", "86400"))
LEASE = float(os.environ.get("IDEMPOTENCY_LEASE_SECONDS", "60"))

configure(__name__, DATABASE_URL)

# Models need the settings.
from recipes.networking.idempotency_keys.django_app.models import (  # noqa: E402
    IdempotencyKey,
    Payment,
    Wallet,
)


class PaymentInput(BaseModel):
    """A payment, as a client asks for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    payee: Annotated[str, Field(pattern=wallets.WALLET)]
    amount: Annotated[int, Field(ge=1, le=wallets.AMOUNT_MAX)]


class UserRequest(HttpRequest):
    """A request whose sender is known."""

    wallet: str


type View = Callable[..., HttpResponse]


def authenticate(view: View) -> View:
    """Know whose request it is, or refuse."""

    @wraps(view)
    def known(request: UserRequest, **places: Any) -> HttpResponse:
        sent = request.headers.get("Authorization")
        user = read_user([] if sent is None else [sent], TOKEN_SECRET)
        if user is None:
            response = problem_response(problem_document(401))
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        request.wallet = user
        return view(request, **places)

    return known


def named(claim: Claim) -> QuerySet[IdempotencyKey]:
    """Find the row of a key, whoever holds it."""
    return IdempotencyKey.objects.filter(
        # rule: own-keys
        owner=claim.owner,
        key=claim.key,
    )


def held(claim: Claim) -> QuerySet[IdempotencyKey]:
    """Find the row of a key, if this very request holds it."""
    return named(claim).filter(
        # rule: overtaken
        claim=claim.id,
        status=None,
    )


def claim_key(claim: Claim) -> Answer | None:
    """Have the key, or give what to answer who may not work."""
    now = timezone.now()
    abandoned = Q(
        status=None,
        # rule: killed
        claimed_until__lte=now,
        # rule: other-request
        fingerprint=claim.fingerprint,
    )
    try:
        # Durable: others see it from here on, and no lock waits for the work.
        # rule: in-flight
        with transaction.atomic(durable=True):
            # rule: expiry
            named(claim).filter(Q(expires_at__lte=now) | abandoned).delete()
            IdempotencyKey.objects.create(
                owner=claim.owner,
                key=claim.key,
                fingerprint=claim.fingerprint,
                claim=claim.id,
                claimed_until=now + timedelta(seconds=LEASE),
                expires_at=now + timedelta(seconds=TTL),
            )
    # rule: one-effect
    except IntegrityError:
        return idempotency.answer_again(named(claim).first(), claim)
    return None


def release_key(claim: Claim) -> None:
    """Let the next request have a key that has no answer."""
    # rule: together
    held(claim).delete()


def record_answer(claim: Claim, response: HttpResponse) -> None:
    """Keep the answer in the transaction of what was done."""
    kept = held(claim).update(
        status=response.status_code,
        headers=idempotency.kept_headers(response.headers),
        body=response.content,
    )
    # rule: overtaken
    if not kept:
        raise Overtaken


class Overtaken(Exception):
    """Somebody else has the key by now."""


def once(view: View) -> View:
    """Act once for each key, and answer all who bring it alike."""

    @wraps(view)
    def keyed(request: UserRequest, **places: Any) -> HttpResponse:
        sent = request.headers.get("Idempotency-Key")
        asked = f"{request.method} {request.get_full_path()}"
        keys = [] if sent is None else [sent]
        claim = idempotency.make_claim(
            # rule: own-keys
            request.wallet,
            keys,
            asked,
            request.body,
        )
        # rule: key-required
        if claim is None:
            return give(idempotency.KEY_REQUIRED)
        if (known := claim_key(claim)) is not None:
            return give(known)
        try:
            return run(view, request, places, claim)
        except Overtaken:
            return give(idempotency.IN_PROGRESS)
        except Exception:
            release_key(claim)
            raise

    return keyed


def run(
    view: View, request: UserRequest, places: Any, claim: Claim
) -> HttpResponse:
    """Have a view act and its answer kept, both or neither."""
    try:
        # rule: together
        with transaction.atomic():
            response = view(request, **places)
            record_answer(claim, response)
    # What it had begun is undone; this is all that is left.
    # rule: refusals-kept
    except (ProblemError, wallets.Refusal) as refusal:
        response = problem_response(refusal.problem)
        # rule: not-begun
        if not idempotency.keeps(response.status_code):
            raise
        record_answer(claim, response)
    return response


def give(answer: Answer) -> HttpResponse:
    """Make a response of an answer that was kept, or is always the same."""
    return HttpResponse(
        answer.body, status=answer.status, headers=answer.headers
    )


@require_POST
def open_wallet(request: HttpRequest) -> HttpResponse:
    """Open a wallet, and give the token that goes with it."""
    wallet = Wallet(id=wallets.new_wallet(), balance=OPENING_CREDIT)
    wallet.save(force_insert=True)
    token = f"{wallet.id}.{sign_user(wallet.id, TOKEN_SECRET)}"
    shown = {"id": wallet.id, "balance": wallet.balance, "token": token}
    headers = {"Location": f"/wallets/{wallet.id}"}
    return JsonResponse(shown, status=201, headers=headers)


@require_safe
@authenticate
def show_wallet(request: UserRequest, wallet_id: str) -> HttpResponse:
    """Show its owner what a wallet has."""
    wallet = get_object_or_404(Wallet, id=request.wallet)
    if wallet_id != wallet.id:
        raise Http404
    return JsonResponse({"id": wallet_id, "balance": wallet.balance})


@require_POST
@authenticate
@once
def make_payment(request: UserRequest) -> HttpResponse:
    """Pay somebody."""
    asked = read_json(request, PaymentInput).model_dump()
    # Nothing is locked while somebody else is asked.
    wallets.screen(SCREENING_FILE, asked["payee"])
    return move_money(Payment(payer=request.wallet, **asked))


@require_safe
@authenticate
def show_payment(request: UserRequest, payment_id: UUID) -> HttpResponse:
    """Show a payment to those who were in it."""
    ours = Q(payer=request.wallet) | Q(payee=request.wallet)
    payment = get_object_or_404(Payment, ours, id=payment_id)
    return JsonResponse(wallets.show_payment(payment))


@require_POST
@authenticate
@once
def refund_payment(request: UserRequest, payment_id: UUID) -> HttpResponse:
    """Give a payment back."""
    received = Payment.objects.filter(id=payment_id, payee=request.wallet)
    if not received.filter(refunded=False).update(refunded=True):
        raise wallets.not_refunded(received=received.exists())
    paid = received.get()
    return move_money(
        Payment(
            payer=request.wallet,
            payee=paid.payer,
            amount=paid.amount,
            refund_of=paid.id,
        )
    )


def move_money(payment: Payment) -> HttpResponse:
    """Take it from one wallet and give it to the other."""
    payer, payee, amount = payment.payer, payment.payee, payment.amount
    for move in wallets.moves(payer, payee, amount):
        wallet = Wallet.objects.filter(id=move.wallet)
        enough = wallet.filter(balance__gte=-move.amount)
        if not enough.update(balance=F("balance") + move.amount):
            balance = wallet.values_list("balance", flat=True).first()
            raise wallets.not_moved(move, balance)
    payment.save(force_insert=True)
    shown = wallets.show_payment(payment)
    headers = {"Location": f"/payments/{payment.id}"}
    return JsonResponse(shown, status=201, headers=headers)


urlpatterns = [
    path("wallets", open_wallet),
    path("wallets/<wallet_id>", show_wallet),
    path("payments", make_payment),
    path("payments/<uuid:payment_id>", show_payment),
    path("payments/<uuid:payment_id>/refund", refund_payment),
]


def prepare() -> None:
    """Make what must be there once, and forget keys that have expired."""
    wallets.write_seed(SCREENING_FILE)
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        IdempotencyKey.objects.filter(expires_at__lte=timezone.now()).delete()
        if not Wallet.objects.exists():
            Wallet.objects.bulk_create(
                Wallet(id=wallet, balance=OPENING_CREDIT)
                for wallet in wallets.seed_wallets(SEED)
            )
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
