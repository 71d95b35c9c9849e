"""CRUD in Flask: a view class for each URL, a method for each operation.

Idiom: `MethodView` answers by method; one schema loads whole and in part.
"""

import os
from typing import Any, NoReturn

from flask import Blueprint, Flask, Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from flask_sqlalchemy_lite import SQLAlchemy
from marshmallow import Schema, fields
from marshmallow.validate import Length, Range, Regexp
from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.exc import IntegrityError
from werkzeug.http import quote_etag
from werkzeug.wrappers import Response as BaseResponse

from frameworks.flask.problems import problem_response, register_problems
from shared import goods
from shared.database import sync_url
from shared.products import (
    Base,
    Product,
    as_found,
    change_product,
    remove_product,
)

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///products.db")
SEED = int(os.environ.get("SEED", "0"))

# What was written is shown, not what others have made of it since.
db = SQLAlchemy(session_options={"expire_on_commit": False})
products = Blueprint("products", __name__)


class ProductInput(Schema):
    """A product as a client sends it; nothing else may be sent."""

    sku = fields.String(
        required=True,
        validate=[Length(max=goods.SKU_LENGTH), Regexp(goods.SKU)],
    )
    name = fields.String(
        required=True,
        validate=[Length(max=goods.TEXT_LENGTH), Regexp(goods.TEXT)],
    )
    price = fields.Integer(
        required=True, strict=True, validate=Range(0, goods.PRICE_MAX)
    )
    note = fields.String(
        allow_none=True,
        # rule: replaced
        load_default=None,
        validate=[Length(max=goods.TEXT_LENGTH), Regexp(goods.TEXT)],
    )


class ProductOutput(ProductInput):
    """A product as it is shown."""

    id = fields.Integer()
    version = fields.Integer()
    created_at = fields.AwareDateTime()


def find_product(product_id: int) -> Product:
    """Find a product, or answer 404."""
    product = db.session.get(Product, product_id)
    # rule: not-found
    if product is None:
        abort(404)
    return product


def check_version(product: Product) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    # rule: precondition
    if "If-Match" not in request.headers:
        abort(428)
    # rule: precondition
    if not request.if_match.contains(str(product.version)):
        abort(412)
    return as_found(product, any_version=request.if_match.star_tag)


def save_product(
    found: ColumnElement[bool], values: dict[str, Any]
) -> Product:
    """Change the row, if nobody has in the meantime."""
    saved = db.session.scalar(change_product(found, values))
    # rule: one-winner
    if saved is None:
        abort(412)
    # rule: kept
    db.session.commit()
    return saved


def show_product(product: Product) -> dict[str, Any]:
    """Show a product as JSON has it."""
    body: dict[str, Any] = ProductOutput().dump(product)
    return body


def path_of(product: Product) -> str:
    """Say where a product is."""
    return url_for("products.product", product_id=product.id)


class ProductsView(MethodView):
    """All products."""

    init_every_request = False

    def post(self) -> ResponseReturnValue:
        """Create a product."""
        product = Product(**ProductInput().load(request.get_json()))
        db.session.add(product)
        # rule: kept
        db.session.commit()
        headers = {
            # rule: created
            "Location": path_of(product),
            # rule: created
            "ETag": quote_etag(str(product.version)),
        }
        return show_product(product), 201, headers


class ProductView(MethodView):
    """One product."""

    init_every_request = False

    def get(self, product_id: int) -> ResponseReturnValue:
        """Show a product."""
        product = find_product(product_id)
        headers = {
            # rule: created
            "ETag": quote_etag(str(product.version)),
            # rule: merged
            "Accept-Patch": goods.MERGE_PATCH,
        }
        return show_product(product), headers

    def put(self, product_id: int) -> ResponseReturnValue:
        """Replace a product as a whole."""
        # What is no JSON is refused whatever the version.
        # rule: precondition
        body = request.get_json()
        found = check_version(find_product(product_id))
        product = save_product(found, ProductInput().load(body))
        headers = {
            # rule: shown
            "Content-Location": path_of(product),
        }
        return show_product(product), headers

    def patch(self, product_id: int) -> ResponseReturnValue:
        """Merge a patch into a product."""
        # rule: merged
        if request.mimetype != goods.MERGE_PATCH:
            refuse_patch()
        # rule: precondition
        body = request.get_json()
        found = check_version(find_product(product_id))
        schema = ProductInput(
            # rule: merged
            partial=True
        )
        product = save_product(found, schema.load(body))
        headers = {
            # rule: shown
            "Content-Location": path_of(product),
            # rule: shown
            "ETag": quote_etag(str(product.version)),
        }
        return show_product(product), headers

    def delete(self, product_id: int) -> ResponseReturnValue:
        """Delete a product."""
        found = check_version(find_product(product_id))
        # rule: one-winner
        if db.session.scalar(remove_product(found)) is None:
            abort(412)
        # rule: kept
        db.session.commit()
        return "", 204


def refuse_patch() -> NoReturn:
    """Say what kind of patch is taken."""
    response = Response(status=415)
    # rule: merged
    response.headers["Accept-Patch"] = goods.MERGE_PATCH
    abort(415, response=response)


def answer_taken(_error: IntegrityError) -> BaseResponse:
    """Answer what the database refuses: its only constraint is the SKU."""
    return problem_response(Response(status=409), goods.sku_taken())


products.add_url_rule("/products", view_func=ProductsView.as_view("products"))
products.add_url_rule(
    f"/products/<int(max={goods.ID_MAX}):product_id>",
    view_func=ProductView.as_view("product"),
)


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    with create_app().app_context(), db.engine.begin() as connection:
        Base.metadata.create_all(connection)
        if not connection.scalar(select(func.count(Product.id))):
            for row in goods.seed_products(SEED):
                connection.execute(insert(Product).values(row))


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.config["SQLALCHEMY_ENGINES"] = {"default": sync_url(DATABASE_URL)}
    db.init_app(app)
    register_problems(app)
    # rule: unique
    app.register_error_handler(IntegrityError, answer_taken)
    app.register_blueprint(products)
    return app
