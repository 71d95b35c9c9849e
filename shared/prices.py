"""A list of prices in SQLAlchemy."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables of the shop."""


class Price(Base):
    """What an article costs."""

    __tablename__ = "prices"

    article: Mapped[str] = mapped_column(primary_key=True)
    cents: Mapped[int]
