"""Freshness leases: a book is traded on only while frames prove that it is current.

An open socket proves nothing: Polymarket's are known to answer PINGs for hours and to deliver no data. Each
frame of a market's books renews their lease. After half a lease without a frame the venue is probed. After a whole
lease the books are declared stale and subscribed to again, once each half lease; after ``failures_max`` attempts the
connection is replaced. A book that contradicts the venue's own best prices is probed at once, and is stale if it still
does a quarter of a lease later. Pure: time comes with the frames.
"""

from collections.abc import Iterable
from typing import NamedTuple

from proto.feed import Book, Gap, Market, MarketStatus
from proto.message import Message
from proto.units import SECOND

REASON = "stale"
DOUBLINGS_MAX = 5
"""A market that stays broken over new connections causes them ever less often: every quarter of an hour at last."""
MARKETS_MAX = 2_000
"""Markets kept: twice what a normaliser keeps; the oldest go first."""

# A listed market trades from its opening time on.
_TRADING = (MarketStatus.LISTED, MarketStatus.OPEN, MarketStatus.PAUSED)


class Lease:
    """The lease of one market: last proof, since when it is inconsistent (0: it is not) or broken, and attempts."""

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
        """Whether the market trades, so that its books must be current."""
        return self.trading and at >= self.open_at and not (self.close_at and at >= self.close_at)

    def renew(self, at: int) -> None:
        # ``asked_at`` stays: frames of one token come while the other's book is inconsistent.
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
    """What is due now, as markets (``kalshi:T``): to probe, declare stale, subscribe again; and whether to reconnect."""

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
        """Watch exactly these markets; a new one has half a lease to deliver its first book."""
        wanted = list(dict.fromkeys(markets))[:MARKETS_MAX]
        self._leases = {market: self._leases.get(market) or Lease(at) for market in wanted}

    def connected(self, at: int) -> None:
        """Handle a new connection: every book is delivered again."""
        for lease in self._leases.values():
            lease.mark_broken(at)
            lease.broken_at = at
            lease.asked_at = 0

    def renew(self, markets: Iterable[str], at: int) -> None:
        """Renew the leases of markets that a frame proved."""
        for market in markets:
            lease = self._leases.get(market)
            if lease is not None:
                if not self._books:
                    lease.mark_whole()
                if lease.whole:
                    lease.renew(at)

    def handle_messages(self, messages: Iterable[Message]) -> None:
        """Handle normalised messages: whole books mend a lease, gaps break it, markets set its opening times."""
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
        """Mark exactly these markets as inconsistent; to be called before each ``due``."""
        inconsistent = set(markets)
        for market, lease in self._leases.items():
            lease.inconsistent_since = (lease.inconsistent_since or at) if market in inconsistent else 0

    def refuse(self, markets: Iterable[str]) -> None:
        """Handle the venue's word that it does not know these markets: no new connection helps."""
        for market in markets:
            if (lease := self._leases.get(market)) is not None:
                lease.replaced = max(lease.replaced, DOUBLINGS_MAX)

    def _mark_broken(self, market: str, at: int) -> None:
        for name, lease in self._leases.items():
            if market in ("", name):
                lease.mark_broken(at)

    def markets(self) -> list[str]:
        """Return the followed markets."""
        return list(self._leases)

    @property
    def broken(self) -> int:
        """How many followed markets have been without a whole book for some time."""
        return sum(lease.attempts > 1 for lease in self._leases.values())

    def due(self, at: int) -> Due:
        """Return what is due at a time; to be called a few times a second."""
        due = Due([], [], [])
        for market, lease in self._leases.items():
            if not lease.is_due(at):
                # No book is due before its market opens or after it has ended.
                lease.proven_at = lease.broken_at = at
            elif lease.whole:
                self._check(market, lease, at, due)
            elif at - max(lease.asked_at, lease.broken_at) >= self._lease_ns // 2:
                self._resubscribe(market, lease, at, due)
        given_up = [lease for lease in self._leases.values() if lease.attempts > self._attempts_max(lease)]
        for lease in given_up:
            lease.replaced += 1
        if given_up:
            for lease in self._leases.values():
                lease.attempts = 0
        return due._replace(reconnect=bool(given_up))

    def _attempts_max(self, lease: Lease) -> int:
        """Return the attempts before the connection is replaced: more each time it did not help, as it costs the others."""
        return self._failures_max << min(lease.replaced, DOUBLINGS_MAX)

    def _check(self, market: str, lease: Lease, at: int, due: Due) -> None:
        """Probe a whole book in the second half of its lease or when inconsistent; then declare it stale."""
        silent_ns, answer_ns = at - lease.proven_at, self._lease_ns // 4
        waited = at - lease.asked_at >= answer_ns
        probed_in_vain = lease.inconsistent_since and lease.asked_at >= lease.inconsistent_since
        if silent_ns >= self._lease_ns or (probed_in_vain and waited):
            lease.mark_broken(at)
            due.stale.append(market)
            self._resubscribe(market, lease, at, due)
        elif waited and (lease.inconsistent_since or silent_ns >= self._lease_ns // 2):
            lease.asked_at = at
            due.probe.append(market)

    @staticmethod
    def _resubscribe(market: str, lease: Lease, at: int, due: Due) -> None:
        """Subscribe to a broken book again."""
        lease.asked_at = at
        lease.attempts += 1
        due.resubscribe.append(market)


def market_of(instrument: str) -> str:
    """Return the market of an instrument: ``kalshi:T:yes`` → ``kalshi:T``; a reference price is its own market."""
    venue, _, rest = instrument.partition(":")
    return f"{venue}:{rest.partition(':')[0]}"
