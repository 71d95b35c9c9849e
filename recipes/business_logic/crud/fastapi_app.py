"""CRUD in FastAPI: a function for each operation, dependencies before it.

Idiom: what must hold first is a dependency; models bring what was set.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Request,
    Response,
)
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, create_engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.fastapi.problems import (
    StrictRoute,
    register_problems,
    require_json,
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

products = APIRouter(route_class=StrictRoute)

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


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with request.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
ProductId = Annotated[
    int,
    Path(
        # rule: not-found
        le=goods.ID_MAX
    ),
]


async def find_product(product_id: ProductId, session: Session) -> Product:
    """Find a product, or answer 404."""
    product = await session.get(Product, product_id)
    # rule: not-found
    if product is None:
        raise HTTPException(404)
    return product


Found = Annotated[Product, Depends(find_product)]


async def check_version(
    product: Found, if_match: Annotated[list[str] | None, Header()] = None
) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    # rule: precondition
    if if_match is None:
        raise HTTPException(428)
    given = ", ".join(if_match)
    # rule: precondition
    if not is_match(given, strong_tag(product.version)):
        raise HTTPException(412)
    return as_found(product, any_version=given == "*")


AsFound = Annotated[ColumnElement[bool], Depends(check_version)]


async def save_product(
    session: AsyncSession, found: ColumnElement[bool], values: dict[str, Any]
) -> Product:
    """Change the row, if nobody has in the meantime."""
    saved = await session.scalar(change_product(found, values))
    # rule: one-winner
    if saved is None:
        raise HTTPException(412)
    # rule: kept
    await session.commit()
    return saved


def path_of(product: Product) -> str:
    """Say where a product is."""
    return products.url_path_for("get_product", product_id=product.id)


@products.post("/products", status_code=201, response_model=ProductOutput)
async def create_product(
    product_input: ProductInput, session: Session, response: Response
) -> Product:
    """Create a product."""
    product = Product(**product_input.model_dump())
    session.add(product)
    # rule: kept
    await session.commit()
    # rule: created
    response.headers["Location"] = path_of(product)
    # rule: created
    response.headers["ETag"] = strong_tag(product.version)
    return product


@products.get("/products/{product_id}", response_model=ProductOutput)
async def get_product(product: Found, response: Response) -> Product:
    """Show a product."""
    # rule: created
    response.headers["ETag"] = strong_tag(product.version)
    # rule: merged
    response.headers["Accept-Patch"] = goods.MERGE_PATCH
    return product


@products.put(
    "/products/{product_id}",
    response_model=ProductOutput,
    # Before the precondition, which counts for what could be done.
    # rule: precondition
    dependencies=[Depends(require_json)],
)
async def replace_product(
    product_input: ProductInput,
    found: AsFound,
    session: Session,
    response: Response,
) -> Product:
    """Replace a product as a whole."""
    values = product_input.model_dump()
    product = await save_product(session, found, values)
    # rule: shown
    response.headers["Content-Location"] = path_of(product)
    return product


def require_merge_patch(request: Request) -> None:
    """Say what kind of patch is taken."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0]
    # rule: merged
    if media_type.strip().lower() != goods.MERGE_PATCH:
        headers = {
            # rule: merged
            "Accept-Patch": goods.MERGE_PATCH,
        }
        raise HTTPException(415, headers=headers)


@products.patch(
    "/products/{product_id}",
    response_model=ProductOutput,
    dependencies=[Depends(require_merge_patch)],
)
async def update_product(
    patch: ProductPatch, found: AsFound, session: Session, response: Response
) -> Product:
    """Merge a patch into a product."""
    values = patch.model_dump(
        # rule: merged
        exclude_unset=True
    )
    product = await save_product(session, found, values)
    # rule: shown
    response.headers["Content-Location"] = path_of(product)
    # rule: shown
    response.headers["ETag"] = strong_tag(product.version)
    return product


@products.delete(
    "/products/{product_id}", status_code=204, response_class=Response
)
async def delete_product(found: AsFound, session: Session) -> None:
    """Delete a product."""
    # rule: one-winner
    if await session.scalar(remove_product(found)) is None:
        raise HTTPException(412)
    # rule: kept
    await session.commit()


async def answer_taken(_request: Request, _error: Exception) -> Response:
    """Answer what the database refuses: its only constraint is the SKU."""
    return JSONResponse(goods.sku_taken(), 409, media_type=MEDIA_TYPE)


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Product.id))):
            for row in goods.seed_products(SEED):
                connection.execute(insert(Product).values(row))
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
    # rule: unique
    app.exception_handler(IntegrityError)(answer_taken)
    app.include_router(products)
    return app
