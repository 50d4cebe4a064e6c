"""A strategy for tests that need orders at once: every second it buys a little of each open market.

Both the clock and Bitcoin's trades make it propose, so that it goes on when either has gone silent.
"""

from collections.abc import Sequence
from typing import ClassVar

from proto.feed import Market, MarketStatus, Side, Trade
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.strategy import NO_PROPOSALS, NoState, Strategy, StrategyParams

LEFT_S_MIN = 30
RESTING_BELOW = 30_000
"""Three cents below the bid: such an order rests until it is cancelled."""


class Eager(Strategy[StrategyParams, NoState]):
    """In turn: at the ask, which trades at once, and below the bid, where the order rests."""

    name: ClassVar[str] = "eager"

    def on_trade(self, trade: Trade) -> Sequence[Proposal]:
        return self.on_clock()

    def on_clock(self) -> Sequence[Proposal]:
        found = [p for m in self.view.markets.values() if (p := self._proposal(m)) is not None]
        return found or NO_PROPOSALS

    def _proposal(self, market: Market) -> Proposal | None:
        if market.status is not MarketStatus.OPEN or market.close_at < self.now + LEFT_S_MIN * SECOND:
            return None
        instrument = market.outcomes[0].instrument
        top = self.top(instrument)
        if top is None or top.bid is None or top.ask is None:
            return None
        resting = self.now // SECOND % 2 == 0
        price = top.bid - RESTING_BELOW if resting else top.ask
        if not 2 * RESTING_BELOW < price < ONE - 2 * RESTING_BELOW:
            return None
        return Proposal(
            strategy=self.name,
            market=market.market,
            instrument=instrument,
            side=Side.BUY,
            price=price,
            fair_value=min(price + 2 * RESTING_BELOW, ONE - 1),
            edge=RESTING_BELOW,
            strength=ONE,
            expires_at=self.now + 5 * SECOND,
            reason="a test wants orders",
        )
