"""Keyset pagination in aiohttp: a model reads the query, a session the page.

Idiom: handlers take the request and return a response; the rest is explicit.
"""

import logging
import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from itsdangerous import BadData, URLSafeSerializer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import (
    QueryError,
    answer_problems,
    read_json,
    read_query,
)
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


SESSIONS = web.AppKey("SESSIONS", async_sessionmaker[AsyncSession])
SESSION = web.RequestKey("SESSION", AsyncSession)
routes = web.RouteTableDef()


class PageQuery(BaseModel):
    """Which page of which books."""

    limit: int = Field(
        PAGE_LIMIT_DEFAULT,
        # rule: bounded-limit
        ge=1,
        # rule: bounded-limit
        le=PAGE_LIMIT_MAX,
    )
    # rule: listed-sort
    sort: Literal["added_at", "-added_at", "title", "-title"] = "-added_at"
    genre: str | None = Field(
        None,
        max_length=library.GENRE_LENGTH,
        # rule: listed-sort
        pattern=library.GENRE,
    )
    cursor: str | None = None


class BookInput(BaseModel):
    """A book as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(max_length=library.TITLE_LENGTH, pattern=library.TITLE)
    genre: str = Field(max_length=library.GENRE_LENGTH, pattern=library.GENRE)


class BookOutput(BaseModel):
    """A book as it is shown."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    genre: str
    added_at: datetime


class BookPage(BaseModel):
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


@routes.get("/books", name="books")
async def list_books(request: web.Request) -> web.Response:
    """List one page of books."""
    query, session = read_query(request, PageQuery), request[SESSION]
    cursor = decode_cursor(query)
    order, limit = ORDERS[query.sort], query.limit
    found = select(Book)
    if query.genre is not None:
        found = found.where(Book.genre == query.genre)
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
        items=[BookOutput.model_validate(book) for book in page.items],
        next=encode_cursor(page.next, query),
        prev=encode_cursor(page.prev, query),
    )
    headers = {
        # rule: links
        "Link": page_links(request, query, body),
    }
    return web.json_response(text=body.model_dump_json(), headers=headers)


def page_links(request: web.Request, query: PageQuery, body: BookPage) -> str:
    """Write the links from one page to the others."""
    return link_header(
        str(request.app.router["books"].url_for()),
        {
            "first": "",
            "prev": body.prev,
            "next": body.next,
            "last": encode_cursor(END, query),
        },
        # rule: links
        query.model_dump(include={"limit", "sort", "genre"}),
    )


@routes.post("/books", name="books")
async def create_book(request: web.Request) -> web.Response:
    """Add a book."""
    book_input = await read_json(request, BookInput)
    book = Book(**book_input.model_dump())
    request[SESSION].add(book)
    await request[SESSION].commit()
    location = request.app.router["book"].url_for(book_id=str(book.id))
    return web.json_response(
        text=BookOutput.model_validate(book).model_dump_json(),
        status=201,
        headers={"Location": str(location)},
    )


def read_id(request: web.Request) -> int:
    """Read the number of a book from the path."""
    book_id = int(request.match_info["book_id"])
    if book_id > library.ID_MAX:
        raise web.HTTPNotFound
    return book_id


@routes.get("/books/{book_id:[0-9]{1,10}}", name="book")
async def get_book(request: web.Request) -> web.Response:
    """Show one book."""
    book = await request[SESSION].get(Book, read_id(request))
    if book is None:
        raise web.HTTPNotFound
    return web.json_response(
        text=BookOutput.model_validate(book).model_dump_json()
    )


@routes.delete("/books/{book_id:[0-9]{1,10}}", name="book")
async def delete_book(request: web.Request) -> web.Response:
    """Take a book out."""
    book = await request[SESSION].get(Book, read_id(request))
    if book is None:
        raise web.HTTPNotFound
    await request[SESSION].delete(book)
    await request[SESSION].commit()
    return web.Response(status=204)


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Book.id))):
            for batch in library.seed_batches(SEED):
                connection.execute(insert(Book), batch)
    engine.dispose()


async def keep_engine(app: web.Application) -> AsyncIterator[None]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    app[SESSIONS] = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


@web.middleware
async def open_session(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Open a session for one request."""
    async with request.app[SESSIONS]() as session:
        request[SESSION] = session
        return await handler(request)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(middlewares=[answer_problems, open_session])
    app.cleanup_ctx.append(keep_engine)
    app.add_routes(routes)
    return app
