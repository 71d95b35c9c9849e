"""The contract of `pagination`: a walk that neither skips nor repeats."""

import random
import string
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import permutations
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest

from cookbook.contract import Service, Subject, start

type Page = dict[str, Any]
type Book = dict[str, Any]
type Query = dict[str, Any]

SORTS = ("added_at", "-added_at", "title", "-title")
URL_SAFE = string.ascii_letters + string.digits + "-_"
MOST_PAGES = 200


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service for the tests that bring their own genre."""
    with start("pagination", framework) as running:
        yield running


@pytest.fixture
def genre() -> str:
    """A genre that no other test has books in."""
    return "".join(random.choices(string.ascii_lowercase, k=16))


def ask(service: Service, **query: str | int | None) -> httpx2.Response:
    """Ask for a page, leaving out what is `None`."""
    given = {name: value for name, value in query.items() if value is not None}
    return service.request("GET", "/books", params=given)


def page(service: Service, **query: str | int | None) -> Page:
    """Get a page that must be there."""
    answer = ask(service, **query)
    assert 200 == answer.status_code, answer.text
    body: Page = answer.json()
    return body


def walk(
    service: Service,
    way: str = "next",
    cursor: str | None = None,
    **query: Any,
) -> list[Page]:
    """Follow `next`, or `prev`, to the end."""
    pages = [page(service, cursor=cursor, **query)]
    while pages[-1][way] is not None:
        assert len(pages) < MOST_PAGES, "the walk does not end"
        pages.append(page(service, cursor=pages[-1][way], **query))
    return pages


def ids(pages: Sequence[Page]) -> list[int]:
    """List the ids on these pages."""
    return [book["id"] for one in pages for book in one["items"]]


def titles(pages: Sequence[Page]) -> list[str]:
    """List the titles on these pages."""
    return [book["title"] for one in pages for book in one["items"]]


def add(service: Service, genre: str, *names: str) -> list[Book]:
    """Add books, one after the other."""
    books = []
    for name in names:
        body = {"title": name, "genre": genre}
        answer = service.request("POST", "/books", json=body)
        assert 201 == answer.status_code, answer.text
        books.append(answer.json())
    return books


def remove(service: Service, *numbers: int) -> None:
    """Delete books by their ids."""
    for number in numbers:
        answer = service.request("DELETE", f"/books/{number}")
        assert 204 == answer.status_code, answer.text


def last_cursor(service: Service, **query: Any) -> str:
    """Take the cursor of the last page from its link."""
    answer = ask(service, **query)
    assert 200 == answer.status_code, answer.text
    return link_query(answer, "last")["cursor"]


def link_query(answer: httpx2.Response, relation: str) -> dict[str, str]:
    """Read the parameters of a link's target."""
    assert relation in answer.links, answer.headers.get("link")
    target = urlsplit(str(answer.url.join(answer.links[relation]["url"])))
    parsed = parse_qs(target.query, strict_parsing=True)
    return {name: values[0] for name, values in parsed.items()}


def assert_refused(answer: httpx2.Response, parameter: str) -> None:
    """A problem document with 400 that names the parameter."""
    assert 400 == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem = answer.json()
    assert 400 == problem["status"]
    assert parameter in [error["parameter"] for error in problem["errors"]]


# total-order


@pytest.mark.rule("total-order")
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_rows_that_tie_stand_in_order_of_id(
    service: Service, genre: str, limit: int
) -> None:
    """Equal titles follow each other by id, across pages too."""
    books = add(service, genre, *"baabbabaab")
    expected = sorted((book["title"], book["id"]) for book in books)
    for sort, order in (("title", expected), ("-title", expected[::-1])):
        pages = walk(service, genre=genre, sort=sort, limit=limit)
        found = [(b["title"], b["id"]) for p in pages for b in p["items"]]
        assert order == found


@pytest.fixture(scope="module")
def hundred(framework: Subject) -> Iterator[Service]:
    """A hundred books, which no test adds to."""
    with start("pagination", framework, seed=100) as running:
        yield running


@pytest.mark.rule("total-order")
@pytest.mark.parametrize("sort", ["added_at", "-added_at"])
def test_rows_of_one_moment_stand_in_order_of_id(
    hundred: Service, sort: str
) -> None:
    """Books added at one instant follow each other by id."""
    pages = walk(hundred, sort=sort, limit=1)
    places = [
        (datetime.fromisoformat(b["added_at"]), b["id"])
        for p in pages
        for b in p["items"]
    ]
    assert 100 == len(set(places))
    assert sorted(places, reverse=sort.startswith("-")) == places


# stable-walk


@pytest.mark.rule("stable-walk")
def test_an_added_book_is_listed_and_a_deleted_one_is_not(
    service: Service, genre: str
) -> None:
    """What was added is there, what was deleted is gone."""
    kept, gone = add(service, genre, "kept", "gone")
    assert kept == service.request("GET", f"/books/{kept['id']}").json()
    assert kept in page(service, genre=genre)["items"]
    remove(service, gone["id"])
    assert [kept["id"]] == ids(walk(service, genre=genre))
    assert 404 == service.request("GET", f"/books/{gone['id']}").status_code


@pytest.mark.rule("stable-walk")
@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("way", ["next", "prev"])
def test_a_walk_sees_each_row_that_stays_once(
    service: Service, genre: str, limit: int, way: str
) -> None:
    """Rows that come and go on both sides move no other row."""
    query: Query = {"genre": genre, "sort": "title", "limit": limit}
    stay = [b["id"] for b in add(service, genre, *"cegikmoqsu")]
    leave = [b["id"] for b in add(service, genre, *"ddffnnpp")]
    cursor = None if way == "next" else last_cursor(service, **query)
    seen: list[int] = []
    while True:
        found = page(service, cursor=cursor, **query)
        seen += ids([found])[:: -1 if way == "prev" else 1]
        assert len(seen) < MOST_PAGES, "the walk does not end"
        cursor = found[way]
        if cursor is None:
            break
        for number in [leave.pop(0), leave.pop()] if leave else []:
            remove(service, number)
        add(service, genre, "a", "z") if len(seen) < 5 else None
    expected = stay if way == "next" else stay[::-1]
    assert expected == [number for number in seen if number in stay]
    assert len(set(seen)) == len(seen)


@pytest.mark.rule("stable-walk")
@pytest.mark.parametrize("sort", SORTS)
def test_a_walk_goes_on_after_the_row_it_stood_on_is_deleted(
    service: Service, genre: str, sort: str
) -> None:
    """A cursor is a place, and a place outlives its row."""
    add(service, genre, *"abcdefgh")
    query: Query = {"genre": genre, "sort": sort, "limit": 3}
    order = ids(walk(service, **query))
    first = page(service, **query)
    remove(service, *order[1:3])
    rest = walk(service, cursor=first["next"], **query)
    assert order[3:] == ids(rest)


@pytest.mark.rule("stable-walk")
def test_new_rows_at_the_head_push_nothing_on_to_the_next_page(
    service: Service, genre: str
) -> None:
    """By default the newest stand first, and page two repeats none."""
    order = [b["id"] for b in add(service, genre, *"abcdef")][::-1]
    first = page(service, genre=genre, limit=3)
    add(service, genre, *"ghi")
    second = page(service, genre=genre, limit=3, cursor=first["next"])
    assert order == ids([first, second])


@pytest.mark.rule("stable-walk")
@pytest.mark.parametrize("sort", ["added_at", "-added_at"])
def test_a_walk_by_time_loses_no_fraction_of_a_second(
    service: Service, genre: str, sort: str
) -> None:
    """Rows added within one millisecond are each seen once."""
    order = [b["id"] for b in add(service, genre, *"abcdefghijkl")]
    expected = order if sort == "added_at" else order[::-1]
    pages = walk(service, genre=genre, sort=sort, limit=1)
    assert expected == ids(pages)


@pytest.mark.rule("stable-walk")
def test_a_walk_passes_every_kind_of_text(
    service: Service, genre: str
) -> None:
    """What stands in a row does no harm to the cursor made of it."""
    names = (
        *("a&b=c", "a+b", "100%", "%41", "a b", "a/b?c#d", '"', "'; --", "\\"),
        *("é", "e\u0301", "ß", "日本", "\u202e", "😀", "\uffff", "<a>"),
        "x" * 200,
    )
    add(service, genre, *names)
    for sort in ("title", "-title"):
        pages = walk(service, genre=genre, sort=sort, limit=1)
        assert sorted(names) == sorted(titles(pages))


# exact-end


@pytest.mark.rule("exact-end")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7])
def test_only_a_page_with_rows_after_it_names_next(
    service: Service, genre: str, count: int
) -> None:
    """Pages of three end where the rows end, also on a full page."""
    add(service, genre, *string.ascii_lowercase[:count])
    pages = walk(service, genre=genre, sort="title", limit=3)
    sizes = [3] * (count // 3) + ([count % 3] if count % 3 else [])
    assert sizes == [len(p["items"]) for p in pages]
    assert pages[0]["prev"] is None
    assert all(p["prev"] is not None for p in pages[1:])


@pytest.mark.rule("exact-end")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7])
def test_only_a_page_with_rows_before_it_names_prev(
    service: Service, genre: str, count: int
) -> None:
    """Going back ends at the first row, also on a full page."""
    add(service, genre, *string.ascii_lowercase[:count])
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    end = last_cursor(service, **query)
    pages = walk(service, "prev", end, **query)
    sizes = [3] * (count // 3) + ([count % 3] if count % 3 else [])
    assert sizes == [len(p["items"]) for p in pages]
    assert pages[0]["next"] is None
    assert all(p["next"] is not None for p in pages[1:])


@pytest.mark.rule("exact-end")
def test_a_list_without_rows_has_no_neighbours(
    service: Service, genre: str
) -> None:
    """An empty list is one empty page."""
    expected: Page = {"items": [], "next": None, "prev": None}
    assert expected == page(service, genre=genre)


@pytest.mark.rule("exact-end")
def test_prev_is_not_named_once_the_rows_before_are_gone(
    service: Service, genre: str
) -> None:
    """`prev` follows what is there now, not how one came."""
    books = add(service, genre, *"abcdef")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    first = page(service, **query)
    remove(service, *(b["id"] for b in books[:3]))
    second = page(service, cursor=first["next"], **query)
    assert ["d", "e", "f"] == titles([second])
    assert second["prev"] is None


@pytest.mark.rule("exact-end")
def test_next_is_not_named_once_the_rows_after_are_gone(
    service: Service, genre: str
) -> None:
    """Going back, `next` follows what is there now."""
    books = add(service, genre, *"abcdef")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    end = page(service, cursor=last_cursor(service, **query), **query)
    remove(service, *(b["id"] for b in books[3:]))
    before = page(service, cursor=end["prev"], **query)
    assert ["a", "b", "c"] == titles([before])
    assert before["next"] is None


@pytest.mark.rule("exact-end")
def test_a_page_whose_rows_are_gone_leads_back_to_those_that_are_left(
    service: Service, genre: str
) -> None:
    """An empty page is no dead end while rows are left."""
    books = add(service, genre, *"abcdef")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    first = page(service, **query)
    remove(service, *(b["id"] for b in books[3:]))
    empty = page(service, cursor=first["next"], **query)
    assert [] == empty["items"]
    assert empty["next"] is None
    assert empty["prev"] is not None
    back = page(service, cursor=empty["prev"], **query)
    assert ["a", "b", "c"] == titles([back])


@pytest.mark.rule("exact-end")
def test_an_empty_page_before_the_first_row_leads_on_to_it(
    service: Service, genre: str
) -> None:
    """Going back to where nothing is left, `next` is the start."""
    books = add(service, genre, *"abcdef")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    end = page(service, cursor=last_cursor(service, **query), **query)
    remove(service, *(b["id"] for b in books[:3]))
    empty = page(service, cursor=end["prev"], **query)
    assert [] == empty["items"]
    assert empty["prev"] is None
    assert empty["next"] is not None
    again = page(service, cursor=empty["next"], **query)
    assert ["d", "e", "f"] == titles([again])


# way-back


@pytest.mark.rule("way-back")
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_way_back_shows_the_pages_of_the_way_there(
    service: Service, genre: str, sort: str, limit: int
) -> None:
    """From the last page `prev` passes the same pages in reverse."""
    add(service, genre, *"abacabd")
    query: Query = {"genre": genre, "sort": sort, "limit": limit}
    there = walk(service, **query)
    back = [there[-1], *walk(service, "prev", there[-1]["prev"], **query)]
    assert [p["items"] for p in there] == [p["items"] for p in back[::-1]]


@pytest.mark.rule("way-back")
def test_one_page_on_and_one_back_is_the_same_page(
    service: Service, genre: str
) -> None:
    """`next` and `prev` undo each other."""
    add(service, genre, *"abcdefghi")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    first = page(service, **query)
    second = page(service, cursor=first["next"], **query)
    again = page(service, cursor=second["prev"], **query)
    assert first["items"] == again["items"]
    onward = page(service, cursor=again["next"], **query)
    assert second["items"] == onward["items"]


@pytest.mark.rule("way-back")
def test_rows_added_before_the_page_are_met_on_the_way_back(
    service: Service, genre: str
) -> None:
    """`prev` shows the rows just before the page, the new ones too."""
    add(service, genre, *"acegik")
    query: Query = {"genre": genre, "sort": "title", "limit": 2}
    first = page(service, **query)
    second = page(service, cursor=first["next"], **query)
    add(service, genre, "d")
    before = page(service, cursor=second["prev"], **query)
    assert ["c", "d"] == titles([before])


@pytest.mark.rule("way-back")
def test_the_last_page_holds_the_last_rows_in_order(
    service: Service, genre: str
) -> None:
    """`last` ends with the last row, and is as full as any page."""
    add(service, genre, *"abcdefgh")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    end = page(service, cursor=last_cursor(service, **query), **query)
    assert ["f", "g", "h"] == titles([end])
    before = page(service, cursor=end["prev"], **query)
    assert ["c", "d", "e"] == titles([before])


# opaque-cursor


def alterations(token: str) -> Iterator[str]:
    """Change a token in one place, each place once, the ends often."""
    for at, character in enumerate(token):
        other = URL_SAFE[(URL_SAFE.find(character) + 7) % len(URL_SAFE)]
        yield token[:at] + other + token[at + 1 :]
    for other in URL_SAFE:
        if other != token[-1]:
            yield token[:-1] + other
        if other != token[0]:
            yield other + token[1:]
    for more in ("=", "==", "A", "!", " ", "\n", "\x00", ".", "%", "é"):
        yield token + more
        yield more + token
    for at in (1, len(token) // 2, len(token) - 1):
        yield token[:at]
        yield token[at:]
        yield token[:at] + "." + token[at:]
    yield token * 2
    yield token[::-1]
    yield token.swapcase()


@pytest.mark.rule("opaque-cursor")
@pytest.mark.parametrize("relation", ["next", "prev", "last"])
def test_an_altered_cursor_is_refused(
    service: Service, genre: str, relation: str
) -> None:
    """No character can be changed, added or left out."""
    add(service, genre, *"abcdefg")
    query: Query = {"genre": genre, "sort": "title", "limit": 2}
    first = page(service, **query)
    answer = ask(service, cursor=first["next"], **query)
    token = link_query(answer, relation)["cursor"]
    assert 200 == ask(service, cursor=token, **query).status_code
    for altered in alterations(token):
        assert_refused(ask(service, cursor=altered, **query), "cursor")


@pytest.mark.rule("opaque-cursor")
@pytest.mark.parametrize(
    "cursor",
    [
        *("", "0", "1", "2", "20", "-1", "a", "null", "None", "[]", "{}"),
        *("offset:2", "id:5", "MQ", "MQ==", "Mg==", "WzFd", "bnVsbA"),
        *("eyJpZCI6IDV9", "eyJvZmZzZXQiOiAyfQ", "W2ZhbHNlXQ", "..", "a.b.c"),
        *("\x00", "\ufffd", "😀", "%", "%00", "../../etc/passwd", "' OR 1=1"),
        "A" * 3000,
    ],
    ids=repr,
)
def test_a_position_is_no_cursor(service: Service, cursor: str) -> None:
    """Numbers, ids and what decodes to them are refused."""
    assert_refused(ask(service, cursor=cursor), "cursor")


@pytest.mark.rule("opaque-cursor")
def test_a_cursor_that_is_no_text_is_refused(service: Service) -> None:
    """Bytes that are not UTF-8 are refused, not understood."""
    for raw in ("%FF", "%C3%28", "%ED%A0%80", "a%FEb"):
        answer = service.request("GET", f"/books?cursor={raw}")
        assert_refused(answer, "cursor")


# bound-cursor


@pytest.mark.rule("bound-cursor")
@pytest.mark.parametrize(("made", "used"), [*permutations(SORTS, 2)])
def test_a_cursor_is_refused_under_another_sort(
    service: Service, genre: str, made: str, used: str
) -> None:
    """A place in one order is no place in another."""
    add(service, genre, *"abcde")
    query: Query = {"genre": genre, "limit": 2}
    first = page(service, sort=made, **query)
    second = page(service, sort=made, cursor=first["next"], **query)
    end = last_cursor(service, sort=made, **query)
    for cursor in (first["next"], second["prev"], end):
        answer = ask(service, sort=used, cursor=cursor, **query)
        assert_refused(answer, "cursor")


@pytest.mark.rule("bound-cursor")
def test_a_cursor_is_refused_under_another_filter(
    service: Service, genre: str
) -> None:
    """A filter may be neither changed, added nor left out."""
    add(service, genre, *"abcde")
    add(service, f"{genre}-other", *"abcde")
    filtered = page(service, genre=genre, limit=2)
    whole = page(service, limit=2)
    cursors = [filtered["next"], last_cursor(service, genre=genre, limit=2)]
    for cursor in cursors:
        for other in (f"{genre}-other", "none", None):
            answer = ask(service, genre=other, limit=2, cursor=cursor)
            assert_refused(answer, "cursor")
    answer = ask(service, genre=genre, limit=2, cursor=whole["next"])
    assert_refused(answer, "cursor")


@pytest.mark.rule("bound-cursor")
def test_a_cursor_is_good_under_another_limit(
    service: Service, genre: str
) -> None:
    """The size of a page may change on the way."""
    add(service, genre, *"abcdefgh")
    query: Query = {"genre": genre, "sort": "title"}
    first = page(service, limit=2, **query)
    second = page(service, limit=5, cursor=first["next"], **query)
    assert list("cdefg") == titles([second])


@pytest.mark.rule("bound-cursor")
def test_the_default_sort_is_the_same_sort_when_it_is_named(
    service: Service, genre: str
) -> None:
    """A cursor made without a sort is good for the default by name."""
    books = add(service, genre, *"abcd")
    first = page(service, genre=genre, limit=3)
    cursor = first["next"]
    named = page(
        service, genre=genre, limit=3, sort="-added_at", cursor=cursor
    )
    assert [books[0]["id"]] == ids([named])


# lasting-cursor


@pytest.mark.rule("lasting-cursor")
def test_a_cursor_is_good_at_every_instance(framework: Subject) -> None:
    """One instance goes on where another one stopped."""
    with start("pagination", framework, instances=2, seed=30) as service:
        one, other = service.instances
        first = page(one, limit=10)
        expected = page(one, limit=10, cursor=first["next"])
        assert expected["items"]
        found = page(other, limit=10, cursor=first["next"])
        assert expected["items"] == found["items"]
        back = page(one, limit=10, cursor=found["prev"])
        assert first["items"] == back["items"]


@pytest.mark.rule("lasting-cursor")
def test_a_cursor_outlives_the_process(framework: Subject) -> None:
    """After a restart the walk goes on."""
    with start("pagination", framework, seed=30) as service:
        first = page(service, limit=10)
        expected = page(service, limit=10, cursor=first["next"])
        service.restart()
        found = page(service, limit=10, cursor=first["next"])
        assert expected["items"] == found["items"]


@pytest.mark.rule("lasting-cursor")
def test_a_cursor_is_good_at_every_worker(framework: Subject) -> None:
    """Two workers give the same page for the same cursor."""
    with start("pagination", framework, workers=2, seed=30) as service:
        first = page(service, limit=10)
        expected = page(service, limit=10, cursor=first["next"])
        cursor = quote(first["next"], safe="")
        path = f"/books?limit=10&cursor={cursor}"
        for answer in service.ask_every_worker(2, "GET", path):
            assert 200 == answer.status_code, answer.text
            assert expected["items"] == answer.json()["items"]


# bounded-limit


@pytest.mark.rule("bounded-limit")
@pytest.mark.parametrize("limit", [1, 2, 7, 22, 99, 100])
def test_a_page_holds_as_many_rows_as_asked_for(
    service: Service, genre: str, limit: int
) -> None:
    """A page is full while there are rows, and no fuller."""
    add(service, genre, *string.ascii_lowercase[:22])
    found = page(service, genre=genre, limit=limit)
    assert min(limit, 22) == len(found["items"])


@pytest.mark.rule("bounded-limit")
def test_a_page_holds_twenty_rows_when_not_asked(
    service: Service, genre: str
) -> None:
    """Without a limit a page has twenty rows."""
    add(service, genre, *string.ascii_lowercase[:21])
    assert [20, 1] == [len(p["items"]) for p in walk(service, genre=genre)]


@pytest.mark.rule("bounded-limit")
@pytest.mark.parametrize(
    "limit",
    [
        *("0", "-1", "-100", "101", "1000", "1000000", "2147483648"),
        *("9223372036854775808", "9" * 1000, "", " ", "abc", "1.5", "1,5"),
        *("NaN", "Infinity", "1e3", "1e400", "0x10", "null", "true", "\x00"),
        *("[5]", "5;", "5 OR 1=1", "five", "😀", "1_000", "+1000", "1000.0"),
    ],
    ids=repr,
)
def test_a_limit_out_of_bounds_is_refused(
    service: Service, limit: str
) -> None:
    """Neither none nor less nor too many rows can be asked for."""
    assert_refused(ask(service, limit=limit), "limit")


@pytest.mark.rule("bounded-limit")
def test_a_limit_is_refused_beside_a_cursor_too(
    service: Service, genre: str
) -> None:
    """Page two is as bounded as page one."""
    add(service, genre, *"abc")
    first = page(service, genre=genre, limit=1)
    for limit in (0, -1, 101):
        answer = ask(service, genre=genre, limit=limit, cursor=first["next"])
        assert_refused(answer, "limit")


@pytest.mark.rule("bounded-limit")
@pytest.mark.parametrize("query", ["limit=5&limit=1000", "limit=1000&limit=5"])
def test_a_limit_given_twice_gets_nobody_past_the_bound(
    service: Service, query: str
) -> None:
    """Whichever of the two counts, the bound holds."""
    answer = service.request("GET", f"/books?{query}")
    if answer.status_code == 200:
        assert len(answer.json()["items"]) <= 5
    else:
        assert_refused(answer, "limit")


@pytest.mark.rule("bounded-limit")
def test_the_bounds_are_settings(framework: Subject) -> None:
    """The default and the most come from the environment."""
    knobs = {"PAGE_LIMIT_DEFAULT": 3, "PAGE_LIMIT_MAX": 5}
    with start("pagination", framework, knobs, seed=10) as service:
        assert 3 == len(page(service)["items"])
        assert 5 == len(page(service, limit=5)["items"])
        assert_refused(ask(service, limit=6), "limit")


@pytest.mark.rule("bounded-limit")
def test_the_default_is_no_way_past_the_bound(framework: Subject) -> None:
    """A bound below the default bounds a page without a limit too."""
    with start("pagination", framework, {"PAGE_LIMIT_MAX": 5}) as service:
        first = page(service)
        assert 5 == len(first["items"])
        assert 5 == len(page(service, cursor=first["next"])["items"])
        linked = link_query(ask(service), "next")
        assert 200 == ask(service, **linked).status_code


# listed-sort


@pytest.mark.rule("listed-sort")
@pytest.mark.parametrize(
    "sort",
    [
        *("", "-", "id", "-id", "genre", "password", "TITLE", "Title"),
        *("--title", "+title", "title,id", "title desc", "title;--"),
        *(" title", "title ", "title\n", "title\x00", "books.title"),
        *("__class__", "random()", "(SELECT 1)", "1", "null", "title'", "😀"),
        "x" * 1000,
    ],
    ids=repr,
)
def test_a_sort_that_is_not_listed_is_refused(
    service: Service, sort: str
) -> None:
    """No column can be sorted by that was not meant to be."""
    assert_refused(ask(service, sort=sort), "sort")


@pytest.mark.rule("listed-sort")
@pytest.mark.parametrize(
    "genre",
    [
        *("", " ", "NOVEL", "novel ", "novel\n", "novel\x00", "a_b", "-a"),
        *(
            "a-",
            "a--b",
            "a%",
            "%",
            "é",
            "1",
            "' OR '1'='1",
            "a' --",
            "a;b",
            "😀",
        ),
        "x" * 41,
    ],
    ids=repr,
)
def test_a_filter_that_is_no_genre_is_refused(
    service: Service, genre: str
) -> None:
    """What is no genre is not looked for."""
    assert_refused(ask(service, genre=genre), "genre")


@pytest.mark.rule("listed-sort")
def test_a_genre_filters(service: Service, genre: str) -> None:
    """Only the books of the genre are listed, on every page."""
    longest = f"{genre}-{'x' * (39 - len(genre))}"
    for name in (genre, longest):
        books = add(service, name, *"abcde")
        found = walk(service, genre=name, sort="title", limit=2)
        assert [b["id"] for b in books] == ids(found)


@pytest.mark.rule("listed-sort")
def test_every_parameter_that_is_wrong_is_named(service: Service) -> None:
    """All that is wrong with a query is told at once."""
    answer = ask(service, limit=0, sort="password", genre="NO")
    for parameter in ("limit", "sort", "genre"):
        assert_refused(answer, parameter)


# links


@pytest.mark.rule("links")
def test_links_are_those_of_the_body(service: Service, genre: str) -> None:
    """`next` and `prev` are linked where they are in the body."""
    add(service, genre, *"abcdefg")
    query: Query = {"genre": genre, "sort": "title", "limit": 3}
    cursor = None
    for present in ({"next"}, {"next", "prev"}, {"prev"}):
        answer = ask(service, cursor=cursor, **query)
        assert {"first", "last"} | present == set(answer.links)
        body = answer.json()
        for relation in present:
            linked = link_query(answer, relation)["cursor"]
            assert body[relation] == linked
        cursor = body["next"]


@pytest.mark.rule("links")
def test_links_carry_the_query_along(service: Service, genre: str) -> None:
    """Whoever follows a link stays in the same list."""
    add(service, genre, *"abcdefg")
    query: Query = {"genre": genre, "sort": "-title", "limit": "3"}
    first = page(service, **query)
    answer = ask(service, cursor=first["next"], **query)
    for relation in ("first", "prev", "next", "last"):
        linked = link_query(answer, relation)
        linked.pop("cursor", None)
        assert query == linked


@pytest.mark.rule("links")
def test_links_can_be_followed_as_they_are(
    service: Service, genre: str
) -> None:
    """A client that knows nothing but `Link` sees every row."""
    books = add(service, genre, *"abcdefgh")
    url = f"/books?genre={genre}&limit=3"
    found = []
    for _ in range(4):
        answer = service.request("GET", url)
        assert 200 == answer.status_code, answer.text
        found += [b["id"] for b in answer.json()["items"]]
        if "next" not in answer.links:
            break
        url = str(answer.url.join(answer.links["next"]["url"]))
    assert [b["id"] for b in books[::-1]] == found
    url = str(answer.url.join(answer.links["first"]["url"]))
    start_again = service.request("GET", url).json()
    assert found[:3] == ids([start_again])


@pytest.mark.rule("links")
def test_links_name_no_host_of_the_client(
    service: Service, genre: str
) -> None:
    """What a client writes into `Host` sends nobody anywhere."""
    add(service, genre, *"abc")
    query: Query = {"genre": genre, "limit": 1}
    cursor = page(service, **query)["next"]
    answer = service.request(
        "GET",
        "/books",
        params={**query, "cursor": cursor},
        headers={"host": "evil.test", "x-forwarded-host": "evil.test"},
    )
    assert "evil.test" not in answer.text + str(answer.headers)
    if answer.status_code != 400:
        assert {"first", "prev", "next", "last"} == set(answer.links)


@pytest.mark.rule("links")
def test_an_empty_list_links_to_its_ends(service: Service, genre: str) -> None:
    """`first` and `last` are there when nothing else is."""
    answer = ask(service, genre=genre)
    assert {"first", "last"} == set(answer.links)
    for relation in ("first", "last"):
        url = str(answer.url.join(answer.links[relation]["url"]))
        assert [] == service.request("GET", url).json()["items"]


# flat-cost

MANY, FEW = 200_000, 200
FACTOR = 2.5
ROUNDS = 4


def seconds(service: Service, **query: Any) -> float:
    """Time one request."""
    begun = perf_counter()
    answer = ask(service, **query)
    taken = perf_counter() - begun
    assert 200 == answer.status_code, answer.text
    return taken


def compare(
    few: Service, near: str, many: Service, far: str, **query: Any
) -> float:
    """How many times as long a page takes, by medians, requests in turn.

    The least of some rounds: what the machine does beside adds to one
    round or another, what the depth costs is in each of them.
    """
    ratios: list[float] = []
    while len(ratios) < ROUNDS and min(ratios, default=FACTOR) >= FACTOR:
        times = [
            (
                seconds(few, cursor=near, **query),
                seconds(many, cursor=far, **query),
            )
            for _ in range(11)
        ]
        on_few, on_many = zip(*times, strict=True)
        ratios.append(median(on_many) / median(on_few))
    return min(ratios)


@pytest.fixture(scope="module")
def many(framework: Subject) -> Iterator[Service]:
    """A collection of 200,000 books."""
    knobs = {"PAGE_LIMIT_MAX": MANY}
    with start("pagination", framework, knobs, seed=MANY) as running:
        yield running


@pytest.fixture(scope="module")
def few(framework: Subject) -> Iterator[Service]:
    """A collection of 200 books."""
    with start("pagination", framework, seed=FEW) as running:
        yield running


@pytest.mark.rule("flat-cost")
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_the_last_pages_of_many_cost_what_the_second_of_few_does(
    many: Service, few: Service, sort: str, filtered: bool
) -> None:
    """By any sort and filter, on and back, less than 2.5 times as much."""
    query: dict[str, Any] = {"sort": sort, "limit": 5}
    if filtered:
        query["genre"] = page(few)["items"][0]["genre"]
    near = page(few, **query)["next"]
    end = page(many, cursor=last_cursor(many, **query), **query)
    before = page(many, cursor=end["prev"], **query)
    for far in (end["prev"], before["next"]):
        assert compare(few, near, many, far, **query) < FACTOR


@pytest.fixture(scope="module")
def middle(many: Service) -> Page:
    """The page after 100,000 books."""
    half = page(many, limit=MANY // 2)
    return page(many, cursor=half["next"], limit=5)


@pytest.mark.rule("flat-cost")
@pytest.mark.parametrize("way", ["next", "prev"])
def test_a_page_far_from_both_ends_costs_what_the_second_one_does(
    many: Service, middle: Page, few: Service, way: str
) -> None:
    """100,000 rows from either end, less than 2.5 times as much."""
    near = page(few, limit=5)["next"]
    assert compare(few, near, many, middle[way], limit=5) < FACTOR
