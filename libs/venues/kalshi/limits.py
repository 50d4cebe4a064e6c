"""Kalshi's request budgets: tokens a second for reads and for writes, by the account's tier.

A request costs 10, a cancel 2; a batch is billed by item and must fit whole.
Source: docs/reference/venue-facts.md, Kalshi rate limits.
"""

from collections.abc import Mapping
from typing import NamedTuple

from libs.venues.transport.rate_limit import TokenBucket

COST = 10
CANCEL_COST = 2
_KEPT = 0.9
"""Share of a budget we use: requests arrive closer together than they left, and the venue's clock is not ours."""
READ, WRITE = "read", "write"


class Budget(NamedTuple):
    """Tokens a second, and how many seconds of them a bucket holds."""

    read: int
    write: int
    read_burst_s: int = 1
    write_burst_s: int = 2


TIERS: Mapping[str, Budget] = {
    "basic": Budget(200, 100, read_burst_s=2, write_burst_s=1),
    "advanced": Budget(300, 300, read_burst_s=2),
    "expert": Budget(600, 600),
    "premier": Budget(1_000, 1_000),
    "paragon": Budget(2_000, 2_000),
    "prime": Budget(4_000, 4_000),
    "prestige": Budget(10_000, 8_000),
}
"""By the venue's names of its tiers, in small letters. A new account is basic."""


def buckets(tier: str = "basic") -> dict[str, TokenBucket]:
    """The two buckets of an account.

    Raises:
        ValueError: for a tier the venue does not have.
    """
    budget = TIERS.get(tier)
    if budget is None:
        raise ValueError(f"expected a tier of {', '.join(TIERS)}, was {tier!r}")
    return {
        READ: TokenBucket(budget.read * _KEPT, budget.read * budget.read_burst_s * _KEPT),
        WRITE: TokenBucket(budget.write * _KEPT, budget.write * budget.write_burst_s * _KEPT),
    }


def batch_max(tier: str, cost: int = COST) -> int:
    """Orders in one batch: what fits a full bucket whole."""
    budget = TIERS[tier]
    return int(budget.write * budget.write_burst_s * _KEPT // cost)
