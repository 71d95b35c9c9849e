"""Database addresses and column types that mean the same everywhere."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlalchemy.engine import URL, make_url


def sync_url(url: str) -> URL:
    """Name the driver that blocks: sqlite3, or psycopg for PostgreSQL."""
    return _with_driver(url, {"postgresql": "postgresql+psycopg"})


def async_url(url: str) -> URL:
    """Name the driver that awaits: aiosqlite, or psycopg for PostgreSQL."""
    return _with_driver(
        url,
        {
            "sqlite": "sqlite+aiosqlite",
            "postgresql": "postgresql+psycopg",
        },
    )


def _with_driver(url: str, drivers: dict[str, str]) -> URL:
    parsed = make_url(url)
    return parsed.set(
        drivername=drivers.get(parsed.drivername, parsed.drivername)
    )


class Instant(TypeDecorator[datetime]):
    """A point in time, to the microsecond, in UTC on both sides.

    SQLite keeps no offset: without this a time comes back naive.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What a row holds."""
        return datetime

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Refuse a time without offset; bring any other to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no offset from UTC")
        return value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Give back the offset that the database may have dropped."""
        if value is None:
            return None
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
