"""CRUD in aiohttp: a view class for each URL, a method for each operation.

Idiom: `web.View` holds the request; the rest is explicit.
"""

import logging
import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, NoReturn

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, create_engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import (
    answer_problems,
    fill,
    load_json,
    read_json,
)
from shared import goods
from shared.database import async_url, sync_url
from shared.preconditions import is_match, strong_tag
from shared.problems import MEDIA_TYPE
from shared.products import (
    Base,
    Product,
    as_found,
    change_product,
    remove_product,
)

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///products.db")
SEED = int(os.environ.get("SEED", "0"))

SESSIONS = web.AppKey("SESSIONS", async_sessionmaker[AsyncSession])
SESSION = web.RequestKey("SESSION", AsyncSession)
routes = web.RouteTableDef()

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


async def find_product(request: web.Request) -> Product:
    """Find a product, or answer 404."""
    product_id = int(request.match_info["product_id"])
    # rule: not-found
    if product_id > goods.ID_MAX:
        raise web.HTTPNotFound
    product = await request[SESSION].get(Product, product_id)
    # rule: not-found
    if product is None:
        raise web.HTTPNotFound
    return product


def check_version(
    request: web.Request, product: Product
) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    # `request.if_match` reads the first of several lines alone.
    given = request.headers.getall(hdrs.IF_MATCH, [])
    # rule: precondition
    if not given:
        raise web.HTTPPreconditionRequired
    # rule: precondition
    if not is_match(", ".join(given), strong_tag(product.version)):
        raise web.HTTPPreconditionFailed
    return as_found(product, any_version=given == ["*"])


async def save_product(
    session: AsyncSession, found: ColumnElement[bool], values: dict[str, Any]
) -> Product:
    """Change the row, if nobody has in the meantime."""
    saved = await session.scalar(change_product(found, values))
    # rule: one-winner
    if saved is None:
        raise web.HTTPPreconditionFailed
    # rule: kept
    await session.commit()
    return saved


def show_product(
    product: Product, headers: dict[str, str], status: int = 200
) -> web.Response:
    """Show a product as JSON has it."""
    body = ProductOutput.model_validate(product).model_dump_json()
    return web.json_response(text=body, status=status, headers=headers)


def path_of(request: web.Request, product: Product) -> str:
    """Say where a product is."""
    product_id = str(product.id)
    return str(request.app.router["product"].url_for(product_id=product_id))


@routes.view("/products", name="products")
class ProductsView(web.View):
    """All products."""

    async def post(self) -> web.Response:
        """Create a product."""
        product_input = await read_json(self.request, ProductInput)
        product = Product(**product_input.model_dump())
        self.request[SESSION].add(product)
        # rule: kept
        await self.request[SESSION].commit()
        headers = {
            # rule: created
            "Location": path_of(self.request, product),
            # rule: created
            "ETag": strong_tag(product.version),
        }
        return show_product(product, headers, 201)


@routes.view("/products/{product_id:[0-9]{1,20}}", name="product")
class ProductView(web.View):
    """One product."""

    async def get(self) -> web.Response:
        """Show a product."""
        product = await find_product(self.request)
        headers = {
            # rule: created
            "ETag": strong_tag(product.version),
            # rule: merged
            "Accept-Patch": goods.MERGE_PATCH,
        }
        return show_product(product, headers)

    head = get

    async def put(self) -> web.Response:
        """Replace a product as a whole."""
        # What is no JSON is refused whatever the version.
        # rule: precondition
        body = await load_json(self.request)
        product = await find_product(self.request)
        found = check_version(self.request, product)
        values = fill(ProductInput, body).model_dump()
        product = await save_product(self.request[SESSION], found, values)
        headers = {
            # rule: shown
            "Content-Location": path_of(self.request, product),
        }
        return show_product(product, headers)

    async def patch(self) -> web.Response:
        """Merge a patch into a product."""
        # rule: merged
        if self.request.content_type.lower() != goods.MERGE_PATCH:
            refuse_patch()
        # rule: precondition
        body = await load_json(self.request)
        product = await find_product(self.request)
        found = check_version(self.request, product)
        values = fill(ProductPatch, body).model_dump(
            # rule: merged
            exclude_unset=True
        )
        product = await save_product(self.request[SESSION], found, values)
        headers = {
            # rule: shown
            "Content-Location": path_of(self.request, product),
            # rule: shown
            "ETag": strong_tag(product.version),
        }
        return show_product(product, headers)

    async def delete(self) -> web.Response:
        """Delete a product."""
        product = await find_product(self.request)
        found = check_version(self.request, product)
        session = self.request[SESSION]
        # rule: one-winner
        if await session.scalar(remove_product(found)) is None:
            raise web.HTTPPreconditionFailed
        # rule: kept
        await session.commit()
        return web.Response(status=204)


def refuse_patch() -> NoReturn:
    """Say what kind of patch is taken."""
    headers = {
        # rule: merged
        "Accept-Patch": goods.MERGE_PATCH,
    }
    raise web.HTTPUnsupportedMediaType(headers=headers)


@web.middleware
async def answer_taken(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer what the database refuses: its only constraint is the SKU."""
    try:
        return await handler(request)
    # rule: unique
    except IntegrityError:
        return web.json_response(
            goods.sku_taken(), status=409, content_type=MEDIA_TYPE
        )


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Product.id))):
            for row in goods.seed_products(SEED):
                connection.execute(insert(Product).values(row))
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
    app = web.Application(
        middlewares=[answer_problems, answer_taken, open_session]
    )
    app.cleanup_ctx.append(keep_engine)
    app.add_routes(routes)
    return app
