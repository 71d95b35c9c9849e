"""Fields for marshmallow that take nothing for something else.

The message of an error is its code; `shared.refusals` has the words.
"""

from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError, fields

FIELD: dict[str, Any] = {
    "required": "missing",
    "null": "wrong_type",
    "invalid": "wrong_type",
}
CHOICE = FIELD | {"null": "not_one_of", "invalid": "not_one_of"}
SCHEMA = {"type": "wrong_type", "unknown": "unknown"}


class Spelled(fields.Field[Any]):
    """A value in a text that is spelled in one way only."""

    def __init__(self, read: Callable[[str], Any], **options: Any) -> None:
        super().__init__(error_messages=FIELD, **options)
        self.read = read

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            return self.read(value)
        except ValueError:
            raise ValidationError("bad_format") from None

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str:
        return str(value)


class Flag(fields.Boolean):
    """True or false, where marshmallow's own takes 1 and "yes" too."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> bool:
        # rule: typed
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return super()._deserialize(value, *args, **options)
