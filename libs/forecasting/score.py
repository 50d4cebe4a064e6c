"""How good forecasts were, beside the market's price at the same moments: Brier, log loss, calibration.

Brier score: the mean of (p − o)² (Brier, Verification of forecasts expressed in terms of probability, 1950); log loss:
the mean of −ln of the probability given to what happened. A market counts once, by the means over its forecasts.
"""

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.forecasting.odds import clamp_forecast, clamp_market, log_loss
from proto.units import ONE, Price

BINS = 10
OPEN_MAX = 500
"""Markets without an outcome that one score waits for; beyond it the oldest is not scored."""


class Tally(Struct):
    """Sums over one market's forecasts of one forecaster, and over the market's prices when they were made."""

    count: int = 0
    said: int = 0
    square: int = 0
    yes: float = 0.0
    no: float = 0.0

    def add(self, probability: Price) -> None:
        """Add one probability strictly between 0 and 1."""
        self.count += 1
        self.said += probability
        self.square += probability * probability
        self.yes += log_loss(probability, happened=True)
        self.no += log_loss(probability, happened=False)

    def brier(self, *, happened: bool) -> int:
        """The mean of (p − o)², in millionths."""
        outcome = ONE if happened else 0
        total = self.square - 2 * outcome * self.said + self.count * outcome * outcome
        return total // (self.count * ONE)

    def loss(self, *, happened: bool) -> int:
        """The mean log loss, in millionths of a nat."""
        return round((self.yes if happened else self.no) / self.count * ONE)


class Bin(Struct, array_like=True):
    """Markets whose mean forecast was in a tenth of the scale: how many, what was said in sum, how many happened."""

    count: int = 0
    said: int = 0
    happened: int = 0


class Pair(Struct, array_like=True):
    """Forecaster and market side by side."""

    forecast: Tally = field(default_factory=Tally)
    market: Tally = field(default_factory=Tally)


class ScoreCard(Struct):
    """The record of one forecaster in one family. Sums are in millionths (of 1, of a nat)."""

    count: int = 0
    brier: int = 0
    brier_market: int = 0
    loss: int = 0
    loss_market: int = 0
    bins: list[Bin] = field(default_factory=lambda: [Bin() for _ in range(BINS)])
    open: dict[str, Pair] = {}

    def add(self, market: str, forecast: Price, price: Price) -> None:
        """Remember a forecast and the market's price at the same moment, until the outcome."""
        pair = self.open.setdefault(market, Pair())
        pair.forecast.add(clamp_forecast(forecast))
        pair.market.add(clamp_market(price))
        keep_newest(self.open, OPEN_MAX)

    def settle(self, market: str, *, happened: bool) -> bool:
        """Score a market's forecasts; whether there were any."""
        pair = self.open.pop(market, None)
        if pair is None:
            return False
        self.count += 1
        self.brier += pair.forecast.brier(happened=happened)
        self.brier_market += pair.market.brier(happened=happened)
        self.loss += pair.forecast.loss(happened=happened)
        self.loss_market += pair.market.loss(happened=happened)
        mean = pair.forecast.said // pair.forecast.count
        entry = self.bins[min(mean * BINS // ONE, BINS - 1)]
        entry.count += 1
        entry.said += mean
        entry.happened += happened
        return True

    def drop(self, market: str) -> None:
        """Forget a market that ended without an outcome."""
        self.open.pop(market, None)
