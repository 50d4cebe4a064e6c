"""Which markets one connection is subscribed to, and the commands that make it so. Pure.

A subscription of books needs tickers, and new markets open while it lives: they are added to it, and
markets that are over are taken off. ``update_subscription`` takes one subscription at a time.
"""

from collections.abc import Iterator, Sequence

from proto.units import SECOND

MARKET_CHANNELS = ("orderbook_delta", "ticker", "trade")
LIFECYCLE_CHANNEL = "market_lifecycle_v2"
BATCH_MAX = 50
"""Tickers in one command: its frame stays below 4 kB."""
MARKETS_MAX = 200
"""Markets followed at once by default: about 20 series of rolling windows."""
RETRY_NS = 10 * SECOND
"""A subscription answers within a round trip; after so long a request is taken for lost."""

REFUSED_RETRY_NS = 60 * SECOND
"""A market that the venue does not know by itself is asked for so seldom: it may be listed before it is served."""
REFUSING_CODES = (11, 16)
"""Errors that a ticker may be to blame for: invalid parameter, market not found.

Source: docs/reference/venue-facts.md, Kalshi websocket.
"""

Params = dict[str, object]
Command = tuple[str, Params]


class Following:
    """Markets wanted, asked for and confirmed on the present connection.

    ``series`` are tickers of series (``KXBTC15M``); with none, nothing is followed and no command made.
    """

    def __init__(self, series: Sequence[str] = (), markets_max: int = MARKETS_MAX) -> None:
        self._series = frozenset(series)
        self._markets_max = markets_max
        # In the order they will close.
        self._wanted: dict[str, int] = {}
        self._leaving: list[str] = []
        self._asked: dict[str, int] = {}
        self._confirmed: set[str] = set()
        # Markets of a refused command: each is asked for by itself, and the one to blame put off until so late.
        self._single: set[str] = set()
        self._put_off: dict[str, int] = {}
        self._sids: dict[str, int] = {}
        self._connected = False
        self._subscribed_at: dict[str, int] = {}

    @property
    def active(self) -> bool:
        """Whether anything is followed at all."""
        return bool(self._series)

    @property
    def tickers(self) -> tuple[str, ...]:
        """Markets wanted now, those that close first in front."""
        return tuple(self._wanted)

    def of_interest(self, series: str) -> bool:
        """Whether markets of a series are followed; every one is when none is named."""
        return not self._series or series in self._series

    def on_connection(self, connected: bool) -> None:
        """A connection began or ended: it has no subscription yet, or none any more."""
        self._connected = connected
        self._asked.clear()
        self._confirmed.clear()
        self._leaving.clear()
        self._sids.clear()
        self._subscribed_at.clear()

    def on_subscribed(self, channel: str, sid: int) -> None:
        """The venue gave a subscription its number."""
        self._sids[channel] = sid

    def on_snapshot(self, ticker: str) -> None:
        """A market's book came: it is subscribed."""
        self._confirmed.add(ticker)
        self._single.discard(ticker)

    def refused(self, tickers: Sequence[str], at: int) -> None:
        """The venue refused a command about these markets: one of them must not keep the others away."""
        if len(tickers) == 1 and tickers[0] in self._wanted:
            self._put_off[tickers[0]] = at + REFUSED_RETRY_NS
        for ticker in tickers:
            if ticker in self._wanted and ticker not in self._single:
                self._single.add(ticker)
                self._asked.pop(ticker, None)
        self._subscribed_at.pop("orderbook_delta", None)

    def add(self, ticker: str, close_at: int) -> None:
        """Follow a market; when there are too many, those that close last are left out."""
        if not self._series or self._wanted.get(ticker) == close_at:
            return
        self._wanted[ticker] = close_at
        ordered = sorted(self._wanted.items(), key=lambda item: item[1] or 2**63)
        self._wanted = dict(ordered[: self._markets_max])
        for left_out, _ in ordered[self._markets_max :]:
            self._leave(left_out)

    def drop(self, ticker: str) -> None:
        """Follow a market no more."""
        if self._wanted.pop(ticker, None) is not None:
            self._leave(ticker)

    def commands(self, at: int) -> Iterator[Command]:
        """What to ask of the venue now; asking counts as asked."""
        if not (self._connected and self._series):
            return
        if self._due(LIFECYCLE_CHANNEL, at):
            yield "subscribe", {"channels": [LIFECYCLE_CHANNEL]}
        fresh = [ticker for ticker in self._wanted if self._missing(ticker, at)]
        if "orderbook_delta" not in self._sids:
            if fresh and self._due("orderbook_delta", at):
                yield "subscribe", self._opening(next(self._batches_of(fresh)), at)
            return
        for batch in self._batches_of(fresh):
            self._asked.update(dict.fromkeys(batch, at))
            yield from self._updates(batch, "add_markets")
        leaving, self._leaving = self._leaving, []
        for batch in _batches(leaving):
            yield from self._updates(batch, "delete_markets")

    def _opening(self, tickers: list[str], at: int) -> Params:
        self._asked.update(dict.fromkeys(tickers, at))
        return {
            "channels": list(MARKET_CHANNELS),
            "market_tickers": tickers,
            "send_initial_snapshot": True,
            # Said although false is still the default: the venue means to change it.
            "use_yes_price": False,
        }

    def _updates(self, tickers: list[str], action: str) -> Iterator[Command]:
        for channel in MARKET_CHANNELS:
            sid = self._sids.get(channel)
            if sid is not None:
                params: Params = {"sids": [sid], "market_tickers": tickers, "action": action}
                yield "update_subscription", params

    def _batches_of(self, tickers: list[str]) -> Iterator[list[str]]:
        """Markets to be asked for together, and then those that are asked for by themselves."""
        yield from _batches([ticker for ticker in tickers if ticker not in self._single])
        yield from ([ticker] for ticker in tickers if ticker in self._single)

    def _missing(self, ticker: str, at: int) -> bool:
        if at < self._put_off.get(ticker, 0):
            return False
        asked_at = self._asked.get(ticker)
        return ticker not in self._confirmed and (asked_at is None or at - asked_at >= RETRY_NS)

    def _due(self, channel: str, at: int) -> bool:
        """Whether a channel is to be subscribed to now; noting that it is."""
        asked_at = self._subscribed_at.get(channel)
        if channel in self._sids or (asked_at is not None and at - asked_at < RETRY_NS):
            return False
        self._subscribed_at[channel] = at
        return True

    def _leave(self, ticker: str) -> None:
        if self._asked.pop(ticker, None) is not None:
            self._leaving.append(ticker)
        self._confirmed.discard(ticker)
        self._single.discard(ticker)
        self._put_off.pop(ticker, None)


def _batches(tickers: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(tickers), BATCH_MAX):
        yield tickers[start : start + BATCH_MAX]
