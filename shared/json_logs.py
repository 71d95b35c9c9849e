"""Log lines as JSON, one an event, each with the request it belongs to."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.request_context import CONTEXT

FIELDS = ("request_id", "user", "locale", "method", "path")
_STANDARD = {
    *vars(logging.makeLogRecord({})),
    *("asctime", "context", "message"),
}


class ContextFilter(logging.Filter):
    """Write the context into the record, while it is at hand.

    It belongs to a handler, and to the one that the logging thread calls:
    a filter of a logger sees nothing of the loggers below, and behind a
    queue there is another thread.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        # rule: every-line
        record.context = CONTEXT.get()
        return True


class JsonFormatter(logging.Formatter):
    """One line of JSON; whatever was logged cannot end it."""

    def format(self, record: logging.LogRecord) -> str:
        """Put what is always there first, and over what a caller adds."""
        context = getattr(record, "context", None)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: getattr(context, name, None) for name in FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**line, **extras(record), **line}, default=str)


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """Give what a caller has added to a record by `extra`."""
    return {k: v for k, v in vars(record).items() if k not in _STANDARD}


def logging_config(levels: Mapping[str, str]) -> dict[str, Any]:
    """Configure the root logger to write JSON, for `logging.config`.

    Loggers of frameworks and servers, named with their levels, give their
    own handlers up for it.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"context": {"()": ContextFilter}},
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "filters": ["context"],
                "formatter": "json",
            }
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            name: {"level": level, "handlers": [], "propagate": True}
            for name, level in levels.items()
        },
    }
