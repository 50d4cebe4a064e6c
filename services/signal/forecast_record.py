"""What the advisor's forecasts were worth, counted by whoever trades on them and not by the advisor."""

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.forecasting.weight import Learner
from libs.portfolio.payouts import did_first_happen
from proto.advisor import Forecast
from proto.feed import Market

LEARNERS_MAX = 500
"""Families times rosters, as in the advisor."""
MARKETS_MAX = 2_000
"""Markets with a forecast and no outcome; the advisor asks about a few at a time."""


class ForecastRecord(Struct):
    """Learners by family and roster, and by market which of them have its forecasts (``families``)."""

    learners: dict[str, Learner] = field(default_factory=dict)
    families: dict[str, list[str]] = field(default_factory=dict)

    def learner(self, forecast: Forecast) -> Learner:
        """The learner that a forecast belongs to."""
        key = f"{forecast.family}|{forecast.roster}"
        keys = self.families.setdefault(forecast.market, [])
        if key not in keys:
            keys.append(key)
        keep_newest(self.families, MARKETS_MAX)
        learner = self.learners.get(key)
        if learner is None:
            learner = self.learners[key] = Learner()
            keep_newest(self.learners, LEARNERS_MAX)
        return learner

    def settle(self, market: Market) -> None:
        """Learn from a market that has paid; one that paid in part teaches nothing."""
        happened = did_first_happen(market)
        for key in self.families.pop(market.market, []):
            learner = self.learners.get(key)
            if learner is not None and happened is not None:
                learner.settle(market.market, happened=happened)
            elif learner is not None:
                learner.drop(market.market)
