"""Kalshi's request budgets: a bucket for reads and one for writes each account, billed by cost."""

from aiohttp import web

from libs.venues.transport.rate_limit import TokenBucket

COST, CANCEL_COST = 10, 2
BURST_S = 2.0
TIERS = {"basic": (200, 100), "advanced": (300, 300), "expert": (600, 600), "premier": (1_000, 1_000)}
"""Tokens a second for reads and writes."""


class Budgets:
    """The buckets of one sandbox. Requests without a key share one budget for reads."""

    def __init__(self, tier: str = "premier") -> None:
        self.tier = tier
        self._buckets: dict[tuple[str, bool], TokenBucket] = {}

    async def charge(self, owner: str, request: web.Request, items: int = 1) -> bool:
        """Charge a request; whether the budget allows it. A batch must fit whole."""
        reading = request.method == "GET"
        cost = cost_of(request) * items
        key = (owner, reading)
        bucket = self._buckets.get(key)
        if bucket is None:
            rate = TIERS[self.tier][0 if reading else 1]
            bucket = self._buckets[key] = TokenBucket(rate, rate * BURST_S)
        if cost > bucket.burst or bucket.wait_s(cost) > 0:
            return False
        await bucket.acquire(cost)
        return True


def cost_of(request: web.Request) -> int:
    """Return tokens of one item of a request."""
    cancels = request.method == "DELETE" and "/orders/" in request.path
    return CANCEL_COST if cancels else COST
