import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from cookbook.contract import breakable, realparts
from cookbook.contract.realparts import PARTS, own_name, shares, silence_of

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def need() -> Callable[[str], str]:
    """Leave a test where a part is not on the machine; give its URL."""

    def check(name: str) -> str:
        if silence := silence_of(name):
            if os.environ.get("CI"):
                pytest.fail(silence)
            pytest.skip(silence)
        return PARTS[name].url

    return check


def databases(url: str) -> set[str]:
    """List the databases of a server."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT datname FROM pg_database")
        return {name for (name,) in found.fetchall()}


def test_a_service_has_a_database_of_its_own(
    need: Callable[[str], str],
) -> None:
    """It is empty, and gone afterwards, whoever is still in it."""
    url = need("postgresql")
    with contextlib.ExitStack() as stack:
        with shares(["postgresql"]) as settings:
            own = urlsplit(settings["DATABASE_URL"]).path[1:]
            assert own in databases(url)
            connection = psycopg.connect(settings["DATABASE_URL"])
            stack.enter_context(contextlib.closing(connection))
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname='public'"
            assert (0,) == connection.execute(tables).fetchone()
        assert own not in databases(url)


def test_a_service_has_a_namespace_of_its_own(
    need: Callable[[str], str],
) -> None:
    """Its keys are gone afterwards, and nobody else's."""
    url = need("redis")
    with (
        redis.Redis.from_url(url, decode_responses=True) as client,
        shares(["redis"]) as other,
    ):
        kept = f"{other['NAMESPACE']}:kept"
        client.set(kept, "1")
        with shares(["redis"]) as settings:
            gone = f"{settings['NAMESPACE']}:gone"
            client.set(gone, "1")
        assert [None, "1"] == client.mget(gone, kept)
        assert not client.sismember(realparts.SHARES, settings["NAMESPACE"])


def ended_process() -> int:
    """Give the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not psutil.pid_exists(process.pid)
    return process.pid


def test_what_a_killed_run_has_left_is_cleared(
    need: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run drops its databases and deletes its keys."""
    for_database, for_keys = need("postgresql"), need("redis")
    monkeypatch.setattr(os, "getpid", ended_process)
    database, namespace = own_name("_"), own_name(":")
    monkeypatch.undo()
    with psycopg.connect(for_database, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}"'.encode())
    client = redis.Redis.from_url(for_keys, decode_responses=True)
    with contextlib.closing(client):
        client.set(f"{namespace}:a", "1")
        client.sadd(realparts.SHARES, namespace)
        with shares(["postgresql", "redis"]):
            assert database not in databases(for_database)
            assert 0 == client.exists(f"{namespace}:a")


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put something that says all again in the place of Redis."""

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(100):
                connection.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=[connection]).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{port}/0")
        threading.Thread(target=serve, daemon=True).start()
        yield port
        listener.shutdown(socket.SHUT_RDWR)


def say(connection: socket.socket) -> bytes:
    """Say something, and hear what comes back."""
    connection.sendall(b"hello")
    return connection.recv(100)


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side is gone."""
    try:
        return b"" == say(connection)
    except ConnectionError:
        return True


def knock(url: str) -> socket.socket:
    """Connect to where a URL leads."""
    port = urlsplit(url).port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_open_door_lets_through(echo: int) -> None:
    """Nobody notices it, and the URL is the part's but for its place."""
    with breakable("redis") as door, knock(door.url) as connection:
        assert b"hello" == say(connection)
        assert urlsplit(door.url).port != echo
        assert door.url.startswith("redis://:secret@127.0.0.1:")


def test_a_door_that_is_cut_closes_and_refuses(echo: int) -> None:
    """Connections end, new ones are refused, until it is restored."""
    with breakable("redis") as door:
        with knock(door.url) as connection:
            assert b"hello" == say(connection)
            door.cut()
            assert is_closed(connection)
        with pytest.raises(ConnectionRefusedError):
            knock(door.url)
        door.restore()
        with knock(door.url) as connection:
            assert b"hello" == say(connection)


def test_a_door_that_hangs_lets_nothing_through(echo: int) -> None:
    """What was said then arrives when it is restored."""
    with breakable("redis") as door, knock(door.url) as connection:
        assert b"hello" == say(connection)
        door.hang()
        connection.sendall(b"later")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        door.restore()
        connection.settimeout(5)
        assert b"later" == connection.recv(100)


def test_a_silent_part_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why a test was left says where, not how one gets in."""
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    silence_of.cache_clear()
    found = silence_of("redis")
    silence_of.cache_clear()
    assert found.startswith("redis at 127.0.0.1 does not answer")
    assert "secret" not in found
