"""Some reports, and what a resource server says of itself (RFC 9728)."""

from typing import Any

READ = "reports:read"
WRITE = "reports:write"
TITLE_MAX = 100
REPORTS = ("Sales of the first quarter", "Sales of the second quarter")


def metadata(resource: str, issuer: str) -> dict[str, Any]:
    """Say whose tokens are taken, for what, and where."""
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": [READ, WRITE],
        "bearer_methods_supported": ["header"],
    }
