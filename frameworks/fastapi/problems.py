"""Problem documents by FastAPI's own exception handlers."""

import logging
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from shared import strict_json
from shared.failures import NameFailures, failure_document
from shared.problems import (
    MEDIA_TYPE,
    FieldError,
    json_pointer,
    problem_document,
)

JSON_TYPE = re.compile(r"application/([^/]+\+)?json", re.IGNORECASE)


class QueryError(RequestValidationError):
    """A query that cannot be, told parameter by parameter."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        super().__init__(
            [
                {"type": "value_error", "loc": ("query", name), "msg": text}
                for name, text in messages.items()
            ]
        )


class StrictRequest(Request):
    """A request that takes nothing for JSON that is not JSON."""

    async def json(self) -> Any:
        """Read one JSON text; FastAPI answers a `ValueError` with 400."""
        return strict_json.loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose handler is given the strict request."""

    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the strict request in the place of the other."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def require_json(request: Request) -> None:
    """Refuse what is not called JSON, before anything is looked up."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0]
    if not JSON_TYPE.fullmatch(media_type.strip()):
        raise HTTPException(415)


def register_problems(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    # rule: problem-document
    app.exception_handler(HTTPException)(answer_http_error)
    # rule: problem-document
    app.exception_handler(RequestValidationError)(answer_request_error)
    # rule: problem-document
    app.exception_handler(Exception)(answer_failure)
    # rule: findable
    logging.getLogger("uvicorn.error").addFilter(NameFailures())


async def answer_http_error(
    _request: Request, error: HTTPException
) -> Response:
    """Keep the status and the headers (`Allow`), replace the body."""
    return problem_response(error.status_code, headers=error.headers)


async def answer_request_error(
    _request: Request, error: RequestValidationError
) -> Response:
    """Tell by the places of the errors what they mean."""
    found = [(*each["loc"], each["type"]) for each in error.errors()]
    if any(place == "path" for place, *_ in found):
        return problem_response(404)
    # FastAPI hands on as bytes what is not called JSON.
    if isinstance(error.body, bytes):
        return problem_response(415)
    if ("body", "missing") in found:
        return problem_response(400)
    errors = [field_error(each) for each in error.errors()]
    if any("parameter" in each for each in errors):
        return problem_response(400, "The query is not valid.", errors)
    return problem_response(422, "The body is not valid.", errors)


async def answer_failure(_request: Request, error: Exception) -> Response:
    """Tell where to find it; Starlette raises it again, and it is logged."""
    response = JSONResponse(failure_document(error), 500, None, MEDIA_TYPE)
    # uvicorn closes the connection on an error: the client is to know.
    # rule: survives
    response.headers["Connection"] = "close"
    return response


def field_error(error: dict[str, Any]) -> FieldError:
    """Say where the error is, and not what was there."""
    place, *path = error["loc"]
    if place == "body":
        return {"pointer": json_pointer(path), "detail": error["msg"]}
    return {"parameter": str(path[0]), "detail": error["msg"]}


def problem_response(
    status: int,
    detail: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a response of a problem document."""
    problem = problem_document(status, detail, errors)
    return JSONResponse(problem, status, headers, MEDIA_TYPE)
