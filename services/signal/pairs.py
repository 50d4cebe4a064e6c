"""Pairs: a reference price has left its long relation to another one, and is expected to go back to it.

Only pairs that are named are looked at, and only while the newest candles show that what is left over does go back: many pairs
tried by a computer always hold some that seem to.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from libs.config.section import amount, setting, whole
from libs.indicators.candles import Candle
from libs.indicators.cointegration import Relation, critical_value, relation
from libs.indicators.statistics import to_millionths
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND
from services.signal.reference import ReferenceParams, ReferenceStrategy, View, Watched
from services.signal.strategy import NO_PROPOSALS

Deviations = Annotated[int, amount(0, 10 * ONE)]


class PairsParams(ReferenceParams):
    """Parameters of pairs; ``config/signal/pairs.yaml`` gives the reason of each default."""

    changeable: ClassVar[frozenset[str]] = ReferenceParams.changeable | frozenset(
        ("deviations_min", "deviations_max", "half_life_max_count", "horizon_candle_count")
    )

    pairs: tuple[str, ...] = setting(
        ("coinbase:BTC-USD|coinbase:ETH-USD", "binance:BTCUSDT|binance:ETHUSDT"),
        "reference instruments with a bar between: the first is what markets pay on, the second explains it",
    )
    window_count: Annotated[int, whole(30, 100)] = setting(90, "closed candles of the relation")
    deviations_min: Deviations = setting(2 * ONE, "how many deviations from the relation a view begins")
    deviations_max: Deviations = setting(3_500_000, "beyond so many the relation has ended")
    deviations_end: Deviations = setting(500_000, "nearer than that it is back, and may leave again")
    half_life_max_count: Annotated[int, whole(1, 100)] = setting(
        10, "candles: what takes longer to halve is no relation for these markets"
    )
    horizon_candle_count: Annotated[int, whole(1, 100)] = setting(
        10, "candles for which a view is held at most"
    )


class Pairs(ReferenceStrategy[PairsParams]):
    """Expects the first price of a pair to go back to what the second one says of it, at the speed of late."""

    name: ClassVar[str] = "pairs"
    params_type = PairsParams

    def candle_interval_s(self, instrument: str) -> int:
        is_named = any(instrument in pair.split("|") for pair in self.params.pairs)
        return self.params.candle_s if is_named else 0

    def on_candle(self, instrument: str, candle: Candle) -> Sequence[Proposal]:
        if not self.is_new(candle):
            return NO_PROPOSALS
        for pair in self.params.pairs:
            traded, _, partner = pair.partition("|")
            if instrument in (traded, partner) and traded in self.params.underlyings:
                self._look(self.watch(traded), traded, partner)
        return NO_PROPOSALS

    def _look(self, watched: Watched, traded: str, partner: str) -> None:
        """Judge a pair once both have closed the same candle."""
        count = self.params.window_count
        ours, theirs = self._closed(traded), self._closed(partner)
        if not ours or not theirs or ours[-1].start_at != theirs[-1].start_at:
            return
        if len(ours) < count or len(theirs) < count:
            watched.side, watched.view = 0, None
            return
        y, x = ([math.log(candle.last) for candle in closed[-count:]] for closed in (ours, theirs))
        halves = [relation(y[part], x[part]) for part in (slice(count // 2), slice(count // 2, None))]
        found = relation(y, x)
        if found is None or any(half is None or half.beta <= 0.0 for half in halves):
            # A relation whose sign turns within the window is none.
            watched.side, watched.view = 0, None
            return
        self._judge(watched, found, y[-1])

    def _closed(self, instrument: str) -> list[Candle]:
        candles = self.candles(instrument)
        return candles.closed if candles is not None else []

    def _judge(self, watched: Watched, found: Relation, price: float) -> None:
        params = self.params
        apart = to_millionths(found.residual / found.deviation)
        if abs(apart) <= params.deviations_end or abs(apart) > params.deviations_max:
            watched.side, watched.view = 0, None
        is_far = params.deviations_min <= abs(apart) <= params.deviations_max
        is_sure = found.statistic < critical_value(params.window_count)
        if (
            watched.side
            or not is_far
            or not is_sure
            or not 0.0 < found.half_life <= params.half_life_max_count
        ):
            return
        watched.side = -1 if apart > 0 else 1
        watched.view = View(
            until=self.now + params.horizon_candle_count * params.candle_s * SECOND,
            reason="dear beside its partner" if apart > 0 else "cheap beside its partner",
            strength=min(ONE, abs(apart) * ONE // params.deviations_max),
            target=math.exp(price - found.residual),
            half_life_s=found.half_life * params.candle_s,
            evidence=[
                Evidence("deviations", apart),
                Evidence("beta", to_millionths(found.beta)),
                Evidence("dickey_fuller", to_millionths(max(found.statistic, -1_000.0))),
                Evidence("half_life_s", to_millionths(found.half_life * params.candle_s)),
            ],
        )
