"""What an address and a password may be, and what is said of wrong ones."""

import re
from unicodedata import normalize

from shared.problems import FieldError

EMAIL = re.compile(
    # As HTML has it, 150 characters at most.
    r"^(?=.{3,150}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+"
    r"@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z"
)
LENGTH_MIN = 8
LENGTH_MAX = 1024
HASHES_AT_ONCE = 4
"""So many a process makes at once: each takes its memory."""

CHALLENGE = 'Cookie realm="accounts"'
WRONG_PASSWORD: list[FieldError] = [
    {"pointer": "/current", "detail": "Not the password."}
]


def spell(password: str) -> str:
    """Give the one spelling (NFKC) of what keyboards write in several."""
    return normalize("NFKC", password)
