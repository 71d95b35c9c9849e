"""Wallets of play money that pay each other: what is asked and refused.

Who is on the screening list, a file with a wallet a line, is paid nothing.
A list that cannot be read is a failure: it is raised as it comes.
"""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from shared.problems import Problem, named_problem

WALLET = re.compile(r"^w-[0-9a-f]{16}\Z")
AMOUNT_MAX = 100_000_000
"""In cents."""


class Refusal(Exception):
    """What the operation refuses, and the problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem["title"])
        self.problem = problem


class Move(NamedTuple):
    """What is added to a wallet; taken from it, below 0."""

    wallet: str
    amount: int


def show_payment(payment: Any) -> dict[str, Any]:
    """Show a payment as JSON has it."""
    refund_of = payment.refund_of and str(payment.refund_of)
    return {
        "id": str(payment.id),
        "payer": payment.payer,
        "payee": payment.payee,
        "amount": payment.amount,
        "refund_of": refund_of,
        "refunded": payment.refunded,
        "created_at": payment.created_at.isoformat(),
    }


def new_wallet() -> str:
    """Make up the name of a wallet."""
    return f"w-{secrets.token_hex(8)}"


def seed_wallets(count: int) -> Iterator[str]:
    """Yield the names of `count` wallets, the same each time."""
    for number in range(count):
        yield f"w-{number + 1:016x}"


def screen(path: str, payee: str) -> None:
    """Refuse who is on the list; it is read each time, and may be slow."""
    if payee in Path(path).read_text("ascii").split():
        raise Refusal(
            named_problem(
                403,
                "payee-blocked",
                "Payee blocked",
                "The wallet is on the screening list.",
            )
        )


def write_seed(path: str) -> None:
    """Write a screening list with nobody on it, unless there is one."""
    if not Path(path).exists():
        Path(path).write_text("")


def moves(payer: str, payee: str, amount: int) -> list[Move]:
    """List what a payment moves, the lower wallet first.

    So no two payments each wait for what the other has locked.
    """
    return sorted([Move(payer, -amount), Move(payee, amount)])


def not_moved(move: Move, balance: int | None) -> Refusal:
    """Tell why a move was not made: nobody there, or not enough."""
    if move.amount > 0:
        return Refusal(
            named_problem(
                404,
                "no-such-wallet",
                "No such wallet",
                "There is nobody to be paid.",
            )
        )
    return Refusal(
        named_problem(
            403,
            "out-of-credit",
            "Out of credit",
            f"The balance is {balance or 0}, and this costs {-move.amount}.",
        )
    )


def not_refunded(*, received: bool) -> Refusal:
    """Tell why a payment was not given back: not theirs, or done before."""
    if not received:
        return Refusal(
            named_problem(
                404,
                "no-such-payment",
                "No such payment",
                "This wallet has received no such payment.",
            )
        )
    return Refusal(
        named_problem(
            409,
            "already-refunded",
            "Already refunded",
            "The payment was given back before.",
        )
    )
