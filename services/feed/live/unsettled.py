"""Markets that were published and are not settled: after a restart their results are polled.

A window that ends while nothing runs is in no list of open markets any more, and positions in it still wait for its
result.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from libs.bounded import keep_newest
from libs.files import write_atomically
from proto.feed import Market, MarketStatus
from proto.message import Message
from proto.units import SECOND

UNSETTLED_FILE = "feed-markets.json"
MARKETS_MAX = 2_000
"""Far more than are followed at once; what ended first goes first."""
AGE_NS_MAX = 7 * 86_400 * SECOND
"""A market that ended so long ago without a result is no longer polled."""
NEVER = 2**63
_OVER = (MarketStatus.SETTLED,)

ENDED = (MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.DISPUTED)
"""Trading is over and nothing is paid yet: such a market is polled until it is settled."""

log = logging.getLogger("presage.feed.live")

_read = msgspec.json.Decoder(dict[str, int])


class UnresolvedMarkets:
    """Markets that have ended without a result yet, polled in batches, each in its turn."""

    def __init__(self) -> None:
        self._markets: dict[str, None] = {}

    def __contains__(self, market: str) -> bool:
        return market in self._markets

    def add(self, market: str) -> None:
        """Add a market; beyond ``MARKETS_MAX`` the one polled longest ago goes."""
        self._markets[market] = None
        keep_newest(self._markets, MARKETS_MAX)

    def discard(self, market: str) -> None:
        """Remove a market whose result is known."""
        self._markets.pop(market, None)

    def next_batch(self, count: int) -> list[str]:
        """Return the next ``count`` markets at most; those that never settle do not starve the others."""
        markets = list(self._markets)[:count]
        for market in markets:
            del self._markets[market]
            self._markets[market] = None
        return markets


class UnsettledMarkets:
    """Market → its close (ns), kept in a file. An unreadable file counts as none: only polls are lost."""

    def __init__(self, path: Path | None = None, now: int = 0) -> None:
        self._path = path
        self._changed = False
        self._markets: dict[str, int] = {}
        if path is not None and path.exists():
            try:
                found = _read.decode(path.read_bytes())
            except msgspec.DecodeError:
                found = {}
            self._markets = {name: at for name, at in found.items() if not 0 < at < now - AGE_NS_MAX}

    def of(self, venue: str) -> list[str]:
        """Return a venue's markets, oldest first."""
        return [market for market in self._markets if market.startswith(f"{venue}:")]

    def handle_messages(self, messages: Iterable[Message]) -> None:
        """Add listed markets, remove settled ones."""
        for message in messages:
            if isinstance(message, Market):
                known = self._markets.get(message.market)
                if message.status in _OVER:
                    self._changed |= self._markets.pop(message.market, None) is not None
                elif known != message.close_at:
                    self._markets[message.market] = message.close_at
                    self._changed = True
        while len(self._markets) > MARKETS_MAX:
            # One whose close is not known has not ended by itself.
            first = min(self._markets, key=lambda market: self._markets[market] or NEVER)
            del self._markets[first]
            log.warning("%s ended first of %d markets: its result is polled no more", first, MARKETS_MAX)

    def write(self) -> None:
        """Write the file if anything changed. Raises ``OSError``."""
        if self._path is not None and self._changed:
            self._changed = False
            write_atomically(self._path, msgspec.json.encode(self._markets))
