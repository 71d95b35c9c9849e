"""Keys, wallets and payments in Django: models, the key of a key two columns.

Idiom: a composite primary key is what no two claims can share.
"""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.utils import timezone


class IdempotencyKey(models.Model):
    """A key of an owner: who works on it, or what was answered."""

    # rule: one-effect
    pk = models.CompositePrimaryKey("owner", "key")
    # rule: own-keys
    owner = models.TextField()
    key = models.TextField()
    fingerprint = models.TextField()
    claim = models.TextField()
    claimed_until = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    status = models.IntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")

    objects: ClassVar[models.Manager["IdempotencyKey"]] = models.Manager()

    class Meta:
        db_table = "idempotency_keys"


class Wallet(models.Model):
    """What somebody has, in cents."""

    id = models.TextField(primary_key=True)
    balance = models.BigIntegerField()

    objects: ClassVar[models.Manager["Wallet"]] = models.Manager()

    class Meta:
        db_table = "wallets"


class Payment(models.Model):
    """A payment from one wallet to another."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    payer = models.TextField()
    payee = models.TextField()
    amount = models.IntegerField()
    refund_of = models.UUIDField(null=True)
    refunded = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["Payment"]] = models.Manager()

    class Meta:
        db_table = "payments"
