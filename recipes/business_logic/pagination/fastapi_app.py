"""Keyset pagination in FastAPI: a model reads the query, a session the page.

Idiom: annotated parameters bring the input, response models the output.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
)
from itsdangerous import BadData, URLSafeSerializer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.fastapi.problems import (
    QueryError,
    StrictRoute,
    register_problems,
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


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with request.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
BookId = Annotated[int, Path(ge=1, le=library.ID_MAX)]
books = APIRouter(route_class=StrictRoute)


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


@books.get("/books", response_model=BookPage)
async def list_books(
    query: Annotated[PageQuery, Query()], session: Session, response: Response
) -> dict[str, Any]:
    """List one page of books."""
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
    body = {
        "items": page.items,
        "next": encode_cursor(page.next, query),
        "prev": encode_cursor(page.prev, query),
    }
    # rule: links
    response.headers["Link"] = page_links(query, body)
    return body


def page_links(query: PageQuery, body: dict[str, Any]) -> str:
    """Write the links from one page to the others."""
    return link_header(
        books.url_path_for("list_books"),
        {
            "first": "",
            "prev": body["prev"],
            "next": body["next"],
            "last": encode_cursor(END, query),
        },
        # rule: links
        query.model_dump(include={"limit", "sort", "genre"}),
    )


@books.post("/books", status_code=201, response_model=BookOutput)
async def create_book(
    book_input: BookInput, session: Session, response: Response
) -> Book:
    """Add a book."""
    book = Book(**book_input.model_dump())
    session.add(book)
    await session.commit()
    location = books.url_path_for("get_book", book_id=book.id)
    response.headers["Location"] = location
    return book


@books.get("/books/{book_id}", response_model=BookOutput)
async def get_book(book_id: BookId, session: Session) -> Book:
    """Show one book."""
    book = await session.get(Book, book_id)
    if book is None:
        raise HTTPException(404)
    return book


@books.delete("/books/{book_id}", status_code=204, response_class=Response)
async def delete_book(book_id: BookId, session: Session) -> None:
    """Take a book out."""
    book = await session.get(Book, book_id)
    if book is None:
        raise HTTPException(404)
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


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
    await engine.dispose()


def create_app() -> FastAPI:
    """Wire the application."""
    app = FastAPI(
        lifespan=lifespan, max_body_size=2**20, redirect_slashes=False
    )
    register_problems(app)
    app.include_router(books)
    return app
