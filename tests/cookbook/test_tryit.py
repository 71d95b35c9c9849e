"""Trying a recipe: its servers, what is sent, what differs."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from cookbook.book import Book
from cookbook.site import exchange
from cookbook.site.answers import bodies, rows
from cookbook.site.building import Builder
from cookbook.site.exchange import Answer, Request
from cookbook.site.servers import Servers
from cookbook.site.tryit import FormError, read_body, read_headers, read_path
from tests.cookbook.conftest import exploring

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PLACE = "recipes/greet/try/"

type Ask = Callable[..., Answer]


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Servers of which none is left."""
    found = Servers()
    yield found
    found.close()


@pytest.fixture
def ask(tried_book: Book, servers: Servers) -> Ask:
    """Ask the server of one framework."""

    def ask(
        path: str = "/hello",
        example: str | None = None,
        name: str = "flask",
        book: Book = tried_book,
        **parts: Any,
    ) -> Answer:
        recipe = book.recipe("greet")
        request = Request(parts.pop("method", "GET"), path, **parts)
        found = next((e for e in recipe.examples if e.id == example), None)
        if found is not None:
            request = Request.of(found)
        frameworks = [book.framework(name)]
        return servers.ask(book, recipe, frameworks, request, found)[0]

    return ask


def pids(folder: Path) -> list[psutil.Process]:
    """Find the processes that serve the book in a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            told = process.environ().get("PYTHONPATH") == str(folder)
            if told and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("text", ["", "hello", "http://evil.example/"])
def test_a_path_begins_with_a_slash(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(FormError, match="slash"):
        read_path(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a?b=c&d=%2F#e", "/a?b=c&d=%2F#e"),
        ("//evil.example/", "//evil.example/"),
        ("/{number}", "/{number}"),
        ("/a b\r\nHost: x", "/a%20b%0D%0AHost:%20x"),
        ("/café", "/caf%C3%A9"),
    ],
)
def test_a_path_is_sent_as_it_is(text: str, expected: str) -> None:
    """What no request may hold is encoded."""
    assert expected == read_path(text)


def test_headers_are_read() -> None:
    """A line is a header; an empty one is none."""
    text = "Accept: a/b\r\n\r\nX-One:\nX-Two:  two : three "
    expected = (("Accept", "a/b"), ("X-One", ""), ("X-Two", "two : three"))
    assert expected == read_headers(text)


@pytest.mark.parametrize(
    "text",
    [
        "Accept",
        ": x",
        "A b: c",
        "Ä: x",
        "A: \x00",
        "A: €",
        "{a: b",
        "content-length: 9",
        "Transfer-Encoding: chunked",
    ],
)
def test_what_is_no_header_is_refused(text: str) -> None:
    """A reader is told which line cannot be sent."""
    with pytest.raises(FormError, match="header"):
        read_headers(text)


def test_line_ends_are_those_that_were_typed() -> None:
    """A browser sends two characters for each; the parts of forms need it."""
    parts = [("content-type", "multipart/form-data; boundary=x")]
    assert "a\nb" == read_body("a\r\nb", [])
    assert "a\r\nb" == read_body("a\r\nb", parts)


def answer(status: int, body: str = "", **headers: str) -> Answer:
    """Make an answer."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=given, content=body.encode())
    return Answer(response=response)


def test_what_few_have_is_marked() -> None:
    """Of three, the one that has another status; of two, both."""
    three = [answer(200), answer(404), answer(200), Answer(trouble="none")]
    marks = [cell.differs for cell in rows(three)[0].cells]
    assert [False, True, False, False] == marks
    two = rows([answer(200), answer(404)])[0]
    assert not two.is_same
    assert [True, True] == [cell.differs for cell in two.cells]


def test_a_header_that_one_lacks_is_marked() -> None:
    """What is not there is a value too."""
    found = rows([answer(200, etag="1"), answer(200), answer(200)])
    [etag] = [row for row in found if row.name == "etag"]
    assert [(True, "1"), (False, None), (False, None)] == [
        (cell.differs, cell.text) for cell in etag.cells
    ]


def test_a_line_that_one_lacks_is_marked() -> None:
    """JSON is compared as it means, other bodies as they are written."""
    json = {"content_type": "application/json"}
    one = answer(200, '{"a":1,"b":2}', **json)
    other = answer(200, '{"b": 3, "a": 1}', **json)
    lines = bodies([one, other])
    assert ['  "b": 2'] == [c.text for c in lines[0] if c.differs]
    assert ['  "b": 3,'] == [c.text for c in lines[1] if c.differs]
    assert [[], []] == bodies([Answer(), Answer()])


def test_a_server_is_started_once(ask: Ask) -> None:
    """The second request meets the server of the first."""
    assert '  "number": 1,' in ask().body
    assert '  "number": 2,' in ask().body


def test_an_example_has_what_it_stands_on(ask: Ask) -> None:
    """What it needs of earlier ones is asked for first, and kept."""
    first = ask(example="again")
    assert first.body[0].startswith("/echo?1 {")
    assert first.request is not None
    assert '"number": "1"' in first.request.body
    assert "{unique}" not in first.request.body
    assert ask(example="again").body[0].startswith("/echo?1 {")
    own = ask("/{number}?{other}").request
    assert own is not None
    assert "/1?{other}" == own.path


def test_an_edit_starts_a_server_anew(ask: Ask, tried_book: Book) -> None:
    """What answers is what the file says now."""
    assert "Hello" == ask().headers["x-greeting"]
    file = tried_book.recipe("greet").folder / "flask_app.py"
    file.write_text(file.read_text().replace("Hello", "Ahoy"))
    answer = ask(book=Book(tried_book.root))
    assert "Ahoy" == answer.headers["x-greeting"]
    assert '  "number": 1,' in answer.body


def test_what_does_not_start_says_why(ask: Ask) -> None:
    """The others are not kept from answering."""
    answer = ask(name="litestar")
    assert "did not start" in answer.trouble
    assert "No <b>, no hello" in answer.log
    assert "200 OK" == ask(name="django").status


def test_what_ends_is_started_again(ask: Ask) -> None:
    """Its end is said with its last words."""
    ask()
    answer = ask("/end")
    assert ("", "It ended while it was asked.") == (
        answer.status,
        answer.trouble,
    )
    assert "asked for /hello" in answer.log
    assert "200 OK" == ask().status


def test_all_that_was_started_is_stopped(
    ask: Ask,
    servers: Servers,
    tried_book: Book,
    are_gone: Callable[..., bool],
) -> None:
    """Stopping leaves no process, and what begins again begins anew."""
    ask()
    running = pids(tried_book.root)
    assert 1 == len(running)
    servers.stop()
    assert are_gone(running)
    assert '  "number": 1,' in ask().body


@pytest.mark.parametrize(
    ("path", "status", "trouble"),
    [
        ("/odd", "299", ""),
        ("/none", "404 Not Found", ""),
        ("/long", "200 OK", "Only the first 64 KiB"),
        ("/forever", "200 OK", "Only the first 64 KiB"),
        ("/broken", "200 OK", "It broke off"),
        ("/deaf", "", "No answer"),
    ],
)
def test_an_odd_answer_is_shown(
    ask: Ask, path: str, status: str, trouble: str
) -> None:
    """As far as it came, with what went wrong."""
    answer = ask(path)
    assert status == answer.status
    assert answer.trouble.startswith(trouble)
    assert bool(trouble) == bool(answer.trouble)
    assert sum(map(len, answer.body)) <= exchange.MOST


def test_a_slow_answer_is_given_up(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream is shown as far as it came until then."""
    ask()
    monkeypatch.setattr(exchange, "MOST", 1 << 40)
    monkeypatch.setattr(exchange, "PATIENCE", 0.3)
    answer = ask("/forever")
    assert "It goes on" in answer.trouble
    assert "data: again" == answer.body[0]


def test_bodies_are_read(ask: Ask) -> None:
    """Compressed ones too; what is called JSON and is none, as text."""
    assert '  "said": "Hello <b>"' in ask("/zipped").body
    assert ["not JSON"] == ask("/torn").body
    assert "a=1\nb=2" == ask().headers["set-cookie"]


@pytest.mark.parametrize("path", ["//evil.example/x", "/../x", "/%00?a#b"])
def test_a_path_names_no_other_host(ask: Ask, path: str) -> None:
    """Whatever it says, it is this server's."""
    assert "200 OK" == ask(path).status


def test_what_cannot_be_sent_is_said(ask: Ask) -> None:
    """A request that contradicts itself harms nobody."""
    answer = ask("/echo", headers=(("Host", "a"), ("Host", "b")))
    assert "No answer: " in answer.trouble
    assert "200 OK" == ask().status


@pytest.fixture
def explorer(tried_book: Book, tmp_path: Path) -> Iterator[str]:
    """The explorer of the small book."""
    builder = Builder(tmp_path / "explorer", serves=True)
    builder.write(tried_book)
    with exploring(builder) as url:
        yield url


def post(
    url: str, given: dict[str, str] | None = None, **fields: str
) -> httpx2.Response:
    """Send a form as the explorer's own page does."""
    given = {"Origin": url.rstrip("/"), **FORM, **(given or {})}
    return httpx2.post(url + PLACE, data=fields, headers=given, timeout=60)


def test_answers_are_side_by_side(explorer: str) -> None:
    """Each has its column; what differs is marked, what failed explained."""
    page = unescape(post(explorer, example="hello").text)
    assert 1 == page.count("did not start")
    assert "No <b>, no hello" in page
    assert '<p class="p-django other">Good day' in page
    assert "2 servers run" in page


def test_nothing_of_an_answer_is_markup(explorer: str) -> None:
    """A body is text, a log too, and so is what was filled in."""
    odd = "<script>alert(1)</script>"
    text = post(explorer, path=f"/{odd}", headers="", body=odd).text
    assert "Hello &lt;b&gt;" in text
    assert "<b>" not in text
    assert odd not in text
    text = httpx2.get(f"{explorer}{PLACE}?example={odd}&f={odd}").text
    assert odd not in text


def test_a_form_may_be_wrong(explorer: str) -> None:
    """What was filled in is still there, with what is wrong with it."""
    answer = post(explorer, path="hello", headers="A: b", body="kept")
    assert 400 == answer.status_code
    assert "must begin with a slash" in answer.text
    assert "kept</textarea>" in answer.text
    assert 400 == post(explorer, method="TRACE").status_code


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_another_page_cannot_ask(
    explorer: str, tried_book: Book, headers: dict[str, str], expected: int
) -> None:
    """It is refused before anything is started."""
    assert expected == post(explorer, headers, path="/hello").status_code
    assert [] == pids(tried_book.root)


@pytest.mark.parametrize(
    ("length", "expected"), [("", 411), ("x", 411), ("9999999", 413)]
)
def test_a_form_is_not_endless(
    explorer: str, length: str, expected: int
) -> None:
    """How long it is has to be told, and is looked at first."""
    address = urlsplit(explorer)
    connection = HTTPConnection(str(address.hostname), address.port)
    with contextlib.closing(connection):
        connection.putrequest("POST", f"/{PLACE}")
        given = {"Origin": explorer.rstrip("/"), "Content-Length": length}
        for name, value in (FORM | given).items():
            connection.putheader(name, value)
        connection.endheaders()
        assert expected == connection.getresponse().status


def test_only_a_recipe_can_be_tried(explorer: str) -> None:
    """There is a page for each that is written, and for nothing else."""
    assert 200 == httpx2.get(explorer + PLACE).status_code
    assert 200 == httpx2.head(explorer + PLACE).status_code
    for path in ("recipes/bow/try/", "recipes/nothing/try/"):
        assert 404 == httpx2.get(explorer + path).status_code
    given = {"Origin": explorer.rstrip("/")}
    assert 405 == httpx2.post(explorer, headers=given).status_code


def test_a_site_for_others_tries_nothing(
    tried_book: Book, tmp_path: Path
) -> None:
    """Without servers there is no word of trying."""
    builder = Builder(tmp_path / "site")
    builder.write(tried_book)
    page = (tmp_path / "site/recipes/greet/index.html").read_text()
    assert "Try it" not in page


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_explorer(
    tried_book: Book, number: int, are_gone: Callable[..., bool]
) -> None:
    """However it ends, the servers that it started end."""
    command = [sys.executable, "-m", "cookbook", "serve", "--no-open"]
    running = subprocess.Popen(
        [*command, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "COOKBOOK_ROOT": str(tried_book.root)},
    )
    assert running.stdout is not None
    url = running.stdout.readline().split()[-1]
    assert 200 == post(url, example="hello").status_code
    started = pids(tried_book.root)
    assert 2 == len(started)
    running.send_signal(number)
    running.wait(30)
    assert are_gone(started)
