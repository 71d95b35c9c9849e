"""The contract of `http_caching`: before a real shared cache, and bare."""

import hmac
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from cookbook.contract import (
    Service,
    SharedCache,
    Subject,
    figure,
    shared_cache,
    start,
    until,
)

NUMBERS = count()
YEAR = 31_536_000
BRIEF = {
    "PAGE_SECONDS": 1,
    "MAIN_SECONDS": 1,
    "MAIN_STALE_SECONDS": 3600,
    "MISSING_SECONDS": 1,
}
BROWSERS = ("Firefox/160.0", "Chrome/160.0", "Safari/620.1", "curl/8.20")
NOWHERE = "/pages/nothing"
NO_ASSETS = (
    *("/assets/nothing.css", "/assets/", "/assets/%00", "/assets/a/b"),
    *(f"/assets/{'x' * 400}", "/assets/..%2f..%2fetc%2fpasswd"),
)
NEVER = "Thu, 01 Jan 1970 00:00:00 GMT"
MANY = 2_000
ROUNDS = 8
LESS = 3
"""By which factor a 304 of the main page is quicker than the page."""

METHODS = ("GET", "HEAD")
IN_304 = ("etag", "cache-control", "vary", "content-location")
IN_HEAD = (*IN_304, "last-modified", "content-language")


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service for tests that take pages of their own."""
    with start("http_caching", framework) as running:
        yield running


@pytest.fixture(scope="module")
def brief(framework: Subject) -> Iterator[Service]:
    """A service whose answers are good for a second."""
    with start("http_caching", framework, BRIEF) as running:
        yield running


@pytest.fixture
def cache(service: Service) -> Iterator[SharedCache]:
    """An empty shared cache before the service."""
    with shared_cache(service.url) as running:
        yield running


@pytest.fixture(scope="module")
def crowd(framework: Subject) -> Iterator[Service]:
    """A service of two workers."""
    with start("http_caching", framework, workers=2, seed=2) as running:
        yield running


@dataclass(frozen=True)
class Aging:
    """A shared cache, and what it was given; good for a second."""

    cache: SharedCache
    kept: httpx2.Response
    edited: httpx2.Response
    main: httpx2.Response
    missing: httpx2.Response


@pytest.fixture(scope="module")
def aging(brief: Service) -> Iterator[Aging]:
    """Answers that grow old together: each test looks at one of them."""
    kept, edited = own(brief), f"{own(brief)}/en"
    with shared_cache(brief.url) as cache:
        given = [get(cache, path) for path in (kept, edited, "/", NOWHERE)]
        edit(brief, edited, "Quite new.")
        yield Aging(cache, *given)


@lru_cache
def paths(service: Service) -> list[str]:
    """The paths of all pages, as the main page has them."""
    answer = service.request("GET", "/")
    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/html")
    return re.findall(r'href="(/pages/[^"]+)"', answer.text)


def own(service: Service) -> str:
    """The path of a page that no other test edits."""
    found = paths(service)
    return found[next(NUMBERS) % len(found)]


def get(
    where: Service | SharedCache,
    path: str,
    method: str = "GET",
    **headers: str,
) -> httpx2.Response:
    """Ask, with header fields by name."""
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    return where.request(method, path, headers=named)


def found(
    where: Service | SharedCache,
    path: str,
    method: str = "GET",
    **headers: str,
) -> httpx2.Response:
    """Ask for what must be there."""
    answer = get(where, path, method, **headers)
    assert 200 == answer.status_code, answer.text
    return answer


def token(service: Service, user: str) -> str:
    """What proves a user."""
    service.needs("the secret of the tokens")
    (secret,) = service.secrets
    proof = hmac.new(secret.encode(), user.encode(), "sha256").hexdigest()
    return f"Bearer {user}.{proof}"


def edit(
    service: Service, path: str, text: str = "New.", user: str = "ada"
) -> None:
    """Edit a page in one language, as somebody who has seen it."""
    tag = tag_of(found(service, path))
    answer = put(service, path, tag, text=text, user=user)
    assert 204 == answer.status_code, answer.text


def put(
    service: Service,
    path: str,
    if_match: str | None,
    text: Any = "New.",
    user: str = "ada",
) -> httpx2.Response:
    """Ask for an edit."""
    headers = {"Authorization": token(service, user)}
    if if_match is not None:
        headers["If-Match"] = if_match
    body = {"title": "Edited", "text": text}
    return service.request("PUT", path, headers=headers, json=body)


def directives(answer: httpx2.Response) -> dict[str, str | bool]:
    """Read `Cache-Control`: what has no value is true."""
    found: dict[str, str | bool] = {}
    for each in answer.headers.get("cache-control", "").split(","):
        name, equals, value = each.strip().lower().partition("=")
        assert name not in found, answer.headers["cache-control"]
        found[name] = value if equals else True
    return found


def tag_of(answer: httpx2.Response) -> str:
    """The tag of an answer, which must have one."""
    assert answer.headers.get("etag")
    return str(answer.headers["etag"])


def date_of(answer: httpx2.Response) -> str:
    """The date of an answer, which must have one."""
    assert answer.headers.get("last-modified")
    return str(answer.headers["last-modified"])


def varies_by(answer: httpx2.Response) -> set[str]:
    """Read `Vary`."""
    fields = answer.headers.get("vary", "").split(",")
    return {field.strip().lower() for field in fields if field.strip()}


def done(answer: httpx2.Response) -> str:
    """What the shared cache says that it has done."""
    return answer.headers.get("x-cache", "")


def problem_in(answer: httpx2.Response, status: int) -> None:
    """A problem document with this status, on the wire too."""
    assert status == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    assert status == answer.json()["status"]


def shown(answer: httpx2.Response, *names: str) -> dict[str, str | None]:
    """Some header fields of an answer."""
    return {name: answer.headers.get(name) for name in names}


def stylesheet(where: Service | SharedCache) -> str:
    """The path of the stylesheet that the main page links to."""
    answer = found(where, "/")
    (path,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', answer.text)
    return str(path)


# validators


@pytest.mark.rule("validators")
@pytest.mark.parametrize("language", ["", "/en", "/de"])
def test_a_page_has_a_strong_tag_and_a_date(
    service: Service, language: str
) -> None:
    """The tag is strong, the date is whole seconds and not to come."""
    answer = found(service, f"{own(service)}{language}")
    assert re.fullmatch(r'"[^"]+"', answer.headers.get("etag", ""))
    written = answer.headers.get("last-modified", "")
    edited_at = datetime.fromisoformat(answer.json()["edited_at"])
    whole = edited_at.astimezone(UTC).replace(microsecond=0)
    assert format_datetime(whole, usegmt=True) == written
    assert parsedate_to_datetime(written) <= datetime.now(UTC)


@pytest.mark.rule("validators")
def test_the_date_is_that_of_the_edit(service: Service) -> None:
    """`Last-Modified` is when it was edited, and not when it was asked."""
    path = f"{own(service)}/en"
    before = datetime.now(UTC).replace(microsecond=0)
    edit(service, path)
    written = found(service, path).headers.get("last-modified", NEVER)
    assert before <= parsedate_to_datetime(written) <= datetime.now(UTC)


@pytest.mark.rule("validators")
def test_each_edit_makes_another_tag(service: Service) -> None:
    """Edits within one second have one date, and a tag each."""
    path = f"{own(service)}/en"
    tags = [found(service, path).headers.get("etag")]
    for number in range(4):
        edit(service, path, f"Edit {number}.")
        tags.append(found(service, path).headers.get("etag"))
    assert 5 == len(set(tags))


@pytest.mark.rule("validators")
def test_an_edit_gives_the_main_page_another_tag(service: Service) -> None:
    """Whatever page it links to was edited, in its language."""
    before = found(service, "/").headers.get("etag")
    edit(service, f"{own(service)}/en")
    after = found(service, "/").headers.get("etag")
    assert after
    assert before != after


@pytest.mark.rule("validators")
def test_an_edit_gives_the_contributions_another_tag(
    service: Service,
) -> None:
    """Also the edit by which somebody else takes one away."""
    path = f"{own(service)}/en"
    known = {"Authorization": token(service, "cleo")}
    tags = []
    for user in ("cleo", "ada"):
        tags.append(tag_of(found(service, "/contributions", **known)))
        edit(service, path, user=user)
    tags.append(tag_of(found(service, "/contributions", **known)))
    assert 3 == len(set(tags))


@pytest.mark.rule("validators")
def test_every_worker_gives_the_same_tag(crowd: Service) -> None:
    """Whoever answers, the tag is one."""
    for path in ("/", paths(crowd)[0]):
        tags = {
            answer.headers.get("etag")
            for answer in crowd.ask_every_worker(2, "GET", path)
        }
        assert 1 == len(tags)
        assert None not in tags


@pytest.mark.rule("validators")
def test_a_restart_changes_no_tag(crowd: Service) -> None:
    """What clients have is good for as long as the page is."""
    both = ("/", paths(crowd)[0])
    before = [tag_of(found(crowd, path)) for path in both]
    crowd.restart()
    after = [tag_of(found(crowd, path)) for path in both]
    assert before == after


# not-modified


@pytest.mark.rule("not-modified")
def test_a_304_has_no_body(service: Service) -> None:
    """Nothing comes after the header, and no length of nothing in it."""
    path = own(service)
    for each in ("/", path):
        whole = found(service, each)
        tag = tag_of(whole)
        head, body = talk(service, each, f"If-None-Match: {tag}")
        assert " 304 " in head.partition("\r\n")[0]
        assert "" == body
        length = re.findall(r"(?im)^content-length: *(\d+)", head)
        assert length in ([], [whole.headers.get("content-length")])


def talk(service: Service, path: str, line: str) -> tuple[str, str]:
    """Ask over a socket of one's own; read to the end."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), 30) as raw:
        request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        raw.sendall(f"{request}{line}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        # What is left unread on the other side may end it by a reset.
        with suppress(ConnectionResetError):
            received = b"".join(iter(lambda: raw.recv(65536), b""))
    head, _, body = received.decode("latin-1").partition("\r\n\r\n")
    return head, body


@pytest.mark.rule("not-modified")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "form",
    ["{}", "W/{}", '"a", {}, "b"', 'W/"a",W/{}', '"a" , {}', "*"],
)
def test_who_has_it_is_told_so(
    service: Service, method: str, form: str
) -> None:
    """304 for the present tag, whatever the form, and for `*`."""
    path = own(service)
    for each in ("/", path, f"{path}/de"):
        tag = tag_of(found(service, each))
        known = {"If-None-Match": form.format(tag)}
        assert 304 == get(service, each, method, **known).status_code


@pytest.mark.rule("not-modified")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "form", ['"a"', '"{}0"', '"0{}"', 'W/"{}0"', '"", "x"']
)
def test_who_has_another_gets_the_page(
    service: Service, method: str, form: str
) -> None:
    """Another tag is another, if it only begins or ends like this one."""
    path = own(service)
    for each in ("/", path, f"{path}/de"):
        tag = tag_of(found(service, each)).strip('"')
        known = {"If-None-Match": form.format(tag)}
        found(service, each, method, **known)


@pytest.mark.rule("not-modified")
def test_a_list_in_two_lines_is_one(service: Service) -> None:
    """Lines of one field are joined by commas (RFC 9110, 5.3)."""
    path = own(service)
    tag = tag_of(found(service, path))
    lines = [("If-None-Match", '"a"'), ("If-None-Match", tag)]
    answer = service.request("GET", path, headers=lines)
    assert 304 == answer.status_code


@pytest.mark.rule("not-modified")
@pytest.mark.parametrize("method", METHODS)
def test_a_304_says_what_the_page_would_have_said(
    service: Service, method: str
) -> None:
    """Tag, lifetime, `Vary` and place are those of the 200."""
    path = own(service)
    ada = {"Authorization": token(service, "ada")}
    for each in ("/", path, f"{path}/de", "/contributions"):
        whole = found(service, each, **ada)
        known = ada | {"If-None-Match": tag_of(whole)}
        answer = get(service, each, method, **known)
        assert 304 == answer.status_code
        assert shown(whole, *IN_304) == shown(answer, *IN_304)


@pytest.mark.rule("not-modified")
def test_head_says_what_get_says(service: Service) -> None:
    """All that a cache needs to know is in it, without a body."""
    path = own(service)
    ada = {"Authorization": token(service, "ada")}
    for each in ("/", path, f"{path}/de", "/contributions"):
        whole = found(service, each, **ada)
        answer = found(service, each, "HEAD", **ada)
        assert shown(whole, *IN_HEAD) == shown(answer, *IN_HEAD)
        assert b"" == answer.content


# precedence


@pytest.mark.rule("precedence")
@pytest.mark.parametrize("method", METHODS)
def test_another_tag_goes_before_a_date(service: Service, method: str) -> None:
    """Who has another page gets this one, though the date would do."""
    path = own(service)
    written = date_of(found(service, path))
    known = {"If-None-Match": '"a"', "If-Modified-Since": written}
    found(service, path, method, **known)


@pytest.mark.rule("precedence")
@pytest.mark.parametrize("method", METHODS)
def test_the_present_tag_goes_before_a_date(
    service: Service, method: str
) -> None:
    """Who has this page is told so, though the date would not do."""
    path = own(service)
    tag = tag_of(found(service, path))
    known = {"If-None-Match": tag, "If-Modified-Since": NEVER}
    assert 304 == get(service, path, method, **known).status_code


@pytest.mark.rule("precedence")
@pytest.mark.parametrize("method", METHODS)
def test_a_page_that_must_be_there_is(service: Service, method: str) -> None:
    """`If-Match` lets through the present tag and `*`; 412 any other."""
    path = own(service)
    tag = tag_of(found(service, path))
    found(service, path, method, If_Match=f'"a", {tag}')
    assert 412 == get(service, path, method, If_Match='"a"').status_code
    answer = get(service, path, method, If_Match="*")
    expected = 412 if service.differs("whatever-is-there") else 200
    assert expected == answer.status_code


@pytest.mark.rule("precedence")
@pytest.mark.parametrize("method", METHODS)
def test_a_date_counts_without_a_tag(service: Service, method: str) -> None:
    """304 from the second of the edit on, the page for any before."""
    path = f"{own(service)}/en"
    edit(service, path)
    written = date_of(found(service, path))
    second = timedelta(seconds=1)
    edited_at = parsedate_to_datetime(written)
    expected = {-second: 200, 0 * second: 304, second: 304}
    for step, status in expected.items():
        date = format_datetime(edited_at + step, usegmt=True)
        answer = get(service, path, method, If_Modified_Since=date)
        assert status == answer.status_code, date


@pytest.mark.rule("precedence")
@pytest.mark.parametrize(
    "date", ["yesterday", "", "1767614400", "2030-01-01T00:00:00Z", '"en-1"']
)
def test_what_is_no_date_says_nothing(service: Service, date: str) -> None:
    """The page is answered as if nothing had been said."""
    found(service, own(service), If_Modified_Since=date)


@pytest.mark.rule("precedence")
def test_where_no_time_is_known_no_date_counts(service: Service) -> None:
    """The main page is made of many things: it has a tag alone."""
    answer = found(service, "/")
    assert "last-modified" not in answer.headers
    later = datetime.now(UTC) + timedelta(days=1)
    date = format_datetime(later, usegmt=True)
    found(service, "/", If_Modified_Since=date)


# cheap-304


@pytest.mark.rule("cheap-304")
def test_a_304_is_quicker_than_the_page(framework: Subject) -> None:
    """The main page has 2,000 links; a 304 of it needs none of them."""
    with start("http_caching", framework, seed=MANY) as service:
        tag = tag_of(found(service, "/"))
        known = {"If-None-Match": tag}

        def ratio() -> float:
            whole, none = [], []
            for _ in range(ROUNDS):
                whole.append(seconds(service, 200, {}))
                none.append(seconds(service, 304, known))
            return median(whole) / median(none)

        # What the machine does beside may lie in one round or another.
        assert any(ratio() > LESS for _ in range(3))


def seconds(service: Service, status: int, headers: dict[str, str]) -> float:
    """Time a request for the main page."""
    begun = perf_counter()
    answer = service.request("GET", "/", headers=headers)
    assert status == answer.status_code
    return perf_counter() - begun


# edited


@pytest.mark.rule("edited")
def test_from_an_edit_on_no_old_tag_is_good(service: Service) -> None:
    """Who has what was there before gets what is there now."""
    path = own(service)
    old = {
        each: tag_of(found(service, each))
        for each in ("/", path, f"{path}/en")
    }
    edit(service, f"{path}/en", "Quite new.")
    for each, tag in old.items():
        answer = found(service, each, If_None_Match=tag)
        assert tag != tag_of(answer)
    for each in (path, f"{path}/en"):
        body = found(service, each).json()
        assert ("Edited", "Quite new.") == (body["title"], body["text"])
        assert "ada" == body["edited_by"]


@pytest.mark.rule("edited")
def test_an_edit_is_of_one_language(service: Service) -> None:
    """The page in the other language is as it was, its tag too."""
    path = own(service)
    before = found(service, f"{path}/de")
    edit(service, f"{path}/en")
    after = found(service, f"{path}/de")
    assert before.json() == after.json()
    assert tag_of(before) == tag_of(after)


@pytest.mark.rule("edited")
def test_who_has_not_seen_a_page_cannot_edit_it(service: Service) -> None:
    """428 without `If-Match`, and the page stays as it is."""
    path = f"{own(service)}/en"
    before = found(service, path)
    problem_in(put(service, path, None), 428)
    assert before.json() == found(service, path).json()


@pytest.mark.rule("edited")
def test_who_has_seen_another_page_cannot_edit_it(service: Service) -> None:
    """412 for an old tag, a weak one and that of the other language."""
    path = own(service)
    old = tag_of(found(service, f"{path}/en"))
    edit(service, f"{path}/en", "Newer.")
    edit(service, f"{path}/de", "Neuer.")
    present = found(service, f"{path}/en")
    other = tag_of(found(service, f"{path}/de"))
    for tag in (old, other, f"W/{present.headers['etag']}", '"x"'):
        problem_in(put(service, f"{path}/en", tag), 412)
    assert present.json() == found(service, f"{path}/en").json()


@pytest.mark.rule("edited")
@pytest.mark.parametrize(
    "text",
    [1, None, "x" * 10_001, "a\x00"],
    ids=["a number", "null", "too long", "with NUL"],
)
def test_what_cannot_be_a_page_is_refused(service: Service, text: Any) -> None:
    """422, and the page stays as it is."""
    path = f"{own(service)}/en"
    before = found(service, path)
    problem_in(put(service, path, tag_of(before), text), 422)
    assert before.json() == found(service, path).json()


@pytest.mark.rule("edited")
def test_what_is_not_there_cannot_be_edited(service: Service) -> None:
    """404, for a language that there is not, too."""
    path = own(service)
    for each in ("/pages/nothing/en", f"{path}/fr"):
        problem_in(put(service, each, "*"), 404)


# variants


@pytest.mark.rule("variants")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("de", "de"),
        ("en", "en"),
        ("de-AT, en;q=0.5", "de"),
        ("en;q=0.5, de;q=0.8", "de"),
        ("fr, de;q=0.1", "de"),
        ("de;q=0, en", "en"),
        ("de;q=0", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("", "en"),
        ("nonsense;;q=x", "en"),
    ],
)
def test_the_language_is_the_one_asked_for(
    service: Service, asked: str, expected: str
) -> None:
    """By `Accept-Language` and its weights; English where none fits."""
    path = own(service)
    answer = found(service, path, Accept_Language=asked)
    assert expected == answer.json()["language"]
    assert expected == answer.headers.get("content-language")
    place = answer.headers.get("content-location", "")
    assert f"{path}/{expected}" == answer.url.join(place).path
    front = found(service, "/", Accept_Language=asked)
    assert f'<html lang="{expected}">' in front.text
    assert expected == front.headers.get("content-language")


@pytest.mark.rule("variants")
def test_what_was_chosen_says_by_what(service: Service) -> None:
    """`Vary` names `Accept-Language`, asked or not, and nothing else."""
    for path in ("/", own(service)):
        for headers in ({}, {"Accept-Language": "de"}):
            answer = found(service, path, **headers)
            assert {"accept-language"} == varies_by(answer)


@pytest.mark.rule("variants")
def test_what_is_in_one_language_does_not_vary(service: Service) -> None:
    """Its path says which: a cache keeps it once."""
    path = f"{own(service)}/de"
    answer = found(service, path, Accept_Language="en")
    assert "de" == answer.json()["language"]
    assert set() == varies_by(answer)


@pytest.mark.rule("variants")
def test_each_language_has_a_tag_of_its_own(service: Service) -> None:
    """Who has one of them does not have the other."""
    for path in ("/", own(service)):
        tags = {
            language: tag_of(found(service, path, Accept_Language=language))
            for language in ("en", "de")
        }
        assert 2 == len(set(tags.values()))
        known = {"If-None-Match": tags["en"]}
        answer = found(service, path, Accept_Language="de", **known)
        assert "de" == answer.headers.get("content-language")


@pytest.mark.rule("variants")
def test_a_page_is_one_by_either_of_its_paths(service: Service) -> None:
    """What `Content-Location` names has the same body and tag."""
    path = own(service)
    chosen = found(service, path, Accept_Language="de")
    place = chosen.headers.get("content-location", path)
    direct = found(service, chosen.url.join(place).path)
    assert chosen.json() == direct.json()
    assert tag_of(chosen) == tag_of(direct)


@pytest.mark.rule("variants")
def test_nobody_gets_a_page_in_another_language(
    service: Service, cache: SharedCache
) -> None:
    """The shared cache keeps one for each, and mixes none up."""
    wrong = asked = 0
    for path in ("/", own(service), own(service)):
        for language in ("en", "de", "de", "en") * 2:
            answer = found(cache, path, Accept_Language=language)
            wrong += language != answer.headers.get("content-language")
            wrong += f'lang="{language}"' not in answer.text and (
                f'"language":"{language}"' not in answer.text.replace(" ", "")
            )
            asked += 1
    figure("pages asked for in two languages through the cache", asked)
    figure("pages in another language than asked for", wrong)
    assert 0 == wrong


# shared-hits


@pytest.mark.rule("shared-hits")
def test_what_is_for_all_says_so(service: Service) -> None:
    """Pages are good for a minute, the front for a shared cache alone."""
    path = own(service)
    for each in (path, f"{path}/de"):
        said = directives(found(service, each))
        assert {"public": True, "max-age": "60"} == said
    said = directives(found(service, "/"))
    said.pop("stale-while-revalidate", None)
    expected = {"public": True, "max-age": "0", "s-maxage": "10"}
    assert expected == said


@pytest.mark.rule("shared-hits")
def test_a_lifetime_is_a_setting(brief: Service) -> None:
    """What the service is told is what it tells."""
    said = directives(found(brief, own(brief)))
    assert "1" == said.get("max-age")
    assert "1" == directives(found(brief, "/")).get("s-maxage")


@pytest.mark.rule("shared-hits")
def test_the_shared_cache_answers_all_but_the_first(
    service: Service, cache: SharedCache
) -> None:
    """Whoever asks, by whatever browser: one reaches the service."""
    users = [None, *(token(service, name) for name in ("ada", "ben"))]
    asked = hits = 0
    for path in ("/", own(service), f"{own(service)}/de"):
        told = []
        for user in users:
            known = {"Authorization": user} if user else {}
            for browser in BROWSERS:
                answer = found(cache, path, User_Agent=browser, **known)
                assert "set-cookie" not in answer.headers
                told.append(done(answer))
        assert ["MISS", *["HIT"] * (len(told) - 1)] == told
        asked += len(told)
        hits += told.count("HIT")
    figure("requests for what is for all, through the cache", asked)
    figure("of these answered by the cache", hits)


@pytest.mark.rule("shared-hits")
def test_the_shared_cache_answers_who_has_it(
    service: Service, cache: SharedCache
) -> None:
    """It has the tag, and needs nobody to give a 304."""
    path = own(service)
    tag = tag_of(found(cache, path))
    answer = get(cache, path, If_None_Match=tag)
    assert (304, "HIT") == (answer.status_code, done(answer))


# revalidated


@pytest.mark.rule("revalidated")
def test_what_has_not_changed_is_renewed_by_a_304(aging: Aging) -> None:
    """The cache asks with the tag, and has it for as long again."""
    assert "MISS" == done(aging.kept)
    renewed = outlive(aging.cache, aging.kept)
    assert "REVALIDATED" == done(renewed)
    assert aging.kept.json() == renewed.json()
    assert renewed.json() == hit(aging.cache, renewed).json()


@pytest.mark.rule("revalidated")
def test_what_was_edited_is_fetched(aging: Aging) -> None:
    """When its time is over, the new page is in everybody's hands."""
    new = outlive(aging.cache, aging.edited)
    assert "EXPIRED" == done(new)
    assert "Quite new." == new.json()["text"]
    assert tag_of(aging.edited) != tag_of(new)
    assert new.json() == hit(aging.cache, new).json()


def outlive(cache: SharedCache, kept: httpx2.Response) -> httpx2.Response:
    """Ask until the cache no longer answers by itself what it has kept."""

    def other() -> httpx2.Response | None:
        answer = get(cache, kept.url.path)
        return None if done(answer) == "HIT" else answer

    answer = until(other, f"{kept.url.path} is kept for ever")
    assert answer is not None
    return answer


def hit(cache: SharedCache, kept: httpx2.Response) -> httpx2.Response:
    """Ask until the cache answers by itself; it may have been a second."""

    def own() -> httpx2.Response | None:
        answer = get(cache, kept.url.path)
        return answer if done(answer) == "HIT" else None

    answer = until(own, f"{kept.url.path} is not kept")
    assert answer is not None
    return answer


# stale-while-revalidate


@pytest.mark.rule("stale-while-revalidate")
def test_the_main_page_may_be_stale_for_a_while(
    service: Service, brief: Service
) -> None:
    """For as long as the service is told, and the pages are not."""
    said = directives(found(service, "/"))
    assert "60" == said.get("stale-while-revalidate")
    assert not {"must-revalidate", "proxy-revalidate"} & said.keys()
    said = directives(found(brief, "/"))
    assert "3600" == said.get("stale-while-revalidate")
    said = directives(found(service, own(service)))
    assert "stale-while-revalidate" not in said


@pytest.mark.rule("stale-while-revalidate")
def test_nobody_waits_for_the_new_main_page(aging: Aging) -> None:
    """The old one is shown at once, and the new one soon after."""
    assert "MISS" == done(aging.main)
    stale = outlive(aging.cache, aging.main)
    assert "STALE" == done(stale)
    assert aging.main.text == stale.text
    until(
        lambda: found(aging.cache, "/").text != stale.text,
        "nobody has asked for a new one",
    )


# private


@pytest.mark.rule("private")
def test_what_is_a_users_own_is_private(service: Service) -> None:
    """A browser may have it, and asks each time; no other cache may."""
    answer = found(
        service, "/contributions", Authorization=token(service, "ada")
    )
    assert {"private": True, "no-cache": True} == directives(answer)
    tag = tag_of(answer)
    known = {"If-None-Match": tag, "Authorization": token(service, "ada")}
    assert 304 == get(service, "/contributions", **known).status_code


@pytest.mark.rule("private")
def test_a_tag_of_ones_own_is_nobody_elses(service: Service) -> None:
    """Who takes over a browser is not told that it has his already."""
    users = ("dora", "emil")
    known = {user: token(service, user) for user in users}
    tags = [
        tag_of(found(service, "/contributions", Authorization=each))
        for each in known.values()
    ]
    assert 2 == len(set(tags))
    answer = found(
        service,
        "/contributions",
        Authorization=known["emil"],
        If_None_Match=tags[0],
    )
    assert "emil" == answer.json()["user"]


@pytest.mark.rule("private")
@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer ada", "Bearer ada.{}", "Basic YTpi"]
)
def test_who_proves_no_name_is_shown_nothing(
    service: Service, sent: str | None
) -> None:
    """401 with a challenge, and nothing may keep it."""
    headers = {} if sent is None else {"Authorization": sent.format("0" * 64)}
    answer = get(service, "/contributions", **headers)
    problem_in(answer, 401)
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.lower().startswith("bearer")
    assert {"no-store": True} == directives(answer)
    path = f"{own(service)}/en"
    answer = service.request("PUT", path, headers=headers, json={})
    problem_in(answer, 401)


@pytest.mark.rule("private")
def test_the_shared_cache_leaks_nothing(
    service: Service, cache: SharedCache
) -> None:
    """Each is shown their own, and a stranger nothing, in any order."""
    known = {
        **{"nobody": {}, "ada": {"Authorization": token(service, "ada")}},
        "ben": {"Authorization": token(service, "ben")},
    }
    edit(service, f"{own(service)}/en", user="ada")
    asked = leaked = 0
    for user in ("nobody", "ada", "ben", "nobody", "ben", "ada", "ada") * 2:
        answer = get(cache, "/contributions", **known[user])
        asked += 1
        leaked += done(answer) == "HIT"
        if user == "nobody":
            leaked += answer.status_code != 401
        else:
            leaked += answer.status_code == 401
            leaked += answer.json().get("user", user) != user
    figure("private answers asked for through the cache", asked)
    figure("private answers leaked", leaked)
    assert 0 == leaked


@pytest.mark.rule("private")
def test_contributions_are_what_one_was_the_last_to_edit(
    service: Service,
) -> None:
    """Each with its slug, its language and its version."""
    path = own(service)
    known = {"Authorization": token(service, "fay")}
    answer = found(service, "/contributions", **known)
    assert {"user": "fay", "pages": []} == answer.json()
    edit(service, f"{path}/de", user="fay")
    slug = path.removeprefix("/pages/")
    version = found(service, f"{path}/de").json()["version"]
    expected = [{"slug": slug, "language": "de", "version": version}]
    answer = found(service, "/contributions", **known)
    assert {"user": "fay", "pages": expected} == answer.json()
    edit(service, f"{path}/de", user="ada")
    assert [] == found(service, "/contributions", **known).json()["pages"]


# fingerprinted


@pytest.mark.rule("fingerprinted")
@pytest.mark.parametrize("method", METHODS)
def test_an_asset_is_kept_for_a_year(service: Service, method: str) -> None:
    """Its name has a fingerprint, and nobody has to ask again."""
    path = stylesheet(service)
    assert re.fullmatch(r"/assets/wiki\.[0-9a-f]{8,64}\.css", path)
    answer = found(service, path, method)
    if method == "GET":
        assert answer.headers["content-type"].startswith("text/css")
    said = directives(answer)
    assert YEAR <= int(said.pop("max-age", "0"))
    assert {"public": True, "immutable": True} == said
    assert set() == varies_by(answer)


@pytest.mark.rule("fingerprinted")
def test_an_asset_that_is_had_is_not_sent(service: Service) -> None:
    """Who asks all the same, by its tag, gets 304."""
    path = stylesheet(service)
    tag = tag_of(found(service, path))
    answer = get(service, path, If_None_Match=tag)
    expected = 200 if service.differs("files-again") else 304
    assert expected == answer.status_code
    assert "immutable" in directives(answer)


@pytest.mark.rule("fingerprinted")
def test_the_shared_cache_has_the_assets(cache: SharedCache) -> None:
    """The first request reaches the service, and no other."""
    path = stylesheet(cache)
    assert ["MISS", "HIT", "HIT"] == [
        done(found(cache, path)) for _ in range(3)
    ]


@pytest.mark.rule("fingerprinted")
def test_another_fingerprint_is_another_asset(service: Service) -> None:
    """What nobody has published is 404, and is not kept for long."""
    path = stylesheet(service)
    digit = path.split(".")[-2][-1]
    other = path.replace(f"{digit}.css", f"{'1' if digit == '0' else '0'}.css")
    for each in (other, f"{other}?{path}", *NO_ASSETS):
        answer = get(service, each)
        problem_in(answer, 404)
        assert {"max-age": "5"} == directives(answer)


@pytest.mark.rule("fingerprinted")
def test_a_release_changes_the_name_of_what_it_changes(
    framework: Subject, tmp_path: Path
) -> None:
    """The old asset stays, and the page that links has another tag."""
    seen: list[tuple[str, str, str]] = []
    for number, text in enumerate(("a { color: red }", "a { color: blue }")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "wiki.css").write_text(text)
        knobs = {
            "ASSETS_FOLDER": folder,
            "PUBLISHED_FOLDER": tmp_path / "published",
        }
        with start("http_caching", framework, knobs, seed=2) as release:
            path = stylesheet(release)
            tag = tag_of(found(release, "/"))
            assert text == found(release, path).text
            for earlier, its_text, its_tag in seen:
                assert earlier != path
                assert its_tag != tag
                answer = found(release, earlier)
                assert its_text == answer.text
                assert "immutable" in directives(answer)
                found(release, "/", If_None_Match=its_tag)
            seen.append((path, text, tag))


@pytest.mark.rule("fingerprinted")
def test_what_a_release_does_not_change_keeps_its_name(
    framework: Subject, service: Service, tmp_path: Path
) -> None:
    """The name is of the content: not of the release, not of the day."""
    path = stylesheet(service)
    (tmp_path / "wiki.css").write_bytes(found(service, path).content)
    knobs = {"ASSETS_FOLDER": tmp_path}
    with start("http_caching", framework, knobs, seed=2) as release:
        assert path == stylesheet(release)


# every-answer


@pytest.mark.rule("every-answer")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/nothing", "/pages/nothing", "/pages/a/en"])
def test_what_is_not_there_is_asked_for_again_soon(
    service: Service, method: str, path: str
) -> None:
    """404 is good for five seconds: it may be there by then."""
    answer = get(service, path, method)
    assert 404 == answer.status_code
    assert {"max-age": "5"} == directives(answer)


@pytest.mark.rule("every-answer")
def test_the_shared_cache_forgets_a_404(aging: Aging) -> None:
    """It is not kept for longer than the service has said."""
    problem_in(aging.missing, 404)
    answer = outlive(aging.cache, aging.missing)
    assert (404, "EXPIRED") == (answer.status_code, done(answer))


@pytest.mark.rule("every-answer")
def test_the_shared_cache_keeps_a_404(cache: SharedCache) -> None:
    """A crowd that asks for what is not there does no harm."""
    told = [done(get(cache, NOWHERE)) for _ in range(3)]
    assert ["MISS", "HIT", "HIT"] == told


@pytest.mark.rule("every-answer")
def test_no_cache_keeps_a_refusal(service: Service) -> None:
    """Each error says `no-store`, and so does the answer to a change."""
    path = f"{own(service)}/en"
    tag = tag_of(found(service, path))
    ada = {"Authorization": token(service, "ada")}
    both = ada | {"If-Match": tag}
    asked: list[tuple[int, str, str, dict[str, str], bytes]] = [
        (401, "GET", "/contributions", {}, b""),
        (401, "PUT", path, {}, b"{}"),
        (405, "POST", path, ada, b""),
        (405, "DELETE", "/", {}, b""),
        (412, "PUT", path, ada | {"If-Match": '"x"'}, b"{}"),
        (412, "GET", path, {"If-Match": '"x"'}, b""),
        (422, "PUT", path, both, b"{}"),
        (400, "PUT", path, both, b"{"),
        (428, "PUT", path, ada, b"{}"),
        (204, "PUT", path, both, b'{"title": "A", "text": "B"}'),
    ]
    for status, method, where, headers, content in asked:
        answer = service.request(
            method,
            where,
            headers={"Content-Type": "application/json", **headers},
            content=content,
        )
        assert status == answer.status_code, answer.text
        assert {"no-store": True} == directives(answer), (status, method)


@pytest.mark.rule("every-answer")
def test_no_cache_keeps_what_is_not_called_json(service: Service) -> None:
    """415 says `no-store`, too."""
    path = f"{own(service)}/en"
    headers = {
        **{"Authorization": token(service, "ada"), "If-Match": "*"},
        "Content-Type": "text/plain",
    }
    answer = service.request("PUT", path, headers=headers, content=b"{}")
    problem_in(answer, 415)
    assert {"no-store": True} == directives(answer)
