"""Quotas: what a client may use up, and how it is told.

The fields are those of draft-ietf-httpapi-ratelimit-headers-11.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from time import time
from typing import NamedTuple

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.util import WindowStats

from shared.problems import problem_document

EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
# Redis tells the time of an entry to a tenth of a millisecond.
ROUNDING = 0.001


@dataclass(frozen=True)
class Policy:
    """So many requests in any stretch of so many seconds."""

    name: str
    quota: int
    window: int

    @property
    def item(self) -> RateLimitItem:
        """What `limits` counts by; its name keeps policies apart."""
        return RateLimitItemPerSecond(self.quota, self.window, self.name)


class Standing(NamedTuple):
    """Where a client stands with a policy, its request included."""

    policy: Policy
    is_refused: bool
    remaining: int
    wait: int
    """In how many seconds there is more: rounded up, so never too early."""

    @property
    def is_used_up(self) -> bool:
        """Tell whether a request now would be refused."""
        return self.is_refused or self.remaining == 0


def stand(policy: Policy, let_in: bool, stats: WindowStats) -> Standing:
    """Say where a client stands, by what `limits` has counted."""
    # rule: retry-after
    wait = ceil(stats.reset_time - time() + ROUNDING)
    return Standing(
        policy,
        is_refused=not let_in,
        remaining=max(stats.remaining, 0) if let_in else 0,
        wait=min(max(wait, 0), policy.window),
    )


def rate_fields(standings: Sequence[Standing]) -> dict[str, str]:
    """Tell the policies that were asked, and what is left of each."""
    if not standings:
        return {}
    policies = [each.policy for each in standings]
    return {
        # rule: rate-fields
        "RateLimit-Policy": ", ".join(
            f'"{one.name}";q={one.quota};w={one.window}' for one in policies
        ),
        # rule: rate-fields
        "RateLimit": ", ".join(
            f'"{each.policy.name}";r={each.remaining};t={each.wait}'
            for each in standings
        ),
    }


def retry_after(standings: Iterable[Standing]) -> str:
    """Say when to come again: when no policy is used up any more."""
    # rule: retry-after
    return str(max(each.wait for each in standings if each.is_used_up))


def quota_exceeded(standings: Iterable[Standing]) -> dict[str, object]:
    """Describe a refusal, and which policies it was by."""
    return {
        **problem_document(429),
        "type": EXCEEDED,
        "violated-policies": [
            each.policy.name for each in standings if each.is_refused
        ],
    }
