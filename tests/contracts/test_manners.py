"""The manners of the house: what every service does, whatever its subject."""

import json
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from cookbook.contract import (
    Played,
    Service,
    Subject,
    play,
    start,
    until,
)

pytestmark = pytest.mark.rule("manners")

# Where there are passwords: what their hashes cost is no matter of manners.
CHEAP = {"ARGON2_TIME_COST": 1, "ARGON2_MEMORY_KIB": 64}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "BREW")
NOWHERE = (
    *("/nothing-is-here", "/nothing/is/here", "/nothing.html", "/%7Bid%7D"),
    *("/%00", "/%FF", "/%C3%28", "/%ED%A0%80", "/a%2Fb", "/%2e%2e/passwd"),
    "/" + "x" * 1000,
)
NONSENSE = {
    "nothing": b"",
    "half": b'{"a": ',
    "a list": b"[]",
    "a text": b'"text"',
    "null": b"null",
    "a number": b"1",
    "true": b"true",
    "NaN": b'{"a": NaN, "title": NaN}',
    "Infinity": b"[-Infinity]",
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "half a pair": b'{"title": "\\ud800", "genre": "\\udfff"}',
    "NUL": b'{"title": "a\\u0000b", "genre": "novel"}',
    "a NUL byte": b'{"a\x00": 1}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "many digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "a huge exponent": b'{"a": 1e999999}',
    "a repeated name": b'{"title": "a", "title": "b"}',
    "two texts": b"{}{}",
    "a form": b"a=1&b=2",
    "markup": b"<a><b/></a>",
    "a comment": b"{/* */}",
    "much": b'{"title": "' + b"x" * 3_000_000 + b'"}',
}
TYPES = (
    *("application/json", "text/plain", "application/xml", "", "nonsense"),
    *("application/x-www-form-urlencoded", "application/json; charset=utf-16"),
    *("multipart/form-data; boundary=x", "multipart/form-data", ";;;"),
)
QUERIES = (
    *("?", "?=", "?&&&", "?a", "?%00=%00", "?%FF=%FF", "?a[]=1&a[b]=2"),
    *("?limit=%ED%A0%80", "?a=%", "?a=%zz", "?__class__=1"),
    "?" + "a=1&" * 900,
)
HEADERS = {
    "accept": "nonsense;;q=x, */*/*",
    "accept-encoding": "nonsense;q=9",
    "accept-language": "xx-\x7f, ;q=",
    "authorization": "Bearer \x7f",
    "cookie": '=;a="; \x7f=1; $Version=1; session=%00',
    "if-none-match": "nonsense",
    "if-modified-since": "yesterday",
    "range": "bytes=9-1",
    "x-forwarded-for": "', <script>",
    "content-type": "\x7f",
    "expect": "nonsense",
}


@pytest.fixture(scope="module")
def service(recipe: str, framework: Subject) -> Iterator[Service]:
    """One service for all that is sent to it, started as from a shell."""
    knobs = CHEAP if framework.url is None else {}
    with start(recipe, replace(framework, plainly=True), knobs) as running:
        yield running


@pytest.fixture(scope="module")
def stranger(service: Service) -> Iterator[httpx2.Client]:
    """Somebody else, who comes by a new connection each time."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(
        base_url=service.url, limits=limits, trust_env=False, verify=False
    ) as client:
        yield client


@pytest.fixture(scope="module")
def played(service: Service) -> list[Played]:
    """The examples, played once; what refuses nonsense stays as it is."""
    return list(play(service))


@pytest.fixture(autouse=True)
def alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test has sent, the service answers others afterwards."""
    if "service" not in request.fixturenames:
        yield
        return
    service: Service = request.getfixturevalue("service")
    stranger: httpx2.Client = request.getfixturevalue("stranger")
    yield
    assert_answers(service, stranger)


def assert_answers(service: Service, stranger: httpx2.Client) -> None:
    """The first example is answered as it should be."""
    first = service.examples[0]
    answer = stranger.request(first.method, first.path)
    assert first.status == answer.status_code


def assert_polite(service: Service, answer: httpx2.Response) -> None:
    """No fault of the server; an error is a problem document."""
    assert answer.status_code < 500, answer.text[:500]
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert_problem(answer)
    for inside in ("Traceback", 'File "', ".py", *service.secrets):
        assert inside not in answer.text


def assert_problem(answer: httpx2.Response) -> None:
    """A problem document (RFC 9457) that says the status on the wire."""
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    assert "application/problem+json" == media_type, answer.text[:500]
    problem = answer.json()
    assert answer.status_code == problem["status"]
    for name in ("title", "type", "detail", "instance"):
        text = problem.get(name, "not there")
        assert isinstance(text, str), name
        assert text, name
    assert "title" in problem
    errors = problem.get("errors", [{"detail": "not there"}])
    assert errors
    assert all(each["detail"] for each in errors)


def paths(played: Iterable[Played]) -> dict[str, set[str]]:
    """The paths of the examples that worked, with their methods."""
    found: dict[str, set[str]] = {}
    for one in played:
        if one.answer.is_success:
            path = urlsplit(one.path).path
            found.setdefault(path, set()).add(one.example.method)
    return found


def test_the_examples_are_answered_as_described(service: Service) -> None:
    """Each example gets the status that it is shown with."""
    for played in play(service):
        answer = played.answer
        assert played.example.status == answer.status_code, played.example.id
        assert_polite(service, answer)


@pytest.mark.parametrize("path", NOWHERE, ids=lambda path: path[:20])
def test_what_is_not_there_is_a_problem(service: Service, path: str) -> None:
    """A path that leads nowhere is 404; one that is no text may be 400."""
    expected = {400, 404} if "%" in path else {404}
    for method in ("GET", "POST", "DELETE"):
        answer = service.request(method, path)
        assert answer.status_code in expected
        assert_polite(service, answer)


def test_a_path_of_8000_bytes_is_read(service: Service) -> None:
    """The application answers; RFC 9110, 4.1, wants as much to be read."""
    answer = service.request("GET", "/" + "x" * 7999)
    assert 404 == answer.status_code
    assert_polite(service, answer)


def test_a_method_that_is_not_allowed_is_told_which_are(
    service: Service,
) -> None:
    """405 comes with `Allow`, which names what is allowed."""
    refused = 0
    for path, known in paths(play(service)).items():
        for method in set(METHODS) - known:
            answer = service.request(method, path)
            if method == "BREW" and service.differs("unknown-method"):
                assert 400 <= answer.status_code < 500
                continue
            assert_polite(service, answer)
            if answer.status_code == 405:
                refused += 1
                assert_allowed(service, answer, known, method)
    assert refused


def assert_allowed(
    service: Service, answer: httpx2.Response, known: set[str], method: str
) -> None:
    """`Allow` names every method that works, and not the refused one."""
    allowed = {name.strip() for name in answer.headers["allow"].split(",")}
    assert method not in allowed
    if service.differs("allow-incomplete"):
        assert 1 == len(allowed)
    else:
        assert known <= allowed


def test_head_answers_like_get_without_a_body(service: Service) -> None:
    """Where GET works HEAD works, and has no body."""
    for path, known in paths(play(service)).items():
        if "GET" in known:
            expected = service.request("GET", path).status_code
            answer = service.request("HEAD", path)
            # An example shows where HEAD is declared for all that.
            refused = service.differs("no-head") and "HEAD" not in known
            assert (405 if refused else expected) == answer.status_code
            assert b"" == answer.content


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_in_a_body_is_the_fault_of_the_client(
    service: Service,
    stranger: httpx2.Client,
    played: list[Played],
    body: bytes,
) -> None:
    """Whatever the body is, the answer is no server error."""
    for one in played:
        if one.body is not None:
            answer = stranger.request(
                one.example.method,
                one.path,
                headers=dict(one.example.headers),
                content=body,
            )
            assert 400 <= answer.status_code
            if answer.status_code == 413 and service.differs("plain-413"):
                assert "text/plain" in answer.headers["content-type"]
                continue
            assert_polite(service, answer)


@pytest.mark.parametrize("media_type", TYPES)
def test_a_body_of_another_type_is_the_fault_of_the_client(
    service: Service, stranger: httpx2.Client, media_type: str
) -> None:
    """Whatever the body is called, the answer is no server error."""
    for played in list(play(service)):
        if played.body is not None:
            answer = stranger.request(
                played.example.method,
                played.path,
                headers={"content-type": media_type},
                content=played.body,
            )
            assert_polite(service, answer)


def test_a_body_in_chunks_is_read_whole_or_refused(
    service: Service, stranger: httpx2.Client
) -> None:
    """A body without a length is no empty body."""
    for played in list(play(service)):
        if played.body is not None and played.example.status < 300:
            half = len(played.body) // 2
            answer = stranger.request(
                played.example.method,
                played.path,
                headers=dict(played.example.headers),
                content=iter([played.body[:half], played.body[half:]]),
            )
            # What it was sent with may be good for one time.
            allowed = (played.example.status, 403, 409, 411, 412)
            assert answer.status_code in allowed
            assert_polite(service, answer)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:20])
def test_nonsense_in_a_query_is_the_fault_of_the_client(
    service: Service, played: list[Played], query: str
) -> None:
    """Whatever the query is, the answer is no server error."""
    for path in paths(played):
        answer = service.request("GET", f"{path}{query}")
        assert_polite(service, answer)


@pytest.mark.parametrize("name", HEADERS)
def test_nonsense_in_a_header_is_the_fault_of_the_client(
    service: Service, played: list[Played], name: str
) -> None:
    """Whatever a header says, the answer is no server error."""
    for path, known in paths(played).items():
        for method in known & {"GET", "POST"}:
            answer = service.request(
                method, path, headers={name: HEADERS[name]}
            )
            assert answer.status_code < 500


NO_REQUESTS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "words": b"NONSENSE\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "length": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"
    ),
    "half a body": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"
    ),
    "zeros": b"\x00" * 10_000,
}
UNFINISHED = ("TLS", "half a body")


@pytest.mark.parametrize("kind", NO_REQUESTS)
def test_bytes_that_are_no_request_do_no_harm(
    service: Service, stranger: httpx2.Client, kind: str
) -> None:
    """The service answers others while and after it is sent nonsense."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), 10) as raw:
        raw.sendall(NO_REQUESTS[kind])
        if kind not in UNFINISHED:
            # Whoever keeps it open holds gunicorn up for two seconds.
            # It may have been reset by now.
            with suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
        assert_answers(service, stranger)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_promptly_and_cleanly(
    recipe: str, framework: Subject, number: int
) -> None:
    """After SIGTERM or SIGINT it closes its port and exits with 0."""
    with start(recipe, framework) as service:
        first = service.examples[0]

        def is_settled() -> bool:
            """Tell that no thread was started for the newest request.

            gunicorn's worker ends its threads in the signal's handler: if
            it was about to start one, it waits for itself, until its
            master kills it after 30 seconds.
            """
            before = threads_of(service)
            service.request(first.method, first.path)
            return before == threads_of(service)

        until(is_settled, "each request starts a thread")
        service.signal(number)
        status = service.wait(20)
        by_signal = service.differs("exit-by-signal") is not None
        expected = -number if by_signal and number == signal.SIGTERM else 0
        assert expected == status
        assert "Traceback" not in service.log()
        with pytest.raises(httpx2.TransportError):
            service.request(first.method, first.path)


def threads_of(service: Service) -> int:
    """Count the threads of all processes of a service."""
    found = map(psutil.Process, service.pids())
    return sum(process.num_threads() for process in found)


def test_it_starts_as_its_readme_says(service: Service) -> None:
    """The server's own command line is enough to start it."""
    first = service.examples[0]
    answer = service.request(first.method, first.path)
    assert first.status == answer.status_code


def test_a_chunk_that_is_broken_is_the_fault_of_the_client(
    service: Service, played: list[Played]
) -> None:
    """A body that cannot be read is answered 400, or not at all."""
    address = urlsplit(service.url)
    for one in played:
        if one.body is not None:
            head = (
                f"{one.example.method} {one.path} HTTP/1.1\r\n"
                f"Host: {address.netloc}\r\nConnection: close\r\n"
                "Content-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
            )
            with socket.create_connection(
                (address.hostname, address.port), 30
            ) as raw:
                raw.sendall(head.encode())
                status = raw.recv(65536).partition(b" ")[2][:1]
            assert status in (b"", b"4")


def test_no_document_is_half_json(played: list[Played]) -> None:
    """What calls itself JSON is JSON, without NaN."""
    for one in played:
        media_type = one.answer.headers.get("content-type", "")
        is_json = media_type.partition(";")[0].endswith(("/json", "+json"))
        if is_json and one.example.method != "HEAD":
            json.loads(one.answer.content, parse_constant=pytest.fail)
