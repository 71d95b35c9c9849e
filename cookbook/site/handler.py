"""What answers a browser: the files of the site, and what is tried.

Only to a reader on this machine, and only to the site's own pages: another
page that sends a form here, or another name for this host, is refused.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from cookbook.book import Recipe
from cookbook.names import WrongUse
from cookbook.site import tryit
from cookbook.site.building import Builder
from cookbook.site.rendering import POLICY
from cookbook.site.servers import Servers

MOST = 1 << 20
"""How large a form may be, in bytes."""

POLICIES = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With less, a browser does not say whose page sends a form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_TRY = re.compile(r"/recipes/([a-z0-9_]+)/try/")


class Explorer(ThreadingHTTPServer):
    """The server of a site, and of the servers that are tried."""

    def __init__(self, builder: Builder, port: int) -> None:
        self.builder = builder
        self.servers = Servers()
        handler = partial(Handler, directory=str(builder.out))
        super().__init__(("127.0.0.1", port), handler)


class Handler(SimpleHTTPRequestHandler):
    """Answers with the files of the site, to readers on this machine."""

    server: Explorer
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
        if self.headers.get("Host") in own_hosts(self.server.server_port):
            return True
        self.send_error(421, "This is served to 127.0.0.1 only")
        return False

    def do_GET(self) -> None:
        """Answer with a file, or with the page that tries a recipe."""
        recipe = self._tried()
        if recipe is None:
            super().do_GET()
        else:
            self._try(recipe, urlsplit(self.path).query)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        if self._tried() is None:
            super().do_HEAD()
        else:
            self.do_GET()

    def do_POST(self) -> None:
        """Send what was filled in, if a page of the site's own asks."""
        recipe = self._tried()
        length = self.headers.get("Content-Length", "")
        kind = self.headers.get_content_type()
        if recipe is None:
            self.send_error(405, "Nothing here takes a form")
        elif self.headers.get("Origin") != f"http://{self.headers['Host']}":
            self.send_error(403, "Only the explorer's own pages may ask")
        elif kind != "application/x-www-form-urlencoded":
            self.send_error(415, "This takes a form")
        elif not re.fullmatch("[0-9]{1,9}", length):
            self.send_error(411, "The length of the form is not known")
        elif int(length) > MOST:
            self.send_error(413, f"A form may have {MOST} bytes")
        else:
            form = self.rfile.read(int(length)).decode(errors="replace")
            self._try(recipe, form, sends=True)

    def _tried(self) -> Recipe | None:
        """Find the recipe that is to be tried."""
        match = _TRY.fullmatch(urlsplit(self.path).path)
        site = self.server.builder.site
        if match is None or site is None:
            return None
        return site.book.recipes.get(match[1])

    def _try(self, recipe: Recipe, form: str, *, sends: bool = False) -> None:
        site, servers = self.server.builder.site, self.server.servers
        assert site is not None
        code = 200
        asked = tryit.Asked((), "", "", {})
        try:
            asked = tryit.Asked.read(form)
            does = tryit.send if sends else tryit.page
            page = does(site, servers, recipe, asked)
        except tryit.FormError as error:
            code = 400
            page = tryit.refuse(site, servers, recipe, asked, str(error))
        self._send(code, page.render(site.shared).encode())

    def _send(self, code: int, body: bytes) -> None:
        """Answer with a page."""
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

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
        else:
            self._send(404, lost.read_bytes())

    # The name is the base class's.
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing of each request."""


def own_hosts(port: int) -> set[str]:
    """List the names under which the site may be asked for."""
    return {f"{host}:{port}" for host in ("127.0.0.1", "localhost")}


@contextmanager
def listening(builder: Builder, port: int) -> Iterator[Explorer]:
    """Open the port on loopback; nothing that was tried is left behind."""
    try:
        server = Explorer(builder, port)
    except OSError as error:
        raise WrongUse(f"Port {port}: {error.strerror}.") from None
    with server:
        try:
            yield server
        finally:
            server.servers.close()
