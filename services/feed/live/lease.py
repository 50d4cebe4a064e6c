"""Freshness leases: a book is traded on only while something proves that it is still kept up.

An open socket proves nothing: Polymarket's are known to answer PINGs for hours and to deliver no data. Each
frame of a market's books renews their lease. After half a lease without any the venue is asked (``probe``);
after a whole one the books are declared stale and subscribed again, each half lease once more, and after
``failures_max`` vain attempts the connection is replaced. A book that something speaks against (``doubt``) is asked
for at once, and stale when that is still so a quarter of a lease later. Pure: time is that of the frames.
"""

from collections.abc import Iterable
from typing import NamedTuple

from proto.feed import Book, Gap, Market, MarketStatus
from proto.message import Message
from proto.units import SECOND

REASON = "stale"
DOUBLINGS_MAX = 5
"""A market that no new connection heals has one made for it ever more seldom: every quarter of an hour in the end."""
MARKETS_MAX = 2_000
"""Markets remembered: twice what a normaliser keeps; the oldest go first."""

# A listed one trades from the moment it is said to open.
_TRADING = (MarketStatus.LISTED, MarketStatus.OPEN, MarketStatus.PAUSED)


class Lease:
    """One market's: when it was last proved, since when it is doubted (0: it is not) or broken, and what was tried."""

    __slots__ = (
        "asked_at",
        "attempts",
        "broken_at",
        "close_at",
        "inconsistent_since",
        "open_at",
        "proven_at",
        "replaced",
        "trading",
        "whole",
    )

    def __init__(self, at: int) -> None:
        self.proven_at = at
        self.broken_at = at
        self.inconsistent_since = 0
        self.asked_at = 0
        self.attempts = 0
        self.replaced = 0
        self.whole = False
        self.trading = True
        self.open_at = 0
        self.close_at = 0

    def is_due(self, at: int) -> bool:
        """Whether the market trades, so that its books ought to be kept up."""
        return self.trading and at >= self.open_at and not (self.close_at and at >= self.close_at)

    def renew(self, at: int) -> None:
        # When it was asked stays: frames of one token come while another is doubted.
        self.proven_at = at

    def mark_whole(self) -> None:
        if not self.whole:
            self.whole = True
            self.asked_at = 0
        self.attempts = self.replaced = 0

    def mark_broken(self, at: int) -> None:
        if self.whole:
            self.whole = False
            self.broken_at = at
            self.asked_at = self.attempts = 0


class Due(NamedTuple):
    """What is to be done now, as markets (``kalshi:T``): ask, declare stale, subscribe again; and the socket."""

    probe: list[str]
    stale: list[str]
    resubscribe: list[str]
    reconnect: bool = False


class Leases:
    """The leases of one venue's followed markets. Without ``books`` any frame makes a market whole."""

    def __init__(self, lease_s: float, failures_max: int, *, books: bool = True) -> None:
        self._lease_ns = round(lease_s * SECOND)
        self._failures_max = failures_max
        self._books = books
        self._leases: dict[str, Lease] = {}

    def follow(self, markets: Iterable[str], at: int) -> None:
        """Keep exactly these markets under lease; a new one has half a lease to bring its first book."""
        wanted = list(dict.fromkeys(markets))[:MARKETS_MAX]
        self._leases = {market: self._leases.get(market) or Lease(at) for market in wanted}

    def connected(self, at: int) -> None:
        """A new connection: every book is on its way again."""
        for lease in self._leases.values():
            lease.mark_broken(at)
            lease.broken_at = at
            lease.asked_at = 0

    def renew(self, markets: Iterable[str], at: int) -> None:
        """A frame was about these markets."""
        for market in markets:
            lease = self._leases.get(market)
            if lease is not None:
                if not self._books:
                    lease.mark_whole()
                if lease.whole:
                    lease.renew(at)

    def handle_messages(self, messages: Iterable[Message]) -> None:
        """What the frames came to: whole books end a broken time, gaps begin one, markets set the terms."""
        for message in messages:
            if isinstance(message, Book):
                lease = self._leases.get(market_of(message.instrument)) if message.snapshot else None
                if lease is not None:
                    lease.mark_whole()
                    lease.renew(message.at)
            elif isinstance(message, Gap):
                self._mark_broken(market_of(message.instrument) if message.instrument else "", message.at)
            elif isinstance(message, Market) and (lease := self._leases.get(message.market)) is not None:
                lease.trading = message.status in _TRADING
                lease.open_at, lease.close_at = message.open_at, message.close_at

    def set_inconsistent(self, markets: Iterable[str], at: int) -> None:
        """Something speaks against the books of exactly these markets; to be said before each look at the time."""
        doubted = set(markets)
        for market, lease in self._leases.items():
            lease.inconsistent_since = (lease.inconsistent_since or at) if market in doubted else 0

    def refuse(self, markets: Iterable[str]) -> None:
        """The venue says that it does not have these: no new connection will help them."""
        for market in markets:
            if (lease := self._leases.get(market)) is not None:
                lease.replaced = max(lease.replaced, DOUBLINGS_MAX)

    def _mark_broken(self, market: str, at: int) -> None:
        for name, lease in self._leases.items():
            if market in ("", name):
                lease.mark_broken(at)

    def markets(self) -> list[str]:
        """The followed markets."""
        return list(self._leases)

    @property
    def broken(self) -> int:
        """How many followed markets ought to have whole books, and have none for some time."""
        return sum(lease.attempts > 1 for lease in self._leases.values())

    def due(self, at: int) -> Due:
        """Look at the time; call it a few times a second."""
        due = Due([], [], [])
        for market, lease in self._leases.items():
            if not lease.is_due(at):
                # A book is not due before its market opens, and that of an ended one is nobody's concern.
                lease.proven_at = lease.broken_at = at
            elif lease.whole:
                self._check(market, lease, at, due)
            elif at - max(lease.asked_at, lease.broken_at) >= self._lease_ns // 2:
                self._resubscribe(market, lease, at, due)
        given_up = [lease for lease in self._leases.values() if lease.attempts > self._patience(lease)]
        for lease in given_up:
            lease.replaced += 1
        if given_up:
            for lease in self._leases.values():
                lease.attempts = 0
        return due._replace(reconnect=bool(given_up))

    def _patience(self, lease: Lease) -> int:
        """Attempts before a connection is given up: more each time that did not help, for it costs the others."""
        return self._failures_max << min(lease.replaced, DOUBLINGS_MAX)

    def _check(self, market: str, lease: Lease, at: int, due: Due) -> None:
        """A whole book: ask in the second half of its lease or when it is doubted, and then believe it no more."""
        silent_ns, answer_ns = at - lease.proven_at, self._lease_ns // 4
        waited = at - lease.asked_at >= answer_ns
        asked_in_doubt = lease.inconsistent_since and lease.asked_at >= lease.inconsistent_since
        if silent_ns >= self._lease_ns or (asked_in_doubt and waited):
            lease.mark_broken(at)
            due.stale.append(market)
            self._resubscribe(market, lease, at, due)
        elif waited and (lease.inconsistent_since or silent_ns >= self._lease_ns // 2):
            lease.asked_at = at
            due.probe.append(market)

    @staticmethod
    def _resubscribe(market: str, lease: Lease, at: int, due: Due) -> None:
        """A broken book: subscribe to it again."""
        lease.asked_at = at
        lease.attempts += 1
        due.resubscribe.append(market)


def market_of(instrument: str) -> str:
    """The market an instrument belongs to: ``kalshi:T:yes`` → ``kalshi:T``; a reference price is its own."""
    venue, _, rest = instrument.partition(":")
    return f"{venue}:{rest.partition(':')[0]}"
