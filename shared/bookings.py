"""The bookings of the hotel in SQLAlchemy."""

from datetime import date
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables of the hotel."""


class Booking(Base):
    """A booking: the document that is shown, and what is not shown."""

    __tablename__ = "bookings"
    # The number of a booking is not given out again.
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    arrival: Mapped[date] = mapped_column(index=True)
    door_code: Mapped[str]
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
