"""Configuration in Litestar: msgspec gives types, dependencies hand out.

Idiom: a frozen struct is the settings; `Provide` injects them by name.
"""

import logging
import os
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from msgspec import Meta, Struct
from msgspec.structs import replace

from frameworks.litestar.problems import ProblemPlugin
from shared import shop
from shared.problems import MEDIA_TYPE, Problem
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


class Money(Decimal):
    """An amount of money, which msgspec leaves to `decode`."""


class Settings(Struct, frozen=True):
    """What the shop has to be told, with types, bounds and defaults."""

    currency: Literal["EUR", "GBP", "USD"] = "EUR"
    countries: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")], ...],
        Meta(min_length=1),
    ] = ("AT", "CH", "DE")
    items_max: Annotated[
        int,
        # rule: typed
        Meta(ge=1, le=1000),
    ] = 20
    free_from: Money = Money("50.00")
    open: bool = True
    banner: Annotated[
        str,
        Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z"),
    ] = ""


@dataclass(frozen=True)
class Secrets:
    """What nobody else may see; nothing of it has a default."""

    signing_key: Annotated[
        str,
        # rule: secret-required
        Meta(min_length=32),
    ] = field(
        # rule: secrets-unseen
        repr=False
    )


class QuoteInput(Struct, forbid_unknown_fields=True):
    """A delivery, as a client asks for it; goods in cents."""

    country: str
    items: Annotated[int, Meta(ge=1)]
    goods: Annotated[int, Meta(ge=0, le=10**9)]


def load_settings() -> Settings:
    """Read the settings: environment over file over default."""
    problems: list[str] = []
    found = read_file(SHOP_SETTINGS, problems)
    # rule: precedence
    found |= read_environment()
    values = {}
    # One by one, for msgspec stops at the first error.
    for one in msgspec.structs.fields(Settings):
        try:
            if one.name in found:
                values[one.name] = decode(one.type, found.pop(one.name))
        except msgspec.ValidationError as error:
            # rule: all-at-once
            problems.append(problem(one.name, str(error)))
    # rule: no-typos
    problems += [problem(name, "No such setting.") for name in found]
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


def decode(kind: Any, value: Any) -> Any:
    """Make a value of TOML one of a type, or tell that it is none."""
    return msgspec.convert(
        value, kind, dec_hook=lambda _, v: Money(shop.money(v))
    )


def load_secrets() -> Secrets:
    """Read the secrets, from the environment or a file of their own."""
    try:
        return msgspec.convert(read_signing_key(), Secrets)
    except msgspec.ValidationError as error:
        raise SettingsError([f"{SIGNING_KEY}: {error}"]) from None


def load_live() -> LiveSettings[Settings]:
    """Read the settings, of which some follow their file."""
    return LiveSettings(SHOP_SETTINGS, load_settings, follow, logger)


def follow(old: Settings, new: Settings) -> Settings:
    """Take over what may change while the service runs."""
    # rule: read-once
    new = replace(old, **{n: getattr(new, n) for n in shop.RELOADABLE})
    return new


def provide_settings(state: State) -> Settings:
    """Have one state of the settings for all of a request."""
    settings: Settings = state.live.current()
    return settings


@get("/shop", sync_to_thread=False)
def show_shop(settings: NamedDependency[Settings]) -> dict[str, Any]:
    """Show what holds at the moment."""
    return shop.show(settings)


@post("/quotes", status_code=200, sync_to_thread=False)
def make_quote(
    data: QuoteInput, settings: NamedDependency[Settings], state: State
) -> dict[str, Any]:
    """Say what a delivery costs."""
    key: str = state.secrets.signing_key
    return shop.quote(settings, key, data.country, data.items, data.goods)


def answer_refusal(
    _request: Request[Any, Any, Any], error: shop.ShopError
) -> Response[Problem]:
    """Answer what the shop refuses."""
    document = shop.describe(error)
    return Response(
        document, status_code=document["status"], media_type=MEDIA_TYPE
    )


def prepare() -> None:
    """Nothing has to be there before; the server checks its settings."""


def create_app() -> Litestar:
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
    return Litestar(
        [show_shop, make_quote],
        dependencies={
            "settings": Provide(provide_settings, sync_to_thread=True)
        },
        exception_handlers={shop.ShopError: answer_refusal},
        plugins=[ProblemPlugin(quiet=shop.REFUSALS)],
        request_max_body_size=2**20,
        state=State({"live": live, "secrets": secrets}),
    )
