"""The markets of every venue that are listed, run, ended within hours, or were traded in by clients."""

from collections.abc import Callable, Iterable

from proto.feed import MarketStatus
from sandbox.world.markets import SandboxMarket


class MarketRegistry:
    """Markets by venue and id; oldest listing first.

    ``needed``: each says whether a market that settled long ago is needed still.
    """

    def __init__(self, venues: Iterable[str]) -> None:
        self.needed: list[Callable[[SandboxMarket], bool]] = []
        self._markets: dict[str, dict[str, SandboxMarket]] = {venue: {} for venue in venues}

    def of(self, venue: str) -> list[SandboxMarket]:
        """Return every market of a venue."""
        return list(self._markets[venue].values())

    def get(self, venue: str, market_id: str) -> SandboxMarket | None:
        """Return one market by its id (condition id, ticker, contract id)."""
        return self._markets[venue].get(market_id)

    def add(self, market: SandboxMarket) -> None:
        """Add a market."""
        self._markets[market.venue][market.id] = market

    def remove(self, market: SandboxMarket) -> None:
        """Remove a market that settled long ago, unless it is needed."""
        if any(is_needed(market) for is_needed in self.needed):
            return
        self._markets[market.venue].pop(market.id, None)

    def keep_settled(self) -> list[SandboxMarket]:
        """Remove every market that is not settled; return those that are."""
        for venue, markets in self._markets.items():
            settled = {name: m for name, m in markets.items() if m.status is MarketStatus.SETTLED}
            self._markets[venue] = settled
        return [market for markets in self._markets.values() for market in markets.values()]
