"""The contract of `cors`: what a browser lets a page of another origin do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cookbook.contract import Service, StartError, Subject, start

type Ask = tuple[str, str, dict[str, Any]]

PAGE = "https://app.example.com"
LISTED = (PAGE, "http://localhost:3000", "http://[::1]:3000")
SECONDS = 137
STRANGERS = {
    "another site": "https://evil.test",
    "the host as a prefix": f"{PAGE}.evil.test",
    "the host as a prefix of a label": f"{PAGE}evil.test",
    "the host as a suffix": "https://evilapp.example.com",
    "a host below": "https://deep.app.example.com",
    "the host above": "https://example.com",
    "any character for the dot": "https://appxexample.com",
    "another scheme": "http://app.example.com",
    "another port": f"{PAGE}:8443",
    "the default port": f"{PAGE}:443",
    "a port that is not listed": "http://localhost:3001",
    "no port where one is listed": "http://localhost",
    "the port as a prefix": "http://localhost:30000",
    "capitals": PAGE.upper(),
    "a capital host": "https://App.example.com",
    "a capital scheme": "HTTPS://app.example.com",
    "a dot at the end": f"{PAGE}.",
    "a slash at the end": f"{PAGE}/",
    "a path": f"{PAGE}/page",
    "a query": f"{PAGE}?a=1",
    "a fragment": f"{PAGE}#a",
    "a user": "https://user@app.example.com",
    "the host as a user": f"{PAGE}@evil.test",
    "a character of its own": f"{PAGE}_.evil.test",
    "a quoted character": f"{PAGE}%60.evil.test",
    "a NUL, quoted": f"{PAGE}%00",
    "a tab within": "https://app.exa\tmple.com",
    "without a scheme": "app.example.com",
    "null": "null",
    "a star": "*",
    "nothing": "",
    "no URL": "https://[",
    "another in brackets": "http://[::2]:3000",
    "a character of the brackets": "http://:",
    "two, the listed one first": f"{PAGE}, https://evil.test",
    "two, the listed one last": f"https://evil.test, {PAGE}",
    "two, as RFC 6454 has it": f"{PAGE} https://evil.test",
    "the same twice": f"{PAGE}, {PAGE}",
}
NOT_ORIGINS = ("*", f"{PAGE},*", "https://*.example.com", "null", f"{PAGE}/")
FOR_A_PREFLIGHT = (
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-max-age",
)
JSON = {"content-type": "application/json"}
MUCH = {
    "content": b" " * 3_000_000,
    "headers": {**JSON, "connection": "close"},
}
ERRORS: dict[str, tuple[int, Ask]] = {
    "half a body": (
        400,
        ("POST", "/session", {"content": b'{"name": ', "headers": JSON}),
    ),
    "no session": (401, ("GET", "/draft", {})),
    "nothing there": (404, ("GET", "/nothing/is/here", {})),
    "nothing there to write": (404, ("PUT", "/nothing", {"json": {}})),
    "a line break in the path": (404, ("GET", "/no%0Athing", {})),
    "a method": (405, ("PATCH", "/session", {})),
    "another method": (405, ("DELETE", "/session", {})),
    "too much": (413, ("POST", "/session", MUCH)),
    "another type": (
        415,
        ("POST", "/session", {"content": b"x", "headers": {}}),
    ),
    "no name": (422, ("POST", "/session", {"json": {}})),
}
FAILING: dict[str, Ask] = {
    "a session": ("POST", "/session", {"json": {"name": "ada"}}),
    "a draft": ("GET", "/draft", {"headers": {"cookie": "session=x"}}),
    "a change": (
        "PUT",
        "/draft",
        {"json": {"text": "x"}, "headers": {"cookie": "session=x"}},
    ),
}
WITHOUT_PREFLIGHT = {
    "plain text": "text/plain",
    "plain text, with JSON in a parameter": "text/plain; application/json",
    "plain text, JSON as its charset": "text/plain; charset=application/json",
    "a form": "application/x-www-form-urlencoded",
    "a form with files": "multipart/form-data; boundary=x",
    "capitals": "Text/Plain",
    "no type": None,
}
METHODS = ("GET", "POST", "PUT", "DELETE")
SAFELISTED = {"GET", "HEAD", "POST"}
OTHER_METHODS = (
    *("PATCH", "TRACE", "CONNECT", "PROPFIND", "QUERY", "*"),
    *("put", "Delete", "PU", "ET", "GET, POST", "PUT,"),
)
OTHER_HEADERS = (
    *("x-evil", "authorization", "if-none-match", "cookie", "*"),
    *("if-match-x", "if", "content-type, x-evil", "x-evil, if-match"),
)


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service, for pages of three origins."""
    knobs = {
        "ALLOWED_ORIGINS": ", ".join(LISTED),
        "PREFLIGHT_SECONDS": SECONDS,
    }
    with start("cors", framework, knobs) as running:
        yield running


@pytest.fixture(scope="module")
def broken(
    framework: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose file is none, so that it fails."""
    file: Path = tmp_path_factory.mktemp("cors") / "drafts.db"
    knobs = {"DRAFTS_FILE": file, "PREFLIGHT_SECONDS": SECONDS}
    with start("cors", framework, knobs) as running:
        file.write_bytes(b"This is no database. " * 500)
        yield running


@pytest.fixture
def cookie(service: Service) -> str:
    """The cookie of a session of one's own."""
    answer = begin(service, {"origin": PAGE})
    return answer.headers["set-cookie"].partition(";")[0]


def begin(service: Service, headers: dict[str, str]) -> httpx2.Response:
    """Begin a session."""
    answer = service.request(
        "POST", "/session", json={"name": "ada"}, headers=headers
    )
    assert 200 == answer.status_code
    return answer


def ask(service: Service, what: Ask, **headers: str) -> httpx2.Response:
    """Send what a case says, with further headers."""
    method, path, options = what
    headers = options.get("headers", {}) | headers
    return service.request(method, path, **options | {"headers": headers})


def preflight(
    service: Service,
    origin: str = PAGE,
    method: str = "PUT",
    headers: str | None = None,
    path: str = "/draft",
    **more: str,
) -> httpx2.Response:
    """Ask as a browser asks before it sends a request."""
    asked = {"origin": origin, "access-control-request-method": method}
    if headers is not None:
        asked["access-control-request-headers"] = headers
    return service.request("OPTIONS", path, headers=asked | more)


def values(answer: httpx2.Response, name: str) -> list[str]:
    """List what a header names, of all its lines, in small letters."""
    lines = answer.headers.get_list(name)
    names = [
        each.strip().lower() for line in lines for each in line.split(",")
    ]
    return [name for name in names if name]


def named(answer: httpx2.Response) -> list[str]:
    """List the values of Access-Control-Allow-Origin, as they are."""
    return list(answer.headers.get_list("access-control-allow-origin"))


def grants(answer: httpx2.Response) -> dict[str, list[str]]:
    """List the headers of CORS, whatever their order."""
    return {
        name: sorted(values(answer, name))
        for name in answer.headers
        if name.startswith("access-control-")
    }


def methods_in(answer: httpx2.Response) -> list[str]:
    """List the methods that a preflight grants; they have a case."""
    line = answer.headers.get("access-control-allow-methods", "")
    return [name.strip() for name in line.split(",") if name.strip()]


def passes(answer: httpx2.Response, origin: str) -> bool:
    """Judge an answer like a browser, for a page that sends credentials."""
    credentials = answer.headers.get("access-control-allow-credentials")
    return [origin] == named(answer) and "true" == credentials


def lets(
    answer: httpx2.Response, origin: str, method: str, headers: str | None
) -> bool:
    """Judge the answer to a preflight like a browser."""
    wanted = {name.strip() for name in (headers or "").split(",")} - {""}
    return (
        answer.is_success
        and passes(answer, origin)
        and method in {*methods_in(answer), *SAFELISTED}
        and wanted <= {*values(answer, "access-control-allow-headers")}
    )


def assert_refused(service: Service, answer: httpx2.Response) -> None:
    """A preflight without its grant is a success, or the declared 400."""
    bare = service.differs("preflight-400-bare")
    if bare or service.differs("preflight-400"):
        assert 400 == answer.status_code
        assert answer.headers["content-type"].startswith("text/plain")
        if bare:
            assert {} == grants(answer)
    else:
        assert answer.status_code in (200, 204)
        assert b"" == answer.content


@pytest.mark.rule("allow-list")
@pytest.mark.parametrize("origin", LISTED)
def test_an_origin_on_the_list_is_named(service: Service, origin: str) -> None:
    """It is named as it was sent, and once."""
    answer = service.request("GET", "/session", headers={"origin": origin})
    assert 200 == answer.status_code
    assert [origin] == named(answer)


@pytest.mark.rule("allow-list")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_any_other_origin_is_not_named(
    service: Service, stranger: str
) -> None:
    """Neither the stranger nor anyone else is named."""
    headers = {"origin": STRANGERS[stranger]}
    answer = service.request("GET", "/session", headers=headers)
    assert 200 == answer.status_code
    assert [] == named(answer)


@pytest.mark.rule("allow-list")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_the_preflight_of_any_other_origin_names_nobody(
    service: Service, stranger: str
) -> None:
    """The browser has nothing that would let the request pass."""
    answer = preflight(service, STRANGERS[stranger])
    assert [] == named(answer)
    if STRANGERS[stranger]:
        assert_refused(service, answer)


@pytest.mark.rule("allow-list")
def test_who_sends_no_origin_is_told_of_none(service: Service) -> None:
    """The list is shown to nobody."""
    answer = service.request("GET", "/session")
    assert 200 == answer.status_code
    assert {} == grants(answer)


@pytest.mark.rule("allow-list")
def test_an_empty_list_names_nobody(framework: Subject) -> None:
    """Who has said nothing has allowed nobody."""
    with start("cors", framework, {"ALLOWED_ORIGINS": ""}) as service:
        for origin in (PAGE, "http://localhost:3000", "null", "*"):
            headers = {"origin": origin}
            answer = service.request("GET", "/session", headers=headers)
            assert 200 == answer.status_code
            assert [] == named(answer)
            assert [] == named(preflight(service, origin))


@pytest.mark.rule("allow-list")
def test_cors_keeps_nobody_out(service: Service, cookie: str) -> None:
    """A stranger's request is done and answered, unreadable to its page."""
    headers = {"origin": "https://evil.test", "cookie": cookie}
    saved = service.request(
        "PUT", "/draft", json={"text": "a"}, headers=headers
    )
    assert 200 == saved.status_code
    assert {"text": "a"} == saved.json()
    assert [] == named(saved)
    answer = service.request("GET", "/draft", headers=headers)
    assert {"text": "a"} == answer.json()


@pytest.mark.rule("credentials")
def test_a_page_may_use_its_cookie(service: Service, cookie: str) -> None:
    """With the cookie the draft is written and read."""
    headers = {"origin": PAGE, "cookie": cookie}
    for answer in (
        service.request("GET", "/session", headers=headers),
        service.request("PUT", "/draft", json={"text": "a"}, headers=headers),
        service.request("GET", "/draft", headers=headers),
        service.request("DELETE", "/draft", headers=headers),
    ):
        assert answer.is_success
        assert passes(answer, PAGE)


@pytest.mark.rule("credentials")
def test_the_cookie_is_for_pages_of_the_same_site(service: Service) -> None:
    """No script reads it, and it never goes without TLS."""
    answer = begin(service, {"origin": PAGE})
    name, *attributes = answer.headers["set-cookie"].split(";")
    assert name.startswith("session=")
    found = {each.strip().lower() for each in attributes}
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= found


@pytest.mark.rule("credentials")
def test_a_cookie_opens_one_draft(service: Service, cookie: str) -> None:
    """Another session of the same name has a draft of its own."""
    headers = {"origin": PAGE, "cookie": cookie}
    service.request("PUT", "/draft", json={"text": "a"}, headers=headers)
    other = begin(service, {"origin": PAGE}).headers["set-cookie"]
    headers["cookie"] = other.partition(";")[0]
    answer = service.request("GET", "/draft", headers=headers)
    assert 404 == answer.status_code
    assert passes(answer, PAGE)


@pytest.mark.rule("credentials")
def test_a_preflight_allows_credentials(service: Service) -> None:
    """Without that the browser would not even send the request."""
    assert passes(preflight(service), PAGE)


@pytest.mark.rule("credentials")
@pytest.mark.parametrize("origin", [PAGE, "https://evil.test", "null", "*"])
def test_nothing_is_answered_with_a_star(
    service: Service, origin: str
) -> None:
    """With credentials a `*` is either refused or far too much."""
    for answer in (
        service.request("GET", "/session", headers={"origin": origin}),
        service.request("GET", "/draft", headers={"origin": origin}),
        preflight(service, origin),
        preflight(service, origin, "*", "*"),
        preflight(service, origin, "GET", "x-evil"),
    ):
        for name, found in grants(answer).items():
            assert "*" not in found, name


@pytest.mark.rule("credentials")
@pytest.mark.parametrize("origins", NOT_ORIGINS)
def test_what_is_no_origin_is_not_taken_on_the_list(
    framework: Subject, origins: str
) -> None:
    """A list with a `*` in it stops the service at the start."""
    knobs = {"ALLOWED_ORIGINS": origins}
    with pytest.raises(StartError), start("cors", framework, knobs):
        pass


@pytest.mark.rule("preflight-by-itself")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/session", "/draft", "/nothing/is/here"])
def test_a_preflight_needs_no_login(
    service: Service, path: str, method: str
) -> None:
    """It never has a cookie, and the path may be any."""
    answer = preflight(service, method=method, path=path)
    assert answer.status_code in (200, 204)
    assert lets(answer, PAGE, method, None)


@pytest.mark.rule("preflight-by-itself")
@pytest.mark.parametrize("method", METHODS)
def test_a_preflight_changes_nothing(
    service: Service, cookie: str, method: str
) -> None:
    """Even with a cookie and a body no draft is touched."""
    headers = {"origin": PAGE, "cookie": cookie}
    before = service.request(
        "PUT", "/draft", json={"text": "a"}, headers=headers
    )
    asked = {"access-control-request-method": method} | headers | JSON
    answer = service.request(
        "OPTIONS", "/draft", content=b'{"text": "b"}', headers=asked
    )
    assert lets(answer, PAGE, method, None)
    assert "set-cookie" not in answer.headers
    after = service.request("GET", "/draft", headers=headers)
    assert {"text": "a"} == after.json()
    assert before.headers["etag"] == after.headers["etag"]


@pytest.mark.rule("preflight-by-itself")
@pytest.mark.parametrize("path", ["/session", "/draft"])
def test_a_preflight_needs_nothing_that_may_be_broken(
    broken: Service, path: str
) -> None:
    """It is answered where the handler would fail."""
    answer = preflight(broken, method="POST", path=path, cookie="session=x")
    assert lets(answer, PAGE, "POST", None)


@pytest.mark.rule("preflight-by-itself")
def test_a_preflight_has_nothing_to_read(service: Service) -> None:
    """No draft, no problem; at most a word."""
    answer = preflight(service)
    assert answer.status_code in (200, 204)
    assert len(answer.content) < 10


@pytest.mark.rule("granted-by-list")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headers",
    [None, "content-type", "if-match", "content-type,if-match"],
    ids=str,
)
@pytest.mark.parametrize("origin", LISTED)
def test_what_is_on_the_lists_is_granted(
    service: Service, origin: str, headers: str | None, method: str
) -> None:
    """A browser is let send each method and header that is used."""
    answer = preflight(service, origin, method, headers)
    assert lets(answer, origin, method, headers)


@pytest.mark.rule("granted-by-list")
@pytest.mark.parametrize(
    "headers", ["Content-Type, If-Match", "IF-MATCH", "if-match ,content-type"]
)
def test_headers_are_asked_for_in_any_case(
    service: Service, headers: str
) -> None:
    """Names of headers have no case, and blanks mean nothing."""
    answer = preflight(service, headers=headers)
    assert lets(answer, PAGE, "PUT", headers.lower())


@pytest.mark.rule("granted-by-list")
@pytest.mark.parametrize("method", OTHER_METHODS)
def test_a_method_that_is_not_on_the_list_is_not_granted(
    service: Service, method: str
) -> None:
    """Names of methods have a case, and are whole."""
    answer = preflight(service, method=method)
    assert not lets(answer, PAGE, method, None)
    assert method not in methods_in(answer)
    assert {*methods_in(answer)} <= {*METHODS}


@pytest.mark.rule("granted-by-list")
@pytest.mark.parametrize("method", ["PATCH", "PROPFIND"])
def test_the_refusal_of_a_method_is_quiet(
    service: Service, method: str
) -> None:
    """The missing grant says it, no error does."""
    assert_refused(service, preflight(service, method=method))


@pytest.mark.rule("granted-by-list")
@pytest.mark.parametrize("headers", OTHER_HEADERS)
def test_a_header_that_is_not_on_the_list_is_not_granted(
    service: Service, headers: str
) -> None:
    """One that is not known is enough."""
    answer = preflight(service, headers=headers)
    assert not lets(answer, PAGE, "PUT", headers)
    known = {"content-type", "if-match"}
    # Those need no grant.
    known |= {"accept", "accept-language", "content-language"}
    assert {*values(answer, "access-control-allow-headers")} <= known
    assert_refused(service, answer)


@pytest.mark.rule("granted-by-list")
def test_a_private_network_is_not_granted(service: Service) -> None:
    """A public page gets no way into the house."""
    more = {"access-control-request-private-network": "true"}
    answer = preflight(service, **more)
    granted = answer.headers.get("access-control-allow-private-network", "")
    assert "true" != granted.lower()


@pytest.mark.rule("preflight-kept")
@pytest.mark.parametrize("path", ["/session", "/draft", "/nothing/is/here"])
def test_a_preflight_may_be_kept(service: Service, path: str) -> None:
    """As long as the operator says."""
    answer = preflight(service, path=path)
    assert [str(SECONDS)] == answer.headers.get_list("access-control-max-age")


@pytest.mark.rule("vary-origin")
@pytest.mark.parametrize("origin", [None, PAGE, "https://evil.test", "null"])
def test_every_answer_varies_by_origin(
    service: Service, cookie: str, origin: str | None
) -> None:
    """A cache must not hand the answer for one origin to another."""
    headers = {} if origin is None else {"origin": origin}
    signed_in = headers | {"cookie": cookie}
    for answer in (
        service.request("GET", "/session", headers=headers),
        service.request("HEAD", "/session", headers=headers),
        begin(service, headers),
        service.request(
            "PUT", "/draft", json={"text": "a"}, headers=signed_in
        ),
        service.request("GET", "/draft", headers=signed_in),
        service.request("DELETE", "/draft", headers=signed_in),
        service.request("GET", "/draft", headers=signed_in),
        service.request("OPTIONS", "/draft", headers=headers),
    ):
        assert "origin" in values(answer, "vary"), answer.request


@pytest.mark.rule("vary-origin")
@pytest.mark.parametrize("origin", [None, PAGE, "https://evil.test"])
@pytest.mark.parametrize("case", ERRORS)
def test_every_error_varies_by_origin(
    service: Service, case: str, origin: str | None
) -> None:
    """A kept 404 would be as wrong as any other answer."""
    status, what = ERRORS[case]
    headers = {} if origin is None else {"origin": origin}
    answer = ask(service, what, **headers)
    assert status == answer.status_code
    assert "origin" in values(answer, "vary")


@pytest.mark.rule("vary-origin")
@pytest.mark.parametrize("case", FAILING)
def test_a_failure_varies_by_origin(broken: Service, case: str) -> None:
    """Even to those who send none."""
    answer = ask(broken, FAILING[case])
    assert 500 == answer.status_code
    assert "origin" in values(answer, "vary")


@pytest.mark.rule("vary-origin")
@pytest.mark.parametrize("origin", [PAGE, "https://evil.test"])
@pytest.mark.parametrize("path", ["/draft", "/nothing/is/here"])
def test_a_preflight_varies_by_what_its_answer_depends_on(
    service: Service, path: str, origin: str
) -> None:
    """There are proxies that keep the answer to OPTIONS."""
    asked = {
        "access-control-request-method": [
            preflight(service, origin, method, path=path)
            for method in ("PUT", "PATCH", "DELETE")
        ],
        "access-control-request-headers": [
            preflight(service, origin, headers=headers, path=path)
            for headers in (None, "if-match", "content-type", "x-evil")
        ],
    }
    for name, answers in asked.items():
        seen = [(each.status_code, grants(each)) for each in answers]
        depends = any(each != seen[0] for each in seen)
        for answer in answers:
            assert "origin" in values(answer, "vary")
            assert not depends or name in values(answer, "vary")


@pytest.mark.rule("exposed-headers")
def test_a_page_can_read_the_etag(service: Service, cookie: str) -> None:
    """It is sent, and exposed, with each answer that has one."""
    headers = {"origin": PAGE, "cookie": cookie}
    saved = service.request(
        "PUT", "/draft", json={"text": "a"}, headers=headers
    )
    found = service.request("GET", "/draft", headers=headers)
    for answer in (saved, found):
        assert 200 == answer.status_code
        assert answer.headers["etag"]
        assert ["etag"] == values(answer, "access-control-expose-headers")


@pytest.mark.rule("exposed-headers")
def test_what_is_exposed_can_be_sent_back(
    service: Service, cookie: str
) -> None:
    """The ETag comes back as If-Match: once right, then outdated."""
    headers = {"origin": PAGE, "cookie": cookie}
    saved = service.request(
        "PUT", "/draft", json={"text": "a"}, headers=headers
    )
    assert ["etag"] == values(saved, "access-control-expose-headers")
    headers["if-match"] = saved.headers["etag"]
    changed = [
        service.request("PUT", "/draft", json={"text": text}, headers=headers)
        for text in "bc"
    ]
    assert [200, 412] == [answer.status_code for answer in changed]
    assert saved.headers["etag"] != changed[0].headers["etag"]
    assert passes(changed[1], PAGE)
    found = service.request("GET", "/draft", headers=headers)
    assert {"text": "b"} == found.json()


@pytest.mark.rule("errors-too")
@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("origin", LISTED)
def test_a_page_can_read_an_error(
    service: Service, origin: str, case: str
) -> None:
    """Whoever refuses, the page learns why."""
    status, what = ERRORS[case]
    answer = ask(service, what, origin=origin)
    assert status == answer.status_code
    assert passes(answer, origin)
    assert ["etag"] == values(answer, "access-control-expose-headers")


@pytest.mark.rule("errors-too")
def test_a_page_can_read_that_there_is_no_draft(
    service: Service, cookie: str
) -> None:
    """What the domain refuses is readable, too."""
    headers = {"origin": PAGE, "cookie": cookie}
    answer = service.request("GET", "/draft", headers=headers)
    assert 404 == answer.status_code
    assert passes(answer, PAGE)
    assert "https://example.com/problems/no-draft" == answer.json()["type"]


@pytest.mark.rule("errors-too")
@pytest.mark.parametrize("case", FAILING)
def test_a_page_can_read_a_failure(broken: Service, case: str) -> None:
    """The 500 that nobody expected is no CORS error to the page."""
    answer = ask(broken, FAILING[case], origin=PAGE)
    assert 500 == answer.status_code
    assert passes(answer, PAGE)
    assert ["etag"] == values(answer, "access-control-expose-headers")
    assert "origin" in values(answer, "vary")
    assert 500 == answer.json()["status"]


@pytest.mark.rule("errors-too")
@pytest.mark.parametrize("case", FAILING)
def test_a_stranger_cannot_read_a_failure(broken: Service, case: str) -> None:
    """A failure is no reason to name anyone else."""
    answer = ask(broken, FAILING[case], origin="https://evil.test")
    assert 500 == answer.status_code
    assert [] == named(answer)
    assert "origin" in values(answer, "vary")


@pytest.mark.rule("preflight-forced")
@pytest.mark.parametrize("case", WITHOUT_PREFLIGHT)
def test_what_needs_no_preflight_changes_nothing(
    service: Service, cookie: str, case: str
) -> None:
    """A page of any origin can send it, cookie and all."""
    headers = {"origin": "https://evil.test", "cookie": cookie}
    if media_type := WITHOUT_PREFLIGHT[case]:
        headers["content-type"] = media_type
    answer = service.request(
        "POST", "/session", content=b'{"name": "eve"}', headers=headers
    )
    assert 415 == answer.status_code
    assert "set-cookie" not in answer.headers


@pytest.mark.rule("preflight-forced")
@pytest.mark.parametrize("case", WITHOUT_PREFLIGHT)
def test_a_draft_is_saved_as_json_alone(
    service: Service, cookie: str, case: str
) -> None:
    """The same where a preflight has come before."""
    headers = {"origin": PAGE, "cookie": cookie}
    if media_type := WITHOUT_PREFLIGHT[case]:
        headers["content-type"] = media_type
    answer = service.request(
        "PUT", "/draft", content=b'{"text": "b"}', headers=headers
    )
    assert 415 == answer.status_code
    found = service.request("GET", "/draft", headers=headers)
    assert 404 == found.status_code


@pytest.mark.rule("plain-options")
@pytest.mark.parametrize("origin", [None, PAGE])
def test_options_alone_is_no_preflight(
    service: Service, origin: str | None
) -> None:
    """It tells what is allowed here, as without CORS."""
    headers = {} if origin is None else {"origin": origin}
    answer = service.request("OPTIONS", "/session", headers=headers)
    if origin and service.differs("options-taken"):
        assert 204 == answer.status_code
        assert [str(SECONDS)] == values(answer, "access-control-max-age")
        return
    told_all = origin and service.differs("options-told-all")
    for name in FOR_A_PREFLIGHT:
        assert bool(told_all) == (name in answer.headers)
    status = 405 if service.differs("no-options") else 200
    if service.differs("options-incomplete"):
        status = 204
    assert status == answer.status_code
    incomplete = service.differs("allow-incomplete")
    if incomplete or service.differs("options-incomplete"):
        assert {"get", "post"} & {*values(answer, "allow")}
    else:
        assert {"get", "post"} <= {*values(answer, "allow")}


@pytest.mark.rule("plain-options")
def test_options_of_a_page_is_readable(service: Service) -> None:
    """After its own preflight, it is a request like any other."""
    headers = {"origin": PAGE}
    answer = service.request("OPTIONS", "/draft", headers=headers)
    assert passes(answer, PAGE)
