"""What is true in the sandbox's world, for its models."""

from sandbox.models.forecaster import Truth
from sandbox.world.fair import fair_value
from sandbox.world.venue_markets import market_venues
from sandbox.world.world import World


def truth_of(world: World) -> Truth:
    """The fair probability of a market's first outcome by its title; of several of one title, the open one's."""

    def truth(title: str) -> float | None:
        found = [
            m for venue in market_venues() for m in world.markets(venue) if m.title == title and not m.result
        ]
        if not found:
            return None
        market = min(found, key=lambda m: m.close_ns if m.close_ns > world.at else 1 << 63)
        return fair_value(market, world.price.ago(0.0), world.at, world.settings.time_scale)

    return truth
