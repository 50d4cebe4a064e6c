"""How much a forecaster moves the market's price: learned from outcomes, and bounded whatever it says.

Three rules, each with its own reason:

1. **What weight.** Exponential weights on log loss over a grid of w in [0, 1]: half of the prior is on w = 0 (the
   market), the rest even. The mixture's loss is at most the market's plus ln 2, for ever (Cesa-Bianchi and Lugosi,
   Prediction, Learning, and Games, 2006, section 3.3: log loss is 1-exp-concave, regret to an expert ≤ ln 1/prior).
2. **Whether at all.** 0 until ``outcomes_min`` markets have ended, and whenever the one-sided 95 % lower bound of the
   mean gain of a half-weighted forecast over the market is not above zero, or its last 60 gained nothing.
3. **The bound.** Rule 2 opens and closes by what it sees, which breaks the theorem of rule 1. So each forecast that
   leaves reserves the most it can lose against the market, and the weight is cut until all that was lost and all that
   is reserved stays within ln 2. The loss of what was said is therefore never more than ``REGRET_MAX`` above the
   market's, in every order of forecasts and outcomes.

A market counts once, however often it was forecast: its losses are the means over its forecasts (by Hölder's
inequality the bound of rule 1 holds for them too).
"""

import math
from typing import NamedTuple

from msgspec import Struct, field

from libs.forecasting.odds import clamp_forecast, clamp_market, log_loss, logit, shrink
from proto.units import ONE, Price

REGRET_MAX = math.log(2.0)
"""The most, in nats, that a family's forecasts may ever have lost against the market: rule 1's own bound."""
GRID = tuple(step / 10 for step in range(11))
PRIOR = (0.5, *(0.05 for _ in GRID[1:]))
CONFIDENCE = 1.6449
"""One-sided 95 % of the normal distribution."""
RECENT_COUNT = 60
"""Markets after which a forecaster that has lost its skill is out again."""
TRIAL = 0.5
"""The weight whose gain is tested: a half-weighted forecast gains wherever a little of it helps."""
CUTS = 20
"""Halvings of a weight until it fits what may still be lost: below a millionth afterwards."""
OPEN_MAX = 2_000
"""Markets with forecasts and without an outcome. Beyond it the oldest counts as lost: its outcome may never come."""


class Weighed(NamedTuple):
    """A forecast against the market: the probability to use, and the weight (both in millionths)."""

    probability: Price
    weight: int


class OpenMarket(Struct):
    """Sums over the forecasts of a market without an outcome: losses if the first outcome pays, and if not."""

    count: int = 0
    grid_yes: list[float] = field(default_factory=lambda: [0.0] * len(GRID))
    grid_no: list[float] = field(default_factory=lambda: [0.0] * len(GRID))
    market_yes: float = 0.0
    market_no: float = 0.0
    trial_yes: float = 0.0
    trial_no: float = 0.0
    said_yes: float = 0.0
    said_no: float = 0.0

    def worst(self) -> float:
        """The most that the forecasts can have lost against the market, in nats."""
        if not self.count:
            return 0.0
        return max(0.0, self.said_yes - self.market_yes, self.said_no - self.market_no) / self.count


class Learner(Struct):
    """The weight of one forecaster in one family of markets. ``regret``: what it has lost against the market, in nats."""

    log_weights: list[float] = field(default_factory=lambda: [math.log(p) for p in PRIOR])
    outcomes: int = 0
    gain: float = 0.0
    gain_squares: float = 0.0
    recent: list[float] = []
    regret: float = 0.0
    open: dict[str, OpenMarket] = {}

    def lower_bound(self) -> float:
        """The lower bound of the mean gain over the market, in nats a market; 0 before two outcomes."""
        n = self.outcomes
        if n < 2:
            return 0.0
        mean = self.gain / n
        variance = max(0.0, self.gain_squares - n * mean * mean) / (n - 1)
        return mean - CONFIDENCE * math.sqrt(variance / n)

    def has_earned(self, outcomes_min: int) -> bool:
        """Whether the forecaster may move the price at all: rule 2."""
        is_known = self.outcomes >= max(outcomes_min, 2)
        return is_known and self.lower_bound() > 0.0 and math.fsum(self.recent) > 0.0

    def weight(self, outcomes_min: int) -> int:
        """The mean of the learned weights, in millionths; 0 while none is earned. What a forecast gets may be less."""
        if not self.has_earned(outcomes_min):
            return 0
        weights = [math.exp(weight) for weight in self.log_weights]
        total = math.fsum(weights)
        return round(math.fsum(weight * w for weight, w in zip(weights, GRID, strict=True)) / total * ONE)

    def commit(
        self, market: str, forecast: Price, price: Price, outcomes_min: int, *, may_move: bool = True
    ) -> Weighed:
        """Weigh a forecast against the market's price, and remember both until the outcome.

        ``may_move``: ``False`` leaves the price where it is, and still learns from the forecast.
        """
        if market not in self.open and len(self.open) >= OPEN_MAX:
            self._give_up(next(iter(self.open)))
        entry = self.open.setdefault(market, OpenMarket())
        others = self.regret + math.fsum(held.worst() for name, held in self.open.items() if name != market)
        weighed = Weighed(clamp_market(price), 0)
        if may_move and self.has_earned(outcomes_min):
            weighed = self._within(entry, forecast, price, REGRET_MAX - others)
        self._remember(entry, forecast, price, weighed.probability)
        return weighed

    def settle(self, market: str, *, happened: bool) -> None:
        """Learn from an outcome; a market without forecasts changes nothing."""
        entry = self.open.pop(market, None)
        if entry is None:
            return
        count = entry.count
        grid = entry.grid_yes if happened else entry.grid_no
        of_market = entry.market_yes if happened else entry.market_no
        gain = (of_market - (entry.trial_yes if happened else entry.trial_no)) / count
        self.regret += ((entry.said_yes if happened else entry.said_no) - of_market) / count
        self.log_weights = [
            weight - loss / count for weight, loss in zip(self.log_weights, grid, strict=True)
        ]
        highest = max(self.log_weights)
        self.log_weights = [weight - highest for weight in self.log_weights]
        self.outcomes += 1
        self.gain += gain
        self.gain_squares += gain * gain
        self.recent.append(gain)
        del self.recent[:-RECENT_COUNT]

    def drop(self, market: str) -> None:
        """Forget a market that ended without an outcome (void): nothing was lost."""
        self.open.pop(market, None)

    # ── helpers ────────────────────────────────────────────────────────────────────────────────────

    def _give_up(self, market: str) -> None:
        self.regret += self.open.pop(market).worst()

    def _mixture(self, forecast: Price, price: Price) -> Price:
        weights = [math.exp(weight) for weight in self.log_weights]
        total = math.fsum(weights)
        said = (weight * shrink(price, forecast, w) for weight, w in zip(weights, GRID, strict=True))
        return min(max(round(math.fsum(said) / total), 1), ONE - 1)

    def _within(self, entry: OpenMarket, forecast: Price, price: Price, allowed: float) -> Weighed:
        """The mixture's weight, halved until what can be lost with it is allowed."""
        market = clamp_market(price)
        full = logit(clamp_forecast(forecast)) - logit(market)
        if not full:
            return Weighed(market, 0)
        weight = min(max((logit(self._mixture(forecast, price)) - logit(market)) / full, 0.0), 1.0)
        for _ in range(CUTS):
            probability = shrink(price, forecast, weight)
            if _worst_with(entry, probability, market) <= allowed:
                return Weighed(probability, round(weight * ONE))
            weight /= 2
        return Weighed(market, 0)

    def _remember(self, entry: OpenMarket, forecast: Price, price: Price, said: Price) -> None:
        market = clamp_market(price)
        entry.count += 1
        for index, w in enumerate(GRID):
            probability = shrink(price, forecast, w)
            entry.grid_yes[index] += log_loss(probability, happened=True)
            entry.grid_no[index] += log_loss(probability, happened=False)
        trial = shrink(price, forecast, TRIAL)
        entry.trial_yes += log_loss(trial, happened=True)
        entry.trial_no += log_loss(trial, happened=False)
        entry.market_yes += log_loss(market, happened=True)
        entry.market_no += log_loss(market, happened=False)
        entry.said_yes += log_loss(said, happened=True)
        entry.said_no += log_loss(said, happened=False)


def _worst_with(entry: OpenMarket, said: Price, market: Price) -> float:
    """The most that a market's forecasts can lose with one more, in nats."""
    count = entry.count + 1
    yes = entry.said_yes - entry.market_yes + log_loss(said, happened=True) - log_loss(market, happened=True)
    no = entry.said_no - entry.market_no + log_loss(said, happened=False) - log_loss(market, happened=False)
    return max(0.0, yes, no) / count
