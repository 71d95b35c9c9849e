"""What Pydantic's models need to be exact: spellings, and errors by code."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from shared.hotel import read_amount, read_date, read_number


def spelled(read: Callable[[str], Any]) -> BeforeValidator:
    """Read what is text; leave what is not to be refused by its type."""
    return BeforeValidator(
        lambda value: read(value) if isinstance(value, str) else value
    )


def coded(code: str) -> PydanticCustomError:
    """Make an error for a validator to raise; `shared.refusals` has words."""
    return PydanticCustomError(code, code)


Amount = Annotated[Decimal, spelled(read_amount)]
FullDate = Annotated[date, spelled(read_date)]
WholeNumber = Annotated[int, spelled(read_number)]
