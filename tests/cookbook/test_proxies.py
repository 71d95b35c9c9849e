import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import psutil
import pytest

from cookbook.contract import proxies, shared_cache, until

LIFETIMES = {
    "/said": "max-age=60",
    "/stale": "max-age=1, stale-while-revalidate=60",
    "/not": "no-store",
    "/own": "private",
    "/nothing-said": "",
}


class Origin(BaseHTTPRequestHandler):
    """A service that counts its answers."""

    answered = 0

    def do_GET(self) -> None:
        """Answer with the number of the answer, and a lifetime."""
        Origin.answered += 1
        body = str(Origin.answered).encode()
        self.send_response(200)
        if lifetime := LIFETIMES[self.path]:
            self.send_header("Cache-Control", lifetime)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    """The URL of a service to put a cache before."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def nginx() -> set[int]:
    """The processes of caches that this one has started."""
    children = psutil.Process().children(recursive=True)
    return {one.pid for one in children if one.name() == "nginx"}


@pytest.mark.parametrize(
    ("path", "second"),
    [
        ("/said", "HIT"),
        ("/nothing-said", "HIT"),
        ("/not", "MISS"),
        ("/own", "MISS"),
    ],
)
def test_what_may_be_kept_is_kept(origin: str, path: str, second: str) -> None:
    """What says nothing is kept, too: it is a cache as there are many."""
    with shared_cache(origin) as cache:
        answers = [cache.request("GET", path) for _ in range(2)]
    assert "MISS" == answers[0].headers["x-cache"]
    assert second == answers[1].headers["x-cache"]
    assert (second == "HIT") == (answers[0].text == answers[1].text)


def test_what_may_be_stale_is_shown_while_it_is_renewed(origin: str) -> None:
    """`stale-while-revalidate` is honoured."""
    with shared_cache(origin) as cache:
        first = cache.request("GET", "/stale")

        def over() -> httpx2.Response | None:
            answer = cache.request("GET", "/stale")
            return None if answer.headers["x-cache"] == "HIT" else answer

        stale = until(over, "it is kept for ever")
        assert stale is not None
        assert "STALE" == stale.headers["x-cache"]
        assert first.text == stale.text


def test_a_cache_is_empty_and_gone_afterwards(origin: str) -> None:
    """None knows what another has kept, and no process is left."""
    before = nginx()
    for _ in range(2):
        with shared_cache(origin) as cache:
            answer = cache.request("GET", "/said")
            assert "MISS" == answer.headers["x-cache"]
            assert nginx() - before
    assert set() == nginx() - before


def test_without_nginx_a_test_is_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is left, and says what it needs; in CI it fails."""
    monkeypatch.setattr(proxies, "PROGRAM", "no-such-program")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no-such-program"):
        proxies.find_nginx()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-program"):
        proxies.find_nginx()


def test_a_cache_ends_with_a_harness_that_is_killed(origin: str) -> None:
    """SIGKILL leaves no process and no folder behind."""
    code = (
        "import os, signal\n"
        "from cookbook.contract import shared_cache\n"
        f"with shared_cache({origin!r}) as cache:\n"
        "    print(cache.url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    url = done.stdout.strip()
    assert url, done.stderr

    def is_gone() -> bool:
        try:
            httpx2.get(f"{url}/said", trust_env=False, verify=False)
        except httpx2.TransportError:
            return True
        return False

    until(is_gone, "the cache has outlived its harness")
