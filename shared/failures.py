"""Failures that nobody expected: one id for the client, log and tracker."""

import logging
from typing import Any
from uuid import UUID, uuid4

from shared.problems import Problem, problem_document


def failure_id(error: BaseException) -> UUID:
    """Give the id of a failure, the same however often it is asked for.

    It belongs to the first cause: frameworks and servers wrap what they
    pass on.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    # rule: fresh-id
    found: UUID = error.__dict__.setdefault("failure_id", uuid4())
    return found


def failure_document(error: BaseException) -> Problem:
    """Tell of a failure where to find it, and nothing of the inside."""
    problem = problem_document(500)
    # rule: findable
    problem["instance"] = failure_id(error).urn
    # rule: nothing-inside
    return problem


def name_report(event: Any, hint: dict[str, Any]) -> Any:
    """Give the report of a failure the id of the failure, for Sentry."""
    if "exc_info" in hint:
        # rule: findable
        event["event_id"] = failure_id(hint["exc_info"][1]).hex
    return event


class NameFailures(logging.Filter):
    """Write the id of a failure into the line that logs it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, what has an exception with its id."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text, urn = record.getMessage(), failure_id(error).urn
            if urn not in text:
                record.msg, record.args = f"{text} {urn}", None
        return True
