"""Problem documents by Litestar's plugin for them."""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from litestar import Request, Response
from litestar.config.app import AppConfig
from litestar.exceptions import (
    ClientException,
    HTTPException,
    InternalServerException,
    ValidationException,
)
from litestar.plugins.problem_details import (
    ProblemDetailsConfig,
    ProblemDetailsException,
    ProblemDetailsPlugin,
)
from litestar.types import Logger, Scope

from shared import strict_json
from shared.failures import failure_document, failure_id
from shared.problems import (
    MEDIA_TYPE,
    FieldError,
    json_pointer,
    problem_document,
)

JSON_TYPE = re.compile(r"application/([^/]+\+)?json")
# What msgspec says, before the value or the name that a client sent.
WRONG_VALUE = re.compile(r"(Invalid (?:enum )?value) .*", re.DOTALL)
WRONG_FIELD = re.compile(r"(Object .+? field) `(.*)", re.DOTALL)


class QueryError(ValidationException):
    """A query that cannot be, told parameter by parameter."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        super().__init__(
            extra=[
                {"source": "query", "key": name, "message": text}
                for name, text in messages.items()
            ]
        )


class StrictRequest(Request[Any, Any, Any]):
    """A request that takes nothing for JSON that is not JSON."""

    async def body(self) -> bytes:
        """Read the body; one that breaks off is the client's fault."""
        try:
            return await super().body()
        except InternalServerException:
            raise ClientException from None

    async def json(self) -> Any:
        """Read one JSON text, if it is called one."""
        # rule: preflight-forced
        if not JSON_TYPE.fullmatch(self.content_type[0]):
            raise ClientException(status_code=415)
        try:
            return strict_json.loads(await self.body())
        except ValueError:
            raise ClientException from None


class WholeProblem(ProblemDetailsException):
    """An exception whose `extra` is the whole problem document."""

    def to_response(
        self, request: Request[Any, Any, Any]
    ) -> Response[dict[str, Any]]:
        """Add nothing to it; Litestar would add a detail of its own."""
        assert isinstance(self.extra, dict)
        return Response(
            self.extra,
            media_type=MEDIA_TYPE,
            status_code=self.status_code,
            headers=self.headers,
        )


class ProblemPlugin(ProblemDetailsPlugin):
    """Answer every error of the application with a problem document."""

    def __init__(self, quiet: Collection[type[Exception]] = ()) -> None:
        """Log what nobody expected: neither 4xx nor exactly these types."""
        self.quiet = quiet
        super().__init__(
            ProblemDetailsConfig(
                exception_to_problem_detail_map={
                    # rule: problem-document
                    HTTPException: convert_http_error,
                    ValidationException: convert_validation_error,
                    # rule: problem-document
                    Exception: convert_failure,
                }
            )
        )

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Read JSON strictly, and log what is no fault of the client."""
        app_config.request_class = StrictRequest
        if app_config.logging_config:
            app_config.logging_config.log_exceptions = "always"
            app_config.logging_config.disable_stack_trace |= {
                *range(400, 500),
                *self.quiet,
            }
            app_config.logging_config.exception_logging_handler = log_failure
        return super().on_app_init(app_config)


def convert_http_error(error: HTTPException) -> ProblemDetailsException:
    """Keep the status and the headers (`Allow`), replace the body."""
    return problem(error.status_code, headers=error.headers)


def convert_validation_error(
    error: ValidationException,
) -> ProblemDetailsException:
    """Tell by the sources of the errors what they mean."""
    found = error.extra if isinstance(error.extra, list) else []
    sources = {each.get("source") for each in found}
    if "path" in sources:
        return problem(404)
    # Litestar's words for a body that is not there.
    if {"source": "body", "key": "data", "message": "'data'"} in found:
        return problem(400)
    errors = [field_error(each) for each in found]
    if "body" in sources:
        return problem(422, "The body is not valid.", errors)
    return problem(400, "The query is not valid.", errors)


def convert_failure(error: Exception) -> ProblemDetailsException:
    """Tell where to find it; it has been logged before."""
    return WholeProblem(status_code=500, extra={**failure_document(error)})


def log_failure(logger: Logger, scope: Scope, _trace: list[str]) -> None:
    """Log a failure with its id; its trace is at hand."""
    error = sys.exception()
    assert error is not None
    logger.exception(
        "Failure in %s %r %s",
        scope["type"],
        scope["path"],
        # rule: findable
        failure_id(error).urn,
    )


def field_error(error: Mapping[str, str]) -> FieldError:
    """Say where the error is, and not what was there."""
    detail = WRONG_VALUE.sub(r"\1", error["message"])
    if error.get("source") != "body":
        return {"parameter": error.get("key", ""), "detail": detail}
    path = re.findall(r"[^.\[\]]+", error["key"].removeprefix("data"))
    if field := WRONG_FIELD.match(detail):
        detail, name = field.groups()
        path.append(name.removesuffix("`"))
    return {"pointer": json_pointer(path), "detail": detail}


def problem(
    status: int,
    detail: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> ProblemDetailsException:
    """Make an exception of a problem document."""
    document = problem_document(status, detail, errors)
    return WholeProblem(
        status_code=status, headers=headers, extra={**document}
    )
