"""Problem documents by Django's own middleware."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from pydantic import BaseModel, ValidationError

from shared import strict_json
from shared.failures import failure_document
from shared.problems import (
    MEDIA_TYPE,
    FieldError,
    Problem,
    json_pointer,
    problem_document,
)

FAILURE = "cookbook.failure"


class ProblemError(Exception):
    """A request that is refused, and the problem document that says why."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(detail)
        self.problem = problem_document(status, detail, errors)


class QueryError(ProblemError):
    """A query that cannot be, told parameter by parameter."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        errors: list[FieldError] = [
            {"parameter": name, "detail": text}
            for name, text in messages.items()
        ]
        super().__init__(400, "The query is not valid.", errors)


class BodyError(ProblemError):
    """A body that cannot be, told member by member."""

    def __init__(self, error: ValidationError) -> None:
        errors: list[FieldError] = [
            {"pointer": json_pointer(one["loc"]), "detail": one["msg"]}
            for one in error.errors()
        ]
        super().__init__(422, "The body is not valid.", errors)


class ProblemMiddleware:
    """Answer every error of the application with a problem document."""

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponse]
    ) -> None:
        self.get_response = get_response
        got_request_exception.connect(remember_failure)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Keep the status and the headers (`Allow`), replace the page."""
        response = self.get_response(request)
        # rule: problem-document
        if is_error_page(response):
            replace_page(response, request.META.get(FAILURE))
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer what Django has another status for, or none."""
        match exception:
            case ProblemError():
                return problem_response(exception.problem)
            case RequestDataTooBig():
                return problem_response(problem_document(413))
            case UnreadablePostError():
                return problem_response(problem_document(400))
        return None


def remember_failure(request: HttpRequest | None, **_: object) -> None:
    """Keep what to tell of a failure; Django forgets it before it answers."""
    error = sys.exception()
    if request is not None and error is not None:
        request.META[FAILURE] = failure_document(error)


def is_error_page(response: HttpResponse) -> bool:
    """Tell Django's own pages; those with a traceback are left alone."""
    if settings.DEBUG and response.status_code >= 500:
        return False
    html = response.headers.get("Content-Type", "").startswith("text/html")
    return html and response.status_code >= 400


def replace_page(response: HttpResponse, failure: Problem | None) -> None:
    """Put a problem document in the place of a page."""
    problem = problem_document(response.status_code)
    if failure is not None and response.status_code == failure["status"]:
        problem = failure
    response.content = problem_response(problem).content
    response.headers["Content-Type"] = MEDIA_TYPE
    response.headers["Content-Length"] = str(len(response.content))


def problem_response(problem: Problem) -> HttpResponse:
    """Answer with a problem document."""
    return JsonResponse(
        problem, status=problem["status"], content_type=MEDIA_TYPE
    )


def read_query[Model: BaseModel](
    request: HttpRequest, model: type[Model]
) -> Model:
    """Read the query string as a model has it."""
    try:
        return model.model_validate(request.GET.dict())
    except ValidationError as error:
        raise QueryError(
            {str(one["loc"][0]): one["msg"] for one in error.errors()}
        ) from None


def read_json[Model: BaseModel](
    request: HttpRequest, model: type[Model]
) -> Model:
    """Read the body as a model has it; it has to be called JSON."""
    return fill(model, load_json(request))


def load_json(request: HttpRequest) -> Any:
    """Read the body, whatever JSON it is; it has to be called so."""
    # rule: preflight-forced
    if not is_json(request.content_type or ""):
        raise ProblemError(415)
    try:
        return strict_json.loads(request.body)
    except ValueError:
        raise ProblemError(400, "The body is not JSON.") from None


def fill[Model: BaseModel](model: type[Model], document: Any) -> Model:
    """Make a model of what a client has sent."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise BodyError(error) from None


def is_json(media_type: str) -> bool:
    """Tell JSON, and what is built on it, by name."""
    kind, _, name = media_type.partition("/")
    return kind == "application" and (name == "json" or name.endswith("+json"))
