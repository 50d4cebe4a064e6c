"""Weights of forecasters that speak only sometimes, beside the market's price, by what each one's word was worth.

Every forecaster is a specialist that sleeps where it says nothing (Freund, Schapire, Singer, Warmuth, Using and combining
predictors that specialize, 1997). A market is one round: whoever spoke is awake, and the market's own price always is. What is
said for all is the mean of those awake by their masses. When the market has paid, each mass is multiplied by the odds that
its owner gave to what happened against the price of then, and those awake are scaled back to the sum they had: who sleeps
neither gains nor loses. On log loss the mixture is never more than ln(1/prior share) worse than any specialist on the rounds
it was awake, and a mean can never be beyond its furthest member, however many say the same thing for the same reason.
"""

import math
from collections.abc import Mapping

from msgspec import Struct

from libs.bounded import keep_newest
from libs.forecasting.odds import clamp_forecast, clamp_market
from proto.units import ONE, Price

OPEN_MAX = 2_000
"""Markets with words and without an outcome; beyond it the oldest is forgotten, and teaches nothing."""
MASS_MIN = 1e-9
"""No mass falls below: a forecaster that was long wrong can come back, and no sum becomes nothing."""


class Word(Struct, array_like=True):
    """The first word of a forecaster on a market: its probability of the first outcome, and the price of then."""

    forecast: Price
    price: Price


class Mixed(Struct):
    """What all who spoke come to, ``share`` of it theirs and the rest the market's (both in millionths)."""

    probability: Price
    share: int


class Specialists(Struct):
    """``masses`` by forecaster; ``market`` that of the price. ``open``: first words by market and forecaster."""

    masses: dict[str, float] = {}
    market: float = 1.0
    open: dict[str, dict[str, Word]] = {}

    def speak(self, market: str, forecaster: str, forecast: Price, price: Price, prior: float) -> None:
        """Remember a forecaster's first word on a market; one that is new begins with the mass ``prior``."""
        self.masses.setdefault(forecaster, prior)
        words = self.open.setdefault(market, {})
        words.setdefault(forecaster, Word(clamp_forecast(forecast), clamp_market(price)))
        keep_newest(self.open, OPEN_MAX)

    def mix(self, forecasts: Mapping[str, Price], price: Price) -> Mixed:
        """The mean of forecasts and price by their masses. Forecasters have to have spoken before."""
        masses = [self.masses[name] for name in forecasts]
        theirs, total = math.fsum(masses), math.fsum((self.market, *masses))
        said = math.fsum(
            mass * clamp_forecast(value) for mass, value in zip(masses, forecasts.values(), strict=True)
        )
        return Mixed(round((self.market * price + said) / total), round(theirs / total * ONE))

    def settle(self, market: str, *, happened: bool) -> None:
        """Learn from an outcome; a market on which nobody spoke changes nothing."""
        words = self.open.pop(market, None)
        if not words:
            return
        before = math.fsum((self.market, *(self.masses[name] for name in words)))
        for name, word in words.items():
            said, price = (word.forecast, word.price) if happened else (ONE - word.forecast, ONE - word.price)
            self.masses[name] *= said / price
        scale = before / math.fsum((self.market, *(self.masses[name] for name in words)))
        self.market = max(self.market * scale, MASS_MIN)
        for name in words:
            self.masses[name] = max(self.masses[name] * scale, MASS_MIN)

    def drop(self, market: str) -> None:
        """Forget a market that ended without an outcome (void)."""
        self.open.pop(market, None)
