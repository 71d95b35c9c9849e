"""What is wrong with a request: places, codes, and one answer for all.

The codes are a closed list, and stay; their words may change any day.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from shared.problems import (
    FieldError,
    Problem,
    json_pointer,
    problem_document,
)

DETAILS = {
    "missing": "It is required.",
    "unknown": "Nothing here has that name.",
    "wrong_type": "It is of another type than asked for.",
    "bad_format": "It is not written as asked for.",
    "not_one_of": "It is none of the values to choose from.",
    "too_short": "It is shorter than allowed.",
    "too_long": "It is longer than allowed.",
    "too_small": "It is smaller than allowed.",
    "too_large": "It is larger than allowed.",
    "not_after": "It has to be later than what it follows.",
}

# Pydantic's types of error that are not in the list by their own name.
PYDANTIC_CODES = {
    "extra_forbidden": "unknown",
    "bool_type": "wrong_type",
    "date_type": "wrong_type",
    "int_type": "wrong_type",
    "is_instance_of": "wrong_type",
    "list_type": "wrong_type",
    "model_attributes_type": "wrong_type",
    "model_type": "wrong_type",
    "string_type": "wrong_type",
    "string_pattern_mismatch": "bad_format",
    "value_error": "bad_format",
    "literal_error": "not_one_of",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "greater_than_equal": "too_small",
    "less_than_equal": "too_large",
}

type Path = tuple[str | int, ...]


class Refusal(NamedTuple):
    """One thing that is wrong: where, and what."""

    path: Path
    code: str


class CodedError(FieldError):
    """A part of a problem document that names its code."""

    code: str


def pydantic_refusals(
    errors: Iterable[Mapping[str, Any]], prefix: int = 0
) -> Iterator[Refusal]:
    """Take places and types from Pydantic's errors, and nothing else.

    `prefix` is how many steps of each place are not of the document.
    """
    for each in errors:
        code = PYDANTIC_CODES.get(each["type"], each["type"])
        yield Refusal(each["loc"][prefix:], code)


def marshmallow_refusals(messages: Any, path: Path = ()) -> Iterator[Refusal]:
    """Walk marshmallow's nested messages, which are codes, to their places.

    What is wrong with a whole is kept under `_schema`; and a client may
    send a member of that name.
    """
    if isinstance(messages, dict):
        for step, inner in messages.items():
            whole = step == "_schema" and inner != ["unknown"]
            below = path if whole else (*path, step)
            yield from marshmallow_refusals(inner, below)
    else:
        yield Refusal(path, messages[0])


def refuse_body(refusals: Iterable[Refusal], most: int) -> Problem:
    """Tell all that is wrong with a body, place by place."""
    found = in_order(refusals)
    errors = [
        CodedError(pointer=json_pointer(path), code=code, detail=DETAILS[code])
        for path, code in first(found, most)
    ]
    detail = told("The body is not valid.", len(found), most)
    return problem_document(422, detail, errors)


def refuse_query(refusals: Iterable[Refusal], most: int) -> Problem:
    """Tell all that is wrong with a query, parameter by parameter."""
    found = in_order(refusals)
    errors = [
        CodedError(parameter=str(path[0]), code=code, detail=DETAILS[code])
        for path, code in first(found, most)
    ]
    detail = told("The query is not valid.", len(found), most)
    return problem_document(400, detail, errors)


def in_order(refusals: Iterable[Refusal]) -> list[Refusal]:
    """Sort by place: names as text, indexes as numbers."""
    found = list(refusals)
    # rule: all-at-once
    found.sort(key=place_in_order)
    return found


def place_in_order(refusal: Refusal) -> list[tuple[bool, str | int]]:
    """Make places comparable, whatever they are made of."""
    return [(isinstance(step, int), step) for step in refusal.path]


def first(found: list[Refusal], most: int) -> list[Refusal]:
    """Bound the answer: nobody reads ten thousand errors."""
    shown = list(found)
    # rule: bounded
    del shown[most:]
    return shown


def told(text: str, count: int, most: int) -> str:
    """Say so where not all is told."""
    if count > most:
        return f"{text} Only the first {most} of {count} errors are listed."
    return text
