"""Configuration in Flask: its `Config` collects, marshmallow gives types.

Idiom: what was collected goes through a schema before it is `app.config`.
"""

import logging
import os
import sys
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from flask import Blueprint, Config, Flask, current_app, g, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema, ValidationError, fields, post_load
from marshmallow.validate import Length, OneOf, Range, Regexp
from werkzeug.wrappers import Response

from frameworks.flask.problems import problem_response, register_problems
from shared import shop
from shared.settings import (
    SIGNING_KEY,
    LiveSettings,
    SettingsError,
    literal,
    load_all,
    problem,
    read_file,
    read_signing_key,
)

SHOP_SETTINGS = os.environ.get("SHOP_SETTINGS", "")

logger = logging.getLogger("shop")
counter = Blueprint("counter", __name__)


@dataclass(frozen=True)
class Settings:
    """What the shop has to be told, checked and typed."""

    currency: str
    countries: list[str]
    items_max: int
    free_from: Decimal
    open: bool
    banner: str


@dataclass(frozen=True)
class Secrets:
    """What nobody else may see."""

    signing_key: str = field(
        # rule: secrets-unseen
        repr=False
    )


class Switch(fields.Boolean):
    """`true` or `false`; marshmallow would take 1, "off" and "no" too."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        # rule: typed
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Money(fields.Field[Decimal]):
    """An amount of money; marshmallow's `Decimal` would take text too."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        try:
            return shop.money(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class SettingsSchema(Schema):
    """The types, bounds and defaults of the settings."""

    currency = fields.String(
        validate=OneOf(["EUR", "GBP", "USD"]), load_default="EUR"
    )
    countries = fields.List(
        fields.String(validate=Regexp(r"[A-Z]{2}\Z")),
        validate=Length(1),
        load_default=lambda: ["AT", "CH", "DE"],
    )
    items_max = fields.Integer(
        # rule: typed
        strict=True,
        validate=Range(1, 1000),
        load_default=20,
    )
    free_from = Money(load_default=Decimal("50.00"))
    open = Switch(load_default=True)
    banner = fields.String(
        validate=[
            Length(max=200),
            Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]*\Z"),
        ],
        load_default="",
    )

    @post_load
    def freeze(self, data: dict[str, Any], **_: Any) -> Settings:
        """Make the settings, once all is right."""
        return Settings(**data)


class SecretsSchema(Schema):
    """The bounds of the secrets; none has a default."""

    signing_key = fields.String(
        # rule: secret-required
        required=True,
        # rule: secret-required
        validate=Length(32),
    )

    @post_load
    def freeze(self, data: dict[str, Any], **_: Any) -> Secrets:
        """Make the secrets, once all is right."""
        return Secrets(**data)


class QuoteInput(Schema):
    """A delivery, as a client asks for it; goods in cents."""

    country = fields.String(required=True)
    items = fields.Integer(required=True, strict=True, validate=Range(1))
    goods = fields.Integer(
        required=True, strict=True, validate=Range(0, 10**9)
    )


def load_settings() -> Settings:
    """Read the settings: environment over file over default."""
    problems: list[str] = []
    schema = SettingsSchema()
    found = read_file(SHOP_SETTINGS, problems)
    # rule: precedence
    found |= read_environment(schema)
    try:
        settings: Settings = schema.load(found)
    except ValidationError as error:
        messages = error.normalized_messages()
        # rule: all-at-once
        problems += [problem(n, str(messages[n])) for n in messages]
    if problems:
        raise SettingsError(problems)
    return settings


def read_environment(schema: Schema) -> dict[str, Any]:
    """Have Flask read the environment; a text stays as it is."""
    config = Config("")
    config.from_prefixed_env("SHOP", loads=str)
    found = config.get_namespace("")
    return {
        name: found[name]
        if isinstance(kind, fields.String)
        else literal(found[name])
        for name, kind in schema.fields.items()
        if name in found
    }


def load_secrets() -> Secrets:
    """Read the secrets, from the environment or a file of their own."""
    try:
        secrets: Secrets = SecretsSchema().load(read_signing_key())
    except ValidationError as error:
        messages = error.normalized_messages()
        raise SettingsError(
            [f"{SIGNING_KEY}: {text}" for text in messages.values()]
        ) from None
    return secrets


def load_live() -> LiveSettings[Settings]:
    """Read the settings, of which some follow their file."""
    return LiveSettings(SHOP_SETTINGS, load_settings, follow, logger)


def follow(old: Settings, new: Settings) -> Settings:
    """Take over what may change while the service runs."""
    # rule: read-once
    new = replace(old, **{n: getattr(new, n) for n in shop.RELOADABLE})
    return new


@counter.before_app_request
def use_settings() -> None:
    """Have one state of the settings for all of a request."""
    g.settings = current_app.config["SHOP"].current()


@counter.get("/shop")
def show_shop() -> ResponseReturnValue:
    """Show what holds at the moment."""
    return shop.show(g.settings)


@counter.post("/quotes")
def make_quote() -> ResponseReturnValue:
    """Say what a delivery costs."""
    secrets: Secrets = current_app.config["SHOP_SECRETS"]
    delivery = QuoteInput().load(request.get_json())
    return shop.quote(g.settings, secrets.signing_key, **delivery)


def answer_refusal(error: shop.ShopError) -> Response:
    """Answer what the shop refuses."""
    document = shop.describe(error)
    return problem_response(Response(status=document["status"]), document)


def prepare() -> None:
    """Nothing has to be there before; the server checks its settings."""


def create_app() -> Flask:
    """Wire the application, or tell why it cannot start."""
    logging.basicConfig()
    logger.setLevel(logging.INFO)
    try:
        live, secrets = load_all(load_live, load_secrets)
    except SettingsError as error:
        logger.critical("%s", error)
        # After any other status gunicorn would start the worker again.
        # rule: refuse-to-start
        sys.exit(3)
    logger.info("%r %r", live.current(), secrets)
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    app.config.from_mapping(SHOP=live, SHOP_SECRETS=secrets)
    register_problems(app)
    app.register_error_handler(shop.ShopError, answer_refusal)
    app.register_blueprint(counter)
    return app
