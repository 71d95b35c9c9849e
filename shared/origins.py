"""Origins, as a browser writes them (RFC 6454, section 6.2)."""

import re

# Scheme, host and port, in small letters and without a default port.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://"
    r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])"
    r"(?::[1-9][0-9]{0,4})?"
)
_DEFAULT_PORT = re.compile(r"http:.*:80|https:.*:443")


def read_origins(text: str) -> list[str]:
    """Read a list of origins, separated by commas.

    Raises `ValueError` for what no browser sends: such an entry allows
    nobody, or, as `*` does in some libraries, everybody.
    """
    origins = [each for part in text.split(",") if (each := part.strip())]
    for origin in origins:
        # rule: credentials
        if not is_origin(origin):
            raise ValueError(f"{origin!r} is not an origin")
    return origins


def is_origin(text: str) -> bool:
    """Tell whether a browser would write an origin like this."""
    return bool(_ORIGIN.fullmatch(text) and not _DEFAULT_PORT.fullmatch(text))
