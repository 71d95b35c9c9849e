"""Configuration in Django: lazy settings, checked by the check framework.

Idiom: a system check tells what is wrong; `settings` has what is right.
"""

import logging
import os
import sys
from decimal import Decimal
from typing import Annotated, Any, Literal

from django import conf
from django.core import checks
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_POST, require_safe
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from frameworks.django.config import SETTINGS, configure
from frameworks.django.problems import problem_response, read_json
from frameworks.django.wsgi import Handler
from shared import shop
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
# Their types know those of Django alone.
settings: Any = conf.settings


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


configure(
    __name__,
    "sqlite://:memory:",
    LOGGING=SETTINGS["LOGGING"]
    | {
        "loggers": SETTINGS["LOGGING"]["loggers"]
        | {"shop": {"handlers": ["stderr"], "level": "INFO"}}
    },
    MIDDLEWARE=[
        *SETTINGS["MIDDLEWARE"],
        f"{__name__}.RefusalMiddleware",
    ],
    # Read when they are first asked for.
    SHOP=SimpleLazyObject(load_live),
    SHOP_SECRETS=SimpleLazyObject(load_secrets),
)


@checks.register("shop")
def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Tell all that is wrong, to `manage.py check` too."""
    try:
        load_all(load_settings, load_secrets)
    except SettingsError as error:
        return [checks.Error(text, id="shop.E001") for text in error.problems]
    return []


@require_safe
def show_shop(request: HttpRequest) -> HttpResponse:
    """Show what holds at the moment."""
    return JsonResponse(shop.show(settings.SHOP.current()))


@require_POST
def make_quote(request: HttpRequest) -> HttpResponse:
    """Say what a delivery costs."""
    delivery = read_json(request, QuoteInput)
    key = settings.SHOP_SECRETS.signing_key.get_secret_value()
    quote = shop.quote(settings.SHOP.current(), key, **delivery.model_dump())
    return JsonResponse(quote)


class RefusalMiddleware:
    """Answer what the shop refuses."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Let requests and responses pass."""
        response: HttpResponseBase = self.get_response(request)
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Leave to Django what is a failure."""
        if isinstance(exception, shop.ShopError):
            return answer_refusal(exception)
        return None


def answer_refusal(error: shop.ShopError) -> HttpResponse:
    """Answer what the shop refuses."""
    return problem_response(shop.describe(error))


urlpatterns = [
    path("shop", show_shop),
    path("quotes", make_quote),
]


def prepare() -> None:
    """Nothing has to be there before; the server checks its settings."""


def create_app() -> WSGIHandler:
    """Wire the application, or tell why it cannot start."""
    # A server under WSGI runs no checks by itself.
    errors = [each for each in checks.run_checks() if each.is_serious()]
    for error in errors:
        logger.critical("%s", error)
    if errors:
        # After any other status gunicorn would start the worker again.
        # rule: refuse-to-start
        sys.exit(3)
    # What is lazy is read here, and not by the first request.
    # rule: read-once
    logger.info(
        "%r %r", settings.SHOP.current(), settings.SHOP_SECRETS.signing_key
    )
    return Handler()
