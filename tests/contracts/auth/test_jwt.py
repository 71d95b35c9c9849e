"""The contract of `jwt`: what an issuer has signed for us, nothing else."""

import hashlib
import hmac
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import randbelow
from threading import Event, Thread
from time import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, StartError, Subject, start, until

type Json = dict[str, Any]
type Point = tuple[int, int] | None

ISSUER = "https://issuer.test/tenant"
AUDIENCE = "https://reports.test"
READ, WRITE = "reports:read", "reports:write"
LEEWAY = 30
LARGEST = 4096
TITLE = {"title": "Sales of the third quarter"}
DELETE = object()

# P-256 (FIPS 186-5, SP 800-186), so that no library judges itself.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
DIGEST = bytes.fromhex("3031300d060960864801650304020105000420")

# An RSA key that was made for these tests, and is used for nothing else.
RSA_N = int(
    "9757ce91b20dc91cd482840b1ac479c19e6a95e8d71dc1e9a4ebc1b46b9a4cab"
    "58391f3d96a7b84b836524b7802f46021823f9db5535e8aa0a94af199fb74d54"
    "c5bb4a51c91614b9e7e91a83b2e5153dc655e98d9fe00365d91663e56e364b29"
    "becc6fb72dff23485992ef2f80877cae8111acb9b8cfc99d8548f312110d9ddc"
    "98a6d3739d38afd34e089e4963862670435178b3b5ff00799ec1c65d2d8ba603"
    "d9a0a7dd45dfffea3ccd21e75eda476c1492cc640b1e87bda9d8148337a80eed"
    "5b4a8df5c6b4182c864b90ead44a1295fd0b81187c53051a96f41dabf200c75f"
    "0c881d34b2e1e1d7e695213e65e254c26d64e13a61607a6f7d549b9daee48b6f",
    16,
)
RSA_D = int(
    "11a1b75d58fc408067da56c38118551908b98bd7d1c153ec97a6a7181115d660"
    "7b49985ea6aa73e4499d63242fbe6783bf47e85d89b55b4852d83f4d6c6d40b3"
    "4e20039e0df526700183dcef6d4c4167c384bc78caa0a0b4b665b9e355038ff3"
    "d54335b15bc8a6d5d07db7a3a09a92f234f3980716701021ebbbc9246ddbd8c1"
    "5876b8d745eb369f52cc590719002bd56d6f6c37337c857951df0f914d4624ee"
    "1d8ad65f9b72df5d54f9c76660ec4bb1499db226d2ebe6d53025ca9614ec4058"
    "bb634b3ac2bd6d78a4477f34a58306e5bcd2f286946722b60b2b78b516e1e547"
    "90a8d287039368e20a75faf6216bf6c798172f9265dd9b01566d629754000ef1",
    16,
)


def add(a: Point, b: Point) -> Point:
    """Add two points of the curve."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = (3 * a[0] ** 2 - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope**2 - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def doubles() -> Iterator[Point]:
    """Give the base point times one, two, four, and so on."""
    point: Point = G
    for _ in range(256):
        yield point
        point = add(point, point)


DOUBLES = tuple(doubles())


def times(factor: int) -> tuple[int, int]:
    """Multiply the base point."""
    total: Point = None
    for place, point in enumerate(DOUBLES):
        if factor >> place & 1:
            total = add(total, point)
    assert total is not None
    return total


def text(data: bytes) -> str:
    """Write bytes as a part of a token."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def part(value: Any) -> str:
    """Write JSON as a part of a token."""
    return text(json.dumps(value).encode())


class Key:
    """A key of the issuer for ES256."""

    alg = "ES256"

    def __init__(self) -> None:
        self.kid = uuid4().hex
        self.secret = 1 + randbelow(N - 1)
        x, y = times(self.secret)
        self.point = x.to_bytes(32) + y.to_bytes(32)

    def member(self, **changes: Any) -> Json:
        """Write the public key as a member of a JWK set."""
        point = {"x": text(self.point[:32]), "y": text(self.point[32:])}
        named = {"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig"}
        return {**named, **point, **changes}

    def sign(self, data: bytes) -> bytes:
        """Sign, as FIPS 186-5 has it."""
        digest = int.from_bytes(hashlib.sha256(data).digest())
        k = 1 + randbelow(N - 1)
        r = times(k)[0] % N
        s = pow(k, -1, N) * (digest + r * self.secret) % N
        return r.to_bytes(32) + s.to_bytes(32)


class RsaKey(Key):
    """A key of the issuer for RS256."""

    alg = "RS256"

    def __init__(self) -> None:
        self.kid = uuid4().hex

    def member(self, **changes: Any) -> Json:
        """Write the public key as a member of a JWK set."""
        n = text(RSA_N.to_bytes(256))
        named = {"kty": "RSA", "kid": self.kid, "alg": "RS256", "e": "AQAB"}
        return {**named, "n": n, **changes}

    def sign(self, data: bytes) -> bytes:
        """Sign, as PKCS #1 has it in version 1.5."""
        ending = DIGEST + hashlib.sha256(data).digest()
        block = b"\0\1".ljust(255 - len(ending), b"\xff") + b"\0" + ending
        return pow(int.from_bytes(block), RSA_D, RSA_N).to_bytes(256)


class OctKey(Key):
    """A shared secret, which no resource server should take."""

    alg = "HS256"

    def __init__(self, secret: bytes, kid: str) -> None:
        self.kid = kid
        self.bytes = secret

    def member(self, **changes: Any) -> Json:
        """Write the secret as a member of a JWK set."""
        return {"kty": "oct", "kid": self.kid, "k": text(self.bytes)}

    def sign(self, data: bytes) -> bytes:
        """Sign with the secret."""
        return hmac.digest(self.bytes, data, "sha256")


def changed(values: Json, changes: Json) -> Json:
    """Change members, or delete them."""
    both = {**values, **changes}
    return {name: each for name, each in both.items() if each is not DELETE}


def claims(**changes: Any) -> Json:
    """What the issuer says in a token."""
    now = int(time())
    usual = {
        **{"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600},
        **{"iat": now, "jti": uuid4().hex, "client_id": "browser"},
        "scope": f"{READ} {WRITE}",
    }
    return changed(usual, changes)


def mint(key: Key, said: Any = None, **header: Any) -> str:
    """Make a token."""
    usual = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid}
    said = claims() if said is None else said
    data = f"{part(changed(usual, header))}.{part(said)}"
    return f"{data}.{text(key.sign(data.encode()))}"


class Issuer:
    """An issuer that publishes its keys by HTTP."""

    def __init__(self, *keys: Key) -> None:
        self.key = keys[0] if keys else Key()
        self.members: list[Any] = [self.key.member()]
        self.broken: tuple[int, bytes] | None = None
        self.going = Event()
        self.going.set()
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Answer with the keys, or as it was told to."""
                issuer.asked.append(self.path)
                issuer.going.wait(30)
                good = 200, json.dumps({"keys": issuer.members}).encode()
                status, body = issuer.broken or good
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Answer until it is told to end, which it sees soon."""
        self.server.serve_forever(poll_interval=0.01)

    def publish(self, key: Key, **changes: Any) -> Key:
        """Add a key to the set."""
        self.members.append(key.member(**changes))
        return key

    def close(self) -> None:
        """Answer nobody any more."""
        self.going.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def issuing(*keys: Key) -> Iterator[Issuer]:
    """Run an issuer."""
    issuer = Issuer(*keys)
    try:
        yield issuer
    finally:
        issuer.close()


@contextmanager
def serve(
    framework: Subject, issuer: Issuer, **knobs: object
) -> Iterator[Service]:
    """Start a service that trusts the issuer."""
    usual = {
        **{"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "JWKS_URL": issuer.url},
        **{"ALGORITHM": "ES256", "LEEWAY_SECONDS": LEEWAY},
        **{"JWKS_CACHE_SECONDS": 3600, "JWKS_COOLDOWN_SECONDS": 0},
    }
    with start("jwt", framework, {**usual, **knobs}) as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """The issuer that the service trusts."""
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def service(framework: Subject, issuer: Issuer) -> Iterator[Service]:
    """A service that asks for keys only when one is not known."""
    with serve(framework, issuer) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Issuer]:
    """An issuer of one test alone."""
    with issuing() as running:
        yield running


@pytest.fixture
def eager(framework: Subject, own: Issuer) -> Iterator[Service]:
    """A service that asks for the keys each time."""
    with serve(framework, own, JWKS_CACHE_SECONDS=0) as running:
        yield running


def read(service: Service, token: str) -> httpx2.Response:
    """Ask for the reports."""
    return send(service, [f"Bearer {token}"])


def send(
    service: Service, sent: list[str], query: str = ""
) -> httpx2.Response:
    """Ask for the reports, with these headers."""
    headers = [("authorization", each) for each in sent]
    return service.request("GET", f"/reports{query}", headers=headers)


def write(service: Service, token: str) -> httpx2.Response:
    """Add a report."""
    headers = {"authorization": f"Bearer {token}"}
    return service.request("POST", "/reports", headers=headers, json=TITLE)


def assert_taken(answer: httpx2.Response, subject: str = "ada") -> None:
    """The reports, for this reader, and for no cache."""
    assert 200 == answer.status_code, answer.text[:300]
    assert subject == answer.json()["reader"]
    assert "no-store" in answer.headers.get("cache-control", "")
    assert "www-authenticate" not in answer.headers


def assert_refused(
    answer: httpx2.Response, status: int = 401, **told: str
) -> None:
    """A challenge with exactly these attributes, and a problem document."""
    assert status == answer.status_code, answer.text[:300]
    lines = answer.headers.get_list("www-authenticate")
    assert 1 == len(lines)
    line = lines[0]
    scheme, _, rest = line.partition(" ")
    assert "bearer" == scheme.lower()
    assert re.fullmatch(r'\w+="[^"\\]*"(, *\w+="[^"\\]*")*', rest), line
    found = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    assert {"realm": "reports", **told} == found
    assert_problem(answer, status)


def assert_invalid(answer: httpx2.Response) -> None:
    """The token is refused, and nothing says why."""
    assert_refused(answer, error="invalid_token")


def assert_unavailable(answer: httpx2.Response) -> None:
    """Nobody can say whether the token is good."""
    assert_problem(answer, 503)
    assert 1 <= int(answer.headers.get("retry-after", "0"))
    assert "www-authenticate" not in answer.headers


def assert_problem(answer: httpx2.Response, status: int) -> None:
    """A problem document that no cache keeps."""
    assert status == answer.status_code, answer.text[:300]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    assert status == answer.json()["status"]
    assert "no-store" in answer.headers.get("cache-control", "")


# alg-pinned


@pytest.mark.rule("alg-pinned")
def test_a_token_of_the_algorithm_is_taken(
    service: Service, issuer: Issuer
) -> None:
    """What the issuer has signed is good, to read and to write."""
    assert_taken(read(service, mint(issuer.key)))
    answer = write(service, mint(issuer.key, claims(sub="grace")))
    assert 200 == answer.status_code
    assert {**TITLE, "author": "grace"} == answer.json()
    assert "no-store" in answer.headers.get("cache-control", "")


@pytest.mark.rule("alg-pinned")
def test_it_is_rs256_where_nothing_is_said(framework: Subject) -> None:
    """RS256 is the default; then ES256 is another algorithm."""
    with issuing(RsaKey()) as issuer:
        other = issuer.publish(Key())
        issuer.members.append(other.member(alg="ES256"))
        with serve(framework, issuer, ALGORITHM=None) as service:
            assert_taken(read(service, mint(issuer.key)))
            assert_invalid(read(service, mint(other)))


@pytest.mark.rule("alg-pinned")
@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", None, DELETE, ["none"], 0]
)
def test_no_algorithm_is_none(
    service: Service, issuer: Issuer, alg: object
) -> None:
    """A token without a signature is refused, however it is spelled."""
    header = {"alg": alg, "typ": "at+jwt", "kid": issuer.key.kid}
    data = f"{part(changed(header, {}))}.{part(claims())}"
    signed = f"{data}.{text(issuer.key.sign(data.encode()))}"
    for token in (f"{data}.", data, f"{data}.AA", signed):
        assert_invalid(read(service, token))


@pytest.mark.rule("alg-pinned")
def test_a_public_key_is_no_secret(service: Service, issuer: Issuer) -> None:
    """HS256 with what is public of the key is refused."""
    key = issuer.key
    der = SPKI + key.point
    lines = re.findall(".{1,64}", b64encode(der).decode())
    ends = [f"-----{word} PUBLIC KEY-----" for word in ("BEGIN", "END")]
    pem = "\n".join([ends[0], *lines, ends[1]]).encode()
    known = json.dumps(key.member()).encode()
    for secret in (pem, pem + b"\n", der, key.point, known, b""):
        assert_invalid(read(service, mint(OctKey(secret, key.kid))))


@pytest.mark.rule("alg-pinned")
def test_a_secret_in_the_set_is_no_key(
    service: Service, issuer: Issuer
) -> None:
    """A key of another kind is not taken, by its own algorithm or ours."""
    secret = OctKey(uuid4().bytes * 4, uuid4().hex)
    issuer.publish(secret)
    assert_invalid(read(service, mint(secret)))
    assert_invalid(read(service, mint(secret, alg="ES256")))
    rsa = issuer.publish(RsaKey())
    assert_invalid(read(service, mint(rsa)))
    assert_invalid(read(service, mint(rsa, alg="ES256")))
    assert_taken(read(service, mint(issuer.key)))


@pytest.mark.rule("alg-pinned")
def test_what_was_altered_is_refused(service: Service, issuer: Issuer) -> None:
    """The signature is of this header and of these claims."""
    head, said, signature = mint(issuer.key).split(".")
    others = [
        f"{head}.{part(claims(sub='eve'))}.{signature}",
        f"{head}.{said}.{text(bytes(64))}",
        f"{head}.{said}.{text(Key().sign(f'{head}.{said}'.encode()))}",
        f"{head}.{said}.",
        f"{head}.{said}",
        f"{head}.{said}.{signature}.{signature}",
        f"{head}..{signature}",
        *("x", "a.b.c", "..", f"{part([])}.{said}.{signature}"),
        f"{text(b'[' * 2000)}.{said}.{signature}",
        f"{text(bytes(9))}.{said}.{signature}",
    ]
    for token in others:
        assert_invalid(read(service, token))


@pytest.mark.rule("alg-pinned")
def test_a_shared_secret_cannot_be_configured(framework: Subject) -> None:
    """It refuses to start with an algorithm that is no signature of one."""
    with issuing() as issuer, pytest.raises(StartError):
        with serve(framework, issuer, ALGORITHM="HS256"):
            pass


# type-checked


@pytest.mark.rule("type-checked")
@pytest.mark.parametrize(
    "typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"]
)
def test_an_access_token_says_that_it_is_one(
    service: Service, issuer: Issuer, typ: str
) -> None:
    """The type is compared as a media type is, without capitals."""
    assert_taken(read(service, mint(issuer.key, typ=typ)))


@pytest.mark.rule("type-checked")
@pytest.mark.parametrize(
    "typ",
    [
        *("JWT", "jwt", "id_token", "rt+jwt", "at+jwt2", "xat+jwt", "", None),
        *("text/at+jwt", "logout+jwt", ["at+jwt"], 1, DELETE),
    ],
)
def test_another_token_of_the_issuer_is_refused(
    service: Service, issuer: Issuer, typ: object
) -> None:
    """An ID token or a refresh token is no access token."""
    assert_invalid(read(service, mint(issuer.key, typ=typ)))


@pytest.mark.rule("type-checked")
@pytest.mark.parametrize("crit", [["b64"], ["exp"], ["x"], [], "x", None])
def test_what_is_critical_and_not_understood_is_refused(
    service: Service, issuer: Issuer, crit: object
) -> None:
    """Nothing is understood beyond RFC 7515, so nothing may be critical."""
    more = {"b64": True, "exp": 1, "x": 1}
    assert_taken(read(service, mint(issuer.key, **more)))
    assert_invalid(read(service, mint(issuer.key, crit=crit, **more)))


# claims-checked

SOON, LONG_AGO = 10_000, -10_000
GOOD: dict[str, Json] = {
    "as it is": {},
    "one of many audiences": {"aud": ["https://other.test", AUDIENCE]},
    "a fraction": {"exp": 9_999_999_999.5},
    "expired within the leeway": {"exp": 5 - LEEWAY},
    "valid before": {"nbf": -60},
    "begins within the leeway": {"nbf": LEEWAY // 2},
    "issued within the leeway": {"iat": LEEWAY // 2},
    "without iat": {"iat": DELETE},
    "another member": {"roles": ["a"], "act": {"sub": "b"}},
}
BAD: dict[str, Json] = {
    "no issuer": {"iss": DELETE},
    "another issuer": {"iss": "https://evil.test"},
    "a slash more": {"iss": f"{ISSUER}/"},
    "nothing": {"iss": ""},
    "a piece of the issuer": {"iss": "issuer.test"},
    "the beginning": {"iss": ISSUER[:-1]},
    "other capitals": {"iss": ISSUER.upper()},
    "a list of issuers": {"iss": [ISSUER]},
    "no audience": {"aud": DELETE},
    "another audience": {"aud": "https://other.test"},
    "an audience like ours": {"aud": f"{AUDIENCE}.evil.test"},
    "a part of the audience": {"aud": AUDIENCE[:-1]},
    "ours within": {"aud": f"x {AUDIENCE}"},
    "no audience in the list": {"aud": []},
    "the client as audience": {"aud": ["browser"]},
    "an object": {"aud": {AUDIENCE: 1}},
    "no expiry": {"exp": DELETE},
    "expiry null": {"exp": None},
    "expiry as text": {"exp": "9999999999"},
    "expiry true": {"exp": True},
    "expiry without end": {"exp": float("inf")},
    "expiry that is no number": {"exp": float("nan")},
    "expired": {"exp": LONG_AGO},
    "expired a minute ago": {"exp": -60},
    "not yet": {"nbf": SOON},
    "not for a minute": {"nbf": 90},
    "begins as text": {"nbf": "1"},
    "begins true": {"nbf": True},
    "issued in the future": {"iat": SOON},
    "issued as text": {"iat": "1"},
    "no subject": {"sub": DELETE},
    "subject null": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is a number": {"sub": 7},
    "a subject that is a list": {"sub": ["ada"]},
    "half a character": {"sub": "\ud800"},
    "a line": {"sub": "ada\nadmin"},
    "a subject without end": {"sub": "a" * 256},
    "scopes as a list": {"scope": [READ]},
}


def resolved(changes: Json) -> Json:
    """Make dates of what is small."""
    found = dict(changes)
    for name in {"exp", "nbf", "iat"} & changes.keys():
        if type(found[name]) is int and abs(found[name]) <= SOON:
            found[name] += int(time())
    return found


@pytest.mark.rule("claims-checked")
@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_good_claims_are_taken(
    service: Service, issuer: Issuer, changes: Json
) -> None:
    """A token for us, from our issuer, in its time."""
    said = claims(**resolved(changes))
    assert_taken(read(service, mint(issuer.key, said)))


@pytest.mark.rule("claims-checked")
@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_bad_claims_are_refused(
    service: Service, issuer: Issuer, changes: Json
) -> None:
    """Each claim is required, of its type, and true."""
    said = claims(**resolved(changes))
    assert_invalid(read(service, mint(issuer.key, said)))


@pytest.mark.rule("claims-checked")
@pytest.mark.parametrize("said", [[], "text", 1, None, {}])
def test_claims_are_an_object(
    service: Service, issuer: Issuer, said: Any
) -> None:
    """A payload that is none is refused."""
    data = mint(issuer.key).split(".")[0] + "." + part(said)
    token = f"{data}.{text(issuer.key.sign(data.encode()))}"
    assert_invalid(read(service, token))


@pytest.mark.rule("claims-checked")
@pytest.mark.parametrize("zone", ["WEST+12", "EAST-12"])
def test_a_time_has_no_zone(framework: Subject, zone: str) -> None:
    """Wherever the server stands, an hour ago is an hour ago."""
    with issuing() as issuer, serve(framework, issuer, TZ=zone) as service:
        for an_hour in (3600, -3600):
            for name in ("exp", "nbf", "iat"):
                changes = {name: int(time()) + an_hour}
                answer = read(service, mint(issuer.key, claims(**changes)))
                if (name == "exp") == (an_hour > 0):
                    assert_taken(answer)
                else:
                    assert_invalid(answer)


@pytest.mark.rule("claims-checked")
@pytest.mark.parametrize("leeway", [121, 3600, -1])
def test_the_leeway_has_a_bound(framework: Subject, leeway: int) -> None:
    """It refuses to start with more than two minutes."""
    with issuing() as issuer, pytest.raises(StartError):
        with serve(framework, issuer, LEEWAY_SECONDS=leeway):
            pass


# known-keys


@pytest.mark.rule("known-keys")
@pytest.mark.parametrize("kid", [DELETE, None, 1, [], {}, "", "../keys"])
def test_a_token_names_a_key_of_the_issuer(
    service: Service, issuer: Issuer, kid: object
) -> None:
    """Without the name of a key there is none to try."""
    assert_taken(read(service, mint(issuer.key)))
    assert_invalid(read(service, mint(issuer.key, kid=kid)))


@pytest.mark.rule("known-keys")
def test_a_token_does_not_bring_its_key(
    service: Service, issuer: Issuer
) -> None:
    """A key in the header, or where the header says, is not looked at."""
    evil = Key()
    brought = {
        "jwk": evil.member(),
        "jku": issuer.url.replace("/keys", "/evil"),
        "x5u": issuer.url.replace("/keys", "/evil"),
        "x5c": [b64encode(SPKI + evil.point).decode()],
    }
    for name, value in brought.items():
        for kid in (evil.kid, issuer.key.kid, DELETE):
            token = mint(evil, kid=kid, **{name: value})
            assert_invalid(read(service, token))
    assert {"/keys"} == set(issuer.asked)
    assert_taken(read(service, mint(issuer.key, **brought)))


@pytest.mark.rule("known-keys")
def test_a_key_for_something_else_is_not_taken(
    service: Service, issuer: Issuer
) -> None:
    """A key to encrypt with, or of another algorithm, signs nothing."""
    for changes in ({"use": "enc"}, {"alg": "ES384"}, {"alg": "ECDH-ES"}):
        key = issuer.publish(Key(), **changes)
        assert_invalid(read(service, mint(key)))
    for changes in ({"use": "sig"}, {"alg": "ES256"}):
        key = issuer.publish(Key(), **changes)
        assert_taken(read(service, mint(key)))


@pytest.mark.rule("known-keys")
def test_what_cannot_be_read_in_the_set_is_left_out(
    service: Service, issuer: Issuer
) -> None:
    """A member of a new kind does not shut everybody out."""
    issuer.members += [
        *(None, 1, "key", [], {}, {"kty": "new", "kid": "new"}),
        *({"kty": "EC", "kid": "x"}, Key().member(kid=7)),
        *(Key().member(x=5), Key().member(x="AA"), Key().member(crv="P-999")),
        *({"kty": "RSA", "kid": "n", "n": "", "e": ""}, {"kty": []}),
    ]
    key = issuer.publish(Key())
    assert_taken(read(service, mint(key)))
    assert_invalid(read(service, mint(key, kid="x")))


# rotation


@pytest.mark.rule("rotation")
def test_a_new_key_is_found_without_a_restart(
    service: Service, issuer: Issuer
) -> None:
    """A key that is not known is asked for, and then known."""
    assert_taken(read(service, mint(issuer.key)))
    key = Key()
    assert_invalid(read(service, mint(key)))
    issuer.publish(key)
    assert_taken(read(service, mint(key)))
    assert_taken(read(service, mint(issuer.key)))


@pytest.mark.rule("rotation")
def test_known_keys_are_not_asked_for_again(
    service: Service, issuer: Issuer
) -> None:
    """Within the cache time a known key costs the issuer nothing."""
    assert_taken(read(service, mint(issuer.key)))
    before = len(issuer.asked)
    for _ in range(5):
        assert_taken(read(service, mint(issuer.key)))
    assert before == len(issuer.asked)


@pytest.mark.rule("rotation")
def test_a_key_that_was_withdrawn_is_taken_no_more(
    eager: Service, own: Issuer
) -> None:
    """After the cache time the set is asked for anew, and replaced."""
    key = own.publish(Key())
    assert_taken(read(eager, mint(key)))
    own.members.pop()
    assert_invalid(read(eager, mint(key)))
    assert_taken(read(eager, mint(own.key)))
    own.members.clear()
    assert_invalid(read(eager, mint(own.key)))


@pytest.mark.rule("rotation")
def test_strangers_do_not_make_us_ask(framework: Subject, own: Issuer) -> None:
    """Within the cool-down the issuer is asked once, whoever comes."""
    with serve(framework, own, JWKS_COOLDOWN_SECONDS=3600) as service:
        with ThreadPoolExecutor(6) as pool:
            tokens = [mint(own.key) for _ in range(12)]
            for answer in pool.map(lambda one: read(service, one), tokens):
                assert_taken(answer)
        for _ in range(5):
            assert_invalid(read(service, mint(Key())))
        assert ["/keys"] == own.asked


# outage

BROKEN = {
    "an error": (500, b"{}"),
    "gone": (404, b'{"keys": []}'),
    "elsewhere": (302, b""),
    "no JSON": (200, b"<html>"),
    "no set": (200, b"[]"),
    "no keys": (200, b'{"key": []}'),
    "nothing": (200, b""),
}


@pytest.mark.rule("outage")
def test_known_keys_go_on_without_the_issuer(
    eager: Service, own: Issuer
) -> None:
    """Whatever the issuer answers, what was known is known."""
    assert_taken(read(eager, mint(own.key)))
    key = Key()
    for broken in BROKEN.values():
        own.broken = broken
        assert_taken(read(eager, mint(own.key)))
        assert_unavailable(read(eager, mint(key)))
    assert {"/keys"} == set(own.asked)
    own.broken = None
    own.publish(key)
    assert_taken(read(eager, mint(key)))
    own.close()
    assert_taken(read(eager, mint(key)))
    assert_invalid(read(eager, mint(key, claims(aud="x"))))


@pytest.mark.rule("outage")
def test_it_starts_without_the_issuer(framework: Subject, own: Issuer) -> None:
    """Before the first keys tokens are answered 503, the rest as ever."""
    own.broken = (503, b"")
    with serve(framework, own) as service:
        assert_unavailable(read(service, mint(own.key)))
        assert_refused(send(service, []))
        assert_invalid(read(service, "x"))
        path = "/.well-known/oauth-protected-resource"
        assert 200 == service.request("GET", path).status_code
        own.broken = None
        assert_taken(read(service, mint(own.key)))


@pytest.mark.rule("outage")
def test_a_silent_issuer_holds_up_nobody_else(
    eager: Service, own: Issuer
) -> None:
    """While one request waits for the issuer, others are answered."""
    assert_taken(read(eager, mint(own.key)))
    own.going.clear()
    before = len(own.asked)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx_get, eager, mint(own.key))
        until(lambda: len(own.asked) > before, "nobody asked")
        assert_taken(read(eager, mint(own.key)))
        held = not waiting.done()
        own.going.set()
        assert_taken(waiting.result())
    assert held
    assert before + 1 == len(own.asked)


def httpx_get(service: Service, token: str) -> httpx2.Response:
    """Ask for the reports on a connection of its own."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx2.Client(trust_env=False, timeout=30) as client:
        return client.get(f"{service.url}/reports", headers=headers)


@pytest.mark.rule("outage")
def test_old_keys_do_not_go_on_for_ever(
    framework: Subject, own: Issuer
) -> None:
    """Past the stale time no key is good that was not seen again."""
    knobs = {"JWKS_CACHE_SECONDS": 0, "JWKS_STALE_SECONDS": 1}
    with serve(framework, own, **knobs) as service:
        assert_taken(read(service, mint(own.key)))
        own.broken = (500, b"")
        token = mint(own.key)
        until(
            lambda: read(service, token).status_code == 503,
            "it goes on without the issuer",
        )
        assert_unavailable(read(service, token))


# challenge


@pytest.mark.rule("challenge")
@pytest.mark.parametrize(
    "sent", [[], [""], ["Basic YTpi"], ["DPoP x"], ["Bearerx y"]]
)
def test_who_sends_no_token_is_asked_for_one(
    service: Service, sent: list[str]
) -> None:
    """401, and no error code: there was no token to be wrong."""
    assert_refused(send(service, sent))
    answer = service.request("POST", "/reports", json=TITLE)
    assert_refused(answer)


@pytest.mark.rule("challenge")
def test_a_bad_token_is_told_from_a_weak_one(
    service: Service, issuer: Issuer
) -> None:
    """401 `invalid_token`, or 403 `insufficient_scope` with the scope."""
    expired = mint(issuer.key, claims(exp=1))
    assert_invalid(read(service, expired))
    assert_invalid(write(service, expired))
    weak = mint(issuer.key, claims(scope="other"))
    told = {"error": "insufficient_scope"}
    assert_refused(read(service, weak), 403, scope=READ, **told)
    assert_refused(write(service, weak), 403, scope=WRITE, **told)


@pytest.mark.rule("challenge")
def test_the_scheme_has_no_capitals(service: Service, issuer: Issuer) -> None:
    """`bearer` is `Bearer`, and blanks may be many."""
    for scheme in ("bearer ", "BEARER ", "Bearer   "):
        assert_taken(send(service, [f"{scheme}{mint(issuer.key)}"]))


# scopes


@pytest.mark.rule("scopes")
@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [
        (READ, True, False),
        (WRITE, False, True),
        (f"{WRITE} {READ}", True, True),
        (f"openid {READ} email", True, False),
        ("reports:readall", False, False),
        ("xreports:read", False, False),
        ("reports", False, False),
        ("reports:*", False, False),
        ("REPORTS:READ", False, False),
        (f"{READ},{WRITE}", False, False),
        (f"{READ}\t{WRITE}", False, False),
        ("", False, False),
        (DELETE, False, False),
    ],
)
def test_a_scope_is_a_whole_word(
    service: Service, issuer: Issuer, scope: str, reads: bool, writes: bool
) -> None:
    """Each handler wants one word of the list, letter by letter."""
    token = mint(issuer.key, claims(scope=scope, roles=[READ], scp=[WRITE]))
    assert (200 if reads else 403) == read(service, token).status_code
    assert (200 if writes else 403) == write(service, token).status_code


# header-only


@pytest.mark.rule("header-only")
@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", "Bearer a:b"])
def test_a_malformed_header_is_told(service: Service, value: str) -> None:
    """400 `invalid_request`: there is something, and it is no token."""
    assert_refused(send(service, [value]), 400, error="invalid_request")


@pytest.mark.rule("header-only")
def test_two_tokens_are_one_too_many(service: Service, issuer: Issuer) -> None:
    """Which of them a proxy has checked, nobody knows."""
    good = f"Bearer {mint(issuer.key)}"
    for sent in ([good, good], [good, "Bearer x"], [f"{good}, {good}"]):
        assert_refused(send(service, sent), 400, error="invalid_request")


@pytest.mark.rule("header-only")
def test_a_token_elsewhere_is_none(service: Service, issuer: Issuer) -> None:
    """Neither query nor body nor cookie is read for one."""
    token = mint(issuer.key)
    assert_refused(send(service, [], f"?access_token={token}"))
    cookie = {"cookie": f"access_token={token}; Authorization={token}"}
    assert_refused(service.request("GET", "/reports", headers=cookie))
    form = {"access_token": token}
    assert_refused(service.request("POST", "/reports", data=form))
    both = send(service, [f"Bearer {token}"], "?access_token=x")
    assert_taken(both)


@pytest.mark.rule("header-only")
def test_a_token_has_a_length(service: Service, issuer: Issuer) -> None:
    """One that is too long is refused, and no key is asked for."""
    assert_taken(read(service, mint(issuer.key, claims(x="x" * 2000))))
    before = len(issuer.asked)
    for key in (issuer.key, Key()):
        token = mint(key, claims(x="x" * 3000))
        assert LARGEST < len(token)
        assert_invalid(read(service, token))
    assert before == len(issuer.asked)


# nothing-unverified


@pytest.mark.rule("nothing-unverified")
def test_what_is_not_proven_is_not_repeated(
    service: Service, issuer: Issuer
) -> None:
    """Neither the log nor an answer has what a stranger wrote."""
    mark = f"marked{uuid4().hex}"
    said = claims(sub=mark, iss=mark, scope=mark)
    tokens = [
        mint(Key(), said, kid=f"{mark}\n{mark}"),
        mint(Key(), said, kid=issuer.key.kid),
        mint(issuer.key, said),
        mint(issuer.key, typ=mark),
        mint(issuer.key, alg=mark),
        mint(Key(), kid=mark, jku=f"{issuer.url}/{mark}"),
    ]
    for token in tokens:
        answer = read(service, token)
        assert_invalid(answer)
        assert mark not in answer.text + str(answer.headers)
    later = read(service, mint(issuer.key))
    assert_taken(later)
    log = service.log()
    assert mark not in log
    for token in (*tokens, mint(issuer.key)):
        assert token.split(".")[1] not in log
    assert not [path for path in issuer.asked if mark in path]
