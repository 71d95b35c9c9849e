"""Problem documents by a middleware, where aiohttp handles errors."""

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from shared import strict_json
from shared.failures import failure_document, failure_id
from shared.problems import (
    MEDIA_TYPE,
    FieldError,
    json_pointer,
    problem_document,
)

JSON_TYPE = re.compile(r"application/([^/]+\+)?json")


class QueryError(web.HTTPBadRequest):
    """A query that cannot be, told parameter by parameter."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        errors: list[FieldError] = [
            {"parameter": name, "detail": text}
            for name, text in messages.items()
        ]
        problem = problem_document(400, "The query is not valid.", errors)
        super().__init__(text=json.dumps(problem), content_type=MEDIA_TYPE)


class BodyError(web.HTTPUnprocessableEntity):
    """A body that cannot be, told place by place."""

    def __init__(self, error: ValidationError) -> None:
        errors: list[FieldError] = [
            {"pointer": json_pointer(each["loc"]), "detail": each["msg"]}
            for each in error.errors()
        ]
        problem = problem_document(422, "The body is not valid.", errors)
        super().__init__(text=json.dumps(problem), content_type=MEDIA_TYPE)


class FailureError(web.HTTPInternalServerError):
    """A failure that nobody expected, as its own answer."""

    def __init__(self, error: Exception) -> None:
        problem = failure_document(error)
        super().__init__(text=json.dumps(problem), content_type=MEDIA_TYPE)


def read_query[Model: BaseModel](
    request: web.Request, model: type[Model]
) -> Model:
    """Read the query as a model has it; of a repeated name, the first."""
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as error:
        raise QueryError(
            {str(each["loc"][0]): each["msg"] for each in error.errors()}
        ) from None


async def read_json[Model: BaseModel](
    request: web.Request, model: type[Model]
) -> Model:
    """Read the body as a model has it; it has to be called JSON."""
    return fill(model, await load_json(request))


async def load_json(request: web.Request) -> Any:
    """Read the body, whatever JSON it is; it has to be called so."""
    # rule: preflight-forced
    if not JSON_TYPE.fullmatch(request.content_type):
        raise web.HTTPUnsupportedMediaType
    try:
        # `request.json()` would follow a charset that the client names.
        return strict_json.loads(await request.read())
    except (ValueError, ConnectionError, web.RequestPayloadError):
        raise web.HTTPBadRequest from None


def fill[Model: BaseModel](model: type[Model], document: Any) -> Model:
    """Make a model of what a client has sent."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise BodyError(error) from None


@web.middleware
async def answer_problems(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer every error of the application with a problem document."""
    try:
        return await handler(request)
    # rule: expected-quiet
    except web.HTTPException as error:
        # The exception is the response: keep its headers (`Allow`).
        # rule: problem-document
        if error.status >= 400 and error.content_type != MEDIA_TYPE:
            error.text = json.dumps(problem_document(error.status))
            error.content_type = MEDIA_TYPE
        raise
    except Exception as error:
        request.app.logger.exception(
            "Failure in %s %s %s",
            request.method,
            request.rel_url.raw_path,
            # rule: findable
            failure_id(error).urn,
        )
        if request.writer.output_size:
            # The answer has begun: the server cuts the connection.
            raise
        raise FailureError(error) from error
