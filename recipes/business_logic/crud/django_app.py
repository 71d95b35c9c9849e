"""CRUD in Django: a view class for each URL, querysets that change rows.

Idiom: `View` answers by method; Pydantic reads and writes JSON.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, ClassVar

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import parse_etags, quote_etag
from django.views import View
from pydantic import BaseModel, ConfigDict, Field

from frameworks.django.config import configure
from frameworks.django.problems import (
    ProblemError,
    fill,
    load_json,
    problem_response,
    read_json,
)
from frameworks.django.wsgi import Handler
from shared import goods
from shared.problems import problem_document

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///products.db")
SEED = int(os.environ.get("SEED", "0"))

configure(__name__, DATABASE_URL)


class Product(models.Model):
    """A product, with a number for each of its states."""

    sku = models.TextField()
    name = models.TextField()
    price = models.IntegerField()
    note = models.TextField(null=True)
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager["Product"]] = models.Manager()

    class Meta:
        db_table = "products"
        constraints = [
            # rule: unique
            models.UniqueConstraint(Lower("sku"), name="products_by_sku"),
        ]


Sku = Annotated[str, Field(max_length=goods.SKU_LENGTH, pattern=goods.SKU)]
Text = Annotated[str, Field(max_length=goods.TEXT_LENGTH, pattern=goods.TEXT)]
Price = Annotated[int, Field(ge=0, le=goods.PRICE_MAX)]


class ProductInput(BaseModel):
    """A product as a client sends it."""

    model_config = ConfigDict(
        strict=True,
        # rule: server-owned
        extra="forbid",
    )

    sku: Sku
    name: Text
    price: Price
    note: Text | None = Field(
        # rule: replaced
        default=None
    )


class ProductPatch(ProductInput):
    """A product in part: no default is ever stored."""

    sku: Sku = ""
    name: Text = ""
    price: Price = 0


class ProductOutput(BaseModel):
    """A product as it is shown."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    sku: str
    name: str
    price: int
    note: str | None
    version: int
    created_at: datetime


class TakenError(ProblemError):
    """A SKU that another product has."""

    def __init__(self) -> None:
        super().__init__(409)
        self.problem = goods.sku_taken()


def find_product(product_id: int) -> Product:
    """Find a product, or answer 404."""
    # rule: not-found
    return get_object_or_404(Product, id=product_id)


def check_version(request: HttpRequest, product: Product) -> models.Q:
    """Let only those change a row who have seen it; give it as seen."""
    # rule: precondition
    if "If-Match" not in request.headers:
        raise ProblemError(428)
    tags = parse_etags(request.headers["If-Match"])
    if tags == ["*"]:
        return models.Q(id=product.pk)
    # rule: precondition
    if quote_etag(str(product.version)) not in tags:
        raise ProblemError(412)
    return models.Q(
        id=product.pk,
        # rule: one-winner
        version=product.version,
    )


def save_product(
    product: Product, found: models.Q, values: dict[str, Any]
) -> Product:
    """Change the row, if nobody has in the meantime: in one statement."""
    with answer_taken():
        changed = Product.objects.filter(found).update(
            **values,
            # rule: precondition
            version=models.F("version") + 1,
        )
        # rule: one-winner
        if not changed:
            raise ProblemError(412)
        product.refresh_from_db()
    return product


def show_product(product: Product) -> dict[str, Any]:
    """Show a product as JSON has it."""
    return ProductOutput.model_validate(product).model_dump(mode="json")


def path_of(product: Product) -> str:
    """Say where a product is."""
    return reverse("product", args=[product.pk])


class ProductsView(View):
    """All products."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create a product."""
        product = Product(**read_json(request, ProductInput).model_dump())
        with answer_taken():
            product.save()
        headers = {
            # rule: created
            "Location": path_of(product),
            # rule: created
            "ETag": quote_etag(str(product.version)),
        }
        return JsonResponse(show_product(product), status=201, headers=headers)


class ProductView(View):
    """One product."""

    def get(self, request: HttpRequest, product_id: int) -> HttpResponse:
        """Show a product."""
        product = find_product(product_id)
        headers = {
            # rule: created
            "ETag": quote_etag(str(product.version)),
            # rule: merged
            "Accept-Patch": goods.MERGE_PATCH,
        }
        return JsonResponse(show_product(product), headers=headers)

    def put(self, request: HttpRequest, product_id: int) -> HttpResponse:
        """Replace a product as a whole."""
        # What is no JSON is refused whatever the version.
        # rule: precondition
        body = load_json(request)
        product = find_product(product_id)
        found = check_version(request, product)
        values = fill(ProductInput, body).model_dump()
        product = save_product(product, found, values)
        headers = {
            # rule: shown
            "Content-Location": path_of(product),
        }
        return JsonResponse(show_product(product), headers=headers)

    def patch(self, request: HttpRequest, product_id: int) -> HttpResponse:
        """Merge a patch into a product."""
        # rule: merged
        if request.content_type != goods.MERGE_PATCH:
            return refuse_patch()
        # rule: precondition
        body = load_json(request)
        product = find_product(product_id)
        found = check_version(request, product)
        values = fill(ProductPatch, body).model_dump(
            # rule: merged
            exclude_unset=True
        )
        product = save_product(product, found, values)
        headers = {
            # rule: shown
            "Content-Location": path_of(product),
            # rule: shown
            "ETag": quote_etag(str(product.version)),
        }
        return JsonResponse(show_product(product), headers=headers)

    def delete(self, request: HttpRequest, product_id: int) -> HttpResponse:
        """Delete a product."""
        product = find_product(product_id)
        found = check_version(request, product)
        deleted, _ = Product.objects.filter(found).delete()
        # rule: one-winner
        if not deleted:
            raise ProblemError(412)
        return HttpResponse(
            # rule: deleted
            status=204
        )


def refuse_patch() -> HttpResponse:
    """Say what kind of patch is taken."""
    response = problem_response(problem_document(415))
    # rule: merged
    response.headers["Accept-Patch"] = goods.MERGE_PATCH
    return response


@contextmanager
def answer_taken() -> Iterator[None]:
    """Answer what the database refuses: its only constraint is the SKU."""
    try:
        with transaction.atomic():
            yield
    # rule: unique
    except IntegrityError:
        raise TakenError from None


urlpatterns = [
    path("products", ProductsView.as_view(), name="products"),
    path("products/<int:product_id>", ProductView.as_view(), name="product"),
]


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        if not Product.objects.exists():
            rows = goods.seed_products(SEED)
            Product.objects.bulk_create(Product(**row) for row in rows)
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
