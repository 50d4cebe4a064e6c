"""Token buckets per signer, and their headers.

Source: docs/reference/venue-facts.md, Polymarket rate limits.
"""

from collections.abc import Callable

from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.modes import RATE_LIMITED
from sandbox.polymarket.options import PolymarketOptions

TIER = "Standard"


class Bucket:
    """Fills by ``rate`` a second up to ``burst``. A cost may leave it below zero when allowed."""

    def __init__(self, rate: float, burst: float, now_s: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._now_s = now_s
        self._tokens = burst
        self._at = now_s()

    @property
    def tokens(self) -> float:
        now = self._now_s()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return self._tokens

    def spend(self, cost: float, overdraw: bool = False) -> bool:
        """Return all or nothing; ``overdraw`` needs one token and goes below zero for the rest."""
        if self.tokens < (1.0 if overdraw else cost):
            return False
        self._tokens -= cost
        return True

    def wait_s(self, cost: float) -> float:
        return max(0.0, (cost - self.tokens) / self._rate)


class RateLimits:
    """Orders and cancels of each signer."""

    def __init__(self, options: PolymarketOptions, now_s: Callable[[], float]) -> None:
        self._options = options
        self._now_s = now_s
        self._orders: dict[str, Bucket] = {}
        self._cancels: dict[str, Bucket] = {}

    def charge_orders(self, signer: str, count: int) -> dict[str, str]:
        """Return headers of the answer; raises 429 when there are too few tokens for the whole batch."""
        options = self._options
        bucket = self._orders.get(signer)
        if bucket is None:
            bucket = self._orders[signer] = Bucket(options.orders_per_s, options.orders_burst, self._now_s)
        return self._charge(bucket, count, overdraw=False)

    def charge_cancels(self, signer: str, count: int, overdraw: bool = False) -> dict[str, str]:
        """Return the same for cancels; cancel-all may leave a debt."""
        options = self._options
        bucket = self._cancels.get(signer)
        if bucket is None:
            bucket = self._cancels[signer] = Bucket(options.cancels_per_s, options.cancels_burst, self._now_s)
        return self._charge(bucket, count, overdraw)

    def _charge(self, bucket: Bucket, count: int, overdraw: bool) -> dict[str, str]:
        if not bucket.spend(count, overdraw):
            raise PolymarketRefusal(
                429, RATE_LIMITED, {"retry_after_seconds": max(1, round(bucket.wait_s(count)))}
            )
        return {
            "Poly-RateLimit-Remaining": f"{bucket.tokens:.2f}",
            "Poly-RateLimit-Reset": str(int(self._now_s() + bucket.wait_s(1.0))),
            "Poly-RateLimit-Tier": TIER,
        }
