"""Configuration in aiohttp: a frozen Pydantic model under an `AppKey`.

Idiom: what the application is told lies in it, under typed keys.
"""

import asyncio
import logging
import os
import sys
from decimal import Decimal
from typing import Annotated, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from frameworks.aiohttp.problems import answer_problems, read_json
from shared import shop
from shared.problems import MEDIA_TYPE
from shared.settings import (
    SIGNING_KEY,
    LiveSettings,
    SettingsError,
    load_all,
    problem,
    read_environment,
    read_file,
    read_signing_key,
)

SHOP_SETTINGS = os.environ.get("SHOP_SETTINGS", "")

logger = logging.getLogger("shop")
routes = web.RouteTableDef()


class Settings(BaseModel):
    """What the shop has to be told, with types, bounds and defaults."""

    model_config = ConfigDict(
        # rule: no-typos
        extra="forbid",
        frozen=True,
        # rule: typed
        strict=True,
    )

    currency: Literal["EUR", "GBP", "USD"] = "EUR"
    countries: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = Field(
        ["AT", "CH", "DE"], min_length=1
    )
    items_max: int = Field(20, ge=1, le=1000)
    free_from: Annotated[Decimal, BeforeValidator(shop.money)] = Decimal(
        "50.00"
    )
    open: bool = True
    banner: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")


class Secrets(BaseModel):
    """What nobody else may see; nothing of it has a default."""

    model_config = ConfigDict(frozen=True)

    # rule: secrets-unseen
    signing_key: SecretStr = Field(
        # rule: secret-required
        min_length=32
    )


class QuoteInput(BaseModel):
    """A delivery, as a client asks for it; goods in cents."""

    model_config = ConfigDict(extra="forbid", strict=True)

    country: str
    items: int = Field(ge=1)
    goods: int = Field(ge=0, le=10**9)


def load_settings() -> Settings:
    """Read the settings: environment over file over default."""
    problems: list[str] = []
    found = read_file(SHOP_SETTINGS, problems)
    # rule: precedence
    found |= read_environment()
    try:
        loaded = Settings.model_validate(found)
    except ValidationError as error:
        # rule: all-at-once
        problems += [problem(*each) for each in problems_of(error)]
    if problems:
        raise SettingsError(problems)
    return loaded


def load_secrets() -> Secrets:
    """Read the secrets, from the environment or a file of their own."""
    try:
        return Secrets.model_validate(read_signing_key())
    except ValidationError as error:
        raise SettingsError(
            [f"{SIGNING_KEY}: {text}" for _, text in problems_of(error)]
        ) from None


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """Name each setting and what is wrong; its value is left out."""
    return [
        (str(each["loc"][0]), each["msg"])
        for each in error.errors(include_input=False)
    ]


def load_live() -> LiveSettings[Settings]:
    """Read the settings, of which some follow their file."""
    return LiveSettings(SHOP_SETTINGS, load_settings, follow, logger)


def follow(old: Settings, new: Settings) -> Settings:
    """Take over what may change while the service runs."""
    # rule: read-once
    new = old.model_copy(update={n: getattr(new, n) for n in shop.RELOADABLE})
    return new


LIVE = web.AppKey("LIVE", LiveSettings[Settings])
SECRETS = web.AppKey("SECRETS", Secrets)


@routes.get("/shop")
async def show_shop(request: web.Request) -> web.Response:
    """Show what holds at the moment."""
    settings = await asyncio.to_thread(request.app[LIVE].current)
    return web.json_response(shop.show(settings))


@routes.post("/quotes")
async def make_quote(request: web.Request) -> web.Response:
    """Say what a delivery costs."""
    delivery = await read_json(request, QuoteInput)
    settings = await asyncio.to_thread(request.app[LIVE].current)
    key = request.app[SECRETS].signing_key.get_secret_value()
    return web.json_response(
        shop.quote(settings, key, **delivery.model_dump())
    )


@web.middleware
async def answer_refusal(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer what the shop refuses."""
    try:
        return await handler(request)
    except shop.ShopError as error:
        document = shop.describe(error)
        return web.json_response(
            document, status=document["status"], content_type=MEDIA_TYPE
        )


def prepare() -> None:
    """Nothing has to be there before; the server checks its settings."""


def create_app(_argv: list[str] | None = None) -> web.Application:
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
    app = web.Application(middlewares=[answer_problems, answer_refusal])
    app[LIVE] = live
    app[SECRETS] = secrets
    app.add_routes(routes)
    return app
