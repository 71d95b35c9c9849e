"""Problem documents by Flask's own error handlers."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from flask import Flask, Request, json
from flask.json.provider import DefaultJSONProvider
from marshmallow import EXCLUDE, Schema, ValidationError
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    InternalServerError,
)
from werkzeug.wrappers import Response

from shared import strict_json
from shared.failures import NameFailures, failure_document
from shared.problems import (
    MEDIA_TYPE,
    FieldError,
    json_pointer,
    problem_document,
)


class QueryError(BadRequest):
    """A query that cannot be, told parameter by parameter."""

    def __init__(self, messages: dict[str, list[str]]) -> None:
        super().__init__("The query is not valid.")
        self.messages = messages


class QuerySchema(Schema):
    """A schema of a query string: what it does not know, it leaves out."""

    class Meta:
        unknown = EXCLUDE

    def handle_error(
        self, error: ValidationError, data: Any, **kwargs: Any
    ) -> NoReturn:
        """Tell a wrong query (400) from a wrong body (422)."""
        raise QueryError(error.normalized_messages())


class CarefulRequest(Request):
    """A request whose body may break off."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Read the body; one that cannot be read is the client's fault."""
        try:
            return super().get_data(*args, **kwargs)
        except HTTPException:
            raise
        except Exception:  # servers raise errors of their own
            raise BadRequest from None


class StrictJSONProvider(DefaultJSONProvider):
    """Flask's JSON, reading nothing that is not JSON."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read one JSON text; `get_json` answers a `ValueError` with 400."""
        return strict_json.loads(s)


def register_problems(app: Flask) -> None:
    """Answer every error of the application with a problem document."""
    app.request_class = CarefulRequest
    app.json = StrictJSONProvider(app)
    # rule: problem-document
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(InternalServerError, answer_failure)
    app.register_error_handler(QueryError, answer_query_error)
    app.register_error_handler(ValidationError, answer_body_error)
    name_failures(app.logger, logging.getLogger("gunicorn.error"))


def name_failures(*loggers: logging.Logger) -> None:
    """Have failures logged with their ids, by Flask and by the server."""
    for logger in loggers:
        # rule: findable
        logger.addFilter(NameFailures())


def answer_http_error(error: HTTPException) -> Response:
    """Keep the status and the headers (`Allow`), replace the page."""
    problem = problem_document(error.code or 500)
    return problem_response(error.get_response(), problem)


def answer_failure(error: InternalServerError) -> Response:
    """Tell where to find it; Flask has logged and signalled it before."""
    failure = error.original_exception or error
    return problem_response(Response(status=500), failure_document(failure))


def answer_query_error(error: QueryError) -> Response:
    """Name the parameters."""
    errors: list[FieldError] = [
        {"parameter": name, "detail": texts[0]}
        for name, texts in error.messages.items()
    ]
    problem = problem_document(400, error.description, errors)
    return problem_response(Response(status=400), problem)


def answer_body_error(error: ValidationError) -> Response:
    """Name the places in the body."""
    errors: list[FieldError] = [
        {"pointer": json_pointer(path), "detail": text}
        for path, text in leaves(error.normalized_messages())
    ]
    problem = problem_document(422, "The body is not valid.", errors)
    return problem_response(Response(status=422), problem)


def problem_response(response: Response, problem: Any) -> Response:
    """Put a problem document into a response."""
    response.data = json.dumps(problem)
    response.content_type = MEDIA_TYPE
    return response


def leaves(
    messages: Any, path: Sequence[str | int] = ()
) -> Iterator[tuple[Sequence[str | int], str]]:
    """Walk marshmallow's nested messages down to their texts."""
    if isinstance(messages, dict):
        for step, inner in messages.items():
            below = path if step == "_schema" else [*path, step]
            yield from leaves(inner, below)
    else:
        for text in messages:
            yield path, text
