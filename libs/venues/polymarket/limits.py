"""The grid of sizes, and token buckets of the published limits: by address over 10 s, by signer a second.

Source: docs/reference/venue-facts.md, Polymarket rate limits.
"""

from collections.abc import Mapping

from libs.venues.transport.rate_limit import TokenBucket
from proto.units import ONE

SHARE_STEP = 10_000
"""Order sizes have two decimals at every tick."""
TAKER_NOTIONAL_MIN = ONE
"""The least value of a purchase that trades at once (docs/reference/venue-facts.md, Polymarket amounts)."""
PER_10_S: Mapping[str, int] = {
    "default": 9_000,
    "book": 1_500,
    "data": 500,
    "balance": 200,
    "balance_update": 50,
    "auth": 100,
    "gamma_events": 500,
    "gamma_markets": 300,
    "positions": 150,
    "activity": 1_000,
}
"""Requests in ten seconds, by bucket."""
SIGNER_PER_S: Mapping[str, tuple[int, int]] = {"order": (40, 60), "cancel": (80, 120)}
"""The lowest tier's orders and cancels a second, and bursts; a batch costs its length."""
CANCEL_ALL_COST = 10
"""The venue charges one and the number of orders; that many are rarely working here."""
BURST_SHARE = 10
"""A burst may use a tenth of the ten seconds' budget at once: the rest is spread."""


def buckets() -> dict[str, TokenBucket]:
    """New buckets, full."""
    spread = {name: TokenBucket(count / 10, count / BURST_SHARE) for name, count in PER_10_S.items()}
    return spread | {name: TokenBucket(rate, burst) for name, (rate, burst) in SIGNER_PER_S.items()}
