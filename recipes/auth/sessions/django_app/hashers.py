"""Password hashes in Django: its Argon2 hasher at our cost.

Idiom: `PASSWORD_HASHERS` names the class, `authenticate` uses it.
"""

from threading import BoundedSemaphore

from django.contrib.auth.hashers import Argon2PasswordHasher

from recipes.auth.sessions.django_app import (
    ARGON2_MEMORY_KIB,
    ARGON2_TIME_COST,
)
from shared.credentials import HASHES_AT_ONCE, spell

FREE = BoundedSemaphore(HASHES_AT_ONCE)


class Hasher(Argon2PasswordHasher):
    """Argon2id at our cost, so many at once as there is memory for."""

    # rule: argon2id
    time_cost = ARGON2_TIME_COST
    # rule: argon2id
    memory_cost = ARGON2_MEMORY_KIB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Make the hash to keep of a password."""
        # rule: argon2id
        password = spell(password)
        with FREE:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether it is the password."""
        # rule: argon2id
        password = spell(password)
        with FREE:
            return super().verify(password, encoded)
