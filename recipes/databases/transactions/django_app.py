"""Transactions in Django: work is handed to the one that commits it.

Idiom: `atomic` commits where it ends; a durable one is inside no other.
"""

import os
import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ClassVar

import dj_database_url
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.db.models import Count, F, Q, Sum
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.views import View
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import configure
from frameworks.django.problems import ProblemError, read_json
from frameworks.django.wsgi import Handler
from shared import bank
from shared.conflicts import is_conflict, pauses, refused, wait_at_most
from shared.problems import MEDIA_TYPE

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///bank.db")
SEED = int(os.environ.get("SEED", "0"))
LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "5"))
TRANSACTION_ATTEMPTS = int(os.environ.get("TRANSACTION_ATTEMPTS", "10"))
OPTIONS: dict[str, dict[str, Any]] = {
    "django.db.backends.sqlite3": {
        # rule: retried
        "transaction_mode": "IMMEDIATE",
    },
    "django.db.backends.postgresql": {
        # rule: together
        # rule: one-snapshot
        "isolation_level": IsolationLevel.SERIALIZABLE,
    },
}

database = dj_database_url.parse(
    DATABASE_URL, conn_max_age=60, conn_health_checks=True
)
database["OPTIONS"] = {
    **OPTIONS[database["ENGINE"]],
    # rule: bounded
    **wait_at_most(DATABASE_URL, LOCK_SECONDS),
}
configure(__name__, DATABASE_URL, DATABASES={"default": database})


class Account(models.Model):
    """An account; the database itself keeps it within its overdraft."""

    owner = models.TextField(db_index=True)
    opening = models.BigIntegerField()
    overdraft = models.BigIntegerField()
    balance = models.BigIntegerField()

    objects: ClassVar[models.Manager["Account"]] = models.Manager()

    class Meta:
        db_table = "accounts"
        constraints = [
            # rule: covered
            models.CheckConstraint(
                condition=Q(balance__gte=-F("overdraft")),
                name="accounts_covered",
            ),
        ]


# Django's references are checked at the commit, not before.
class Transfer(models.Model):
    """A transfer as it was ordered."""

    payer = models.ForeignKey(Account, models.DO_NOTHING, related_name="+")
    payee = models.ForeignKey(Account, models.DO_NOTHING, related_name="+")
    amount = models.BigIntegerField()

    objects: ClassVar[models.Manager["Transfer"]] = models.Manager()

    class Meta:
        db_table = "transfers"


class Entry(models.Model):
    """One leg of a transfer, on its account."""

    transfer = models.ForeignKey(Transfer, models.DO_NOTHING)
    account = models.ForeignKey(Account, models.DO_NOTHING)
    amount = models.BigIntegerField()

    objects: ClassVar[models.Manager["Entry"]] = models.Manager()

    class Meta:
        db_table = "entries"


Owner = Annotated[str, Field(max_length=bank.OWNER_LENGTH, pattern=bank.OWNER)]
Cents = Annotated[int, Field(ge=0, le=bank.CENTS_MAX)]
Number = Annotated[int, Field(ge=1, le=bank.ID_MAX)]


class AccountInput(BaseModel):
    """An account as a client opens it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    owner: Owner
    opening: Cents = 0
    overdraft: Cents = 0


class TransferInput(BaseModel):
    """A transfer as a client orders it: whole cents, one at least."""

    model_config = ConfigDict(strict=True, extra="forbid")

    payer: Number
    payee: Number
    amount: Annotated[
        int,
        # rule: booked
        Field(ge=1, le=bank.CENTS_MAX),
    ]


def in_transaction[Result](work: Callable[[], Result]) -> Result:
    """Commit some work, begun again as often as it has to give way."""
    waits = pauses(TRANSACTION_ATTEMPTS)
    while True:
        try:
            # rule: all-or-nothing
            # rule: after-commit
            # rule: kept
            with transaction.atomic(durable=True):
                return work()
        # rule: retried
        except DatabaseError as error:
            pause = next(waits, None)
            if pause is None or not is_conflict(error.__cause__):
                # rule: covered
                raise refused(error.__cause__) or error from error.__cause__
        time.sleep(pause)


def book_transfer(ordered: TransferInput) -> Transfer:
    """Change two balances and write two entries; who raises undoes all."""
    legs = bank.legs_of(**ordered.model_dump())
    payer = Account.objects.filter(id=ordered.payer)
    owner = payer.values_list("owner", flat=True).first()
    for leg in legs:
        account = Account.objects.filter(id=leg.account_id)
        # rule: booked
        # rule: conserved
        if not account.update(balance=F("balance") + leg.amount):
            raise bank.unknown_account(leg)
    accounts = Account.objects.filter(owner=owner)
    held = accounts.aggregate(total=Sum("balance"))
    # rule: together
    # rule: from-the-start
    if held["total"] < 0:
        raise bank.insufficient_funds()
    transfer = Transfer.objects.create(
        payer_id=ordered.payer, payee_id=ordered.payee, amount=ordered.amount
    )
    Entry.objects.bulk_create(
        Entry(transfer=transfer, **leg._asdict()) for leg in legs
    )
    return transfer


def add_up(entries: models.QuerySet[Entry]) -> dict[str, int]:
    """Add up what was got and what was given."""
    return entries.aggregate(
        credits=Sum("amount", filter=Q(amount__gt=0), default=0),
        debits=-Sum("amount", filter=Q(amount__lt=0), default=0),
    )


def read_account(account_id: int) -> dict[str, Any]:
    """Read an account and the sums of its entries, or answer 404."""
    account = get_object_or_404(Account, id=account_id)
    turnover = add_up(Entry.objects.filter(account=account))
    return model_to_dict(account) | turnover


def read_trial_balance() -> dict[str, int]:
    """Add up all accounts and all entries."""
    accounts = Account.objects.aggregate(
        accounts=Count("id"),
        openings=Sum("opening", default=0),
        balances=Sum("balance", default=0),
    )
    return accounts | add_up(Entry.objects.all())


class AccountsView(View):
    """All accounts."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Open an account."""
        opened = read_json(request, AccountInput)
        account = Account(**opened.model_dump(), balance=opened.opening)
        in_transaction(account.save)
        headers = {
            # rule: booked
            "Location": reverse("account", args=[account.pk]),
        }
        body = model_to_dict(account) | bank.UNUSED
        return JsonResponse(body, status=201, headers=headers)


class AccountView(View):
    """One account."""

    def get(self, _request: HttpRequest, account_id: int) -> HttpResponse:
        """Show an account, its balance and its entries of one moment."""
        return JsonResponse(in_transaction(lambda: read_account(account_id)))

    def delete(self, _request: HttpRequest, account_id: int) -> HttpResponse:
        """Close an account that nothing was ever booked on."""
        account = Account.objects.filter(id=account_id)
        closed, _ = in_transaction(account.delete)
        if not closed:
            raise ProblemError(404)
        return HttpResponse(status=204)


class TransfersView(View):
    """All transfers."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Move money from one account to another."""
        ordered = read_json(request, TransferInput)
        transfer = in_transaction(lambda: book_transfer(ordered))
        headers = {
            # rule: booked
            "Location": reverse("transfer", args=[transfer.pk]),
        }
        body = model_to_dict(transfer)
        return JsonResponse(body, status=201, headers=headers)


class TransferView(View):
    """One transfer."""

    def get(self, _request: HttpRequest, transfer_id: int) -> HttpResponse:
        """Show a transfer."""
        transfer = get_object_or_404(Transfer, id=transfer_id)
        return JsonResponse(model_to_dict(transfer))


class TrialBalanceView(View):
    """What all accounts and all entries add up to."""

    def get(self, _request: HttpRequest) -> HttpResponse:
        """Show the sums of one moment."""
        return JsonResponse(in_transaction(read_trial_balance))


def answer_refused(
    view: Callable[..., HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """Answer what the bank refuses."""

    @wraps(view)
    def answer(*args: Any, **options: Any) -> HttpResponseBase:
        try:
            return view(*args, **options)
        except bank.RefusedError as error:
            return JsonResponse(
                error.problem,
                status=error.problem["status"],
                headers=error.headers,
                content_type=MEDIA_TYPE,
            )

    return answer


urlpatterns = [
    path("accounts", answer_refused(AccountsView.as_view())),
    path(
        "accounts/<int:account_id>",
        answer_refused(AccountView.as_view()),
        name="account",
    ),
    path("transfers", answer_refused(TransfersView.as_view())),
    path(
        "transfers/<int:transfer_id>", TransferView.as_view(), name="transfer"
    ),
    path("trial-balance", answer_refused(TrialBalanceView.as_view())),
]


def prepare() -> None:
    """Make the tables and their seed, once, before any worker starts."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        if not Account.objects.exists():
            rows = bank.seed_accounts(SEED)
            Account.objects.bulk_create(
                Account(**row, balance=row["opening"]) for row in rows
            )
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
