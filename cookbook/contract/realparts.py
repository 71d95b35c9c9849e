"""The real parts that recipes run on, and a share of each for a service.

Where a part is says its URL in the environment, else it is looked for on
its standard port on this machine. A service gets a database of its own, or
a namespace for its keys; both are gone when it has ended.
"""

import contextlib
import os
import secrets
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest

from cookbook.book import Recipe

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

CONNECT_SECONDS = 2
SHARES = "cookbook:shares"
"""In Redis, the set of the namespaces that are in use."""


@dataclass(frozen=True)
class Part:
    """A kind of store beside the service under contract.

    `env` names the setting that has its URL, `usual` is the URL where that
    is not set. `ask` raises where it does not answer; `share` gives what
    one service is told, and clears up behind it.
    """

    name: str
    env: str
    usual: str
    ask: Callable[[str], None]
    share: Callable[[str], contextlib.AbstractContextManager[dict[str, str]]]

    @property
    def url(self) -> str:
        """Where the part is."""
        return os.environ.get(self.env, self.usual)


def ask_postgresql(url: str) -> None:
    """See whether PostgreSQL lets us in."""
    import psycopg

    psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()


def ask_redis(url: str) -> None:
    """See whether Redis answers."""
    with connect_redis(url) as client:
        client.ping()


@contextlib.contextmanager
def own_database(url: str) -> Iterator[dict[str, str]]:
    """Make an empty database, and drop it."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    name = own_name("_")
    with psycopg.connect(url, autocommit=True) as connection:
        drop_forgotten(connection)
        statement = SQL("CREATE DATABASE {}")
        connection.execute(statement.format(Identifier(name)))
    try:
        own = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        yield {"DATABASE_URL": own}
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            drop(connection, name)


def drop(connection: "Connection", name: str) -> None:
    """Drop a database, whoever is still in it."""
    from psycopg.sql import SQL, Identifier

    statement = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    connection.execute(statement.format(Identifier(name)))


def drop_forgotten(connection: "Connection") -> None:
    """Drop what a run that was killed has left."""
    names = connection.execute("SELECT datname FROM pg_database").fetchall()
    for (name,) in names:
        if is_forgotten(name, "_"):
            drop(connection, name)


@contextlib.contextmanager
def own_namespace(url: str) -> Iterator[dict[str, str]]:
    """Choose what all keys of a service begin with, and delete them."""
    name = own_name(":")
    with connect_redis(url) as client:
        for other in client.smembers(SHARES):
            if is_forgotten(other, ":"):
                delete_keys(client, other)
        client.sadd(SHARES, name)
    try:
        yield {"REDIS_URL": url, "NAMESPACE": name}
    finally:
        with connect_redis(url) as client:
            delete_keys(client, name)


def connect_redis(url: str) -> "Redis":
    """Make a client that does not wait for long."""
    from redis import Redis

    return Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=CONNECT_SECONDS
    )


def delete_keys(client: "Redis", namespace: str) -> None:
    """Delete what begins with a namespace."""
    for key in client.scan_iter(f"{namespace}*", count=1000):
        client.unlink(key)
    client.srem(SHARES, namespace)


def own_name(joint: str) -> str:
    """Make a name that tells who has it: machine, process, and a number."""
    owner = machine(), str(os.getpid()), secrets.token_hex(4)
    return joint.join(("cookbook", *owner))


def is_forgotten(name: str, joint: str) -> bool:
    """Tell whether a name is one of this machine, of a process that ended."""
    words = name.split(joint)
    if len(words) != 4 or words[:2] != ["cookbook", machine()]:
        return False
    return not psutil.pid_exists(int(words[2]))


@cache
def machine() -> str:
    """Tell this machine from others that share its parts."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part(
            "postgresql",
            "DATABASE_URL",
            "postgresql://postgres:cookbook@127.0.0.1:5432/postgres",
            ask_postgresql,
            own_database,
        ),
        Part(
            "redis",
            "REDIS_URL",
            "redis://127.0.0.1:6379/0",
            ask_redis,
            own_namespace,
        ),
    )
}


@cache
def silence_of(name: str) -> str:
    """Say why a part cannot be had; nothing where it answers."""
    part = PARTS[name]
    try:
        part.ask(part.url)
    except Exception as error:
        # Each driver has errors of its own. The URL may hold a password.
        where = urlsplit(part.url).hostname
        return f"{name} at {where} does not answer: {error}".strip()
    return ""


def parts_that_answer(recipe: Recipe) -> tuple[str, ...]:
    """List the parts that a recipe can run on, here and now.

    Where there is none, the test is not checked.
    """
    wanted = [service.removesuffix("?") for service in recipe.services]
    silent = [name for name in wanted if silence_of(name)]
    if silent and (os.environ.get("CI") or silent == wanted):
        not_checked(silent)
    return tuple(name for name in wanted if name not in silent)


def need(names: Iterable[str]) -> None:
    """Leave a test as not checked, unless all of these parts answer."""
    if silent := [name for name in names if silence_of(name)]:
        not_checked(silent)


def not_checked(silent: Iterable[str]) -> None:
    """Leave a test, and say what it needs.

    On a machine for CI all must be there: the test fails.
    """
    text = "; ".join(f"needs {silence_of(name)}" for name in silent)
    if os.environ.get("CI"):
        pytest.fail(f"not checked: {text}")
    pytest.skip(f"not checked: {text}")


@contextlib.contextmanager
def shares(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Give a service its share of each part."""
    with contextlib.ExitStack() as stack:
        settings: dict[str, str] = {}
        for name in names:
            part = PARTS[name]
            settings |= stack.enter_context(part.share(part.url))
        yield settings
