"""`cookbook serve`: the explorer on this machine, renewed on every edit."""

import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter

from cookbook.book import Book
from cookbook.names import WrongUse
from cookbook.site.building import Builder, index
from cookbook.site.rendering import HERE, POLICY
from cookbook.tables import BookError
from cookbook.terminal import ACCENT, FAINT, PLAIN, Screen

LOOK_EVERY = 0.25
"""How often the files are looked at, in seconds."""

WATCHED = ("recipes", "frameworks", "shared", "tests/contracts")

POLICIES = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Handler(SimpleHTTPRequestHandler):
    """Answers with the files of the site, to readers on this machine."""

    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".md": "text/markdown; charset=utf-8",
        ".py": "text/plain; charset=utf-8",
        ".txt": "text/plain; charset=utf-8",
        ".woff2": "font/woff2",
        ".yaml": "text/plain; charset=utf-8",
    }

    def parse_request(self) -> bool:
        """Refuse a request that another site's name has led here."""
        if not super().parse_request():
            return False
        assert isinstance(self.server, ThreadingHTTPServer)
        if self.headers.get("Host") in own_hosts(self.server.server_port):
            return True
        self.send_error(421, "This is served to 127.0.0.1 only")
        return False

    def end_headers(self) -> None:
        """Say what a page may load."""
        for name, value in POLICIES.items():
            self.send_header(name, value)
        super().end_headers()

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Answer an address that is not there with the page for it."""
        lost = Path(self.directory) / "404.html"
        if code != 404 or not lost.is_file():
            super().send_error(code, message, explain)
            return
        body = lost.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # The name is the base class's.
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing of each request."""


def own_hosts(port: int) -> set[str]:
    """List the names under which the site may be asked for."""
    return {f"{host}:{port}" for host in ("127.0.0.1", "localhost")}


def serve(book: Book, screen: Screen, port: int, *, opens: bool) -> int:
    """Build the site, and serve it until Ctrl-C or SIGTERM."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with TemporaryDirectory(prefix="cookbook-site-") as folder:
        builder = Builder(Path(folder))
        builder.build(book)
        with listening(Path(folder), port) as server:
            url = f"http://127.0.0.1:{server.server_port}/"
            screen.print([[("The explorer is at ", PLAIN), (url, ACCENT)]])
            sys.stdout.flush()
            if opens:
                webbrowser.open(url)
            with watched(book, screen, builder):
                wait(server)
    return 0


@contextmanager
def listening(folder: Path, port: int) -> Iterator[ThreadingHTTPServer]:
    """Open the port on loopback."""
    handler = partial(Handler, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise WrongUse(f"Port {port}: {error.strerror}.") from None
    with server:
        yield server


def wait(server: ThreadingHTTPServer) -> None:
    """Serve until somebody ends it."""
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        return


@contextmanager
def watched(book: Book, screen: Screen, builder: Builder) -> Iterator[None]:
    """Build again whenever a file of the book changes."""
    ended = Event()
    looking = Thread(
        target=watch, args=(book, screen, builder, ended), daemon=True
    )
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def watch(book: Book, screen: Screen, builder: Builder, ended: Event) -> None:
    """Look at the files until it is `ended`."""
    before = seen(book)
    while not ended.wait(LOOK_EVERY):
        now = seen(book)
        if now != before:
            before = now
            renew(book, screen, builder)


def renew(book: Book, screen: Screen, builder: Builder) -> None:
    """Build again, or say why not: what was there stays.

    The pages are there first, the index for search follows.
    """
    begun = perf_counter()
    try:
        builder.write(Book(book.root))
        took = f"Built again in {perf_counter() - begun:.2f} s"
        screen.print([[(took, FAINT)]])
        sys.stdout.flush()
        index(builder.out)
    except (BookError, WrongUse, SyntaxError) as error:
        screen.print([[(str(error), PLAIN)]])
        sys.stdout.flush()


def seen(book: Book) -> dict[Path, int]:
    """Note when each file was changed."""
    folders = [book.root / name for name in WATCHED]
    files = [f for folder in folders for f in folder.rglob("*.*")]
    files += HERE.rglob("*.*")
    files += book.home.glob("*.jsonl")
    found = {}
    for file in files:
        if file.suffix in (".pyc", ".db"):
            continue
        try:
            found[file] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found
