"""Problem documents, the one shape of every error (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NotRequired, TypedDict

MEDIA_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """What is wrong with one part of a request.

    `parameter` names a query parameter; `pointer` is a JSON pointer into
    the body (RFC 6901).
    """

    detail: str
    parameter: NotRequired[str]
    pointer: NotRequired[str]


class Problem(TypedDict):
    """The members of a problem document that recipes use."""

    type: str
    title: str
    status: int
    detail: NotRequired[str]
    instance: NotRequired[str]
    errors: NotRequired[Sequence[FieldError]]


def problem_document(
    status: int,
    detail: str | None = None,
    errors: Sequence[FieldError] = (),
) -> Problem:
    """Describe an error without anything of the inside.

    The type `about:blank` says: the status code tells it all.
    """
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        # rule: true-status
        status=status,
    )
    if detail:
        problem["detail"] = detail
    if errors:
        problem["errors"] = errors
    return problem


def named_problem(status: int, name: str, title: str, detail: str) -> Problem:
    """Describe an error that has a type of its own, the same for ever."""
    problem = problem_document(status, detail)
    problem["type"] = f"https://example.com/problems/{name}"
    problem["title"] = title
    return problem


def json_pointer(path: Sequence[str | int]) -> str:
    """Write a path into a document as a JSON pointer."""
    return "".join(
        "/" + str(step).replace("~", "~0").replace("/", "~1") for step in path
    )
