"""Configuration in FastAPI: pydantic-settings, given as dependencies.

Idiom: settings are a class with sources; `Depends` hands them out.
"""

import logging
import os
import sys
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from frameworks.fastapi.problems import StrictRoute, register_problems
from shared import shop
from shared.problems import MEDIA_TYPE
from shared.settings import (
    SIGNING_KEY,
    TEXTS,
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
counter = APIRouter(route_class=StrictRoute)


class Environment(EnvSettingsSource):
    """The environment, where a value is spelled as in the file."""

    def prepare_field_value(
        self, field_name: str, field: FieldInfo, value: Any, *_: Any
    ) -> Any:
        """Leave texts alone, and what is wrong to the types.

        The method of the base raises at the first list that is none.
        """
        is_text = value is None or field_name in TEXTS
        return value if is_text else literal(value)


class Settings(BaseSettings):
    """What the shop has to be told, with types, bounds and defaults."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment over the file, which is given to `init`."""
        return (
            # rule: precedence
            Environment(
                settings_cls, case_sensitive=False, env_prefix="SHOP_"
            ),
            init_settings,
        )


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
    try:
        settings = Settings(**found)
    except ValidationError as error:
        # rule: all-at-once
        problems += [problem(*each) for each in problems_of(error)]
    if problems:
        raise SettingsError(problems)
    return settings


@lru_cache
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


@lru_cache
def load_live() -> LiveSettings[Settings]:
    """Read the settings once; some follow their file."""
    return LiveSettings(SHOP_SETTINGS, load_settings, follow, logger)


def follow(old: Settings, new: Settings) -> Settings:
    """Take over what may change while the service runs."""
    # rule: read-once
    new = old.model_copy(update={n: getattr(new, n) for n in shop.RELOADABLE})
    return new


def get_settings(
    live: Annotated[LiveSettings[Settings], Depends(load_live)],
) -> Settings:
    """Have one state of the settings for all of a request."""
    return live.current()


@counter.get("/shop")
def show_shop(
    settings: Annotated[Settings, Depends(get_settings)],
) -> dict[str, Any]:
    """Show what holds at the moment."""
    return shop.show(settings)


@counter.post("/quotes")
def make_quote(
    delivery: QuoteInput,
    settings: Annotated[Settings, Depends(get_settings)],
    secrets: Annotated[Secrets, Depends(load_secrets)],
) -> dict[str, Any]:
    """Say what a delivery costs."""
    key = secrets.signing_key.get_secret_value()
    return shop.quote(settings, key, **delivery.model_dump())


async def answer_refusal(_request: Request, error: shop.ShopError) -> Response:
    """Answer what the shop refuses."""
    document = shop.describe(error)
    return JSONResponse(document, document["status"], media_type=MEDIA_TYPE)


def prepare() -> None:
    """Nothing has to be there before; the server checks its settings."""


def create_app() -> FastAPI:
    """Wire the application, or tell why it cannot start."""
    logging.basicConfig()
    logger.setLevel(logging.INFO)
    try:
        # Not at the first request, which would be too late.
        live, secrets = load_all(load_live, load_secrets)
    except SettingsError as error:
        logger.critical("%s", error)
        # After any other status uvicorn would start the worker again.
        # rule: refuse-to-start
        sys.exit(3)
    logger.info("%r %r", live.current(), secrets)
    app = FastAPI(max_body_size=2**20, redirect_slashes=False)
    register_problems(app)
    app.exception_handler(shop.ShopError)(answer_refusal)
    app.include_router(counter)
    return app
