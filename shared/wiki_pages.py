"""The pages of the wiki in SQLAlchemy: the table, and what is asked of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    UniqueConstraint,
    and_,
    func,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database import Instant


class Base(DeclarativeBase):
    """The tables of the wiki."""


class Page(Base):
    """A page in one language, with a number for each of its states."""

    __tablename__ = "pages"
    __table_args__ = (UniqueConstraint("slug", "language"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    language: Mapped[str]
    title: Mapped[str]
    text: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    edited_at: Mapped[datetime] = mapped_column(Instant)
    edited_by: Mapped[str]


def select_page(slug: str, language: str) -> Select[Page]:
    """Select a page in a language."""
    return select(Page).where(Page.slug == slug, Page.language == language)


def select_titles(language: str) -> Select[str, str]:
    """Select the slugs and titles of all pages in a language."""
    found = select(Page.slug, Page.title).where(Page.language == language)
    return found.order_by(Page.title, Page.id)


def select_edited_by(user: str) -> Select[str, str, int]:
    """Select what a user was the last to edit."""
    found = select(Page.slug, Page.language, Page.version)
    return found.where(Page.edited_by == user).order_by(Page.id)


def count_edits(language: str | None = None) -> Select[int | None]:
    """Count how often pages were written.

    It only ever grows, since no page is deleted.
    """
    found = select(func.sum(Page.version))
    return found if language is None else found.filter_by(language=language)


def as_found(page: Page, *, any_version: bool) -> ColumnElement[bool]:
    """Match the row of a page as it was found, or as it may be by now."""
    if any_version:
        return Page.id == page.id
    return and_(Page.id == page.id, Page.version == page.version)


def change_page(
    found: ColumnElement[bool], values: Mapping[str, Any], user: str
) -> ReturningUpdate[int]:
    """Write a page anew, if it is as it was found; or no page."""
    statement = update(Page).where(found)
    statement = statement.values(
        **values,
        edited_by=user,
        edited_at=datetime.now(UTC),
        # rule: validators
        version=Page.version + 1,
    )
    return statement.returning(Page.id)
