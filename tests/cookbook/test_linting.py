import gzip
from collections.abc import Mapping

import httpx2

from cookbook.contract.exchanges import note_exchange
from cookbook.contract.linting import reading, remarks_on, take_remarks


def answer(
    status: int,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"{}",
    method: str = "POST",
) -> httpx2.Response:
    """An answer with JSON in it, as it was read from the wire."""
    asked = httpx2.Request(method, "http://x/books")
    fields = {"content-type": "application/json", **(headers or {})}
    return httpx2.Response(
        status, request=asked, headers=fields, content=content
    )


def notes(*answers: httpx2.Response) -> list[str]:
    """Name what is wrong with some answers."""
    return [one.note for each in answers for one in remarks_on(each)]


def test_a_good_answer() -> None:
    """Nothing is wrong with what is as it should be."""
    assert [] == notes(answer(201, {"location": "/books/1"}), answer(404))


def test_a_fault() -> None:
    """A fault is told by its name and in words."""
    (remark,) = remarks_on(answer(201))
    assert (
        "httplint: A new resource was created without its location being"
        " sent. (CREATED_WITHOUT_LOCATION)"
    ) == remark.text


def test_a_wrong_length() -> None:
    """A length that is not that of the body is a fault."""
    assert ["CL_INCORRECT"] == notes(answer(200, {"content-length": "7"}))


def test_a_head_without_a_body() -> None:
    """The length of an answer to HEAD is that of another answer."""
    head = answer(200, {"content-length": "7"}, b"", "HEAD")
    assert [] == notes(head)


def test_a_packed_body() -> None:
    """The length of a packed body is not that of what was in it."""
    packed = gzip.compress(b"{}" * 99)
    fields = {"content-encoding": "gzip", "content-length": str(len(packed))}
    assert [] == notes(answer(200, fields, packed))


def test_what_may_be_sent() -> None:
    """What is taken may be said in an answer, whatever httplint says."""
    fields = {"accept": "application/json", "accept-encoding": "identity"}
    assert [] == notes(answer(415, fields))
    asked = {"accept-language": "de"}
    assert ["REQUEST_HDR_IN_RESPONSE"] == notes(answer(415, asked))


def test_the_fault_of_a_request() -> None:
    """A service has no part in what is wrong with a request."""
    asked = httpx2.Request("GET", "http://x/", headers={"range": "nonsense"})
    assert [] == notes(httpx2.Response(200, request=asked, content=b"a"))


def test_each_fault_is_told_once() -> None:
    """What was found twice is told once, and the next time not at all."""
    with reading():
        note_exchange(answer(201))
        note_exchange(answer(201))
        found = [one.note for one in take_remarks()]
        assert (["CREATED_WITHOUT_LOCATION"], []) == (found, take_remarks())


def test_nothing_is_read_unasked() -> None:
    """Outside of a contract answers are not read."""
    note_exchange(answer(201))
    with reading():
        assert [] == take_remarks()


def test_a_declared_difference_excuses() -> None:
    """What a difference accounts for is no fault, and the rest is."""
    wrong = answer(201, {"content-length": "7"})
    with reading():
        note_exchange(wrong, {"CREATED_WITHOUT_LOCATION"})
        assert ["CL_INCORRECT"] == [one.note for one in take_remarks()]
