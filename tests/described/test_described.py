"""Each openapi.yaml, run by schemathesis against what serves it.

What it sends is made from the document, right and wrong, the same each
time; what comes back has to be what the document says.
"""

import hmac
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import time
from uuid import uuid4

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cookbook.book import Book
from cookbook.contract import Service, Subject, start

CONFIG = Path(__file__).parent / "schemathesis.toml"
SILENT = "warnings = false"
STRICT = 'warnings = { fail-on = ["missing_auth"] }'
"""In place of the other, where whoever is known must be let in."""

SECRET = "a secret that only this test and its service know"
API_KEY = "a-key-that-was-given-out"
KNOBS: dict[str, dict[str, object]] = {
    "graceful_shutdown": {"PAGE_SECONDS": 1e-6, "EVENT_SECONDS": 0.05},
    "http_caching": {"TOKEN_SECRET": SECRET},
    "middleware_order": {"TOKEN_SECRET": SECRET},
    "rate_limiting": {
        **{"API_KEYS": API_KEY, "LIMIT_REQUESTS": 10**6},
        "ROUTE_LIMIT_REQUESTS": 10**6,
    },
    "request_context": {"TOKEN_SECRET": SECRET},
    "sessions": {"ARGON2_TIME_COST": 1, "ARGON2_MEMORY_KIB": 64},
}
OTHER_OPTIONS = ("no-options", "preflight-400", "preflight-400-bare")
"""Differences by which OPTIONS is answered with what no document has."""

WITHOUT_END = ("--exclude-path-regex", "^/(login|logout)")
"""Leaves out what would end the session that all requests come with."""


@dataclass(frozen=True)
class Known:
    """What a client shows, by the name that the document has for it."""

    scheme: str
    kind: str
    value: str
    words: tuple[str, ...] = ()

    @property
    def settings(self) -> str:
        """The lines for schemathesis."""
        return f'[auth.openapi.{self.scheme}]\n{self.kind} = "{self.value}"\n'


@contextmanager
def issuing() -> Iterator[tuple[str, dict[str, object]]]:
    """Run an issuer of tokens; give one, and the knobs that trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    keys = json.dumps({"keys": [{**public, "kid": "1", "use": "sig"}]})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    said = {
        **{"iss": "https://issuer.test", "aud": "https://reports.test"},
        **{"sub": "ada", "client_id": "test", "jti": uuid4().hex},
        **{"iat": int(time()), "exp": int(time()) + 3600},
        "scope": "reports:read reports:write",
    }
    head = {"kid": "1", "typ": "at+jwt"}
    token = jwt.encode(said, key, "ES256", headers=head)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield (
            token,
            {
                **{"ISSUER": said["iss"], "AUDIENCE": said["aud"]},
                **{"JWKS_URL": url, "ALGORITHM": "ES256"},
            },
        )
        server.shutdown()


def with_jwt(_: Service, token: str) -> Known:
    """Come with what the issuer has signed."""
    return Known("token", "bearer", token)


def signed(_: Service, __: str) -> Known:
    """Come with a name and its proof."""
    proof = hmac.new(SECRET.encode(), b"ada", "sha256").hexdigest()
    return Known("user", "bearer", f"ada.{proof}")


def with_key(_: Service, __: str) -> Known:
    """Come with a key that was given out."""
    return Known("key", "bearer", API_KEY)


def with_session(service: Service, _: str) -> Known:
    """Come with a session of the recipe about drafts."""
    answer = service.request("POST", "/session", json={"name": "ada"})
    return Known("session", "api_key", cookie_in(answer))


def logged_in(service: Service, _: str) -> Known:
    """Come with an account, its session and the token of that."""
    account = {"email": f"{uuid4().hex}@example.com", "password": SECRET}
    first = service.request("GET", "/csrf")
    headers = {
        "Cookie": f"__Host-session={cookie_in(first)}",
        "X-CSRF-Token": first.json()["csrf_token"],
    }
    service.request("POST", "/users", json=account, headers=headers)
    answer = service.request("POST", "/login", json=account, headers=headers)
    session = cookie_in(answer)
    headers = {"Cookie": f"__Host-session={session}"}
    token = service.request("GET", "/csrf", headers=headers).json()
    words = ("-H", f"X-CSRF-Token: {token['csrf_token']}")
    return Known("session", "api_key", session, words)


def with_wallet(service: Service, _: str) -> Known:
    """Come with a wallet that was opened just now."""
    answer = service.request("POST", "/wallets")
    return Known("wallet", "bearer", answer.json()["token"])


def cookie_in(answer: httpx2.Response) -> str:
    """Take the value of the cookie that is set."""
    return answer.headers["set-cookie"].partition(";")[0].partition("=")[2]


KNOWN: dict[str, Callable[[Service, str], Known]] = {
    "cors": with_session,
    "http_caching": signed,
    "idempotency_keys": with_wallet,
    "jwt": with_jwt,
    "middleware_order": signed,
    "rate_limiting": with_key,
    "request_context": signed,
    "sessions": logged_in,
}


def assert_as_described(
    recipe: str, service: Service, config: Path, *words: str
) -> None:
    """Have schemathesis send what is described, and judge the answers."""
    document = Book.load().recipe(recipe).folder / "openapi.yaml"
    command = (sys.executable, "-m", "schemathesis.cli", "--config-file")
    place = ("run", document, "--url", service.url)
    if any(map(service.differs, OTHER_OPTIONS)):
        words = (*words, "--exclude-method", "OPTIONS")
    done = subprocess.run(
        [*command, config, *place, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.partition("= FAILURES =")[2] or done.stdout
    assert 0 == done.returncode, f"{said}\n{done.stderr}"
    assert re.search(r"[1-9]\d* passed", done.stdout), done.stdout


def test_a_stranger_is_answered_as_described(
    recipe: str, framework: Subject
) -> None:
    """Whatever a client sends that is nobody, the document has it."""
    with start(recipe, framework, KNOBS.get(recipe, {})) as service:
        assert_as_described(recipe, service, CONFIG)


def test_who_is_known_is_answered_as_described(
    recipe: str, framework: Subject, tmp_path: Path
) -> None:
    """Whatever a client sends that may do all, the document has it."""
    if recipe not in KNOWN:
        pytest.skip("nobody is known there")
    config = tmp_path / "schemathesis.toml"
    with issuing() as (token, trusting):
        knobs = {**KNOBS.get(recipe, {}), **trusting}
        with start(recipe, framework, knobs) as service:
            known = KNOWN[recipe](service, token)
            usual = CONFIG.read_text().replace(SILENT, STRICT)
            config.write_text(f"{usual}\n{known.settings}")
            words = (*known.words, *WITHOUT_END)
            assert_as_described(recipe, service, config, *words)
