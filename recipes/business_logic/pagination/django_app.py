"""Keyset pagination in Django: a model reads the query, a queryset the page.

Idiom: views take a request and return a response; Pydantic reads and writes.
"""

import os
from datetime import datetime
from typing import Any, ClassVar, Literal, NamedTuple

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.signing import BadSignature, Signer
from django.db import connection, models, transaction
from django.db.models.fields.tuple_lookups import (
    Tuple,
    TupleGreaterThan,
    TupleLessThan,
)
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.views import View
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import configure
from frameworks.django.problems import QueryError, read_json, read_query
from frameworks.django.wsgi import Handler
from shared import library
from shared.cursors import END, START, Cursor, Place, cut_page, look_behind
from shared.links import link_header

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///books.db")
SEED = int(os.environ.get("SEED", "0"))
PAGE_LIMIT_MAX = int(os.environ.get("PAGE_LIMIT_MAX", "100"))
PAGE_LIMIT_DEFAULT = min(
    int(os.environ.get("PAGE_LIMIT_DEFAULT", "20")), PAGE_LIMIT_MAX
)
# rule: lasting-cursor
CURSOR_SECRET = os.environ["CURSOR_SECRET"]

configure(__name__, DATABASE_URL)


class Book(models.Model):
    """A book, with an index for each order that it is listed in."""

    title = models.TextField()
    genre = models.TextField()
    added_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["Book"]] = models.Manager()

    class Meta:
        db_table = "books"
        # rule: flat-cost
        indexes = [
            models.Index(fields=["added_at", "id"], name="books_by_added_at"),
            models.Index(fields=["title", "id"], name="books_by_title"),
            models.Index(
                fields=["genre", "added_at", "id"],
                name="books_by_genre_and_added_at",
            ),
            models.Index(
                fields=["genre", "title", "id"],
                name="books_by_genre_and_title",
            ),
        ]


class Order(NamedTuple):
    """A sort column, and the id that settles its ties."""

    column: str
    kind: type
    descending: bool = False

    @property
    def columns(self) -> list[str]:
        """Name what books are sorted by, and cursors point at."""
        return [
            self.column,
            # rule: total-order
            "id",
        ]

    def place(self, row: Book) -> Place:
        """Say where a book stands in this order."""
        return tuple(getattr(row, column) for column in self.columns)


ORDERS = {
    "added_at": Order("added_at", datetime),
    "-added_at": Order("added_at", datetime, descending=True),
    "title": Order("title", str),
    "-title": Order("title", str, descending=True),
}


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


def cursor_signer(query: PageQuery) -> Signer:
    """Sign for one sort and one filter: the salt is part of the key."""
    return Signer(
        key=CURSOR_SECRET,
        sep=".",
        # rule: bound-cursor
        salt=f"books sort={query.sort} genre={query.genre}",
    )


def encode_cursor(cursor: Cursor | None, query: PageQuery) -> str | None:
    """Make a token of a cursor, if there is one."""
    if cursor is None:
        return None
    return cursor_signer(query).sign_object(cursor.to_json())


def decode_cursor(query: PageQuery) -> Cursor:
    """Take the cursor that the query brings; refuse one not made here."""
    if query.cursor is None:
        return START
    try:
        # rule: opaque-cursor
        data = cursor_signer(query).unsign_object(query.cursor)
    except BadSignature:
        raise QueryError({"cursor": "Not a cursor of this list."}) from None
    return Cursor.from_json(data, ORDERS[query.sort].kind)


def select_page(
    found: models.QuerySet[Book], order: Order, cursor: Cursor, limit: int
) -> models.QuerySet[Book]:
    """Select the books from the cursor on, as it walks, and one book more.

    The book more is not shown: it tells that another page follows.
    """
    # rule: way-back
    order = order._replace(descending=order.descending != cursor.backward)
    if cursor.place is not None:
        # rule: stable-walk
        found = found.filter(beyond(order, cursor.place))
    found = found.order_by(*order.columns)
    if order.descending:
        found = found.reverse()
    return found[: limit + 1]


def beyond(order: Order, place: Place) -> TupleGreaterThan | TupleLessThan:
    """Compare as one row value, which an index answers in one step."""
    # rule: flat-cost
    compare = TupleLessThan if order.descending else TupleGreaterThan
    return compare(Tuple(*map(models.F, order.columns)), place)


def list_books(request: HttpRequest) -> HttpResponse:
    """List one page of books."""
    query = read_query(request, PageQuery)
    cursor = decode_cursor(query)
    order, limit = ORDERS[query.sort], query.limit
    found = Book.objects.all()
    if query.genre is not None:
        found = found.filter(genre=query.genre)
    rows = list(select_page(found, order, cursor, limit))
    behind = select_page(found, order, look_behind(rows, order, cursor), 0)
    page = cut_page(
        rows,
        order,
        cursor,
        limit,
        # rule: exact-end
        begun=behind.first() is not None,
    )
    body = {
        "items": [show_book(book) for book in page.items],
        "next": encode_cursor(page.next, query),
        "prev": encode_cursor(page.prev, query),
    }
    headers = {
        # rule: links
        "Link": page_links(query, body),
    }
    return JsonResponse(body, headers=headers)


def show_book(book: Book) -> dict[str, Any]:
    """Show a book as JSON has it."""
    return BookOutput.model_validate(book).model_dump(mode="json")


def page_links(query: PageQuery, body: dict[str, Any]) -> str:
    """Write the links from one page to the others."""
    return link_header(
        reverse("books"),
        {
            "first": "",
            "prev": body["prev"],
            "next": body["next"],
            "last": encode_cursor(END, query),
        },
        # rule: links
        query.model_dump(include={"limit", "sort", "genre"}),
    )


def create_book(request: HttpRequest) -> HttpResponse:
    """Add a book."""
    book = Book(**read_json(request, BookInput).model_dump())
    book.save()
    location = reverse("book", args=[book.pk])
    return JsonResponse(
        show_book(book), status=201, headers={"Location": location}
    )


def get_book(request: HttpRequest, book_id: int) -> HttpResponse:
    """Show one book."""
    return JsonResponse(show_book(get_object_or_404(Book, id=book_id)))


def delete_book(request: HttpRequest, book_id: int) -> HttpResponse:
    """Take a book out."""
    deleted, _ = Book.objects.filter(id=book_id).delete()
    if not deleted:
        raise Http404
    return HttpResponse(status=204)


class BooksView(View):
    """The list of books."""

    get = staticmethod(list_books)
    post = staticmethod(create_book)


class BookView(View):
    """One book."""

    get = staticmethod(get_book)
    delete = staticmethod(delete_book)


urlpatterns = [
    path("books", BooksView.as_view(), name="books"),
    path("books/<int:book_id>", BookView.as_view(), name="book"),
]


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        if not Book.objects.exists():
            for batch in library.seed_batches(SEED):
                Book.objects.bulk_create(Book(**row) for row in batch)
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
