"""Users by signed tokens: `ada.` and the HMAC-SHA256 of `ada`, in hex.

The least that proves a name. It never ends and cannot be taken back: for
that, see the recipes `api_keys` and `sessions`.
"""

import hmac
import re
from collections.abc import Sequence

_TOKEN = re.compile(r"(?i:bearer) +([a-z][a-z0-9-]{0,30})\.([0-9a-f]{64})")


def sign_user(user: str, secret: str) -> str:
    """Sign the name of a user."""
    return hmac.digest(secret.encode(), user.encode(), "sha256").hex()


def read_user(sent: Sequence[str], secret: str) -> str | None:
    """Tell whom `Authorization` proves; a name alone proves nobody."""
    found = _TOKEN.fullmatch(sent[0]) if len(sent) == 1 else None
    if found is None:
        return None
    user, signature = found.groups()
    # rule: proven-user
    if not hmac.compare_digest(sign_user(user, secret), signature):
        return None
    return user
