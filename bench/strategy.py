"""Strategies for measuring: they propose on every n-th quote, or on a marked one, whatever the price."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Struct

from libs.config.section import whole
from libs.indicators.tops import Top
from proto.feed import Side
from proto.signal import Proposal
from proto.units import ONE, SECOND
from services.signal.strategy import DAY_S, Strategy, StrategyParams

MARK = 4_321 * ONE
"""Of a best bid whose size is this and a fraction of one contract, the live bench expects an order."""
MARKS = 89
"""Marks in a row that differ in that fraction; it is given in hundredths."""


class EveryNthParams(StrategyParams):
    """``every_n``: quotes of the YES instrument for one proposal."""

    change_interval_s: Annotated[int, whole(0, DAY_S)] = 0
    repeat_interval_s: Annotated[int, whole(0, DAY_S)] = 0
    every_n: Annotated[int, whole(1, 1_000_000)] = 20


class Count(Struct):
    """Quotes seen."""

    seen: int = 0


def purchase(strategy: Strategy[Any, Any], instrument: str, price: int) -> Proposal:
    """Claims a large edge, so that risk's other checks decide."""
    return Proposal(
        strategy=strategy.name,
        market=instrument.rpartition(":")[0],
        instrument=instrument,
        side=Side.BUY,
        price=price,
        fair_value=min(ONE - 1, price + 300_000),
        edge=200_000,
        strength=ONE,
        expires_at=strategy.now + 5 * SECOND,
    )


class EveryNth(Strategy[EveryNthParams, Count]):
    """Buys one way only, at the ask."""

    name: ClassVar[str] = "every_nth"
    params_type: ClassVar[type[StrategyParams]] = EveryNthParams
    state_type: ClassVar[type[Struct]] = Count

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        if not instrument.endswith(":yes") or top.ask is None:
            return ()
        self.state.seen += 1
        if self.state.seen % self.params.every_n:
            return ()
        return (purchase(self, instrument, top.ask),)


class OnMarkParams(StrategyParams):
    """No parameters of its own; it may propose at any time."""

    change_interval_s: Annotated[int, whole(0, DAY_S)] = 0
    repeat_interval_s: Annotated[int, whole(0, DAY_S)] = 0


class OnMark(Strategy[OnMarkParams, Count]):
    """Buys at a marked best bid, where nobody sells: orders leave, and no position comes of them."""

    name: ClassVar[str] = "on_mark"
    params_type: ClassVar[type[StrategyParams]] = OnMarkParams
    state_type: ClassVar[type[Struct]] = Count

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        # The mark stays the best bid for a while, and the ask beside it may move: one order is enough.
        if not MARK < top.bid_size < MARK + ONE or top.bid is None or top.bid_size == self.state.seen:
            return ()
        self.state.seen = top.bid_size
        return (purchase(self, instrument, top.bid),)
