"""JSON as RFC 8259 has it, and as I-JSON (RFC 7493) narrows it.

The standard library reads more than JSON and forgives what two readers
would understand in two ways. Each of these is refused here: bytes that
are not UTF-8, NaN and Infinity, a repeated name, half a surrogate pair,
nesting deeper than the parser can follow.
"""

import json
import re
from typing import Any

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(data: bytes | str) -> Any:
    """Read one JSON text.

    Raises `ValueError` for anything else, and says nothing of its content.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(
            text,
            # rule: hostile-json
            parse_constant=_refuse_constant,
            # rule: hostile-json
            object_pairs_hook=_refuse_repeats,
        )
        # rule: hostile-json
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except UnicodeError:
        raise ValueError("JSON text that is not Unicode") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at character {error.pos}") from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("JSON object that repeats a name")
    return members
