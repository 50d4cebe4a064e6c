"""Markets that were told of and are not settled: after a restart they are asked for until they are.

A window that ends while nothing runs is in no list of open markets any more; who holds a position in it waits for
its result all the same.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from libs.runtime.layout import write_atomically
from proto.feed import Market, MarketStatus
from proto.message import Message
from proto.units import SECOND

UNSETTLED_FILE = "feed-markets.json"
MARKETS_MAX = 2_000
"""Far more than are followed at once; the one that was told first goes."""
AGE_NS_MAX = 7 * 86_400 * SECOND
"""A market that ended so long ago without a result is asked for no more."""
_OVER = (MarketStatus.SETTLED,)

ENDED = (MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.DISPUTED)
"""Nothing trades any more, and nothing is paid yet: what becomes of such a market is asked until it is settled."""

_read = msgspec.json.Decoder(dict[str, int])


class Unresolved:
    """Markets that have ended and whose result is waited for. Some at a time are asked for, each in its turn."""

    def __init__(self) -> None:
        self._markets: dict[str, None] = {}

    def __contains__(self, market: str) -> bool:
        return market in self._markets

    def add(self, market: str) -> None:
        """Wait for a market; beyond ``MARKETS_MAX`` the one asked for longest ago goes."""
        self._markets[market] = None
        if len(self._markets) > MARKETS_MAX:
            del self._markets[next(iter(self._markets))]

    def discard(self, market: str) -> None:
        """Its result is known."""
        self._markets.pop(market, None)

    def next_batch(self, count: int) -> list[str]:
        """The markets whose turn it is, ``count`` at most; those that stay open for ever do not starve the others."""
        markets = list(self._markets)[:count]
        for market in markets:
            del self._markets[market]
            self._markets[market] = None
        return markets


class Unsettled:
    """Market → its close (ns), kept in a file. A file that cannot be read is as none: only questions are lost."""

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
        """A venue's markets, oldest first."""
        return [market for market in self._markets if market.startswith(f"{venue}:")]

    def handle_messages(self, messages: Iterable[Message]) -> None:
        """Take what is told."""
        for message in messages:
            if isinstance(message, Market):
                known = self._markets.get(message.market)
                if message.status in _OVER:
                    self._changed |= self._markets.pop(message.market, None) is not None
                elif known != message.close_at:
                    self._markets[message.market] = message.close_at
                    self._changed = True
        while len(self._markets) > MARKETS_MAX:
            del self._markets[next(iter(self._markets))]

    def write(self) -> None:
        """Write the file if anything changed. Raises ``OSError``."""
        if self._path is not None and self._changed:
            self._changed = False
            write_atomically(self._path, msgspec.json.encode(self._markets))
