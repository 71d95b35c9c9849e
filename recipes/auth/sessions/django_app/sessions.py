"""The session store in Django: the database's, made stricter.

Idiom: `SESSION_ENGINE` names a module, its `SessionStore` opens and saves.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DBStore
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac

from recipes.auth.sessions.django_app import SESSION_ABSOLUTE_SECONDS
from recipes.auth.sessions.django_app.models import AccountSession


class SessionStore(DBStore):
    """Django's store; what has ended is neither renewed nor moved."""

    created_at: datetime

    @classmethod
    def get_model_class(cls) -> type[AccountSession]:
        """Say where sessions are kept."""
        return AccountSession

    def rows(self, session_id: str | None) -> QuerySet[AccountSession]:
        """Find the row of an id, of which a keyed hash is kept."""
        rows: QuerySet[AccountSession] = AccountSession.objects.all()
        return rows.filter(pk=hash_id(session_id))

    def load(self) -> dict[str, Any]:
        """Open and renew in one step; what is not there is not taken."""
        now, rows = timezone.now(), self.rows(self.session_key)
        lasting = rows.filter(
            # rule: idle-expiry
            expire_date__gt=now,
            # rule: absolute-expiry
            created_at__gt=now - timedelta(seconds=SESSION_ABSOLUTE_SECONDS),
        )
        # rule: idle-expiry
        idle = timedelta(seconds=settings.SESSION_COOKIE_AGE)
        row = rows.first() if lasting.update(expire_date=now + idle) else None
        if row is None:
            # rule: client-id-refused
            self._session_key = None
            return {}
        self.created_at = row.created_at
        data: dict[str, Any] = self.decode(row.session_data)
        return data

    def create(self) -> None:
        """Begin a session, and take out what has ended by its age."""
        self.clear_expired()
        self.created_at = timezone.now()
        super().create()

    def create_model_instance(self, data: dict[str, Any]) -> AccountSession:
        """Make the row; Django inserts it once, and then updates only."""
        return AccountSession(
            session_key=hash_id(self.session_key),
            session_data=self.encode(data),
            expire_date=self.get_expiry_date(),
            # rule: logout-everywhere
            account_id=data.get(SESSION_KEY),
            created_at=self.created_at,
        )

    def cycle_key(self) -> None:
        """Give the session another id, if it has not ended meanwhile."""
        if self.session_key is None:
            super().cycle_key()
            return
        self.accessed = self.modified = True
        rows, key = self.rows(self.session_key), get_random_string(32)
        # rule: logout-revokes
        if not rows.update(session_key=hash_id(key)):
            raise UpdateError
        self._session_key = key

    def delete(self, session_key: str | None = None) -> None:
        """Take out the row."""
        # rule: logout-revokes
        self.rows(session_key or self.session_key).delete()


def hash_id(session_id: str | None) -> str:
    """Make of an id the key to find it by, which is no id."""
    # rule: shared-store
    keyed = salted_hmac("session", session_id or "", algorithm="sha256")
    return keyed.hexdigest()
