"""Web links for the `Link` header (RFC 8288)."""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlencode


def link_header(
    path: str,
    cursors: Mapping[str, str | None],
    query: Mapping[str, str | int | None] = MappingProxyType({}),
) -> str:
    """Write a link for each relation to the same query at its cursor.

    Targets are relative references: no `Host` of the request, which a
    client chooses, ends up in an answer. A relation whose cursor is
    `None` is left out; `""` stands for no cursor.
    """
    return ", ".join(
        f"<{path}?{query_string({**query, 'cursor': cursor or None})}>;"
        f' rel="{relation}"'
        for relation, cursor in cursors.items()
        if cursor is not None
    )


def query_string(query: Mapping[str, str | int | None]) -> str:
    """Write the parameters that have a value."""
    return urlencode(
        {name: value for name, value in query.items() if value is not None}
    )
