"""Keyset pagination in Litestar: a class reads the query, a session the page.

Idiom: handlers name what they need, layers provide it; structs come and go.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from itsdangerous import BadData, URLSafeSerializer
from litestar import Litestar, Request, Response, delete, get, post
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.params import Parameter
from msgspec import Meta, Struct, convert
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from frameworks.litestar.problems import ProblemPlugin, QueryError
from shared import library
from shared.books import ORDERS, Base, Book
from shared.cursors import END, START, Cursor, cut_page, look_behind
from shared.database import async_url, sync_url
from shared.keyset import select_neighbour, select_page
from shared.links import link_header

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///books.db")
SEED = int(os.environ.get("SEED", "0"))
PAGE_LIMIT_MAX = int(os.environ.get("PAGE_LIMIT_MAX", "100"))
PAGE_LIMIT_DEFAULT = min(
    int(os.environ.get("PAGE_LIMIT_DEFAULT", "20")), PAGE_LIMIT_MAX
)
# rule: lasting-cursor
CURSOR_SECRET = os.environ["CURSOR_SECRET"]

BookId = Annotated[int, Parameter(ge=1, le=library.ID_MAX)]


@dataclass
class PageQuery:
    """Which page of which books."""

    limit: Annotated[
        int,
        Parameter(
            # rule: bounded-limit
            ge=1,
            # rule: bounded-limit
            le=PAGE_LIMIT_MAX,
        ),
    ] = PAGE_LIMIT_DEFAULT
    # rule: listed-sort
    sort: Literal["added_at", "-added_at", "title", "-title"] = "-added_at"
    genre: Annotated[
        str | None,
        Parameter(
            max_length=library.GENRE_LENGTH,
            # rule: listed-sort
            pattern=library.GENRE.pattern,
        ),
    ] = None
    cursor: str | None = None


class BookInput(Struct, forbid_unknown_fields=True):
    """A book as a client sends it."""

    title: Annotated[
        str,
        Meta(max_length=library.TITLE_LENGTH, pattern=library.TITLE.pattern),
    ]
    genre: Annotated[
        str,
        Meta(max_length=library.GENRE_LENGTH, pattern=library.GENRE.pattern),
    ]


class BookOutput(Struct):
    """A book as it is shown."""

    id: int
    title: str
    genre: str
    added_at: datetime


class BookPage(Struct):
    """A page of books as it is shown."""

    items: list[BookOutput]
    next: str | None
    prev: str | None


def cursor_signer(query: PageQuery) -> URLSafeSerializer:
    """Sign for one sort and one filter: the salt is part of the key."""
    return URLSafeSerializer(
        CURSOR_SECRET,
        # rule: bound-cursor
        salt=f"books sort={query.sort} genre={query.genre}",
    )


def encode_cursor(cursor: Cursor | None, query: PageQuery) -> str | None:
    """Make a token of a cursor, if there is one."""
    if cursor is None:
        return None
    return cursor_signer(query).dumps(cursor.to_json())


def decode_cursor(query: PageQuery) -> Cursor:
    """Take the cursor that the query brings; refuse one not made here."""
    token = query.cursor
    if token is None:
        return START
    refusal = QueryError({"cursor": "Not a cursor of this list."})
    try:
        # rule: opaque-cursor
        data = cursor_signer(query).loads(token)
    except BadData:
        raise refusal from None
    cursor = Cursor.from_json(data, ORDERS[query.sort].kind)
    # Base64 spells the same signature in several ways.
    # rule: opaque-cursor
    if encode_cursor(cursor, query) != token:
        raise refusal
    return cursor


@get("/books", name="list_books")
async def list_books(
    paging: PageQuery, session: AsyncSession, request: Request[Any, Any, Any]
) -> Response[BookPage]:
    """List one page of books."""
    cursor = decode_cursor(paging)
    order, limit = ORDERS[paging.sort], paging.limit
    found = select(Book)
    if paging.genre is not None:
        found = found.where(Book.genre == paging.genre)
    rows = [*await session.scalars(select_page(found, order, cursor, limit))]
    behind = select_neighbour(found, order, look_behind(rows, order, cursor))
    page = cut_page(
        rows,
        order,
        cursor,
        limit,
        # rule: exact-end
        begun=await session.scalar(behind) is not None,
    )
    body = BookPage(
        items=convert(page.items, list[BookOutput], from_attributes=True),
        next=encode_cursor(page.next, paging),
        prev=encode_cursor(page.prev, paging),
    )
    response = Response(body)
    # rule: links
    response.set_header("Link", page_links(request, paging, body))
    return response


def page_links(
    request: Request[Any, Any, Any], query: PageQuery, body: BookPage
) -> str:
    """Write the links from one page to the others."""
    return link_header(
        request.app.route_reverse("list_books"),
        {
            "first": "",
            "prev": body.prev,
            "next": body.next,
            "last": encode_cursor(END, query),
        },
        # rule: links
        {name: getattr(query, name) for name in ("limit", "sort", "genre")},
    )


@post("/books")
async def create_book(
    data: BookInput, session: AsyncSession, request: Request[Any, Any, Any]
) -> Response[BookOutput]:
    """Add a book."""
    book = Book(title=data.title, genre=data.genre)
    session.add(book)
    await session.commit()
    location = request.app.route_reverse("get_book", book_id=book.id)
    body = convert(book, BookOutput, from_attributes=True)
    return Response(body, headers={"Location": location})


@get("/books/{book_id:int}", name="get_book")
async def get_book(book_id: BookId, session: AsyncSession) -> BookOutput:
    """Show one book."""
    book = await session.get(Book, book_id)
    if book is None:
        raise NotFoundException
    return convert(book, BookOutput, from_attributes=True)


@delete("/books/{book_id:int}")
async def delete_book(book_id: BookId, session: AsyncSession) -> None:
    """Take a book out."""
    book = await session.get(Book, book_id)
    if book is None:
        raise NotFoundException
    await session.delete(book)
    await session.commit()


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Book.id))):
            for batch in library.seed_batches(SEED):
                connection.execute(insert(Book), batch)
    engine.dispose()


def create_app() -> Litestar:
    """Wire the application."""
    database = SQLAlchemyAsyncConfig(
        engine_instance=create_async_engine(async_url(DATABASE_URL)),
        session_config=AsyncSessionConfig(expire_on_commit=False),
        session_dependency_key="session",
    )
    return Litestar(
        [list_books, create_book, get_book, delete_book],
        dependencies={"paging": Provide(PageQuery, sync_to_thread=False)},
        plugins=[ProblemPlugin(), SQLAlchemyInitPlugin(database)],
        request_max_body_size=2**20,
    )
