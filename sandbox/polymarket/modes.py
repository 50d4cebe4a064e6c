"""When the engine takes no orders, or not all of them: restart, post-only, cancel-only.

Source: docs/reference/venue-facts.md, Polymarket errors.
"""

from collections.abc import Callable

from proto.units import SECOND
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.options import PolymarketOptions

CANCEL_ONLY = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
POST_ONLY = "post-only mode: only post-only orders and cancels are allowed"
DISABLED = "Trading is currently disabled. No orders or cancels are accepted."
RESTARTING = "service not ready"
RATE_LIMITED = "Too Many Requests"


class Modes:
    """Which of them holds now; moments in ns. A restart is followed by post-only by itself."""

    def __init__(self, now: Callable[[], int], options: PolymarketOptions) -> None:
        self.cancel_only = False
        self.disabled = False
        self._now = now
        self._options = options
        self._restarted_at = 0
        self._open_at = 0

    def restart(self, restart_s: float | None = None, post_only_s: float | None = None) -> None:
        """Stop the engine now: 425 for ``restart_s``, then post-only for ``post_only_s``."""
        down = self._options.restart_s if restart_s is None else restart_s
        quiet = self._options.post_only_s if post_only_s is None else post_only_s
        self._restarted_at = self._now() + round(down * SECOND)
        self._open_at = self._restarted_at + round(quiet * SECOND)

    def check_cancel(self) -> None:
        """Raise the refusal of a cancel, if there is one now."""
        if self._now() < self._restarted_at:
            raise PolymarketRefusal(425, RESTARTING)
        if self.disabled:
            raise PolymarketRefusal(503, DISABLED)

    def check_order(self, post_only: bool) -> None:
        """Raise the refusal of an order, if there is one now."""
        self.check_cancel()
        if self.cancel_only:
            raise PolymarketRefusal(503, CANCEL_ONLY)
        left = self._open_at - self._now()
        if left > 0 and not post_only:
            raise post_only_refusal(-(-left // SECOND))


def post_only_refusal(seconds: int) -> PolymarketRefusal:
    """Return what an order that may take is answered in post-only mode."""
    return PolymarketRefusal(503, POST_ONLY, {"code": "post_only_mode", "retry_after_seconds": seconds})
