"""TOML read with care: all that is wrong in a file is said, in plain words."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from cookbook.names import alternatives, nearest

_KINDS = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class BookError(Exception):
    """A file of the book that is not as it should be.

    `file` is its path, `problems` are what is wrong with it, each in plain
    words.
    """

    def __init__(self, file: Path, problems: Sequence[str]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{file}: {text}" for text in problems))


class Table:
    """One table of a file, read key by key.

    What is missing or of the wrong kind is noted, and an empty value stands
    in, so that one reading finds everything; `finish` then tells.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        where: str = "",
        problems: list[str] | None = None,
    ) -> None:
        self._data = data
        self._where = where
        self._problems = [] if problems is None else problems
        self._read: dict[str, None] = {}
        self._inner: list[Table] = []

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def complain(self, problem: str) -> None:
        """Note that something is wrong here."""
        self._problems.append(
            f"{self._where}: {problem}" if self._where else problem
        )

    def text(self, key: str) -> str:
        """Read a text that must be there."""
        return self._required(key, str, "")

    def optional_text(self, key: str) -> str | None:
        """Read a text that may be missing."""
        return self._optional(key, str, None)

    def number(self, key: str) -> int:
        """Read a whole number that must be there."""
        return self._required(key, int, 0)

    def flag(self, key: str, default: bool = False) -> bool:
        """Read true or false."""
        return self._optional(key, bool, default)

    def value(self, key: str) -> Any:
        """Read whatever is there, or `None`."""
        self._read[key] = None
        return self._data.get(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts; none where the key is missing."""
        return self._list(key, str)

    def numbers(self, key: str) -> tuple[int, ...]:
        """Read a list of whole numbers; none where the key is missing."""
        return self._list(key, int)

    def mapping(self, key: str) -> dict[str, str]:
        """Read a table of texts; empty where the key is missing."""
        inner = self.table(key)
        return {name: inner.text(name) for name in inner}

    def table(self, key: str) -> "Table":
        """Read an inner table; empty where the key is missing."""
        data: dict[str, Any] = self._optional(key, dict, {})
        return self._within(data, key)

    def tables(self, key: str) -> Iterator["Table"]:
        """Read a list of tables; each is called by its id or its number."""
        listed: list[Any] = self._optional(key, list, [])
        for number, data in enumerate(listed, 1):
            if not isinstance(data, dict):
                self.complain(f"{key} {number} must be a table.")
                continue
            name = data.get("id", data.get("env", number))
            yield self._within(data, f"{key} {name}")

    def entries(self) -> Iterator[tuple[str, "Table"]]:
        """Read every key as an inner table."""
        for key in self._data:
            yield key, self.table(key)

    def finish(self, file: Path) -> None:
        """Raise `BookError` when anything was wrong, or never read."""
        self._find_unknown()
        if self._problems:
            raise BookError(file, list(dict.fromkeys(self._problems)))

    def _find_unknown(self) -> None:
        for key in self._data:
            if key not in self._read:
                near = nearest(key, self._read)
                hint = f" Did you mean {alternatives(near)}?" if near else ""
                self.complain(f'unknown key "{key}".{hint}')
        for inner in self._inner:
            inner._find_unknown()

    def _within(self, data: Mapping[str, Any], name: str) -> "Table":
        where = f"{self._where}, {name}" if self._where else name
        inner = Table(data, where, self._problems)
        self._inner.append(inner)
        return inner

    def _required[T](self, key: str, kind: type[T], empty: T) -> T:
        if key not in self._data:
            self._read[key] = None
            self.complain(f'"{key}" is missing.')
            return empty
        if self._data[key] == "":
            self.complain(f'"{key}" is empty.')
        return self._optional(key, kind, empty)

    def _optional[T](self, key: str, kind: type[Any], default: T) -> T:
        self._read[key] = None
        found = self._data.get(key, default)
        if key in self._data and not is_a(found, kind):
            self.complain(f'"{key}" must be {_KINDS[kind]}.')
            return default
        return cast("T", found)

    def _list[T](self, key: str, kind: type[T]) -> tuple[T, ...]:
        found: list[T] = self._optional(key, list, [])
        if not all(is_a(value, kind) for value in found):
            self.complain(f'"{key}" must be a list, each {_KINDS[kind]}.')
            return ()
        return tuple(found)


def is_a(value: object, kind: type) -> bool:
    """Tell whether a value is of a kind; true is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


def read(file: Path) -> Table:
    """Parse a file; `BookError` where it is absent or not TOML."""
    return parse(read_text(file), file)


def read_text(file: Path) -> str:
    """Read a file; `BookError` where it is absent or not text."""
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise BookError(file, ["The file is missing."]) from None
    except UnicodeDecodeError:
        raise BookError(file, ["The file is not UTF-8."]) from None


def parse(text: str, file: Path) -> Table:
    """Parse the text of a file, or a part of it."""
    try:
        return Table(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BookError(file, [f"Not TOML: {error}."]) from None
