"""Passwords kept as Argon2id hashes (RFC 9106), whole and in one spelling."""

import secrets
from base64 import b64encode
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from shared.credentials import HASHES_AT_ONCE, spell


class Passwords:
    """Make and check hashes, at one cost; it takes a thread its time."""

    def __init__(self, time_cost: int, memory_kib: int) -> None:
        self._hasher = PasswordHasher(
            # rule: argon2id
            time_cost=time_cost,
            # rule: argon2id
            memory_cost=memory_kib,
            parallelism=1,
        )
        salt, digest = (
            b64encode(secrets.token_bytes(size)).decode().rstrip("=")
            for size in (self._hasher.salt_len, self._hasher.hash_len)
        )
        # The hash of no password: it takes as long to check as any other.
        self._nobody = (
            f"$argon2id$v=19$m={memory_kib},t={time_cost},p=1${salt}${digest}"
        )
        self._free = BoundedSemaphore(HASHES_AT_ONCE)

    def hash(self, password: str) -> str:
        """Make the hash to keep of a password."""
        # rule: argon2id
        password = spell(password)
        with self._free:
            return self._hasher.hash(password)

    def check(self, kept: str | None, password: str) -> bool:
        """Tell whether it is the password; `None` is nobody's hash."""
        # rule: argon2id
        password = spell(password)
        # rule: uniform-failure
        kept = kept or self._nobody
        with self._free:
            try:
                return self._hasher.verify(kept, password)
            except VerifyMismatchError:
                return False
