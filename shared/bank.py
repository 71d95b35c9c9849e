"""Accounts of a bank: limits, a seed, and what the bank refuses."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypedDict

from shared.problems import (
    FieldError,
    Problem,
    named_problem,
    problem_document,
)

OWNER = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
OWNER_LENGTH = 100
CENTS_MAX = 1_000_000_000
ID_MAX = 2**63 - 1
UNUSED = {"credits": 0, "debits": 0}
"""The turnover of an account that nothing was booked on."""

_OWNERS = "Anna Ben Clara David Emma Felix Greta Henry".split()


class AccountRow(TypedDict):
    """The values of an account that a client gives."""

    owner: str
    opening: int
    overdraft: int


class Leg(NamedTuple):
    """One side of a transfer: what an account gets, or gives."""

    account_id: int
    amount: int


class RefusedError(Exception):
    """What the bank refuses, and the problem document that says why."""

    def __init__(
        self, problem: Problem, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem["title"])
        self.problem = problem
        self.headers = dict(headers or {})


def seed_accounts(count: int) -> Iterator[AccountRow]:
    """Yield `count` accounts, the same each time, two for each owner."""
    for number in range(count):
        name = _OWNERS[number // 2 % len(_OWNERS)]
        yield AccountRow(
            owner=f"{name} {number // (2 * len(_OWNERS)) + 1}",
            opening=10_000 + number * 7919 % 90_000,
            overdraft=0 if number % 2 else 50_000,
        )


def legs_of(payer: int, payee: int, amount: int) -> list[Leg]:
    """Split a transfer into its two legs, in the order to take locks in."""
    if payer == payee:
        raise invalid_account("/payee", "The same as the payer.")
    legs = [Leg(payer, -amount), Leg(payee, amount)]
    # rule: one-order
    legs.sort()
    return legs


def unknown_account(leg: Leg) -> RefusedError:
    """Tell that one of the two is not there, and which."""
    pointer = "/payer" if leg.amount < 0 else "/payee"
    return invalid_account(pointer, "There is no such account.")


def invalid_account(pointer: str, detail: str) -> RefusedError:
    """Tell what is wrong with an account that a body names."""
    errors = [FieldError(pointer=pointer, detail=detail)]
    return RefusedError(
        problem_document(422, "The body is not valid.", errors)
    )


def insufficient_funds() -> RefusedError:
    """Tell that the money is not there, and not how much is."""
    return RefusedError(
        named_problem(
            409,
            "insufficient-funds",
            "Insufficient funds",
            "The payer's accounts do not cover this transfer.",
        )
    )


def account_in_use() -> RefusedError:
    """Tell that the books need the account."""
    return RefusedError(
        named_problem(
            409,
            "account-in-use",
            "Account in use",
            "There are entries on this account.",
        )
    )


def busy() -> RefusedError:
    """Tell that others were in the way, and when to ask again."""
    return RefusedError(
        problem_document(503, "Others were in the way; nothing was changed."),
        {
            # rule: bounded
            "Retry-After": "1",
        },
    )
