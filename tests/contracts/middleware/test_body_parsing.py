"""The contract of `body_parsing`: bodies from strangers, whole or not."""

import contextlib
import gzip
import json
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, Subject, start, until

type Fields = dict[str, str]

BOUNDARY = "limes"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
UPLOAD_MAX = 2**20
TEXT_MAX = 2**18
PARTS_MAX = 10
MIB = 2**20
LARGE = 32 * MIB
SLACK = 4096
"""How much more than it needs a server may want to read at once."""

END = f"--{BOUNDARY}--\r\n".encode()


@dataclass(frozen=True)
class Box:
    """A service with a small limit, and the folders that it writes to."""

    service: Service
    home: Path

    def files(self) -> set[str]:
        """List all that lies there, documents and temporary files."""
        return {
            path.relative_to(self.home).as_posix()
            for path in self.home.rglob("*")
        }


@pytest.fixture(scope="module")
def service(framework: Subject) -> Iterator[Service]:
    """One service as it is by default."""
    with start("body_parsing", framework) as running:
        yield running


@pytest.fixture(scope="module")
def box(
    framework: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Box]:
    """One service with a small limit, whose folders can be looked at."""
    home = tmp_path_factory.mktemp("box")
    documents, temporary = home / "a" / "b" / "documents", home / "tmp"
    temporary.mkdir()
    knobs = {
        "DOCUMENTS_DIR": documents,
        "TMPDIR": temporary,
        "UPLOAD_BYTES_MAX": UPLOAD_MAX,
    }
    with start("body_parsing", framework, knobs=knobs) as running:
        answer = upload(running)
        assert 201 == answer.status_code, answer.text
        yield Box(running, home)


def part(
    name: str,
    value: bytes | str,
    filename: bytes | str | None = None,
    *headers: bytes,
) -> bytes:
    """Write a part of a multipart body."""
    lines = [b'Content-Disposition: form-data; name="%s"' % name.encode()]
    if filename is not None:
        lines[0] += b'; filename="%s"' % encode(filename)
    head = b"\r\n".join([*lines, *headers])
    return b"--limes\r\n%s\r\n\r\n%s\r\n" % (head, encode(value))


def encode(text: bytes | str) -> bytes:
    """Write text as UTF-8, and leave bytes as they are."""
    return text.encode() if isinstance(text, str) else text


def parcel(
    content: bytes = b"All agreed.",
    filename: bytes | str = "minutes.txt",
    *headers: bytes,
    **fields: str,
) -> bytes:
    """Write a whole multipart body: fields, and a file."""
    fields = {"title": "Minutes"} | fields
    parts = [part(name, value) for name, value in fields.items()]
    return b"".join([*parts, part("file", content, filename, *headers), END])


def parcel_of(size: int) -> bytes:
    """Write a multipart body that is so many bytes long."""
    return parcel(b"x" * (size - len(parcel(b""))))


def send(
    service: Service,
    path: str,
    media_type: str | None,
    body: bytes | Iterator[bytes],
    **headers: str,
) -> httpx2.Response:
    """Post a body, in chunks if it is an iterator.

    Where a body is refused before it was read the connection is of no
    further use: each request has its own.
    """
    named = {"connection": "close"}
    if media_type is not None:
        named["content-type"] = media_type
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    return service.request("POST", path, headers=named | more, content=body)


def upload(service: Service, body: bytes | None = None) -> httpx2.Response:
    """Post a multipart body, by default one that is right."""
    whole = parcel() if body is None else body
    return send(service, "/documents", MULTIPART, whole)


def note(text: str = "Two bottles.", **fields: Any) -> bytes:
    """Write a note in JSON."""
    return json.dumps({"title": "Milk", "text": text} | fields).encode()


def note_form(text: str = "Two bottles.", **fields: str) -> bytes:
    """Write a note in a form."""
    return urlencode({"title": "Milk", "text": text} | fields).encode()


def note_of(kind: str, size: int) -> bytes:
    """Write a note that is so many bytes long."""
    write = note if kind == JSON else note_form
    return write("x" * (size - len(write(""))))


def created(answer: httpx2.Response) -> dict[str, Any]:
    """Take the document out of an answer that made one."""
    assert 201 == answer.status_code, answer.text
    document: dict[str, Any] = answer.json()
    assert f"/documents/{document['id']}" == answer.headers["location"]
    return document


def content(service: Service, document: dict[str, Any]) -> httpx2.Response:
    """Download a document."""
    answer = service.request("GET", f"/documents/{document['id']}/content")
    assert 200 == answer.status_code, answer.text
    return answer


def assert_problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """A problem document with this status."""
    assert status == answer.status_code, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    assert "application/problem+json" == media_type
    problem: dict[str, Any] = answer.json()
    assert status == problem["status"]
    return problem


def assert_refused(answer: httpx2.Response, *pointers: str) -> None:
    """422 that names these places in the body."""
    problem = assert_problem(answer, 422)
    found = {error["pointer"] for error in problem["errors"]}
    assert found & set(pointers), problem


def listed(answer: httpx2.Response, header: str) -> set[str]:
    """Read a list in a header."""
    found = answer.headers.get(header, "")
    return {item.strip() for item in found.split(",")}


def head_of(service: Service, path: str, kind: str, *lines: str) -> bytes:
    """Write the head of a request."""
    first = [
        f"POST {path} HTTP/1.1",
        f"Host: {urlsplit(service.url).netloc}",
        f"Content-Type: {kind}",
    ]
    return "\r\n".join([*first, *lines, "\r\n"]).encode()


def chunk(data: bytes) -> bytes:
    """Write a chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def say(service: Service, *sent: bytes, hang_up: bool) -> bytes:
    """Send bytes, and read until the answer is there or the end.

    With `hang_up` nothing more is to come, and the server is told so.
    """
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), 20) as raw:
        # A server that has answered may have closed before all is sent.
        with contextlib.suppress(ConnectionError):
            raw.sendall(b"".join(sent))
            if hang_up:
                raw.shutdown(socket.SHUT_WR)
        return read_answer(raw)


def read_answer(raw: socket.socket) -> bytes:
    """Read the head of an answer, or what there is of it."""
    found = b""
    try:
        while b"\r\n\r\n" not in found:
            data = raw.recv(2**16)
            if not data:
                break
            found += data
    except (ConnectionError, TimeoutError):
        pass
    return found


def status_of(answer: bytes) -> int:
    """Read the status of an answer; 0 if there is none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 2 else 0


# by-type


@pytest.mark.rule("by-type")
@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (JSON, note()),
        ("APPLICATION/JSON", note()),
        ("application/json; charset=utf-8", note()),
        (FORM, note_form()),
        (f"{FORM}; charset=UTF-8", note_form()),
        ("Application/X-WWW-Form-URLencoded", note_form()),
    ],
)
def test_a_note_is_read_as_it_is_called(
    service: Service, media_type: str, body: bytes
) -> None:
    """JSON and forms are read, with parameters and in any case."""
    document = created(send(service, "/notes", media_type, body))
    assert "Milk" == document["title"]
    assert b"Two bottles." == content(service, document).content


@pytest.mark.rule("by-type")
@pytest.mark.parametrize(
    "media_type",
    [
        MULTIPART,
        'Multipart/Form-Data; boundary="limes"',
        "multipart/form-data;charset=utf-8;boundary=limes",
    ],
)
def test_a_file_is_read_from_multipart(
    service: Service, media_type: str
) -> None:
    """Multipart is read, however its type and boundary are written."""
    answer = send(service, "/documents", media_type, parcel(b"one\r\ntwo"))
    document = created(answer)
    assert "minutes.txt" == document["name"]
    assert 8 == document["size"]
    assert sha256(b"one\r\ntwo").hexdigest() == document["sha256"]
    shown = service.request("GET", f"/documents/{document['id']}")
    assert document == shown.json()
    assert b"one\r\ntwo" == content(service, document).content


@pytest.mark.rule("by-type")
@pytest.mark.parametrize(
    "media_type",
    [
        *(None, "", "text/plain", "text/json", "application/jsonp", "json"),
        *("application/octet-stream", "application/xml", "*/*", MULTIPART),
        *("application/x-www-form-urlencoded2", "application/json-seq"),
    ],
)
def test_a_note_of_another_type_is_not_read(
    service: Service, media_type: str | None
) -> None:
    """What is not called JSON or a form is 415, whatever it looks like."""
    for body in (note(), note_form()):
        answer = send(service, "/notes", media_type, body)
        assert_problem(answer, 415)
        assert {JSON, FORM} <= listed(answer, "accept")
        assert "multipart/form-data" not in listed(answer, "accept")


@pytest.mark.rule("by-type")
@pytest.mark.parametrize(
    "media_type",
    [
        *(None, "", "text/plain", JSON, FORM, "application/octet-stream"),
        *("multipart/mixed; boundary=limes", "multipart/form-data2"),
        *("multipart/form; boundary=limes", "multipart/related"),
    ],
)
def test_a_file_in_another_type_is_not_read(
    service: Service, media_type: str | None
) -> None:
    """What is not called `multipart/form-data` is 415."""
    answer = send(service, "/documents", media_type, parcel())
    assert_problem(answer, 415)
    assert {"multipart/form-data"} == listed(answer, "accept")


@pytest.mark.rule("by-type")
def test_the_type_decides_and_not_the_look(service: Service) -> None:
    """A form called JSON is no JSON; JSON called a form has no title."""
    assert_problem(send(service, "/notes", JSON, note_form()), 400)
    assert_problem(send(service, "/notes", FORM, note()), 422)


@pytest.mark.rule("by-type")
@pytest.mark.parametrize(
    "media_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
    ],
)
def test_a_boundary_that_is_not_there_is_400(
    service: Service, media_type: str
) -> None:
    """Multipart without its boundary cannot be read."""
    answer = send(service, "/documents", media_type, parcel())
    assert_problem(answer, 400)


# one-meaning


@pytest.mark.rule("one-meaning")
def test_json_a_form_and_multipart_say_the_same(service: Service) -> None:
    """The same fields make the same document, but for its id."""
    text = "1 + 1 = 2 & 100 %\r\nÄß 文 🍋"
    fields = {"title": "A+B & C=D ;%41", "priority": "5"}
    made = [
        created(
            send(
                service, "/notes", JSON, note(text, **fields | {"priority": 5})
            )
        ),
        created(send(service, "/notes", FORM, note_form(text, **fields))),
        created(
            upload(
                service,
                parcel(
                    text.encode(),
                    "note.txt",
                    b"Content-Type: text/plain",
                    **fields,
                ),
            )
        ),
    ]
    for document in made:
        assert text.encode() == content(service, document).content
        assert 32 == len(document.pop("id"))
    expected = {
        "title": "A+B & C=D ;%41",
        "priority": 5,
        "name": "note.txt",
        "media_type": "text/plain",
        "size": len(text.encode()),
        "sha256": sha256(text.encode()).hexdigest(),
    }
    assert [expected] * 3 == made


@pytest.mark.rule("one-meaning")
def test_what_is_left_out_is_the_same_too(service: Service) -> None:
    """Without a priority it is 3; a text or a file may be empty."""
    for answer in (
        send(service, "/notes", JSON, note("")),
        send(service, "/notes", FORM, note_form("")),
        upload(service, parcel(b"")),
    ):
        document = created(answer)
        assert 3 == document["priority"]
        assert 0 == document["size"]
        assert b"" == content(service, document).content


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", note() + b"x", note() * 2, b"'" + note() + b"'"),
        b'{"title": "a", "title": "b", "text": ""}',
        b'{"title": "a", "text": "", "priority": NaN}',
        b'{"title": "a", "text": "", "priority": Infinity}',
        b'{"title": "\\ud800", "text": ""}',
        b"\xef\xbb\xbf" + note(),
        note().decode().encode("utf-16"),
    ],
)
def test_json_is_read_strictly(service: Service, body: bytes) -> None:
    """What two readers could take in two ways is 400."""
    assert_problem(send(service, "/notes", JSON, body), 400)


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize("priority", ["3", "", None, True, 0, 6, 2.5, [3], {}])
def test_json_is_not_converted(service: Service, priority: object) -> None:
    """In JSON a number is a number; text that looks like one is not."""
    answer = send(service, "/notes", JSON, note(priority=priority))
    assert_refused(answer, "/priority")


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize("priority", ["three", "", "0", "6", "2.5", "-3"])
def test_a_field_is_converted_or_refused(
    service: Service, priority: str
) -> None:
    """In a form a number is text, and has to be one of the numbers."""
    answer = send(service, "/notes", FORM, note_form(priority=priority))
    assert_refused(answer, "/priority")
    answer = upload(service, parcel(priority=priority))
    assert_refused(answer, "/priority")


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize("name", ["title", "text", "priority"])
def test_a_field_given_twice_is_refused_in_a_form(
    service: Service, name: str
) -> None:
    """Neither the first nor the last wins, even if they are equal."""
    fields = {"title": "a", "text": "b", "priority": "1"}
    for again in (fields[name], "2"):
        body = urlencode([*fields.items(), (name, again)]).encode()
        assert_refused(send(service, "/notes", FORM, body), f"/{name}")


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize(
    ("pointer", "again"),
    [
        ("/title", part("title", "Minutes")),
        ("/priority", part("priority", "2") * 2),
        ("/file", part("file", "again", "minutes.txt")),
        ("/file", part("file", "again", "other.txt")),
        ("/file", part("file", "text")),
    ],
)
def test_a_part_given_twice_is_refused(
    service: Service, pointer: str, again: bytes
) -> None:
    """Neither the first nor the last file or field wins."""
    whole = parcel().removesuffix(END)
    assert_refused(upload(service, whole + again + END), pointer)
    assert_refused(upload(service, again + whole + END), pointer)


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize(
    ("pointer", "body"),
    [
        ("/file", part("title", "Minutes")),
        ("/file", part("title", "Minutes") + part("file", "text")),
        ("/file", part("title", "Minutes") + part("file", "", "")),
        ("/file", part("title", "Minutes") + part("file", "data", "")),
        ("/title", part("file", "a", "a.txt")),
        ("/title", part("title", "") + part("file", "a", "a.txt")),
        ("/title", part("title", "a", "b") + part("file", "a", "a.txt")),
        ("/title", part("title", "a\nb") + part("file", "a", "a.txt")),
        ("/title", part("title", "a" * 201) + part("file", "a", "a.txt")),
    ],
)
def test_a_part_that_is_missing_or_of_another_kind_is_refused(
    service: Service, pointer: str, body: bytes
) -> None:
    """A title is text, a file has a name, and both are there."""
    assert_refused(upload(service, body + END), pointer)


@pytest.mark.rule("one-meaning")
def test_a_field_that_nobody_asked_for_is_refused(service: Service) -> None:
    """What is not known is not dropped, in any of the three."""
    for answer in (
        send(service, "/notes", JSON, note(owner="me")),
        send(service, "/notes", FORM, note_form(owner="me")),
        upload(service, parcel(owner="me")),
        upload(service, part("owner", "a", "a.txt") + parcel()),
    ):
        assert_refused(answer, "/owner")


@pytest.mark.rule("one-meaning")
@pytest.mark.parametrize("kind", [JSON, FORM])
def test_a_note_has_a_title_and_a_text(service: Service, kind: str) -> None:
    """What is needed is needed in JSON and in a form."""
    for name, body in (
        ("title", {"text": "a"}),
        ("text", {"title": "a"}),
        ("title", {"title": "", "text": "a"}),
        ("title", {"title": "a" * 201, "text": "a"}),
        ("title", {"title": "a\n", "text": "a"}),
        ("text", {"title": "a", "text": "a\0b"}),
    ):
        written = json.dumps(body) if kind == JSON else urlencode(body)
        answer = send(service, "/notes", kind, written.encode())
        assert_refused(answer, f"/{name}")


# utf-8


@pytest.mark.rule("utf-8")
@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xe9", b"a\xc3", b"\xc3(", b"\xed\xa0\x80", b"\xc0\x80"],
)
def test_text_that_is_not_utf_8_is_400(service: Service, text: bytes) -> None:
    """Bytes that are no text are no title, in any of the three."""
    escaped = "".join(f"%{byte:02X}" for byte in text).encode()
    for answer in (
        send(service, "/notes", JSON, b'{"title": "%s", "text": ""}' % text),
        send(service, "/notes", FORM, b"text=&title=" + escaped),
        send(service, "/notes", FORM, b"text=&title=" + text),
        send(service, "/notes", FORM, b"text=&title=a&%s=b" % escaped),
        upload(service, part("title", text) + part("file", "", "a") + END),
    ):
        assert_problem(answer, 400)


@pytest.mark.rule("utf-8")
@pytest.mark.parametrize(
    "title", ["Größe", "文書", "🍋", "e\u0301", "%FF", "ÿ"]
)
def test_text_that_is_utf_8_is_kept(service: Service, title: str) -> None:
    """Titles come back as they were sent, to the last code point."""
    for answer in (
        send(service, "/notes", JSON, note(title=title)),
        send(service, "/notes", FORM, note_form(title=title)),
        upload(service, parcel(title=title)),
    ):
        assert title == created(answer)["title"]


# body-limit


@pytest.mark.rule("body-limit")
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_exactly_the_limit_is_read(
    box: Box, chunked: bool
) -> None:
    """The limit itself is within the limit."""
    body = parcel_of(UPLOAD_MAX)
    assert UPLOAD_MAX == len(body)
    sent = pieces(body, 50_000) if chunked else body
    answer = send(box.service, "/documents", MULTIPART, sent)
    assert UPLOAD_MAX - len(parcel(b"")) == created(answer)["size"]


@pytest.mark.rule("body-limit")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", [JSON, FORM])
def test_a_note_of_exactly_the_limit_is_read(
    service: Service, kind: str, chunked: bool
) -> None:
    """The limit of text is another, and is within itself too."""
    body = note_of(kind, TEXT_MAX)
    assert TEXT_MAX == len(body)
    sent = pieces(body, 50_000) if chunked else body
    size = created(send(service, "/notes", kind, sent))["size"]
    assert (
        size
        == len(body)
        - len(note_of(kind, 100))
        + created(send(service, "/notes", kind, note_of(kind, 100)))["size"]
    )


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    """Cut a body into pieces."""
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.rule("body-limit")
@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [
        ("/documents", MULTIPART, UPLOAD_MAX),
        ("/notes", JSON, TEXT_MAX),
        ("/notes", FORM, TEXT_MAX),
    ],
)
def test_a_length_over_the_limit_is_413_before_anything_comes(
    box: Box, path: str, kind: str, limit: int
) -> None:
    """A client that says too much need not send it."""
    service, before = box.service, box.files()
    for length in (limit + 1, 2**40):
        head = head_of(service, path, kind, f"Content-Length: {length}")
        answer = say(service, head, hang_up=False)
        assert 413 == status_of(answer), answer
        if not service.differs("plain-413"):
            assert b"application/problem+json" in answer
    assert before == box.files()


@pytest.mark.rule("body-limit")
@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/documents", MULTIPART, parcel_of(UPLOAD_MAX + SLACK)),
        ("/notes", JSON, note_of(JSON, TEXT_MAX + SLACK)),
        ("/notes", FORM, note_of(FORM, TEXT_MAX + SLACK)),
    ],
)
def test_chunks_over_the_limit_are_413_before_all_has_come(
    box: Box, path: str, kind: str, body: bytes
) -> None:
    """What is too much is told at once; the end is not waited for."""
    before = box.files()
    head = head_of(box.service, path, kind, "Transfer-Encoding: chunked")
    half = len(body) // 2
    answer = say(
        box.service,
        head,
        chunk(body[:half]),
        chunk(body[half:]),
        hang_up=False,
    )
    assert 413 == status_of(answer), answer
    assert b"application/problem+json" in answer
    until(lambda: before == box.files(), "what was too large is gone")


@pytest.mark.rule("body-limit")
@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/documents", MULTIPART, parcel_of(UPLOAD_MAX + 1)),
        ("/notes", JSON, note_of(JSON, TEXT_MAX + 1)),
        ("/notes", FORM, note_of(FORM, TEXT_MAX + 1)),
    ],
)
def test_a_byte_over_the_limit_is_413(
    box: Box, path: str, kind: str, body: bytes
) -> None:
    """A body that ends just over the limit is not cut down to it."""
    before = box.files()
    answer = send(box.service, path, kind, pieces(body, 50_000))
    assert_problem(answer, 413)
    until(lambda: before == box.files(), "what was too large is gone")


# part-limits


@pytest.mark.rule("part-limits")
def test_more_parts_than_are_read_are_413(service: Service) -> None:
    """One field, or one file, too many is 413; as many as are read, 422."""
    for filename in (None, "a.txt"):
        parts = [part(f"x{n}", "y", filename) for n in range(PARTS_MAX + 1)]
        answer = upload(service, b"".join(parts) + END)
        assert_problem(answer, 413)
        answer = upload(service, b"".join(parts[1:]) + END)
        assert_problem(answer, 422)


@pytest.mark.rule("part-limits")
def test_more_fields_than_are_read_are_413(service: Service) -> None:
    """The same holds for a form."""
    fields = [f"x{n}=y" for n in range(PARTS_MAX + 1)]
    answer = send(service, "/notes", FORM, "&".join(fields).encode())
    assert_problem(answer, 413)
    answer = send(service, "/notes", FORM, "&".join(fields[1:]).encode())
    assert_problem(answer, 422)


@pytest.mark.rule("part-limits")
def test_a_text_field_over_its_limit_is_413(service: Service) -> None:
    """Text is held in memory: its limit is not the one of the file."""
    for name in ("title", "owner"):
        field = part(name, "x" * (TEXT_MAX + 1))
        assert_problem(upload(service, field + parcel()), 413)
    assert_refused(upload(service, parcel(title="x" * 200_000)), "/title")


@pytest.mark.rule("part-limits")
@pytest.mark.parametrize(
    "header",
    [
        b"X-Large: " + b"x" * 300_000,
        b'Content-Disposition: form-data; name="%s"' % (b"x" * 300_000),
        b"\r\n".join(b"X-%d: x" % n for n in range(50_000)),
    ],
    ids=["value", "name", "count"],
)
def test_the_headers_of_a_part_have_a_limit(
    service: Service, header: bytes
) -> None:
    """Headers larger than any client sends are refused."""
    body = b"--limes\r\n%s\r\n\r\nx\r\n" % header + parcel()
    answer = upload(service, body)
    assert answer.status_code in (400, 413), answer.text
    assert_problem(answer, answer.status_code)


# chunks


@pytest.mark.rule("chunks")
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_body_in_chunks_is_read_whole(service: Service, size: int) -> None:
    """However it is cut, what was sent is what is stored."""
    data = b"\r\n--lime\r\n\r\n-\r\n--\r\r\n\n--lim\x00\xff\r\n" * 3
    for path, kind, body in (
        ("/documents", MULTIPART, parcel(data)),
        ("/notes", JSON, note("in JSON")),
        ("/notes", FORM, note_form("in a form")),
    ):
        whole = created(send(service, path, kind, body))
        cut = created(send(service, path, kind, pieces(body, size)))
        assert whole.pop("id") != cut.pop("id")
        assert whole == cut
    expected = sha256(data).hexdigest()
    answer = send(service, "/documents", MULTIPART, pieces(parcel(data), size))
    assert expected == created(answer)["sha256"]


@pytest.mark.rule("chunks")
def test_chunks_without_an_end_are_no_body(box: Box) -> None:
    """A body whose last chunk is missing is not taken for a whole one."""
    before = box.files()
    for path, kind, body in (
        ("/documents", MULTIPART, parcel()),
        ("/notes", JSON, note()),
        ("/notes", FORM, note_form()),
    ):
        head = head_of(box.service, path, kind, "Transfer-Encoding: chunked")
        answer = say(box.service, head, chunk(body), hang_up=True)
        assert status_of(answer) in (0, 400), answer
        until(lambda: before == box.files(), "nothing is left")


# streamed


@pytest.fixture(scope="module")
def roomy(framework: Subject) -> Iterator[Service]:
    """One service with room for large files, that has warmed up."""
    knobs = {"UPLOAD_BYTES_MAX": 64 * MIB}
    with start("body_parsing", framework, knobs=knobs) as running:
        running.needs("the process")
        if not Path("/proc/self/status").exists():
            pytest.skip("not checked: needs /proc")
        created(upload(running, parcel_of(3 * MIB)))
        sent = pieces(parcel_of(3 * MIB), MIB)
        created(send(running, "/documents", MULTIPART, sent))
        yield running


MARK = b"?????"
FILLER = b"All agreed. \r\n--" * 4096


def peak(service: Service) -> int:
    """Tell the most memory that the processes have ever held, in bytes."""
    found = 0
    for pid in service.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        found += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return found


def stream(body: bytes) -> Iterator[bytes]:
    """Write a body with something large in the place of its mark."""
    before, _, after = body.partition(MARK)
    yield before
    for _ in range(LARGE // len(FILLER)):
        yield FILLER
    yield after


@pytest.mark.rule("streamed")
@pytest.mark.parametrize("chunked", [False, True])
def test_memory_does_not_grow_with_a_file(
    roomy: Service, chunked: bool
) -> None:
    """A large file costs no more memory than a small one."""
    body, stated = parcel(MARK), {}
    if not chunked:
        stated["content_length"] = str(len(body) - len(MARK) + LARGE)
    at_first = peak(roomy)
    answer = send(roomy, "/documents", MULTIPART, stream(body), **stated)
    assert LARGE == created(answer)["size"]
    assert peak(roomy) - at_first < LARGE / 3


@pytest.mark.rule("streamed")
def test_memory_does_not_grow_with_a_download(roomy: Service) -> None:
    """Nor does it when the file is asked for."""
    sent = stream(parcel(MARK))
    document = created(send(roomy, "/documents", MULTIPART, sent))
    at_first = peak(roomy)
    found = content(roomy, document).content
    assert document["sha256"] == sha256(found).hexdigest()
    assert peak(roomy) - at_first < LARGE / 3


@pytest.mark.rule("streamed")
def test_memory_does_not_grow_with_text(roomy: Service) -> None:
    """A text field that is as large as a file is not held either."""
    body = part("title", MARK) + parcel()
    length = len(body) - len(MARK) + LARGE
    head = head_of(roomy, "/documents", MULTIPART, f"Content-Length: {length}")
    at_first = peak(roomy)
    answer = say(roomy, head, b"".join(stream(body)), hang_up=False)
    assert status_of(answer) in (0, 413), answer
    if roomy.differs("text-in-memory"):
        assert peak(roomy) - at_first > LARGE / 3
    else:
        assert peak(roomy) - at_first < LARGE / 3


# whole-or-nothing


def broken() -> dict[str, tuple[int, bytes]]:
    """List bodies that are refused, and how, by what is wrong with them."""
    whole = parcel(b"y" * 700_000)
    file = part("file", b"y" * 300_000, "a.txt")
    begun = b'--limes\r\nContent-Disposition: form-data; name="x"\r\n'
    return {
        "cut in the file": (400, whole[:400_000]),
        "cut in a small file": (400, parcel()[:-30]),
        "no last boundary": (400, whole[: -len(END)]),
        "half a last boundary": (400, whole[:-6]),
        "another last boundary": (400, whole.replace(END, b"--other--\r\n")),
        "a title afterwards": (422, file + part("title", "") + END),
        "no title": (422, file + END),
        "a second file": (422, file + whole),
        "no UTF-8": (400, file + part("title", b"\xff") + END),
        "too many parts": (413, file + part("x", "y") * 30 + END),
        "too much text": (413, file + part("x", "y" * (TEXT_MAX + 1)) + END),
        "a part that may follow": (400, whole.replace(END, b"--limes\r\n")),
        "a part that has begun": (400, whole.replace(END, begun)),
        "a part that has no end": (400, whole.replace(END, begun + b"\r\nx")),
    }


@pytest.mark.rule("whole-or-nothing")
@pytest.mark.parametrize("case", broken())
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_not_whole_leaves_nothing(
    box: Box, case: str, chunked: bool
) -> None:
    """A body that is broken or refused leaves the folders as they were."""
    before, (status, body) = box.files(), broken()[case]
    sent = pieces(body, 2**16) if chunked else body
    answer = send(box.service, "/documents", MULTIPART, sent)
    assert_problem(answer, status)
    until(lambda: before == box.files(), "nothing is left")


@pytest.mark.rule("whole-or-nothing")
@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/documents", MULTIPART, parcel(b"y" * 700_000)),
        ("/documents", MULTIPART, parcel()),
        ("/notes", JSON, note()),
        ("/notes", FORM, note_form("nine hundred")),
    ],
)
@pytest.mark.parametrize("lost", [1, 12, 200])
def test_a_client_that_goes_leaves_nothing(
    box: Box, path: str, kind: str, body: bytes, lost: int
) -> None:
    """A body that is shorter than was said is no body."""
    before = box.files()
    lines = (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked")
    said = [head_of(box.service, path, kind, line) for line in lines]
    for sent in (said[0] + body[:-lost], said[1] + chunk(body)[:-lost]):
        answer = say(box.service, sent, hang_up=True)
        assert status_of(answer) in (0, 400), answer
        until(lambda: before == box.files(), "nothing is left")


@pytest.mark.rule("whole-or-nothing")
def test_a_length_that_is_too_short_cuts_the_body(box: Box) -> None:
    """No byte is read beyond the length that was stated."""
    before, body = box.files(), parcel()
    head = head_of(
        box.service,
        "/documents",
        MULTIPART,
        f"Content-Length: {len(body) - 20}",
    )
    answer = say(box.service, head, body, hang_up=False)
    assert 400 == status_of(answer), answer
    until(lambda: before == box.files(), "nothing is left")


@pytest.mark.rule("whole-or-nothing")
def test_what_is_whole_leaves_one_document(box: Box) -> None:
    """After all that, an upload stores a document and nothing beside."""
    before = box.files()
    document = created(upload(box.service, parcel(b"z" * 700_000)))
    new = box.files() - before
    assert new
    for path in new:
        assert f"a/b/documents/{document['id']}" in path, path
    assert 0 == len([name for name in box.files() if name.startswith("tmp/")])


# own-names

HARMLESS = re.compile(r"[^\x00-\x1f\x7f/\\<>:\"|?*]{1,100}")
NAMES = {
    "minutes.txt": "minutes.txt",
    "../../etc/passwd": "passwd",
    "..\\\\..\\\\boot.ini": "boot.ini",
    "/etc/passwd": "passwd",
    "C:\\\\Users\\\\me\\\\report.pdf": "report.pdf",
    "C:report.pdf": "C_report.pdf",
    ".": "document",
    "..": "document",
    "...": "document",
    "a/": "document",
    "a/..": "document",
    " ": "document",
    ".htaccess": "htaccess",
    "shell.php.": "shell.php",
    "report\u202efdp.exe": "reportfdp.exe",
    "\u200breport\ufeff.txt": "report.txt",
    "re\u0301sume\u0301.txt": "résumé.txt",
    "a\u2028b.txt": "ab.txt",
    "文書 🍋.txt": "文書 🍋.txt",
    "<b>|?*.html": "_b____.html",
    "&lt;b.txt": "&lt;b.txt",
    "a&#47b.txt": "a&#47b.txt",
    "%2e%2e%2fpasswd": "%2e%2e%2fpasswd",
    "CON": "_CON",
    "nul.txt": "_nul.txt",
    "a" * 300 + ".txt": "a" * 96 + ".txt",
    "." + "a" * 300: "a" * 100,
    "a." + "b" * 300: "a." + "b" * 98,
}


@pytest.mark.rule("own-names")
@pytest.mark.parametrize(("claimed", "expected"), NAMES.items())
def test_a_name_is_cleaned(
    service: Service, claimed: str, expected: str
) -> None:
    """What is shown is the last step of a path, and only what is seen."""
    document = created(upload(service, parcel(b"", claimed)))
    assert expected == document["name"]


@pytest.mark.rule("own-names")
@pytest.mark.parametrize(
    "claimed",
    [
        *(b"a\x00.txt", b"a\x01b.txt", b"a\x7fb.txt", b"a\x1b[31mb", b"\x00"),
        *(b"a\xff\xfe.txt", b"..\\..\\a", b"C:\\Users\\a.txt", b'a\\"b.txt'),
        *(b"a%00.txt", b"a%0d%0aX: y", b"a%22b.txt", b"a\tb", b"a;b;c.txt"),
    ],
)
def test_a_name_that_parsers_read_in_several_ways_does_no_harm(
    service: Service, claimed: bytes
) -> None:
    """It is refused, or cleaned; nothing of it is left that acts."""
    answer = upload(service, parcel(b"", claimed))
    if answer.status_code != 201:
        assert answer.status_code in (400, 422), answer.text
        assert_problem(answer, answer.status_code)
        return
    document = created(answer)
    assert re.fullmatch(
        r"[^\x00-\x1f\x7f/\\<>:\"|?*]{1,100}", document["name"]
    )
    assert document["name"] == name_of(content(service, document))


@pytest.mark.rule("own-names")
def test_an_extended_name_is_no_way_around(service: Service) -> None:
    """`filename*` beside `filename`: whichever is read is cleaned."""
    body = parcel().replace(
        b'filename="minutes.txt"',
        b"filename=\"safe.txt\"; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd",
    )
    answer = upload(service, body)
    if answer.status_code != 400:
        assert created(answer)["name"] in ("safe.txt", "passwd")


@pytest.mark.rule("own-names")
@pytest.mark.parametrize("climb", ["", "../", "../../", "../../../"])
def test_no_file_is_named_by_a_client(box: Box, climb: str) -> None:
    """Wherever a name points, nothing of that name is there afterwards."""
    marker = uuid4().hex
    before = box.files()
    for name in (f"{climb}{marker}", f"{box.home}/{marker}", f"\\\\{marker}"):
        document = created(upload(box.service, parcel(b"", name)))
        assert marker == document["name"]
    assert 3 == len({path.split("/")[3] for path in box.files() - before})
    assert [] == [path for path in box.files() if marker in path]


@pytest.mark.rule("own-names")
def test_two_files_of_one_name_are_two_documents(service: Service) -> None:
    """A name that was there before replaces nothing."""
    made = [created(upload(service, parcel(text))) for text in (b"1", b"2")]
    assert ["minutes.txt"] * 2 == [document["name"] for document in made]
    assert [b"1", b"2"] == [content(service, one).content for one in made]


@pytest.mark.rule("own-names")
def test_an_id_is_never_a_path(box: Box) -> None:
    """What is no id that was given out is 404, or no path at all."""
    document = created(upload(box.service))
    (box.home / "a" / "b" / "about.json").write_text(json.dumps(document))
    (box.home / "a" / "b" / "content").write_text("secret")
    for wrong in (
        *("..", "%2e%2e", ".", "%2e", "..%2f", "%2e%2e%2f", "..%2Fdocuments"),
        *(f"{document['id']}%00", f"x{document['id']}", document["id"][:-1]),
        *("%2e%2e%2f" + "documents%2f" + document["id"], "draft-", "*"),
        f".%2f{document['id']}",
    ):
        for path in (f"/documents/{wrong}", f"/documents/{wrong}/content"):
            status, text = ask_raw(box.service, path)
            assert 300 <= status < 500, path
            assert b"secret" not in text


def ask_raw(service: Service, path: str) -> tuple[int, bytes]:
    """Ask for a path that no client would tidy up."""
    address = urlsplit(service.url)
    asked = f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), 20) as raw:
        raw.sendall(asked.encode())
        found = b""
        while data := raw.recv(2**16):
            found += data
    return status_of(found), found


# plain-download


def name_of(answer: httpx2.Response) -> str:
    """Read the name of an attachment as RFC 6266 has it."""
    header: str = answer.headers.get("content-disposition", "")
    assert header.isascii()
    kind, _, rest = header.partition(";")
    assert "attachment" == kind.strip().lower()
    extended = re.search(r"filename\*=utf-8''([^;\s]+)", rest, re.IGNORECASE)
    if extended:
        return unquote(extended[1], errors="strict")
    plain = re.search(r'filename="((?:[^"\\]|\\.)*)"', rest)
    if plain:
        return re.sub(r"\\(.)", r"\1", plain[1])
    token = re.search(r"filename=([\w!#$%&'*+.^`|~-]+)", rest, re.ASCII)
    assert token, header
    return token[1]


@pytest.mark.rule("plain-download")
@pytest.mark.parametrize(
    "claimed",
    [
        *("text/html", "image/svg+xml", "application/pdf", "text/plain"),
        *("text/html; charset=utf-7", "application/xhtml+xml"),
    ],
)
def test_a_download_is_an_attachment_of_bytes(
    service: Service, claimed: str
) -> None:
    """The type that was claimed is told, and never served."""
    data = b"<script>alert(1)</script>\x00\xff"
    header = b"Content-Type: " + claimed.encode()
    body = parcel(data, "page.html", header)
    document = created(upload(service, body))
    assert claimed.partition(";")[0] == document["media_type"]
    answer = content(service, document)
    assert data == answer.content
    assert str(len(data)) == answer.headers["content-length"]
    assert "application/octet-stream" == answer.headers["content-type"]
    assert "nosniff" == answer.headers.get("x-content-type-options")
    assert "content-encoding" not in answer.headers
    assert "page.html" == name_of(answer)


@pytest.mark.rule("plain-download")
def test_a_download_is_no_younger_than_its_date(service: Service) -> None:
    """It was not modified after the answer was made (RFC 9110, 8.8.2.1)."""

    def is_younger() -> bool:
        fields = content(service, created(upload(service))).headers
        if "last-modified" not in fields:
            return False
        modified = parsedate_to_datetime(fields["last-modified"])
        return modified > parsedate_to_datetime(fields["date"])

    behind = service.differs("date-behind")
    if behind or service.differs("modified-ahead"):
        until(is_younger, "a document younger than its download")
    else:
        assert not any(is_younger() for _ in range(20))


@pytest.mark.rule("plain-download")
@pytest.mark.parametrize(
    "headers",
    [
        (),
        (b"Content-Type: html",),
        (b"Content-Type: <script>/x",),
        (b"Content-Type: a/" + b"b" * 200,),
        (b"Content-Type: text/ html",),
    ],
)
def test_a_type_that_is_none_is_not_told(
    service: Service, headers: tuple[bytes, ...]
) -> None:
    """What was not claimed, or cannot be, is only bytes."""
    document = created(upload(service, parcel(b"", "a.html", *headers)))
    assert "application/octet-stream" == document["media_type"]


@pytest.mark.rule("plain-download")
@pytest.mark.parametrize(
    "name",
    [
        *("a.txt", "a b.txt", "a;b.txt", "a'b.txt", "a,b=c.txt", "a%41.txt"),
        *("résumé.txt", "文書 🍋.txt", "€ rates.txt", "a{1}[2](3).txt", "ÿ"),
        "%E2%82%AC.txt",
    ],
)
def test_a_download_has_the_name_of_the_document(
    service: Service, name: str
) -> None:
    """Any name reaches the client whole, in a header of ASCII alone."""
    document = created(upload(service, parcel(b"x", name)))
    assert name == document["name"]
    assert name == name_of(content(service, document))


@pytest.mark.rule("plain-download")
def test_a_note_is_downloaded_like_a_file(service: Service) -> None:
    """A note is a document like any other."""
    text = "<b>Größe</b>"
    answer = content(
        service, created(send(service, "/notes", JSON, note(text)))
    )
    assert text.encode() == answer.content
    assert "application/octet-stream" == answer.headers["content-type"]
    assert "nosniff" == answer.headers.get("x-content-type-options")
    assert "note.txt" == name_of(answer)


# no-encoding


@pytest.mark.rule("no-encoding")
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity, gzip", gzip.compress),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("nonsense", bytes),
    ],
)
def test_a_body_with_an_encoding_is_not_read(
    service: Service, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    """Packed or only said to be, it is 415, and told what would do."""
    for path, kind, body in (
        ("/documents", MULTIPART, parcel()),
        ("/notes", JSON, note()),
        ("/notes", FORM, note_form()),
    ):
        answer = send(service, path, kind, pack(body), content_encoding=coding)
        assert_problem(answer, 415)
        assert {"identity"} == listed(answer, "accept-encoding")


@pytest.mark.rule("no-encoding")
@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_an_encoding_that_the_server_cannot_undo_is_refused(
    service: Service, coding: str
) -> None:
    """What nobody here could unpack is refused all the same."""
    answer = send(service, "/notes", JSON, note(), content_encoding=coding)
    assert_problem(answer, 415)
    assert {"identity"} == listed(answer, "accept-encoding")


@pytest.mark.rule("no-encoding")
def test_nothing_is_unpacked(roomy: Service) -> None:
    """A small body that is huge inside costs no memory."""
    bomb = gzip.compress(bytes(2 * LARGE))
    at_first = peak(roomy)
    for path, kind in (("/documents", MULTIPART), ("/notes", JSON)):
        answer = send(roomy, path, kind, bomb, content_encoding="gzip")
        assert_problem(answer, 415)
    assert peak(roomy) - at_first < LARGE / 3


@pytest.mark.rule("no-encoding")
def test_a_body_as_it_is_may_say_so(service: Service) -> None:
    """`identity` is no encoding."""
    for coding in ("identity", "Identity"):
        created(send(service, "/notes", JSON, note(), content_encoding=coding))
