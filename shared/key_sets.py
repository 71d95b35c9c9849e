"""The keys of an issuer, as its JWK set (RFC 7517) has them.

Nothing is fetched here: the ring says when to fetch, is given what came,
and knows until when the old keys are good.
"""

from math import inf
from typing import Any

import jwt

from shared.access_tokens import Refused, invalid_token


class KeyRing:
    """The public keys of one issuer, by their `kid`.

    `cache` is when they are asked for anew, `cooldown` the time between
    two attempts, `stale` how long they are good if no attempt succeeds.
    Times are of a clock that never goes back.
    """

    def __init__(
        self, algorithm: str, cache: int, cooldown: int, stale: int
    ) -> None:
        self.algorithm = algorithm
        self.cache = cache
        self.cooldown = cooldown
        self.stale = stale
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = -inf
        self._failing = True

    def knows(self, kid: str, now: float) -> bool:
        """Tell whether there is such a key, not too old."""
        # rule: outage
        if now - self._fetched >= self.stale:
            return False
        return kid in self._keys

    def is_due(self, kid: str, now: float) -> bool:
        """Tell whether to ask the issuer now."""
        # rule: rotation
        if now - self._tried < self.cooldown:
            return False
        return kid not in self._keys or now - self._fetched >= self.cache

    def begin(self, now: float) -> None:
        """Note an attempt, which has failed until it succeeds."""
        self._tried = now
        self._failing = True

    def replace(self, document: Any, now: float) -> None:
        """Take the keys of a set in the place of those before."""
        self._keys = read_keys(document, self.algorithm)
        self._fetched = now
        self._failing = False

    def find(self, kid: str, now: float) -> Any:
        """Give the key; without it, say whose fault that is."""
        if self.knows(kid, now):
            return self._keys[kid]
        # rule: outage
        if self._failing:
            raise Refused(503, {"Retry-After": str(max(1, self.cooldown))})
        raise invalid_token()


def read_keys(document: Any, algorithm: str) -> dict[str, Any]:
    """Read the keys of a set that can be used, by their `kid`."""
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("no JWK set")
    keys: dict[str, Any] = {}
    for member in members:
        key = read_key(member, algorithm)
        if key is not None:
            keys.setdefault(member["kid"], key)
    return keys


def read_key(member: Any, algorithm: str) -> Any:
    """Read a key that is for checking signatures of this algorithm."""
    if not isinstance(member, dict) or not isinstance(member.get("kid"), str):
        return None
    # rule: known-keys
    if member.get("use", "sig") != "sig":
        return None
    # rule: known-keys
    if member.get("alg", algorithm) != algorithm:
        return None
    try:
        return jwt.PyJWK(member, algorithm).key
    except (jwt.PyJWTError, LookupError, TypeError, ValueError):
        return None
