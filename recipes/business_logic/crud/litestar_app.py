"""CRUD in Litestar: a controller, guarded and given what it needs.

Idiom: layers provide what must hold first; `UNSET` is what was not sent.
"""

import os
from datetime import datetime
from typing import Annotated, Any

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import (
    Controller,
    Litestar,
    Request,
    Response,
    delete,
    get,
    patch,
    post,
    put,
)
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import Dependency, Parameter
from msgspec import UNSET, Meta, Struct, UnsetType, convert, to_builtins
from sqlalchemy import ColumnElement, create_engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from frameworks.litestar.problems import ProblemPlugin
from shared import goods
from shared.database import async_url, sync_url
from shared.preconditions import is_match, strong_tag
from shared.problems import MEDIA_TYPE, Problem
from shared.products import (
    Base,
    Product,
    as_found,
    change_product,
    remove_product,
)

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///products.db")
SEED = int(os.environ.get("SEED", "0"))

Sku = Annotated[
    str, Meta(max_length=goods.SKU_LENGTH, pattern=goods.SKU.pattern)
]
Text = Annotated[
    str, Meta(max_length=goods.TEXT_LENGTH, pattern=goods.TEXT.pattern)
]
Price = Annotated[int, Meta(ge=0, le=goods.PRICE_MAX)]
ProductId = Annotated[
    int,
    Parameter(
        # rule: not-found
        le=goods.ID_MAX
    ),
]
AsFound = Annotated[ColumnElement[bool], Dependency(skip_validation=True)]


class ProductInput(
    Struct,
    # rule: server-owned
    forbid_unknown_fields=True,
):
    """A product as a client sends it."""

    sku: Sku
    name: Text
    price: Price
    # rule: replaced
    note: Text | None = None


class ProductPatch(
    Struct,
    # rule: server-owned
    forbid_unknown_fields=True,
):
    """A product in part, as a client sends it."""

    sku: Sku | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    note: Text | UnsetType | None = UNSET


class ProductOutput(Struct):
    """A product as it is shown."""

    id: int
    sku: str
    name: str
    price: int
    note: str | None
    version: int
    created_at: datetime


async def find_product(
    product_id: ProductId, session: AsyncSession
) -> Product:
    """Find a product, or answer 404."""
    product = await session.get(Product, product_id)
    # rule: not-found
    if product is None:
        raise NotFoundException
    return product


def check_version(
    request: Request[Any, Any, Any], product: Product
) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    given = request.headers.getall("If-Match", [])
    # rule: precondition
    if not given:
        raise HTTPException(status_code=428)
    # rule: precondition
    if not is_match(", ".join(given), strong_tag(product.version)):
        raise HTTPException(status_code=412)
    return as_found(product, any_version=given == ["*"])


async def save_product(
    session: AsyncSession, found: ColumnElement[bool], values: dict[str, Any]
) -> Product:
    """Change the row, if nobody has in the meantime."""
    saved = await session.scalar(change_product(found, values))
    # rule: one-winner
    if saved is None:
        raise HTTPException(status_code=412)
    # rule: kept
    await session.commit()
    return saved


def show_product(
    product: Product, headers: dict[str, str], status: int = 200
) -> Response[ProductOutput]:
    """Show a product as JSON has it."""
    body = convert(product, ProductOutput, from_attributes=True)
    return Response(body, status_code=status, headers=headers)


def path_of(request: Request[Any, Any, Any], product: Product) -> str:
    """Say where a product is."""
    return request.app.route_reverse("product", product_id=product.id)


def require_merge_patch(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Say what kind of patch is taken."""
    media_type = connection.headers.get("Content-Type", "").partition(";")[0]
    # rule: merged
    if media_type.strip().lower() != goods.MERGE_PATCH:
        headers = {
            # rule: merged
            "Accept-Patch": goods.MERGE_PATCH,
        }
        raise HTTPException(status_code=415, headers=headers)


class ProductController(Controller):
    """The products, and one product."""

    path = "/products"
    dependencies = {
        "product": Provide(find_product),
        "found": Provide(check_version, sync_to_thread=False),
    }

    @post()
    async def create_product(
        self,
        data: ProductInput,
        session: AsyncSession,
        request: Request[Any, Any, Any],
    ) -> Response[ProductOutput]:
        """Create a product."""
        product = Product(**to_builtins(data))
        session.add(product)
        # rule: kept
        await session.commit()
        headers = {
            # rule: created
            "Location": path_of(request, product),
            # rule: created
            "ETag": strong_tag(product.version),
        }
        return show_product(product, headers, 201)

    @get("/{product_id:int}", name="product")
    async def get_product(self, product: Product) -> Response[ProductOutput]:
        """Show a product."""
        headers = {
            # rule: created
            "ETag": strong_tag(product.version),
            # rule: merged
            "Accept-Patch": goods.MERGE_PATCH,
        }
        return show_product(product, headers)

    @put("/{product_id:int}")
    async def replace_product(
        self,
        data: ProductInput,
        found: AsFound,
        session: AsyncSession,
        request: Request[Any, Any, Any],
    ) -> Response[ProductOutput]:
        """Replace a product as a whole."""
        product = await save_product(session, found, to_builtins(data))
        headers = {
            # rule: shown
            "Content-Location": path_of(request, product),
        }
        return show_product(product, headers)

    @patch("/{product_id:int}", guards=[require_merge_patch])
    async def update_product(
        self,
        data: ProductPatch,
        found: AsFound,
        session: AsyncSession,
        request: Request[Any, Any, Any],
    ) -> Response[ProductOutput]:
        """Merge a patch into a product; what is unset is left out."""
        product = await save_product(session, found, to_builtins(data))
        headers = {
            # rule: shown
            "Content-Location": path_of(request, product),
            # rule: shown
            "ETag": strong_tag(product.version),
        }
        return show_product(product, headers)

    @delete("/{product_id:int}")
    async def delete_product(
        self, found: AsFound, session: AsyncSession
    ) -> None:
        """Delete a product."""
        # rule: one-winner
        if await session.scalar(remove_product(found)) is None:
            raise HTTPException(status_code=412)
        # rule: kept
        await session.commit()


def answer_taken(
    _request: Request[Any, Any, Any], _error: IntegrityError
) -> Response[Problem]:
    """Answer what the database refuses: its only constraint is the SKU."""
    return Response(goods.sku_taken(), status_code=409, media_type=MEDIA_TYPE)


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Product.id))):
            for row in goods.seed_products(SEED):
                connection.execute(insert(Product).values(row))
    engine.dispose()


def create_app() -> Litestar:
    """Wire the application."""
    database = SQLAlchemyAsyncConfig(
        engine_instance=create_async_engine(async_url(DATABASE_URL)),
        session_config=AsyncSessionConfig(expire_on_commit=False),
        session_dependency_key="session",
    )
    return Litestar(
        [ProductController],
        exception_handlers={
            # rule: unique
            IntegrityError: answer_taken,
        },
        plugins=[
            ProblemPlugin(quiet=[IntegrityError]),
            SQLAlchemyInitPlugin(database),
        ],
        request_max_body_size=2**20,
    )
