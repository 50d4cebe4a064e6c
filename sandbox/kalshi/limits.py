"""Kalshi's request budgets: a bucket for reads and one for writes each account, billed by cost."""

from typing import Any, NamedTuple

from aiohttp import web

from libs.venues.transport.rate_limit import TokenBucket

COST, CANCEL_COST = 10, 2
PUBLIC_READS = 1_000
"""Tokens a second of everybody without a key together. Kalshi does not tell its limit for them."""
ORDERS_PATH = "/portfolio/events/orders"
CANCELS = (("DELETE", f"{ORDERS_PATH}/{{order_id}}"), ("DELETE", f"{ORDERS_PATH}/batched"))
"""What costs less than everything else."""


class Bucket(NamedTuple):
    """Tokens a second, and the seconds of them that an idle client saves up."""

    rate: int
    burst_s: int

    def body(self) -> dict[str, int]:
        return {"refill_rate": self.rate, "bucket_capacity": self.rate * self.burst_s}


TIERS = {
    "basic": (Bucket(200, 2), Bucket(100, 1)),
    "advanced": (Bucket(300, 2), Bucket(300, 2)),
    "expert": (Bucket(600, 1), Bucket(600, 2)),
    "premier": (Bucket(1_000, 1), Bucket(1_000, 2)),
    "paragon": (Bucket(2_000, 1), Bucket(2_000, 2)),
    "prime": (Bucket(4_000, 1), Bucket(4_000, 2)),
    "prestige": (Bucket(10_000, 1), Bucket(8_000, 2)),
}
"""For reads and writes. Source: docs/reference/venue-facts.md, Kalshi rate limits."""


class Budgets:
    """The buckets of one sandbox. An account is of the basic tier, as a new one at the venue is."""

    def __init__(self, tier: str = "basic") -> None:
        self._tier = tier
        self._buckets: dict[tuple[str, bool], TokenBucket] = {}

    @property
    def tier(self) -> str:
        """The tier of every account; setting it fills their buckets."""
        return self._tier

    @tier.setter
    def tier(self, tier: str) -> None:
        self._tier = tier
        self._buckets.clear()

    async def charge(self, owner: str, request: web.Request, items: int = 1) -> bool:
        """Charge a request; whether the budget allows it. A batch must fit whole."""
        reading = request.method == "GET"
        cost = cost_of(request) * items
        key = (owner, reading)
        bucket = self._buckets.get(key)
        if bucket is None:
            size = TIERS[self._tier][0 if reading else 1] if owner else Bucket(PUBLIC_READS, 2)
            bucket = self._buckets[key] = TokenBucket(size.rate, size.rate * size.burst_s)
        if cost > bucket.burst or bucket.wait_s(cost) > 0:
            return False
        await bucket.acquire(cost)
        return True

    def body(self) -> dict[str, Any]:
        """Return what an account is told of its limits."""
        reads, writes = TIERS[self._tier]
        return {"usage_tier": self._tier, "read": reads.body(), "write": writes.body(), "grants": []}


def cost_of(request: web.Request) -> int:
    """Return tokens of one item of a request."""
    cancels = request.method == "DELETE" and "/orders/" in request.path
    return CANCEL_COST if cancels else COST


def costs_body(prefix: str) -> dict[str, Any]:
    """Return what each endpoint costs that does not cost the usual."""
    costs = [{"method": method, "path": prefix + path, "cost": CANCEL_COST} for method, path in CANCELS]
    return {"default_cost": COST, "endpoint_costs": costs}
