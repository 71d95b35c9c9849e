import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from cookbook.book import Book
from cookbook.running import line_of

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

ROOT = Path(__file__).parents[2]


@contextmanager
def running(book: Book, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `cookbook run` as a reader does."""
    env = {"COOKBOOK_ROOT": str(book.root), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "cookbook", "run", *words],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    """Find a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_real_server_runs(served_book: Writer) -> None:
    """The command becomes the server, on the port it was given."""
    port = str(free_port())
    words = ("greet", "--in", "http", "--port", port)
    with running(served_book(), *words) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(5)]
        transport = httpx2.HTTPTransport(retries=8)
        with httpx2.Client(transport=transport, trust_env=False) as client:
            answer = client.get(f"http://127.0.0.1:{port}/hello?name=ann")
        process.send_signal(signal.SIGTERM)
        status = process.wait(20)
    expected = [
        f"Greeting in The library  http://127.0.0.1:{port}",
        f"python -m recipes.first.greet.http_app {port}",
        "",
        f"curl -i 'http://127.0.0.1:{port}/hello'",
        "",
    ]
    assert expected == said
    assert ("Hello, Ann", -signal.SIGTERM) == (answer.text, status)


def test_a_port_that_is_taken(ask: Ask, served_book: Writer) -> None:
    """A port that somebody has takes one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("run", "greet", "--in", "http", "--port", str(port))
        answer = ask(served_book(), *words)
    expected = f"Port {port} cannot be had: Address already in use.\n"
    assert (2, "", expected) == answer


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_what_is_no_port(ask: Ask, served_book: Writer, port: str) -> None:
    """A number that is no port takes one sentence."""
    words = ("run", "greet", "--in", "http", "--port", port)
    expected = f"{port} is no port: they go from 1 to 65535.\n"
    assert (2, "", expected) == ask(served_book(), *words)


def test_a_gap(ask: Ask, small_book: Book) -> None:
    """A recipe that is not written in a framework cannot run there."""
    answer = ask(small_book, "run", "greet", "--in", "django")
    assert (2, "", "greet is not written in Django.\n") == answer


def test_a_setting_without_a_value(ask: Ask, served_book: Writer) -> None:
    """A setting has a name and a value."""
    words = ("run", "greet", "--in", "http", "--set", "A")
    port = ("--port", str(free_port()))
    code, _, errors = ask(served_book(), *words, *port)
    assert (2, "A setting is NAME=VALUE, and 'A' is not.\n") == (code, errors)


def test_a_prepare_that_fails(ask: Ask, served_book: Writer) -> None:
    """Where the set-up fails no server is started."""
    changes = {"recipes/first/greet/http_app.py": "def prepare(): exit(3)"}
    port = str(free_port())
    words = ("run", "greet", "--in", "http", "--port", port)
    assert 1 == ask(served_book(changes), *words)[0]


def test_the_server_line(small_book: Book) -> None:
    """The command line is the production server's."""
    recipe, flask = small_book.recipe("greet"), small_book.framework("flask")
    line = line_of(recipe, flask, 8001, 4, dev=False)
    expected = (
        "gunicorn --workers 4 --bind 127.0.0.1:8001"
        " recipes.first.greet.flask_app:create_app()"
    )
    assert expected == " ".join(line)
