"""The products of a shop in SQLAlchemy, and what keeps them apart."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Index, and_, delete, func, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from shared.database import Instant


class Base(DeclarativeBase):
    """The tables of the shop."""


class Product(Base):
    """A product, with a number for each of its states."""

    __tablename__ = "products"
    __table_args__ = {
        # The id of a deleted product is not given out again.
        # rule: deleted
        "sqlite_autoincrement": True,
    }

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str]
    name: Mapped[str]
    price: Mapped[int]
    note: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(
        Instant, default=lambda: datetime.now(UTC)
    )


Index(
    "products_by_sku",
    # rule: unique
    func.lower(Product.sku),
    # rule: unique
    unique=True,
)


def as_found(product: Product, *, any_version: bool) -> ColumnElement[bool]:
    """Match the row of a product as it was found, or as it may be by now."""
    if any_version:
        return Product.id == product.id
    return and_(
        Product.id == product.id,
        # rule: one-winner
        Product.version == product.version,
    )


def change_product(
    found: ColumnElement[bool], values: Mapping[str, Any]
) -> ReturningUpdate[Product]:
    """Change a row and see it changed, in one statement; or no row."""
    statement = update(Product).where(found)
    statement = statement.values(
        **values,
        # rule: precondition
        version=Product.version + 1,
    )
    # The session has it as it was.
    options = {"populate_existing": True}
    return statement.returning(Product).execution_options(**options)


def remove_product(
    found: ColumnElement[bool],
) -> ReturningDelete[int]:
    """Delete a row and see which, in one statement; or no row."""
    return delete(Product).where(found).returning(Product.id)
