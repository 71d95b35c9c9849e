"""The books of the library in SQLAlchemy, and the orders they come in."""

from datetime import UTC, datetime

from sqlalchemy import Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import Instant
from shared.keyset import Order


class Base(DeclarativeBase):
    """The tables of the library."""


class Book(Base):
    """A book, with an index for each order that it is listed in."""

    __tablename__ = "books"
    # rule: flat-cost
    __table_args__ = (
        Index("books_by_added_at", "added_at", "id"),
        Index("books_by_title", "title", "id"),
        Index("books_by_genre_and_added_at", "genre", "added_at", "id"),
        Index("books_by_genre_and_title", "genre", "title", "id"),
        # The number of a deleted book is not given out again.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    genre: Mapped[str]
    added_at: Mapped[datetime] = mapped_column(
        Instant, default=lambda: datetime.now(UTC)
    )


ORDERS = {
    "added_at": Order(Book.added_at, Book.id),
    "-added_at": Order(Book.added_at, Book.id, descending=True),
    "title": Order(Book.title, Book.id),
    "-title": Order(Book.title, Book.id, descending=True),
}
