"""Settings as they are written: in the environment, in files, as secrets.

What is read here is text, or what TOML makes of it. The frameworks give
it types.
"""

import logging
import os
import tomllib
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any

FILE = "SHOP_SETTINGS"
VARIABLES = {
    "currency": "SHOP_CURRENCY",
    "countries": "SHOP_COUNTRIES",
    "items_max": "SHOP_ITEMS_MAX",
    "free_from": "SHOP_FREE_FROM",
    "open": "SHOP_OPEN",
    "banner": "SHOP_BANNER",
}
TEXTS = ("currency", "banner")
# It may also be too deep, or have an exponent too large for `Decimal`.
NOT_TOML = (ValueError, RecursionError, ArithmeticError)
SIGNING_KEY = "SHOP_SIGNING_KEY"
SIGNING_KEY_FILE = "SHOP_SIGNING_KEY_FILE"


class SettingsError(Exception):
    """All that is wrong with the settings, a line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [*problems]
        lines = ["The settings are wrong:", *self.problems]
        super().__init__("\n  ".join(lines))


def problem(name: str, text: str) -> str:
    """Name a setting as it was written, and say what is wrong with it."""
    variable = VARIABLES.get(name, "")
    written = variable if variable in os.environ else f"{name} in {FILE}"
    return f"{written}: {text}"


def read_file(path: str, problems: list[str]) -> dict[str, Any]:
    """Read the file of settings; one that is named has to be there."""
    try:
        text = Path(path).read_text("utf-8") if path else ""
        return tomllib.loads(text, parse_float=Decimal)
    except OSError as error:
        problems.append(f"{FILE}: {error.strerror}.")
    except NOT_TOML as error:
        problems.append(f"{FILE}: not TOML: {error}.")
    return {}


def read_environment() -> dict[str, Any]:
    """Read what is ours of the environment; others use it too."""
    return {
        name: value if name in TEXTS else literal(value)
        for name, variable in VARIABLES.items()
        if (value := os.environ.get(variable)) is not None
    }


def literal(text: str) -> Any:
    """Read a value as it is spelled in TOML; else it stays text."""
    try:
        read = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except NOT_TOML:
        return text
    return read["value"] if len(read) == 1 else text


def read_signing_key() -> dict[str, str]:
    """Read the key from its variable or its file, if there is one."""
    key = os.environ.get(SIGNING_KEY)
    path = os.environ.get(SIGNING_KEY_FILE)
    # rule: secret-from-file
    if key and path:
        both = f"{SIGNING_KEY}: {SIGNING_KEY_FILE} gives one, too."
        raise SettingsError([both])
    # rule: secret-from-file
    if path:
        key = read_key_file(path)
    if key and not key.isprintable():
        raise SettingsError([f"{SIGNING_KEY}: not one line of text."])
    return {} if key is None else {"signing_key": key}


def read_key_file(path: str) -> str:
    """Read the file of the key; whatever fails, show nothing of either."""
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        # The path may be the key itself, put into the wrong variable.
        said = f"{SIGNING_KEY_FILE}: {error.strerror}."
        raise SettingsError([said]) from None
    except ValueError:
        raise SettingsError([f"{SIGNING_KEY_FILE}: not UTF-8."]) from None
    return (
        text
        # rule: secret-from-file
        .removesuffix("\n").removesuffix("\r")
    )


def load_all[First, Second](
    first: Callable[[], First], second: Callable[[], Second]
) -> tuple[First, Second]:
    """Load both, and tell what is wrong with either at once."""
    problems: list[str] = []
    loaded: list[Any] = []
    for load in (first, second):
        try:
            loaded.append(load())
        except SettingsError as error:
            # rule: all-at-once
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    one, other = loaded
    return one, other


class LiveSettings[Settings]:
    """Settings that follow their file, as far as `follow` lets them.

    The file is read whenever somebody asks, and parsed when it has other
    content than before: no clock and no time stamp is trusted, and no
    signal is needed that some process may miss.
    """

    def __init__(
        self,
        path: str,
        load: Callable[[], Settings],
        follow: Callable[[Settings, Settings], Settings],
        logger: logging.Logger,
    ) -> None:
        self._path, self._load, self._follow = path, load, follow
        self._logger, self._lock = logger, Lock()
        self._seen = self._look()
        self._settings = load()

    def current(self) -> Settings:
        """Give the settings of this moment."""
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                # rule: reload
                self._reload()
            return self._settings

    def _look(self) -> bytes | None:
        try:
            return Path(self._path).read_bytes() if self._path else None
        except OSError:
            return None

    def _reload(self) -> None:
        """Take over what is right as a whole, and nothing else."""
        try:
            loaded = self._load()
        # rule: broken-keeps-old
        except SettingsError as error:
            self._logger.error("Not reloaded. %s", error)
            return
        self._settings = self._follow(self._settings, loaded)
        self._logger.info("Reloaded: %r", self._settings)
