"""Access tokens of an issuer, checked as RFC 6750 and RFC 9068 have it.

Nothing is fetched here and nothing sent: a key goes in, and what the
token says comes out, or a refusal with the headers of its answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.utils import base64url_decode

from shared import strict_json

ALGORITHMS = ("ES256", "EdDSA", "RS256")
LEEWAY_MAX = 120
TOKEN_MAX = 4096
SUBJECT_MAX = 255
TYPES = ("at+jwt", "application/at+jwt")
DATES = ("exp", "iat", "nbf")

_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")


class Refused(Exception):
    """A request that is refused, with the status and the headers."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        # rule: challenge
        self.headers = {"Cache-Control": "no-store", **headers}


@dataclass(frozen=True)
class Access:
    """What a token has proven: who it is, and what he may."""

    subject: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Expected:
    """What a token has to be."""

    issuer: str
    audience: str
    algorithm: str
    leeway: int

    def __post_init__(self) -> None:
        """Refuse a setting under which the check would be none."""
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"ALGORITHM is one of {', '.join(ALGORITHMS)}")
        # rule: claims-checked
        if not 0 <= self.leeway <= LEEWAY_MAX:
            raise ValueError(f"LEEWAY_SECONDS is 0 to {LEEWAY_MAX}")


def challenge(status: int, **parameters: str) -> Refused:
    """Refuse, and say what is missing (RFC 6750, section 3)."""
    given = {"realm": "reports", **parameters}
    told = ", ".join(f'{name}="{value}"' for name, value in given.items())
    # rule: challenge
    return Refused(status, {"WWW-Authenticate": f"Bearer {told}"})


def invalid_token() -> Refused:
    """Refuse a token, and do not say why."""
    # rule: challenge
    return challenge(401, error="invalid_token")


def insufficient_scope(scope: str) -> Refused:
    """Refuse a good token that is not for this."""
    # rule: challenge
    return challenge(403, error="insufficient_scope", scope=scope)


def read_token(sent: Sequence[str]) -> str:
    """Take the token out of the values of `Authorization`."""
    # Under WSGI two headers have become one, with a comma.
    scheme, _, rest = ",".join(sent).strip().partition(" ")
    if scheme.lower() != "bearer":
        raise challenge(401)
    token = rest.strip()
    # rule: header-only
    if not _B64TOKEN.fullmatch(token):
        raise challenge(400, error="invalid_request")
    # rule: header-only
    if len(token) > TOKEN_MAX:
        raise invalid_token()
    return token


def read_kid(token: str) -> str:
    """Read which key the token names; nothing of it is proven yet."""
    if not _COMPACT.fullmatch(token):
        raise invalid_token()
    try:
        header = strict_json.loads(base64url_decode(token.split(".", 1)[0]))
    except ValueError:
        raise invalid_token() from None
    if not isinstance(header, dict):
        raise invalid_token()
    # rule: type-checked
    if str(header.get("typ")).lower() not in TYPES:
        raise invalid_token()
    # rule: type-checked
    if "crit" in header:
        raise invalid_token()
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise invalid_token()
    return kid


def check_token(token: str, key: Any, expected: Expected) -> Access:
    """Prove the token by the key, and read what it says."""
    try:
        claims = jwt.decode(
            token,
            key,
            # rule: alg-pinned
            algorithms=[expected.algorithm],
            # rule: claims-checked
            audience=expected.audience,
            # rule: claims-checked
            issuer=expected.issuer,
            # rule: claims-checked
            leeway=expected.leeway,
            # rule: claims-checked
            options={"require": ["iss", "aud", "exp", "sub"]},
        )
        return read_claims(claims)
    except (jwt.PyJWTError, TypeError, ValueError):
        # rule: nothing-unverified
        raise invalid_token() from None


def read_claims(claims: Mapping[str, Any]) -> Access:
    """Read proven claims; PyJWT would take a text for a date."""
    # rule: claims-checked
    if any(type(claims.get(name, 0)) not in (int, float) for name in DATES):
        raise ValueError("a date that is no number")
    subject, scope = claims["sub"], claims.get("scope", "")
    # rule: claims-checked
    if not (subject.isprintable() and 0 < len(subject) <= SUBJECT_MAX):
        raise ValueError("a subject that is none")
    if not isinstance(scope, str):
        raise ValueError("a scope that is no text")
    # rule: scopes
    scopes = frozenset(scope.split(" "))
    return Access(subject, scopes)
