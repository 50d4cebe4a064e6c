"""What strategies share that have a view of a reference price: which markets pay on it, and what they are worth by that view.

A view is never traded by itself ("the lines crossed, so buy yes"): it becomes an expected move of the price until the
market's end, and the digital option with that move says what an outcome is worth. Only the outcome that the view makes more
likely is bought, where it sells below that by enough after the fee.
"""

import math
from collections.abc import Sequence
from typing import Annotated, TypeVar

from msgspec import Struct, field

from libs.config.section import amount, whole
from libs.exchange.fees import fee_estimate
from libs.indicators.candles import Candle
from libs.indicators.digital import NO_OUTLOOK, Outlook, payoff_fair_value
from libs.indicators.statistics import to_millionths
from libs.indicators.tops import Top
from libs.indicators.volatility import ReturnSampler
from proto.feed import Market, Side, Trade
from proto.signal import Evidence, Proposal
from proto.units import ONE, SECOND, Nanoseconds, Price, later
from services.signal.strategy import NO_PROPOSALS
from services.signal.underlying import UnderlyingParams, UnderlyingState, UnderlyingStrategy

CandleCount = Annotated[int, whole(2, 90)]
"""The host keeps 100 closed candles."""
Ratio = Annotated[int, amount(0, 10 * ONE)]
MOVE_MAX = 0.1
"""The largest expected log return that is believed until a market's end: 10 %. A larger one is a broken figure."""


class ReferenceParams(UnderlyingParams):
    """Parameters of every strategy with a view of a reference price."""


class View(Struct):
    """A view of a price, from when it was taken until ``until``.

    Either a drift (``drift``: log return a second while the view lasts) or a pull (``target``: the price it goes back to,
    half of the way in ``half_life_s``). ``strength`` in millionths.
    """

    until: Nanoseconds
    reason: str
    strength: int
    drift: float = 0.0
    target: float = 0.0
    half_life_s: float = 0.0
    evidence: list[Evidence] = []

    def outlook(self, now: Nanoseconds, spot: Price, left_s: float) -> Outlook:
        """What the view says of the time until a market's end, ``left_s`` seconds from now.

        A drift: the expected move is the drift times what is left of the view. A pull: the price as an Ornstein-Uhlenbeck
        process about its target, κ = ln 2 / half-life: expected move (1 − e^{−κτ}) of the way, variance
        (1 − e^{−2κτ})/(2κτ) of a free one (Uhlenbeck and Ornstein, On the Theory of the Brownian Motion, 1930).
        """
        if not self.target:
            lasting_s = min(left_s, (self.until - now) / SECOND)
            return Outlook(_bounded(self.drift * max(lasting_s, 0.0)))
        rate = math.log(2.0) / self.half_life_s * left_s
        move = math.log(self.target / spot) * -math.expm1(-rate)
        return Outlook(_bounded(move), -math.expm1(-2.0 * rate) / (2.0 * rate))


def _bounded(move: float) -> float:
    return min(max(move, -MOVE_MAX), MOVE_MAX)


class Watched(Struct):
    """One reference price: its volatility, the view of it that holds, and the side the last signal was on (−1, 0, 1)."""

    sampler: ReturnSampler
    view: View | None = None
    side: int = 0


class ReferenceState(UnderlyingState):
    """Watched prices by instrument, and the markets that pay on each."""

    watched: dict[str, Watched] = field(default_factory=dict)


Params = TypeVar("Params", bound=ReferenceParams)


class ReferenceStrategy(UnderlyingStrategy[Params, ReferenceState]):
    """Base: a subclass says in ``judge`` what it sees in the closed candles of a reference price."""

    state_type = ReferenceState

    def judge(self, watched: Watched, prices: Sequence[float]) -> None:
        """Look at the closed candles' last prices (oldest first), and change ``watched.view`` and ``watched.side``."""
        raise NotImplementedError

    # ── the reference price ────────────────────────────────────────────────────────────────────────

    def on_candle(self, instrument: str, candle: Candle) -> Sequence[Proposal]:
        candles = self.candles(instrument)
        if candles is None or not self.is_new(candle):
            return NO_PROPOSALS
        watched = self.watch(instrument)
        self.judge(watched, [float(closed.last) for closed in candles.closed])
        return NO_PROPOSALS

    def is_new(self, candle: Candle) -> bool:
        """Whether a candle has just closed. Those of the past come several at once: a view is of now."""
        return self.now - candle.start_at <= 2 * self.params.candle_s * SECOND

    def on_trade(self, trade: Trade) -> Sequence[Proposal]:
        if trade.instrument not in self.params.underlyings:
            return NO_PROPOSALS
        watched = self.watch(trade.instrument)
        if not watched.sampler.add(self.now, trade.price):
            return NO_PROPOSALS
        view = watched.view
        if view is None or not self._holds(watched, view):
            return NO_PROPOSALS
        proposals: list[Proposal] = []
        for name in self.state.markets.get(trade.instrument, ()):
            market = self.market(name)
            if market is not None:
                proposals.extend(self._evaluate(market, watched, view))
        return proposals

    def sampler_of(self, underlying: str) -> ReturnSampler:
        return self.watch(underlying).sampler

    def watch(self, instrument: str) -> Watched:
        """A reference price, made at its first mention."""
        watched = self.state.watched.get(instrument)
        if watched is None:
            watched = Watched(self.new_sampler(self.params.volatility_window_s))
            self.state.watched[instrument] = watched
        return watched

    def _holds(self, watched: Watched, view: View) -> bool:
        """Whether a view still holds; it is dropped when its time is over or its target was reached."""
        lasts = view.until - self.now >= 0
        reached = view.target and (view.target - watched.sampler.price) * watched.side <= 0
        if lasts and not reached:
            return True
        watched.view = None
        return False

    # ── the markets ────────────────────────────────────────────────────────────────────────────────

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        market = self.market_of(instrument) if top.ask is not None else None
        watched = self.state.watched.get(market.underlying) if market is not None else None
        if market is None or watched is None or watched.view is None:
            return NO_PROPOSALS
        view = watched.view
        return self._evaluate(market, watched, view) if self._holds(watched, view) else NO_PROPOSALS

    def _evaluate(self, market: Market, watched: Watched, view: View) -> Sequence[Proposal]:
        """Propose the outcome that the view makes more likely, if its ask leaves enough edge."""
        params = self.params
        if not self._may_price(market, watched.sampler):
            return NO_PROPOSALS
        spot, left_s = watched.sampler.price, (market.ends_at - self.now) / SECOND
        sigma = watched.sampler.deviation(1)
        if sigma <= 0.0:
            # A price that has not moved at all is that of a feed that is stuck.
            return NO_PROPOSALS
        first = payoff_fair_value(market, spot, sigma, left_s, view.outlook(self.now, spot, left_s))
        without = payoff_fair_value(market, spot, sigma, left_s, NO_OUTLOOK)
        if first == without:
            return NO_PROPOSALS
        index = 0 if first > without else 1
        fair_value = first if index == 0 else ONE - first
        instrument = market.outcomes[index].instrument
        top = self.top(instrument)
        if top is None or top.ask is None or not params.price_min <= top.ask <= params.price_max:
            return NO_PROPOSALS
        edge = fair_value - top.ask - fee_estimate(market.fees, top.ask, ONE)
        if edge < params.edge_min or not self.may_propose(instrument):
            return NO_PROPOSALS
        plain = without if index == 0 else ONE - without
        return (self._proposal(market, view, instrument, top.ask, (fair_value, plain), edge, spot, sigma),)

    def _may_price(self, market: Market, sampler: ReturnSampler) -> bool:
        return (
            self.is_tradable(market, sampler)
            and len(market.outcomes) == 2
            and sampler.span_s >= self.params.warmup_s
            and sampler.at <= self.now
        )

    def _proposal(
        self,
        market: Market,
        view: View,
        instrument: str,
        price: Price,
        fair_values: tuple[Price, Price],
        edge: int,
        spot: Price,
        sigma: float,
    ) -> Proposal:
        return Proposal(
            strategy=self.name,
            market=market.market,
            instrument=instrument,
            side=Side.BUY,
            price=price,
            fair_value=fair_values[0],
            edge=edge,
            strength=view.strength,
            expires_at=later(self.now, self.params.expires_s * SECOND),
            reason=view.reason,
            evidence=(
                *view.evidence,
                Evidence("fair_value_without_view", fair_values[1]),
                Evidence("sigma_minute", to_millionths(sigma * math.sqrt(60.0))),
                Evidence("spot", spot),
                Evidence("left_s", (market.ends_at - self.now) // SECOND * ONE),
            ),
        )
