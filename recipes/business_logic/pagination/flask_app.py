"""Keyset pagination in Flask: a schema reads the query, a session the page.

Idiom: views on a blueprint return dictionaries; schemas load and dump.
"""

import os
from typing import Any

from flask import Blueprint, Flask, abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from itsdangerous import BadData, URLSafeSerializer
from marshmallow import Schema, fields
from marshmallow.validate import Length, OneOf, Range, Regexp
from sqlalchemy import func, insert, select

from frameworks.flask.problems import (
    QueryError,
    QuerySchema,
    register_problems,
)
from shared import library
from shared.books import ORDERS, Base, Book
from shared.cursors import END, START, Cursor, cut_page, look_behind
from shared.database import sync_url
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

db = SQLAlchemy()
books = Blueprint("books", __name__)


class PageQuery(QuerySchema):
    """Which page of which books."""

    limit = fields.Integer(
        load_default=PAGE_LIMIT_DEFAULT,
        # rule: bounded-limit
        validate=Range(1, PAGE_LIMIT_MAX),
    )
    sort = fields.String(
        load_default="-added_at",
        # rule: listed-sort
        validate=OneOf(ORDERS),
    )
    genre = fields.String(
        load_default=None,
        # rule: listed-sort
        validate=[Length(max=library.GENRE_LENGTH), Regexp(library.GENRE)],
    )
    cursor = fields.String(load_default=None)


class BookInput(Schema):
    """A book as a client sends it."""

    title = fields.String(
        required=True,
        validate=[Length(max=library.TITLE_LENGTH), Regexp(library.TITLE)],
    )
    genre = fields.String(
        required=True,
        validate=[Length(max=library.GENRE_LENGTH), Regexp(library.GENRE)],
    )


class BookOutput(BookInput):
    """A book as it is shown."""

    id = fields.Integer()
    added_at = fields.AwareDateTime()


def cursor_signer(query: dict[str, Any]) -> URLSafeSerializer:
    """Sign for one sort and one filter: the salt is part of the key."""
    return URLSafeSerializer(
        CURSOR_SECRET,
        # rule: bound-cursor
        salt=f"books sort={query['sort']} genre={query['genre']}",
    )


def encode_cursor(cursor: Cursor | None, query: dict[str, Any]) -> str | None:
    """Make a token of a cursor, if there is one."""
    if cursor is None:
        return None
    return cursor_signer(query).dumps(cursor.to_json())


def decode_cursor(query: dict[str, Any]) -> Cursor:
    """Take the cursor that the query brings; refuse one not made here."""
    token = query["cursor"]
    if token is None:
        return START
    refusal = QueryError({"cursor": ["Not a cursor of this list."]})
    try:
        # rule: opaque-cursor
        data = cursor_signer(query).loads(token)
    except BadData:
        raise refusal from None
    cursor = Cursor.from_json(data, ORDERS[query["sort"]].kind)
    # Base64 spells the same signature in several ways.
    # rule: opaque-cursor
    if encode_cursor(cursor, query) != token:
        raise refusal
    return cursor


@books.get("/books")
def list_books() -> ResponseReturnValue:
    """List one page of books."""
    query = PageQuery().load(request.args)
    cursor = decode_cursor(query)
    order, limit = ORDERS[query["sort"]], query["limit"]
    found = select(Book)
    if query["genre"] is not None:
        found = found.where(Book.genre == query["genre"])
    rows = db.session.scalars(select_page(found, order, cursor, limit)).all()
    behind = select_neighbour(found, order, look_behind(rows, order, cursor))
    page = cut_page(
        rows,
        order,
        cursor,
        limit,
        # rule: exact-end
        begun=db.session.scalar(behind) is not None,
    )
    body = {
        "items": BookOutput(many=True).dump(page.items),
        "next": encode_cursor(page.next, query),
        "prev": encode_cursor(page.prev, query),
    }
    headers = {
        # rule: links
        "Link": page_links(query, body),
    }
    return body, headers


def page_links(query: dict[str, Any], body: dict[str, Any]) -> str:
    """Write the links from one page to the others."""
    return link_header(
        url_for("books.list_books"),
        {
            "first": "",
            "prev": body["prev"],
            "next": body["next"],
            "last": encode_cursor(END, query),
        },
        # rule: links
        {name: query[name] for name in ("limit", "sort", "genre")},
    )


@books.post("/books")
def create_book() -> ResponseReturnValue:
    """Add a book."""
    book = Book(**BookInput().load(request.get_json()))
    db.session.add(book)
    db.session.commit()
    location = url_for("books.get_book", book_id=book.id)
    return BookOutput().dump(book), 201, {"Location": location}


@books.get(f"/books/<int(max={library.ID_MAX}):book_id>")
def get_book(book_id: int) -> ResponseReturnValue:
    """Show one book."""
    book = db.session.get(Book, book_id)
    if book is None:
        abort(404)
    body: dict[str, Any] = BookOutput().dump(book)
    return body


@books.delete(f"/books/<int(max={library.ID_MAX}):book_id>")
def delete_book(book_id: int) -> ResponseReturnValue:
    """Take a book out."""
    book = db.session.get(Book, book_id)
    if book is None:
        abort(404)
    db.session.delete(book)
    db.session.commit()
    return "", 204


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    with create_app().app_context(), db.engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Book.id))):
            for batch in library.seed_batches(SEED):
                connection.execute(insert(Book), batch)


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.config["SQLALCHEMY_ENGINES"] = {"default": sync_url(DATABASE_URL)}
    db.init_app(app)
    register_problems(app)
    app.register_blueprint(books)
    return app
