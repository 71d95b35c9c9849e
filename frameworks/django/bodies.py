"""Bodies in Django under WSGI: counted as they come, and whole."""

from collections.abc import Callable
from functools import wraps
from io import RawIOBase
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

from shared import documents

type View = Callable[..., HttpResponseBase]

TAIL = 1024


class WatchedBody(RawIOBase):
    """A body that is counted as it comes, in chunks or of a length."""

    def __init__(self, stream: Any, limit: int, length: int | None) -> None:
        self._stream = stream
        self._limit = limit
        self._length = length
        self._count = 0
        self.tail = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, to the length that was stated or beyond the limit."""
        whole = self._limit + 1 if self._length is None else self._length
        room = whole - self._count
        wanted = room if size is None or size < 0 else min(size, room)
        try:
            data: bytes = self._stream.read(wanted) if wanted else b""
        except Exception:  # Each server has its own for broken chunks.
            raise UnreadablePostError from None
        self._count += len(data)
        # rule: body-limit
        if self._count > self._limit:
            raise RequestDataTooBig
        # rule: whole-or-nothing
        if self._length is not None and len(data) < wanted:
            raise UnreadablePostError
        self.tail = (self.tail + data)[-TAIL:]
        return data


class WholeParser(MultiPartParser):
    """A parser that misses the last boundary where it is not."""

    def __init__(self, meta: Any, body: Any, *args: Any) -> None:
        super().__init__(meta, body, *args)
        self.body: WatchedBody = body._stream
        _, parameters = parse_header_parameters(meta["CONTENT_TYPE"])
        self.end = f"--{parameters['boundary']}--".encode()

    def parse(self) -> tuple[Any, Any]:
        """Parse to the end, and see that it was one."""
        fields, files = super().parse()
        # rule: whole-or-nothing
        if self.end not in self.body.tail:
            raise MultiPartParserError("no last boundary")
        return fields, files

    def sanitize_file_name(self, file_name: str) -> str:
        """Clean a name; Django would leave out a file that is called `..`."""
        # rule: own-names
        return documents.clean_name(file_name)


def limit_body(limit: int) -> Callable[[View], View]:
    """Have a view read so many bytes and no more."""

    def decorate(view: View) -> View:
        @wraps(view)
        def limited(request: Any) -> HttpResponseBase:
            length = int(request.META.get("CONTENT_LENGTH") or 0) or None
            # rule: body-limit
            if (length or 0) > limit:
                raise RequestDataTooBig
            stream = request.META["wsgi.input"]
            request._stream = WatchedBody(stream, limit, length)
            # A body in chunks has no length, and would be taken for none.
            # rule: chunks
            request.META["CONTENT_LENGTH"] = str(length or limit)
            request.multipart_parser_class = WholeParser
            # The parser knows its type in small letters only.
            media_type = request.META.get("CONTENT_TYPE", "")
            kind, semicolon, rest = media_type.partition(";")
            request.META["CONTENT_TYPE"] = kind.lower() + semicolon + rest
            return view(request)

        return limited

    return decorate
