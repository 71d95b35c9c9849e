"""One request to one server, and what came back."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from time import monotonic
from typing import Self

import httpx2

from cookbook.book import Example
from cookbook.contract.examples import fill
from cookbook.contract.service import make_client

PATIENCE = 10.0
"""How long an answer may take, or a stream is listened to, in seconds."""

MOST = 1 << 16
"""How much of an answer is read, in bytes."""

_NAMES = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Request:
    """What is sent: `{name}` stands for what an earlier answer gave."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    @classmethod
    def of(cls, example: Example) -> Self:
        """Take the request of an example."""
        body = example.body
        if body is None:
            text = ""
        elif isinstance(body, str):
            text = body
        else:
            text = json.dumps(body, indent=2, ensure_ascii=False)
        headers = tuple(example.headers.items())
        return cls(example.method, example.path, headers, text)

    @property
    def names(self) -> set[str]:
        """Find the names that stand for something."""
        return set(_NAMES.findall(f"{self.path} {self.headers} {self.body}"))

    def filled(self, given: Mapping[str, str]) -> "Request":
        """Put values in place of their names."""
        return replace(
            self,
            path=fill(self.path, given),
            headers=tuple((n, fill(v, given)) for n, v in self.headers),
            body=fill(self.body, given),
        )


@dataclass(frozen=True)
class Answer:
    """What a server has answered; or the `trouble`, with its log."""

    request: Request | None = None
    response: httpx2.Response | None = None
    trouble: str = ""
    log: str = ""

    @property
    def status(self) -> str:
        """Write the status, with the words that belong to it."""
        if self.response is None:
            return ""
        code = self.response.status_code
        known = code in {each.value for each in HTTPStatus}
        return f"{code} {HTTPStatus(code).phrase}" if known else str(code)

    @property
    def headers(self) -> dict[str, str]:
        """Collect the headers; one that is there twice has two lines."""
        found: dict[str, str] = {}
        if self.response is not None:
            for name, value in self.response.headers.multi_items():
                before = found.get(name)
                found[name] = value if before is None else f"{before}\n{value}"
        return found

    @property
    def body(self) -> list[str]:
        """Write the body line by line; JSON indented, in its own order."""
        if self.response is None:
            return []
        if "json" in self.response.headers.get("content-type", ""):
            try:
                document = self.response.json()
            except ValueError:
                pass
            else:
                text = json.dumps(document, indent=2, ensure_ascii=False)
                return text.splitlines()
        return self.response.text.splitlines()


def trouble(says: str, log: str = "") -> Answer:
    """Make an answer of what went wrong before there was one."""
    return Answer(trouble=says, log=log)


def exchange(url: str, request: Request) -> Answer:
    """Send a request to the server at `url`, and to no other.

    Of an answer that does not end, or is long, the beginning is taken.
    """
    end = monotonic() + PATIENCE
    raw, cut = b"", ""
    try:
        with (
            make_client(url, PATIENCE) as client,
            client.stream(
                request.method,
                url,
                headers=[
                    (name.encode("ascii"), value.encode("latin-1"))
                    for name, value in request.headers
                ],
                content=request.body.encode() or None,
                # As it was written: no part of it is taken for another host.
                extensions={"target": request.path.encode()},
            ) as stream,
        ):
            answer = stream
            try:
                for part in stream.iter_raw():
                    raw += part
                    if len(raw) > MOST:
                        cut = f"Only the first {MOST >> 10} KiB are shown."
                    elif monotonic() > end:
                        cut = f"It goes on: {PATIENCE:g} seconds are shown."
                    if cut:
                        break
            except httpx2.ReadTimeout:
                cut = f"Nothing more came in {PATIENCE:g} seconds."
            except httpx2.TransportError as error:
                cut = f"It broke off: {error}."
    except httpx2.TimeoutException:
        says = f"No answer in {PATIENCE:g} seconds."
        return Answer(request, trouble=says)
    except (httpx2.TransportError, ValueError) as error:
        says = f"No answer: {error or type(error).__name__}."
        return Answer(request, trouble=says)
    return Answer(request, read(answer, raw[:MOST]), trouble=cut)


def read(answer: httpx2.Response, raw: bytes) -> httpx2.Response:
    """Make a whole answer of what was read of it."""
    headers = answer.headers.multi_items()
    try:
        return httpx2.Response(
            answer.status_code, headers=headers, content=raw
        )
    except httpx2.DecodingError:
        plain = [h for h in headers if h[0].lower() != "content-encoding"]
        return httpx2.Response(answer.status_code, headers=plain, content=raw)
