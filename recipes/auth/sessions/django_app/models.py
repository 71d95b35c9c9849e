"""Session rows in Django: its abstract model, with an owner and an age.

Idiom: who extends the session engine extends its model.
"""

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class AccountSession(AbstractBaseSession):
    """A session with its owner and its age, under a key that is no id."""

    session_key = models.CharField(max_length=64, primary_key=True)
    account_id = models.IntegerField(null=True, db_index=True)
    created_at = models.DateTimeField()
