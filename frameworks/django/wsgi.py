"""What Django under WSGI leaves open about requests, closed."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse
from django.utils.http import parse_header_parameters

from frameworks.django.problems import problem_response
from shared.problems import problem_document


class Request(WSGIRequest):
    """A request that is read as UTF-8, whatever it is called."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Take a content type that cannot be read for none.

        Django would decode the query too by the `charset` of the body;
        `charset=rot13` is an error that no error handler sees.
        """
        try:
            kind, options = parse_header_parameters(meta["CONTENT_TYPE"])
        except (KeyError, ValueError):
            kind, options = "", {}
        self.content_type, self.content_params = kind, options


class Handler(WSGIHandler):
    """Django's WSGI application, with requests of the class above."""

    request_class = Request


def chunked_bodies(
    get_response: Callable[[WSGIRequest], HttpResponse],
) -> Callable[[WSGIRequest], HttpResponse]:
    """Read a body sent in chunks, which Django takes for an empty one.

    See https://code.djangoproject.com/ticket/35838. It is read whole, so
    `DATA_UPLOAD_MAX_MEMORY_SIZE` holds for files too.
    """

    def middleware(request: WSGIRequest) -> HttpResponse:
        if not request.META.get("CONTENT_LENGTH"):
            status = read_chunks(request)
            if status is not None:
                return problem_response(problem_document(status))
        return get_response(request)

    return middleware


def read_chunks(request: WSGIRequest) -> int | None:
    """Put the body in the place of its stream, or give a status."""
    if not request.META.get("wsgi.input_terminated"):
        return 411 if "HTTP_TRANSFER_ENCODING" in request.META else None
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        body = request.META["wsgi.input"].read(limit + 1)
    except Exception:  # Each server has its own for broken chunks.
        return 400
    if len(body) > limit:
        return 413
    request.META["CONTENT_LENGTH"] = str(len(body))
    request._stream = BytesIO(body)
    return None
