"""Shares bought a moment ago, which the venue's copy of the balance may not have yet."""

import time

from libs.bounded import keep_newest
from libs.venues.gateway import FillReport
from libs.venues.polymarket.schemas.answers import TradeRow

BOUGHT_RECENTLY_S = 120.0
"""So long a purchase may be unknown to the venue's copy of the balance."""
PURCHASES_MAX = 1_000


class Purchases:
    """When each token was bought last."""

    def __init__(self) -> None:
        self.began_at_s = time.monotonic()
        self._bought: dict[str, float] = {}

    def record_fill(self, fill: FillReport, row: TradeRow) -> None:
        """A fill of ours; as a maker we may have bought another token than the taker."""
        if fill.side == "buy":
            token = next(
                (m.asset_id for m in row.maker_orders or [] if m.order_id == fill.client_order_id), ""
            )
            self.record(token or row.asset_id)

    def record(self, token: str) -> None:
        """A token was bought now."""
        self._bought.pop(token, None)
        self._bought[token] = time.monotonic()
        keep_newest(self._bought, PURCHASES_MAX)

    def may_be_unknown(self, token: str) -> bool:
        """Whether the venue's copy may lack a purchase: one just now, or one from before our start."""
        return self.is_recent(token) or time.monotonic() - self.began_at_s < BOUGHT_RECENTLY_S

    def is_recent(self, token: str) -> bool:
        """Whether a refusal for want of shares may come from the venue's old copy of the balance."""
        bought_at = self._bought.get(token)
        return bought_at is not None and time.monotonic() - bought_at < BOUGHT_RECENTLY_S
