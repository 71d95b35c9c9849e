"""A small book to look things up in, and a way to ask the tool."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from threading import Thread
from time import monotonic

import psutil
import pytest

from cookbook.book import Book
from cookbook.cli import run
from cookbook.site.building import Builder
from cookbook.site.handler import listening

ROOT = Path(__file__).parents[2]

CANON = """
[shelves]
first = { chapter = 1, title = "The first chapter" }
second = { chapter = 2, title = "The second chapter" }

[topics]
"1.1" = "Greetings"
"2.1" = "Farewells"

[recipes.first]
greet = { canon = ["1.1"], idea = "say hello" }
bow = { canon = ["1.1"], idea = "bend the back", kind = "once" }

[recipes.second]
leave = { canon = ["2.1"], idea = "say goodbye by 429", needs = "a door" }
"""

FLASK = """
title = "Flask"
packages = ["flask>=3"]
companions = ["werkzeug"]
docs = "https://flask.example/"

[serve.http]
command = "gunicorn --workers {workers} {bind} {module}:create_app()"
fd = "--bind fd://{fd}"
port = "--bind {host}:{port}"
workers = true
"""

LITESTAR = """
title = "Litestar"
packages = ["litestar>=2"]
docs = "https://litestar.example/"

[serve.http]
command = "granian {bind} {module}:app"
port = "--host {host} --port {port}"
"""

DJANGO = """
title = "Django"
packages = ["django>=6"]
docs = "https://django.example/"
"""

GREET = """
title = "Greeting"
sentence = "Say hello to whoever comes."
canon = ["1.1"]
symptoms = ["nobody answers", "hello is said twice"]
names = ["say_hello"]
sources = [{ title = "On greeting", url = "https://greet.example/" }]

[[rules]]
id = "polite"
text = "A greeting has a name in it."

[[rules]]
id = "brief"
text = "A greeting is one line."
kept_by = { flask = "shared", litestar = "shared" }

[[rules]]
id = "prompt"
text = "A greeting comes at once."
kept_by = { flask = "server", litestar = "framework" }

[[differences]]
id = "late"
rule = "prompt"
frameworks = ["litestar"]
instead = "It takes its time."
why = "It stretches first."
upstream = "https://litestar.example/1"

[[knobs]]
env = "GREETING"
type = "text"
default = "Hello"
text = "What is said."

[[knobs]]
env = "SECRET"
type = "secret"
text = "Nobody knows."

[[examples]]
id = "hello"
rule = "polite"
method = "GET"
path = "/hello"
status = 200
"""

FLASK_APP = '''
"""Greeting in Flask."""

from shared.lines import one_line


def say_hello(name: str) -> str:
    """Greet someone."""
    return one_line(
        "Hello",
        # rule: polite
        name,
    )
'''

LITESTAR_APP = '''
"""Greeting in Litestar."""

from shared.lines import one_line


async def say_hello(name: str) -> str:
    """Greet someone."""
    # rule: polite
    words = ["Hello", name]
    return one_line(*words)
'''

LINES = '''
"""Lines."""


def one_line(*words: str) -> str:
    """Put words on a line."""
    text = " ".join(words)
    # rule: brief
    text = text.replace("\\n", " ")
    return text
'''

SMALL_BOOK = {
    "recipes/canon.toml": CANON,
    "recipes/first/greet/recipe.toml": GREET,
    "recipes/first/greet/flask_app.py": FLASK_APP,
    "recipes/first/greet/litestar_app.py": LITESTAR_APP,
    "shared/lines.py": LINES,
    "frameworks/flask/framework.toml": FLASK,
    "frameworks/litestar/framework.toml": LITESTAR,
    "frameworks/django/framework.toml": DJANGO,
}


SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from shared.words import hello


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        name = query.get("name", ["you"])[0]
        status = 200
        # rule: polite
        name = name.title()
        # rule: brief
        name = name.partition("\\n")[0]
        body = hello(name).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def prepare():
    pass


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

CONTRACT = """
import pytest

from cookbook.contract import start


@pytest.fixture(scope="module")
def service(framework):
    with start("greet", framework) as running:
        yield running


@pytest.mark.rule("polite")
def test_a_name_is_in_it(service):
    answer = service.request("GET", "/hello?name=ann")
    assert "Hello, Ann" == answer.text


@pytest.mark.rule("brief")
def test_it_is_a_line(service):
    answer = service.request("GET", "/hello?name=ann%0Abob")
    assert 1 == len(answer.text.splitlines())


@pytest.mark.rule("prompt")
def test_it_comes(service):
    assert 200 == service.request("GET", "/hello").status_code
"""

MANNERS = """
import pytest

from cookbook.contract import start

pytestmark = pytest.mark.rule("manners")


def test_it_is_known(recipe, framework):
    with start(recipe, framework) as service:
        first = service.examples[0]
        answer = service.request(first.method, first.path)
        assert first.status == answer.status_code
"""

LIBRARY = """
title = "The library"
packages = []
docs = "https://docs.python.org/3/library/http.server.html"
warm = ["http.server"]

[serve.http]
command = "python -m {module} {bind}"
port = "{port}"
"""

WORDS = """
def hello(name):
    return f"Hello, {name}"
"""

SERVED_BOOK = {
    "pyproject.toml": "",
    "recipes/first/greet/flask_app.py": None,
    "recipes/first/greet/litestar_app.py": None,
    "recipes/first/greet/http_app.py": SERVER,
    "shared/words.py": WORDS,
    "frameworks/flask/framework.toml": None,
    "frameworks/django/framework.toml": None,
    "frameworks/litestar/framework.toml": None,
    "frameworks/http/framework.toml": LIBRARY,
    "tests/contracts/first/test_greet.py": CONTRACT,
    "tests/contracts/test_manners.py": MANNERS,
}


TRIED_SERVER = """
import gzip
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

NUMBERS = count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        said = self.rfile.read(length).decode()
        path, _, query = self.path.partition("?")
        if path == "/end":
            os._exit(3)
        if path == "/deaf":
            self.close_connection = True
            return
        self.send_response({"/odd": 299, "/none": 404}.get(path, 200))
        self.send_header("X-Greeting", "GREETING")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        # Whoever waits for it to start asks for the root.
        number = next(NUMBERS) if path != "/" else 0
        body = b'{"number": %d, "said": "GREETING <b>"}' % number
        kind = "application/json"
        if path == "/echo":
            kind, body = "text/plain", f"{self.path} {said}".encode()
        elif path == "/long":
            kind, body = "text/plain", b"x" * 200_000
        elif path == "/zipped":
            self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(body)
        elif path == "/torn":
            body = b"not JSON"
        self.send_header("Content-Type", kind)
        if path == "/forever":
            self.close_connection = True
            self.end_headers()
            while True:
                self.wfile.write(b"data: again\\n")
                self.wfile.flush()
        more = 10 if path == "/broken" else 0
        self.close_connection = bool(more)
        self.send_header("Content-Length", str(len(body) + more))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        print("asked for", self.path)


def prepare():
    pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.serve_forever()
"""

TRIED_RECIPE = """
title = "Greeting"
sentence = "Say hello to whoever comes."
canon = ["1.1"]

[[rules]]
id = "polite"
text = "A greeting has a name in it."

[[examples]]
id = "hello"
rule = "polite"
method = "GET"
path = "/hello"
status = 200
capture = { number = "/number" }

[[examples]]
id = "again"
rule = "polite"
method = "POST"
path = "/echo?{number}"
status = 200
headers = { Content-Type = "application/json" }
body = { number = "{number}", once = "{unique}" }
"""


@pytest.fixture
def tried_book(write_book: Callable[..., Book]) -> Book:
    """A book of three servers of the library: one does not start."""
    files: dict[str, str | None] = {
        "pyproject.toml": "",
        "recipes/first/greet/recipe.toml": TRIED_RECIPE,
        "shared/lines.py": None,
    }
    for name, title, says in (
        ("flask", "Flask", "Hello"),
        ("django", "Django", "Good day"),
        ("litestar", "Litestar", "Hello"),
    ):
        room = LIBRARY.replace("The library", title)
        app = TRIED_SERVER.replace("GREETING", says)
        if name == "litestar":
            app = app.replace("    pass", '    sys.exit("No <b>, no hello")')
        files[f"frameworks/{name}/framework.toml"] = room
        files[f"recipes/first/greet/{name}_app.py"] = app
    return write_book(files)


@pytest.fixture
def write_book(tmp_path: Path) -> Callable[..., Book]:
    """Write the small book, some of its files changed; `None` leaves out."""

    def write(changes: Mapping[str, str | None] | None = None) -> Book:
        for name, text in {**SMALL_BOOK, **(changes or {})}.items():
            if text is not None:
                file = tmp_path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(dedent(text).lstrip("\n"))
        return Book(tmp_path)

    return write


@pytest.fixture
def small_book(write_book: Callable[..., Book]) -> Book:
    """A book of one recipe, in two of its three frameworks."""
    return write_book()


@pytest.fixture
def served_book(
    write_book: Callable[..., Book], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Book]]:
    """Write a book of one framework, `http` of the library, that serves."""

    def write(changes: Mapping[str, str | None] | None = None) -> Book:
        book = write_book({**SERVED_BOOK, **(changes or {})})
        monkeypatch.setenv("COOKBOOK_ROOT", str(book.root))
        return book

    # Else one book would be held to the contract of another.
    forget_contracts()
    yield write
    forget_contracts()


@contextmanager
def exploring(builder: Builder) -> Iterator[str]:
    """Serve what was built as `cookbook serve` does; gives the address."""
    with listening(builder, 0) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def forget_contracts() -> None:
    """Have the contracts read anew, from the book that is judged next."""
    for name in [name for name in sys.modules if "tests.contracts" in name]:
        del sys.modules[name]


@pytest.fixture
def are_gone() -> Callable[[Iterable[psutil.Process]], bool]:
    """Wait until processes have ended, reaped by their parents or not."""

    def wait(processes: Iterable[psutil.Process]) -> bool:
        end, left = monotonic() + 20, list(processes)
        while left and monotonic() < end:
            _, left = psutil.wait_procs(left, timeout=0.02)
            left = [one for one in left if not is_zombie(one)]
        return not left

    return wait


def is_zombie(process: psutil.Process) -> bool:
    """Tell whether a process has ended, and nobody asked how."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def real_book() -> Book:
    """The book in whose checkout the tests run."""
    return Book(ROOT)


@pytest.fixture
def ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command on a book: its exit code, output and errors."""

    def run_command(
        book: Book, *words: str, width: int = 80, colour: bool = False
    ) -> tuple[int, str, str]:
        monkeypatch.setenv("COOKBOOK_ROOT", str(book.root))
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("FORCE_COLOR", "1" if colour else "")
        capsys.readouterr()
        code = run(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command
