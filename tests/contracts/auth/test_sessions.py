"""The contract of `sessions`: begun here, ended here, worth nothing after."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Json = dict[str, Any]
type Act = tuple[str, Json | None]

COOKIE = "__Host-session"
FLAGS = {"path": "/", "secure": "", "httponly": "", "samesite": "lax"}
PASSWORD = "the analytical engine"
OTHER = "the difference engine"
PLANTED = "chosen-by-the-client-0123456789-abcdefghijk"

CHEAP = {"ARGON2_TIME_COST": 1, "ARGON2_MEMORY_KIB": 64}
SLOW = {"ARGON2_TIME_COST": 8}
IDLE = 1
ABSOLUTE = 2
FACTOR = 1.6
"""How far apart the medians of two kinds of failed login may be."""
ATTEMPTS = 11
ROUNDS = 4
TRIES = 20

HASH = re.compile(rb"argon2(id|i|d)\$v=(\d+)\$m=(\d+),t=(\d+),p=(\d+)\$")
# What no two answers have in common, or one connection has.
OWN = {"date", "connection", "keep-alive", "server", "content-length"}


class Browser:
    """A client that keeps its cookie and its token by hand."""

    def __init__(self, service: Service, cookie: str | None = None) -> None:
        self.service = service
        self.cookie = cookie
        self.token: str | None = None

    def copy(self) -> "Browser":
        """Steal the cookie and the token."""
        thief = Browser(self.service, self.cookie)
        thief.token = self.token
        return thief

    def send(
        self, method: str, path: str, body: Json | None = None
    ) -> httpx2.Response:
        """Send a request, and keep the cookie that it brings."""
        headers = {}
        if self.cookie is not None:
            headers["cookie"] = f"{COOKIE}={self.cookie}"
        if self.token is not None:
            headers["x-csrf-token"] = self.token
        answer = self.service.request(method, path, headers=headers, json=body)
        for name, value, flags in cookies_in(answer):
            assert COOKIE == name
            self.cookie = None if is_cleared(flags) else value
        return answer

    def post(self, path: str, body: Json | None = None) -> int:
        """Send what changes something; give the status."""
        return self.send("POST", path, body).status_code

    def take_token(self) -> str:
        """Ask for the token of the session."""
        answer = self.send("GET", "/csrf")
        assert 200 == answer.status_code, answer.text
        token = answer.json()["csrf_token"]
        assert isinstance(token, str)
        self.token = token
        return token

    def me(self) -> int:
        """Ask who is logged in; give the status."""
        return self.send("GET", "/me").status_code

    def log_in(self, email: str, password: str = PASSWORD) -> None:
        """Log in, and take the token of the new session."""
        self.take_token()
        assert 204 == self.post("/login", login(email, password))
        self.take_token()


def login(email: str, password: str = PASSWORD) -> Json:
    """Write the body of a login."""
    return {"email": email, "password": password}


def change(current: str, new: str) -> Json:
    """Write the body of a password change."""
    return {"current": current, "new": new}


def cookies_in(
    answer: httpx2.Response,
) -> list[tuple[str, str, dict[str, str]]]:
    """Read each cookie that is set: name, value, attributes."""
    found = []
    for line in answer.headers.get_list("set-cookie"):
        first, *rest = (part.strip() for part in line.split(";"))
        name, _, value = first.partition("=")
        flags = {}
        for part in rest:
            key, _, of = part.partition("=")
            flags[key.strip().lower()] = of.strip().lower()
        found.append((name, value.strip('"'), flags))
    return found


def only_cookie_in(answer: httpx2.Response) -> tuple[str, str, dict[str, str]]:
    """Read the one cookie that is set."""
    found = cookies_in(answer)
    assert 1 == len(found)
    return found[0]


def is_cleared(flags: dict[str, str]) -> bool:
    """Tell whether a browser forgets the cookie at once."""
    if "max-age" in flags:
        return flags["max-age"] == "0"
    date = flags.get("expires")
    return date is not None and parsedate_to_datetime(date) < datetime.now(UTC)


def sign_up(service: Service, password: str = PASSWORD) -> str:
    """Make an account; give its address."""
    browser, email = Browser(service), f"{uuid4().hex}@example.com"
    browser.take_token()
    answer = browser.send("POST", "/users", login(email, password))
    assert 200 == answer.status_code, answer.text
    assert {"email": email} == answer.json()
    return email


def visit(service: Service) -> Browser:
    """Open a browser that has a token, and is nobody."""
    browser = Browser(service)
    browser.take_token()
    return browser


def logged_in(
    service: Service, email: str, password: str = PASSWORD
) -> Browser:
    """Open a browser that is logged in."""
    browser = Browser(service)
    browser.log_in(email, password)
    return browser


def assert_problem(answer: httpx2.Response, status: int) -> Json:
    """A problem document that says the status on the wire."""
    assert status == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem: Json = answer.json()
    assert status == problem["status"]
    return problem


def pointers_in(answer: httpx2.Response) -> list[str]:
    """List the places in the body that 422 points at."""
    problem = assert_problem(answer, 422)
    return [error.get("pointer") for error in problem.get("errors", [])]


def assert_unauthorized(answer: httpx2.Response) -> None:
    """401, with the challenge that it needs (RFC 9110, 15.5.2)."""
    assert_problem(answer, 401)
    challenge = answer.headers.get("www-authenticate", "")
    scheme, _, _ = challenge.partition(" ")
    assert "Cookie" == scheme


def assert_gone(browser: Browser) -> None:
    """The cookie is worth nothing, whatever is done with it."""
    cookie = browser.cookie
    assert_unauthorized(Browser(browser.service, cookie).send("GET", "/me"))
    assert browser.copy().post("/logout") in (401, 403)
    visitor = Browser(browser.service, cookie)
    visitor.take_token()
    assert cookie != visitor.cookie


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service whose hashes are cheap, where that can be said."""
    knobs = CHEAP if framework.url is None else {}
    with start("sessions", framework, knobs) as running:
        yield running


@pytest.fixture(scope="module")
def slow(framework: Subject) -> Iterator[Service]:
    """A service that hashes for so long that much can come between."""
    with start("sessions", framework, SLOW) as running:
        yield running


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service `kept` keeps what it keeps."""
    return tmp_path_factory.mktemp("kept") / "service.db"


@pytest.fixture(scope="module")
def kept(framework: Subject, database: Path) -> Iterator[Service]:
    """A service with its defaults, whose database can be read."""
    knobs = {"DATABASE_URL": f"sqlite:///{database}"}
    with start("sessions", framework, knobs) as running:
        yield running


@pytest.fixture(scope="module")
def pair(framework: Subject) -> Iterator[Service]:
    """Two instances of one service."""
    with start("sessions", framework, CHEAP, instances=2) as running:
        yield running


@pytest.fixture
def email(service: Service) -> str:
    """An account of the test's own."""
    return sign_up(service)


def bytes_in(database: Path) -> bytes:
    """Read all that the service has written into its database."""
    if not database.exists():
        pytest.skip("not checked: needs the default database")
    return b"".join(p.read_bytes() for p in database.parent.iterdir())


# argon2id


@pytest.mark.rule("argon2id")
def test_a_password_is_kept_as_a_costly_argon2id_hash(
    kept: Service, database: Path
) -> None:
    """By default a hash costs what OWASP asks for, or more."""
    sign_up(kept)
    assert [(b"id", 19, 19456, 2, 1)] == hashes_in(database)


@pytest.mark.rule("argon2id")
def test_the_cost_of_a_hash_is_a_setting(
    framework: Subject, tmp_path: Path
) -> None:
    """Memory and passes are as they are set; the password is not kept."""
    knobs = {
        "ARGON2_TIME_COST": 3,
        "ARGON2_MEMORY_KIB": 80,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'service.db'}",
    }
    with start("sessions", framework, knobs) as service:
        sign_up(service)
        assert [(b"id", 19, 80, 3, 1)] == hashes_in(tmp_path / "service.db")
        assert PASSWORD.encode() not in bytes_in(tmp_path / "service.db")


def hashes_in(database: Path) -> list[tuple[bytes, int, int, int, int]]:
    """List the kinds and costs of hashes: kind, version, m, t, p."""
    found = {
        (kind, *map(int, rest))
        for kind, *rest in HASH.findall(bytes_in(database))
    }
    return sorted(found)


@pytest.mark.rule("argon2id")
@pytest.mark.parametrize("length", [72, 73, 128, 255, 1000])
def test_a_password_counts_to_its_last_character(
    service: Service, length: int
) -> None:
    """Two passwords that begin alike are two passwords."""
    begin = "x" * length
    email = sign_up(service, f"{begin}one")
    assert 401 == visit(service).post("/login", login(email, f"{begin}two"))
    assert 401 == visit(service).post("/login", login(email, begin))
    assert 204 == visit(service).post("/login", login(email, f"{begin}one"))


@pytest.mark.rule("argon2id")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cafe\u0301 au lait", "caf\u00e9 au lait"),
        ("\uff50\uff41\uff53\uff53 word", "pass word"),
        ("\ufb01ne and dandy", "fine and dandy"),
    ],
    ids=["accent", "width", "ligature"],
)
def test_a_password_may_be_spelled_by_any_keyboard(
    service: Service, one: str, other: str
) -> None:
    """What looks the same is the same, whichever came first."""
    for first, second in ((one, other), (other, one)):
        email = sign_up(service, first)
        assert 204 == visit(service).post("/login", login(email, second))


@pytest.mark.rule("argon2id")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pass word word", "pass word word "),
        ("pass word word", "Pass word word"),
        ("pass\x00word one", "pass\x00word two"),
        ("\U0001f511\U0001f511 key key", "\U0001f512\U0001f511 key key"),
    ],
    ids=["space", "case", "NUL", "emoji"],
)
def test_nothing_else_of_a_password_is_forgiven(
    service: Service, one: str, other: str
) -> None:
    """Spaces, case and odd characters count."""
    email = sign_up(service, one)
    assert 401 == visit(service).post("/login", login(email, other))
    assert 204 == visit(service).post("/login", login(email, one))


@pytest.mark.rule("argon2id")
def test_a_password_has_8_to_1024_characters(service: Service) -> None:
    """A shorter or longer one is refused; the longest works."""
    for length, status in ((7, 422), (8, 200), (1024, 200), (1025, 422)):
        email, password = f"{uuid4().hex}@example.com", "ü" * length
        answer = visit(service).send("POST", "/users", login(email, password))
        assert status == answer.status_code
        if status == 200:
            logged_in(service, email, password)
        else:
            assert ["/password"] == pointers_in(answer)


@pytest.mark.rule("argon2id")
def test_an_address_has_one_account(service: Service, email: str) -> None:
    """A second sign-up is refused, in capitals too, and changes nothing."""
    for same in (email, email.upper()):
        answer = visit(service).send("POST", "/users", login(same, OTHER))
        assert_problem(answer, 409)
        assert 401 == visit(service).post("/login", login(email, OTHER))
        assert 204 == visit(service).post("/login", login(same))


# uniform-failure


@pytest.mark.rule("uniform-failure")
def test_a_failed_login_tells_nothing(service: Service, email: str) -> None:
    """A wrong password and an unknown address are answered alike."""
    nobody = f"{uuid4().hex}@example.com"
    known, unknown = (
        visit(service).send("POST", "/login", login(each, "not the one"))
        for each in (email, nobody)
    )
    assert_unauthorized(known)
    assert_unauthorized(unknown)
    assert known.json() == unknown.json()
    assert headers_of(known) == headers_of(unknown)
    assert email not in known.text


def headers_of(answer: httpx2.Response) -> list[tuple[str, str]]:
    """List the headers that tell something."""
    return sorted(h for h in answer.headers.multi_items() if h[0] not in OWN)


@pytest.mark.rule("uniform-failure")
def test_a_failed_login_takes_one_time(kept: Service) -> None:
    """The medians of attempts made in turn are close."""
    email, browser = sign_up(kept), visit(kept)

    def took(address: str) -> float:
        begun = perf_counter()
        assert 401 == browser.post("/login", login(address, OTHER))
        return perf_counter() - begun

    ratios = []
    for _ in range(ROUNDS):
        known, unknown = [], []
        for _ in range(ATTEMPTS):
            known.append(took(email))
            unknown.append(took(f"{uuid4().hex}@example.com"))
        times = sorted((median(known), median(unknown)))
        ratios.append(times[1] / times[0])
        if ratios[-1] < FACTOR:
            break
    assert min(ratios) < FACTOR


# rotated-at-login


@pytest.mark.rule("rotated-at-login")
def test_a_login_begins_another_session(service: Service, email: str) -> None:
    """The id from before the login is worth nothing after it."""
    browser = visit(service)
    before = browser.copy()
    assert 204 == browser.post("/login", login(email))
    assert before.cookie != browser.cookie
    assert 200 == browser.me()
    assert_gone(before)


@pytest.mark.rule("rotated-at-login")
def test_a_second_login_begins_another_session(
    service: Service, email: str
) -> None:
    """The same person again, in a session of hers: a new id all the same."""
    browser = logged_in(service, email)
    before = browser.copy()
    assert 204 == browser.post("/login", login(email))
    assert before.cookie != browser.cookie
    assert 200 == browser.me()
    assert_gone(before)


@pytest.mark.rule("rotated-at-login")
def test_a_login_as_somebody_else_begins_another_session(
    service: Service, email: str
) -> None:
    """Who logs in is who is logged in; nothing is left of the other."""
    browser, other = logged_in(service, email), sign_up(service)
    before = browser.copy()
    assert 204 == browser.post("/login", login(other))
    assert {"email": other} == browser.send("GET", "/me").json()
    assert_gone(before)


@pytest.mark.rule("rotated-at-login")
def test_a_failed_login_leaves_the_session_as_it_is(
    service: Service, email: str
) -> None:
    """A mistyped password logs nobody out, and in nobody."""
    browser = logged_in(service, email)
    cookie = browser.cookie
    assert 401 == browser.post("/login", login(email, OTHER))
    assert (cookie, 200) == (browser.cookie, browser.me())
    visitor = visit(service)
    assert 401 == visitor.post("/login", login(email, OTHER))
    assert 401 == visitor.me()


# client-id-refused


@pytest.mark.rule("client-id-refused")
@pytest.mark.parametrize(
    "planted",
    ["", "0", "null", PLANTED, "x" * 3000, "../../etc/passwd", "a b", "%00"],
    ids=lambda planted: planted[:10],
)
def test_an_id_that_a_client_made_up_is_not_taken(
    service: Service, email: str, planted: str
) -> None:
    """A session that begins has an id of its own."""
    browser = Browser(service, planted)
    assert_unauthorized(browser.send("GET", "/me"))
    browser.cookie = planted
    browser.take_token()
    assert browser.cookie not in (None, planted)
    assert 204 == browser.post("/login", login(email))
    assert planted != browser.cookie
    assert 401 == Browser(service, planted).me()


@pytest.mark.rule("client-id-refused")
def test_an_id_that_has_ended_does_not_come_back(
    service: Service, email: str
) -> None:
    """At the next login the id is new, though the old one is sent."""
    browser = logged_in(service, email)
    ended = browser.cookie
    assert 204 == browser.post("/logout")
    browser.cookie = ended
    browser.take_token()
    assert ended != browser.cookie
    assert 204 == browser.post("/login", login(email))
    assert ended != browser.cookie
    assert 401 == Browser(service, ended).me()


@pytest.mark.rule("client-id-refused")
def test_a_planted_id_gives_no_session_to_log_in_by(
    service: Service, email: str
) -> None:
    """Neither the first login nor a second goes through it."""
    visitor = visit(service)
    browser = logged_in(service, email)
    for token in (visitor.token, browser.token):
        planted = Browser(service, PLANTED)
        planted.token = token
        assert 403 == planted.post("/login", login(email))
        assert 401 == Browser(service, PLANTED).me()


@pytest.mark.rule("client-id-refused")
def test_ids_cannot_be_guessed(service: Service) -> None:
    """They are long, of many characters, and never alike."""
    ids = [visit(service).cookie or "" for _ in range(50)]
    assert len(ids) == len(set(ids))
    for one in ids:
        assert re.fullmatch(r"[!#-+\--:<-\[\]-~]{22,}", one)
    for place in zip(*ids, strict=False):
        assert len(set(place)) > 5


# cookie-flags


@pytest.mark.rule("cookie-flags")
def test_the_cookie_has_its_flags(service: Service, email: str) -> None:
    """Not for scripts, not in clear, not for other sites or hosts."""
    browser = Browser(service)
    answers = [browser.send("GET", "/csrf")]
    browser.take_token()
    answers.append(browser.send("POST", "/login", login(email)))
    browser.take_token()
    body = change(PASSWORD, OTHER)
    answers.append(browser.send("POST", "/password", body))
    for answer in answers:
        name, value, flags = only_cookie_in(answer)
        assert COOKIE == name
        assert FLAGS == flags
        assert value
        assert value not in answer.text


@pytest.mark.rule("cookie-flags")
@pytest.mark.parametrize("path", ["/logout", "/logout-everywhere"])
def test_logout_clears_the_cookie(
    service: Service, email: str, path: str
) -> None:
    """A `__Host-` cookie is cleared only by one that is Secure, too."""
    browser = logged_in(service, email)
    answer = browser.send("POST", path)
    assert 204 == answer.status_code
    name, value, flags = only_cookie_in(answer)
    assert (COOKIE, "/", "") == (
        name,
        flags.get("path"),
        flags.get("secure"),
    )
    assert value in ("", "null")
    assert is_cleared(flags)
    assert "domain" not in flags


@pytest.mark.rule("cookie-flags")
def test_no_answer_is_kept_by_caches(service: Service, email: str) -> None:
    """What is for one person is stored nowhere on the way."""
    browser = visit(service)
    for method, path, body in (
        ("GET", "/csrf", None),
        ("POST", "/login", login(email)),
        ("GET", "/me", None),
    ):
        answer = browser.send(method, path, body)
        assert answer.is_success
        assert "no-store" in answer.headers.get("cache-control", "")


# logout-revokes


@pytest.mark.rule("logout-revokes")
def test_a_copy_of_the_cookie_dies_with_the_session(
    service: Service, email: str
) -> None:
    """Logout ends the session here, not only in the browser."""
    browser, elsewhere = (logged_in(service, email) for _ in range(2))
    thief = browser.copy()
    assert 200 == thief.me()
    assert 204 == browser.post("/logout")
    assert browser.cookie is None
    assert_gone(thief)
    assert 200 == elsewhere.me()


@pytest.mark.rule("logout-revokes")
def test_who_is_not_logged_in_cannot_log_out(service: Service) -> None:
    """A session of nobody is asked to log in first."""
    for path in ("/logout", "/logout-everywhere"):
        assert_unauthorized(visit(service).send("POST", path))
    answer = visit(service).send("POST", "/password", change(PASSWORD, OTHER))
    assert_unauthorized(answer)


@pytest.mark.rule("logout-revokes")
@pytest.mark.parametrize(
    "act",
    [
        ("/password", change(PASSWORD, OTHER)),
        ("/password", change("not the one", OTHER)),
        ("/login", login("nobody@example.com", OTHER)),
    ],
    ids=["password", "wrong password", "failed login"],
)
def test_a_request_under_way_does_not_bring_a_session_back(
    slow: Service, act: Act
) -> None:
    """What began before the logout and ends after it revives nothing."""
    answer, browser, email = race(
        slow, act, lambda browser, _: browser.post("/logout")
    )
    assert answer.status_code in (401, 422)
    assert_gone(browser)
    late = Browser(slow)
    for _, value, _flags in cookies_in(answer):
        late.cookie = value
    assert 401 == late.me()
    # Whose session has ended has changed nothing.
    logged_in(slow, email)


def race(
    service: Service, act: Act, end: Callable[[Browser, Browser], int]
) -> tuple[httpx2.Response, Browser, str]:
    """Have a request under way in a session while that is ended.

    `end` is given a browser in that session, and one in another of the
    same account.
    Tried again, with another account, where the request came too late to
    meet the session, or was over too soon.
    """
    for _ in range(TRIES):
        email = sign_up(service)
        browser = logged_in(service, email)
        other, elsewhere = browser.copy(), logged_in(service, email)
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(Browser.send, browser.copy(), "POST", *act)
            visit(service)
            assert 204 == end(other, elsewhere)
            too_soon = under_way.done()
            answer = under_way.result()
        if not too_soon and answer.status_code != 403:
            return answer, browser, email
    raise AssertionError("the two were never under way at once")


# logout-everywhere


@pytest.mark.rule("logout-everywhere")
def test_logout_everywhere_ends_all_sessions(
    service: Service, email: str
) -> None:
    """Every session of the account ends, and no other's."""
    browsers = [logged_in(service, email) for _ in range(3)]
    other = logged_in(service, sign_up(service))
    thieves = [browser.copy() for browser in browsers]
    assert 204 == browsers[1].post("/logout-everywhere")
    for thief in thieves:
        assert_gone(thief)
    assert 200 == other.me()
    again = logged_in(service, email)
    assert 200 == again.me()


@pytest.mark.rule("logout-everywhere")
def test_logout_everywhere_ends_what_is_under_way(slow: Service) -> None:
    """A password change that began before does not save its session."""
    answer, browser, email = race(
        slow,
        ("/password", change(PASSWORD, OTHER)),
        lambda _, elsewhere: elsewhere.post("/logout-everywhere"),
    )
    assert 401 == answer.status_code
    assert_gone(browser)
    logged_in(slow, email)


# password-change


@pytest.mark.rule("password-change")
def test_a_password_change_ends_the_other_sessions(
    service: Service, email: str
) -> None:
    """This session goes on under a new id, the others are over."""
    browser, elsewhere = (logged_in(service, email) for _ in range(2))
    other = logged_in(service, sign_up(service))
    before = browser.copy()
    assert 204 == browser.post("/password", change(PASSWORD, OTHER))
    assert {"email": email} == browser.send("GET", "/me").json()
    assert before.cookie != browser.cookie
    assert_gone(before)
    assert_gone(elsewhere)
    assert 200 == other.me()
    assert 401 == visit(service).post("/login", login(email))
    assert 200 == logged_in(service, email, OTHER).me()
    browser.take_token()
    assert 204 == browser.post("/logout")


@pytest.mark.rule("password-change")
def test_who_does_not_know_the_password_cannot_change_it(
    service: Service, email: str
) -> None:
    """A wrong password is 422, and all is as it was."""
    browser, elsewhere = (logged_in(service, email) for _ in range(2))
    answer = browser.send("POST", "/password", change(OTHER, OTHER))
    assert ["/current"] == pointers_in(answer)
    assert (200, 200) == (browser.me(), elsewhere.me())
    assert 401 == visit(service).post("/login", login(email, OTHER))
    logged_in(service, email)


@pytest.mark.rule("password-change")
def test_a_new_password_is_a_password(service: Service, email: str) -> None:
    """What could not be signed up with cannot be changed to."""
    browser = logged_in(service, email)
    answer = browser.send("POST", "/password", change(PASSWORD, "short"))
    assert ["/new"] == pointers_in(answer)
    logged_in(service, email)


@pytest.mark.rule("password-change")
def test_a_login_under_way_does_not_outlive_the_old_password(
    slow: Service,
) -> None:
    """A session begun by the old password ends with it, or never begins."""
    for _ in range(TRIES):
        email = sign_up(slow)
        browser, late = logged_in(slow, email), [visit(slow) for _ in "abc"]
        with ThreadPoolExecutor(4) as pool:
            body = change(PASSWORD, OTHER)
            changed = pool.submit(browser.post, "/password", body)
            entered = [enter_while(pool, one, email, changed) for one in late]
            assert 204 == changed.result()
            statuses = [one.result() for one in entered]
        assert [] == [b for b in late if b.me() == 200]
        if 204 in statuses:
            return
    raise AssertionError("no login was under way at the time")


def enter_while(
    pool: ThreadPoolExecutor,
    browser: Browser,
    email: str,
    _changed: Future[int],
) -> Future[int]:
    """Log in with the old password, beside the change of it."""
    return pool.submit(browser.post, "/login", login(email))


# idle-expiry


@pytest.mark.rule("idle-expiry")
def test_an_unused_session_ends(framework: Subject) -> None:
    """After the idle time the cookie is worth nothing."""
    knobs = {**CHEAP, "SESSION_IDLE_SECONDS": IDLE}
    with start("sessions", framework, knobs) as service:
        email = sign_up(service)
        browser, visitor = logged_in(service, email), visit(service)
        last = monotonic()
        until(lambda: monotonic() > last + IDLE, "the clock stands still")
        assert_gone(browser)
        assert 403 == visitor.post("/login", login(email))
        assert_used_session_lasts(service, email)


def assert_used_session_lasts(service: Service, email: str) -> None:
    """Each use begins the idle time anew."""
    for _ in range(TRIES):
        browser = logged_in(service, email)
        begun = last = monotonic()
        while browser.me() == 200 and last < begun + 1.5 * IDLE:
            gap, last = monotonic() - last, monotonic()
        if last >= begun + 1.5 * IDLE:
            return
        gap = monotonic() - last
        assert gap >= IDLE, "the session ended while it was used"
    raise AssertionError("the machine was too slow to use a session")


# absolute-expiry


@pytest.mark.rule("absolute-expiry")
def test_a_session_ends_however_much_it_is_used(framework: Subject) -> None:
    """Neither use nor a password change makes a session younger."""
    knobs = {**CHEAP, "SESSION_ABSOLUTE_SECONDS": ABSOLUTE}
    with start("sessions", framework, knobs) as service:
        email, other = sign_up(service), sign_up(service)
        older = logged_in(service, email)
        younger = logged_in(service, other)
        begun = monotonic()
        seen = {younger.me()}
        until(
            lambda: monotonic() > begun + ABSOLUTE / 2,
            "the clock stands still",
        )
        older.take_token()
        assert 204 == older.post("/password", change(PASSWORD, OTHER))
        seen.add(older.me())
        until(lambda: 401 == younger.me(), "the session lasts for ever")
        assert {200} == seen
        assert 401 == older.me()


# csrf


ACTS: dict[str, Act] = {
    "log out": ("/logout", None),
    "log out everywhere": ("/logout-everywhere", None),
    "change the password": ("/password", change(PASSWORD, OTHER)),
    "log in": ("/login", login("nobody@example.com")),
    "sign up": ("/users", login("nobody@example.com")),
}


@pytest.mark.rule("csrf")
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_nothing_is_changed_without_the_token(
    service: Service, email: str, act: Act
) -> None:
    """No token, another or somebody else's: 403, and nothing is done."""
    browser, stranger = logged_in(service, email), visit(service)
    for token in (None, "", "x", "0" * 64, stranger.token, browser.cookie):
        forged = browser.copy()
        forged.token = token
        assert_problem(forged.send("POST", *act), 403)
    assert 200 == browser.me()
    assert 204 == browser.post("/logout")
    logged_in(service, email)


@pytest.mark.rule("csrf")
@pytest.mark.parametrize("act", ["sign up", "log in"])
def test_a_login_needs_a_token_too(
    service: Service, email: str, act: str
) -> None:
    """Nobody is logged in as somebody else by a foreign page."""
    path, _ = ACTS[act]
    stranger, address = visit(service), f"{uuid4().hex}@example.com"
    body = login(email if act == "log in" else address)
    for browser in (Browser(service), visit(service)):
        for token in (None, "x", stranger.token):
            browser.token = token
            assert_problem(browser.send("POST", path, body), 403)
            assert 401 == browser.me()
    assert 401 == visit(service).post("/login", login(address))


@pytest.mark.rule("csrf")
def test_a_token_is_renewed_at_login(service: Service, email: str) -> None:
    """The token from before the login is good for nothing after it."""
    browser = visit(service)
    before = browser.token
    assert 204 == browser.post("/login", login(email))
    assert 403 == browser.post("/logout")
    assert before != browser.take_token()
    assert 204 == browser.post("/logout")


@pytest.mark.rule("csrf")
def test_a_token_is_renewed_with_the_password(
    service: Service, email: str
) -> None:
    """Who knew the old token does not know the new one."""
    browser = logged_in(service, email)
    assert 204 == browser.post("/password", change(PASSWORD, OTHER))
    assert 403 == browser.post("/logout")
    browser.take_token()
    assert 204 == browser.post("/logout")


@pytest.mark.rule("csrf")
def test_a_token_is_good_as_long_as_its_session(
    service: Service, email: str
) -> None:
    """Used twice, or asked for again: each token of a session works."""
    browser = logged_in(service, email)
    first = browser.token
    for _ in range(2):
        assert 422 == browser.post("/password", change(OTHER, OTHER))
    browser.take_token()
    assert 422 == browser.post("/password", change(OTHER, OTHER))
    browser.token = first
    assert 204 == browser.post("/logout")


@pytest.mark.rule("csrf")
def test_a_pair_that_a_client_made_up_is_no_token(
    service: Service, email: str
) -> None:
    """A cookie and a header that agree prove nothing."""
    browser = logged_in(service, email)
    made_up = "a" * 32
    pair = "; ".join(
        f"{name}={made_up}"
        for name in ("csrftoken", "csrf_token", "csrf", "XSRF-TOKEN")
    )
    headers = {
        "cookie": f"{COOKIE}={browser.cookie}; {pair}",
        "x-csrf-token": made_up,
    }
    answer = service.request("POST", "/logout", headers=headers)
    assert 403 == answer.status_code
    assert 200 == browser.me()


@pytest.mark.rule("csrf")
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_nothing_is_changed_by_a_link(
    service: Service, email: str, act: Act
) -> None:
    """What a page can have fetched without a token does nothing."""
    path, _ = act
    browser = logged_in(service, email)
    for token in (None, browser.token):
        linked = browser.copy()
        linked.token = token
        for method in ("GET", "HEAD"):
            assert 405 == linked.send(method, path).status_code
    assert 200 == browser.me()
    assert 204 == browser.post("/logout")


@pytest.mark.rule("csrf")
def test_what_only_reads_needs_no_token(service: Service, email: str) -> None:
    """A page may be opened from anywhere."""
    browser = logged_in(service, email)
    browser.token = None
    assert 200 == browser.me()
    assert browser.take_token()


# shared-store


@pytest.mark.rule("shared-store")
def test_every_instance_knows_every_session(pair: Service) -> None:
    """A session begun at one and ended at the other is ended at both."""
    one, other = pair.instances
    assert urlsplit(one.url).port != urlsplit(other.url).port
    email = sign_up(one)
    browser = logged_in(one, email)
    there = browser.copy()
    there.service = other
    assert {"email": email} == there.send("GET", "/me").json()
    thief = browser.copy()
    assert 204 == there.post("/logout")
    assert_gone(thief)
    visitor = visit(one)
    visitor.service = other
    assert 204 == visitor.post("/login", login(email))


@pytest.mark.rule("shared-store")
def test_a_restart_ends_no_session_and_revives_none(
    framework: Subject,
) -> None:
    """What was there before is there afterwards, what was gone is gone."""
    with start("sessions", framework, CHEAP) as service:
        email = sign_up(service)
        stays, goes = (logged_in(service, email) for _ in range(2))
        gone = goes.copy()
        assert 204 == goes.post("/logout")
        service.restart()
        assert {"email": email} == stays.send("GET", "/me").json()
        assert_gone(gone)
        assert 204 == stays.post("/logout")


@pytest.mark.rule("shared-store")
def test_what_is_kept_is_no_id(kept: Service, database: Path) -> None:
    """Who reads the database finds no id that could be sent."""
    email = sign_up(kept)
    browser, visitor = logged_in(kept, email), visit(kept)
    assert 204 == browser.post("/password", change(PASSWORD, OTHER))
    found = bytes_in(database)
    assert email.encode() in found
    for one in (browser, visitor):
        assert one.cookie is not None
        plain = one.cookie.encode()
        for spelled in (plain, plain.hex().encode(), b64encode(plain)):
            assert spelled not in found
