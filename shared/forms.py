"""Forms with one meaning: `application/x-www-form-urlencoded`, read strictly.

What a browser sends is ASCII with percent escapes of UTF-8. Parsers forgive
the rest, each in its own way: an escape that is not UTF-8 is left as it is,
or becomes the replacement character. Here it is no form.
"""

from collections.abc import Iterable
from urllib.parse import parse_qsl

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class TooManyFieldsError(ValueError):
    """A form of more fields than are read."""


def loads(data: bytes, fields_max: int) -> dict[str, str | list[str]]:
    """Read one form.

    Raises `ValueError` for anything else, and says nothing of its content.
    """
    # rule: part-limits
    if data.count(b"&") >= fields_max:
        raise TooManyFieldsError("more fields than are read")
    try:
        text = data.decode("ascii")
    except UnicodeError:
        raise ValueError("a form that is not ASCII") from None
    return fold(parse_qsl(text, keep_blank_values=True))


def fold[Value](
    pairs: Iterable[tuple[str, Value]],
) -> dict[str, Value | list[Value]]:
    """Make a document of fields; those of one name become a list.

    No schema of a single value takes a list. Raises `ValueError` for text
    in which a parser has replaced what was not UTF-8.
    """
    found: dict[str, list[Value]] = {}
    for name, value in pairs:
        # rule: utf-8
        if isinstance(value, str) and REPLACEMENT in name + value:
            raise ValueError("a field that is not UTF-8")
        found.setdefault(name, []).append(value)
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in found.items()
    }
