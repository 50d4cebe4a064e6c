"""Windows roll over: list, open, close, determine, sometimes dispute, settle."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from proto.feed import MarketStatus
from proto.units import SECOND
from sandbox.world.events import MarketMoved
from sandbox.world.listing import Series, make, span_s
from sandbox.world.makers import Maker
from sandbox.world.markets import KALSHI, MANIFOLD, POLYMARKET, VOID, MarketKind, SandboxMarket
from sandbox.world.venue_prices import Source

if TYPE_CHECKING:
    from sandbox.world.world import World

DETERMINED_AFTER_S = {POLYMARKET: 4.0, KALSHI: 2.0, MANIFOLD: 2.0}
"""From the close until a result is known (proposed); real markets take 2 to 20 s."""
DISPUTED_AFTER_S = 2.0
DISPUTE_LASTS_S = 6.0
SETTLED_AFTER_S = {POLYMARKET: 4.0, KALSHI: 3.0, MANIFOLD: 0.5}
"""From the result, or the end of a dispute, until it is final."""
KEPT_AFTER_S = 6 * 3600
"""A settled market can be asked for so long; a reconciliation looks back less far."""
SOURCES = {POLYMARKET: Source.CHAINLINK, KALSHI: Source.BRTI, MANIFOLD: Source.BINANCE}
"""Whose average decides a venue's markets."""
MAKERS_AT = (POLYMARKET, KALSHI)
"""Venues with books; Manifold has a pool, and a house of its own."""
MARKET_CLOSED, MARKET_RESOLVED = "market_closed", "market_resolved"
"""Why an order that still rested was cancelled."""


class Lifecycle:
    """Keeps one window of a series open and the next one listed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._makers: dict[SandboxMarket, Maker] = {}
        self._asleep = False

    def start(self, series: Series) -> None:
        """Open the window that runs now, list the next."""
        span = span_s(series, self._world.time_scale)
        from_s = self._world.windows_from_s
        open_s = from_s + (self._world.at // SECOND - from_s) // span * span
        self._list(series, open_s)
        self._list(series, open_s + span)

    def resume(self, series: Series, markets: Sequence[SandboxMarket]) -> None:
        """Go on with the windows of a series that were there before a restart."""
        if not markets:
            self.start(series)
            return
        newest = max(market.open_ns for market in markets)
        span = span_s(series, self._world.time_scale)
        self._world.schedule(newest, partial(self._list, series, newest // SECOND + span))
        for market in markets:
            self.appoint(market)

    def appoint(self, market: SandboxMarket) -> None:
        """What comes next in the life of a market, when nobody waits for it any more."""
        schedule, status = self._world.schedule, market.status
        decided = market.determined_ns + round((DISPUTED_AFTER_S if market.disputes else 0.0) * SECOND)
        if status is MarketStatus.LISTED:
            schedule(market.open_ns, partial(self._open, market))
        if status in (MarketStatus.LISTED, MarketStatus.OPEN):
            schedule(market.close_ns, partial(self._close, market))
        elif status is MarketStatus.CLOSED:
            wait_ns = round(DETERMINED_AFTER_S[market.venue] * SECOND)
            schedule(market.closed_ns + wait_ns, partial(self._determine, market))
        elif status is MarketStatus.DETERMINED and market.disputes:
            schedule(decided, partial(self._dispute, market))
        elif status is MarketStatus.DETERMINED:
            wait_ns = round(SETTLED_AFTER_S[market.venue] * SECOND)
            schedule(decided + wait_ns, partial(self._settle, market))
        elif status is MarketStatus.DISPUTED:
            schedule(decided + round(DISPUTE_LASTS_S * SECOND), partial(self._settle, market))
        else:
            schedule(market.settled_ns + KEPT_AFTER_S * SECOND, partial(self._world.forget, market))

    def sleep(self) -> None:
        """Time passes fast from now on: nobody quotes."""
        self._asleep = True

    def wake(self) -> None:
        """The present is reached: makers quote what still trades."""
        self._asleep = False
        for venue in MAKERS_AT:
            for market in self._world.markets(venue):
                if market.status in (MarketStatus.LISTED, MarketStatus.OPEN):
                    self._quote(market)

    def _quote(self, market: SandboxMarket) -> None:
        if not self._asleep and market not in self._makers:
            self._makers[market] = Maker(self._world, market)
            self._act(market)

    def _list(self, series: Series, open_s: int) -> None:
        world = self._world
        scale = world.time_scale
        price = world.price.mean(SOURCES[series.venue], 1.0)
        for market in make(world.seed, series, open_s, scale, listed_ns=world.at, price=price):
            world.add(market)
            world.emit(MarketMoved(market, world.at, None))
            if market.open_ns <= world.at:
                self._open(market)
            else:
                world.schedule(market.open_ns, partial(self._open, market))
            # The maker of a Polymarket quotes before the open: the venue takes orders from the listing on.
            if series.venue in MAKERS_AT:
                self._quote(market)
            world.schedule(market.close_ns, partial(self._close, market))
        span = span_s(series, scale)
        if open_s * SECOND > world.at:
            world.schedule(open_s * SECOND, partial(self._list, series, open_s + span))

    def _act(self, market: SandboxMarket) -> None:
        """One act of a market's maker, and the appointment for his next."""
        maker = self._makers.get(market)
        if maker is None or market.status not in (MarketStatus.LISTED, MarketStatus.OPEN):
            return
        if market.accepts_orders:
            maker.act()
        self._world.after(maker.draw.expovariate(self._world.updates_per_s), partial(self._act, market))

    def _move(self, market: SandboxMarket, status: MarketStatus) -> None:
        previous, market.status = market.status, status
        self._world.emit(MarketMoved(market, self._world.at, previous))

    def _open(self, market: SandboxMarket) -> None:
        if market.kind is MarketKind.UPDOWN:
            source = SOURCES[market.venue]
            market.strike = self._world.price.mean(source, market.settlement_average_s)
        self._move(market, MarketStatus.OPEN)

    def _close(self, market: SandboxMarket) -> None:
        world = self._world
        maker = self._makers.pop(market, None)
        if maker is not None:
            maker.leave()
        market.closed_ns = world.at
        market.settlement_value = world.price.mean(SOURCES[market.venue], market.settlement_average_s)
        self._move(market, MarketStatus.CLOSED)
        if market.venue != POLYMARKET:
            world.desk.clear(market, MARKET_CLOSED)
        world.after(DETERMINED_AFTER_S[market.venue], partial(self._determine, market))

    def _determine(self, market: SandboxMarket) -> None:
        world = self._world
        market.determined_ns = world.at
        market.result = market.outcomes[0 if _happened(market) else 1]
        self._move(market, MarketStatus.DETERMINED)
        world.desk.clear(market, MARKET_RESOLVED)
        if market.disputes:
            world.after(DISPUTED_AFTER_S, partial(self._dispute, market))
        else:
            world.after(SETTLED_AFTER_S[market.venue], partial(self._settle, market))

    def _dispute(self, market: SandboxMarket) -> None:
        self._move(market, MarketStatus.DISPUTED)
        self._world.after(DISPUTE_LASTS_S, partial(self._settle, market))

    def _settle(self, market: SandboxMarket) -> None:
        if market.kind is MarketKind.VOID:
            market.result = VOID
        market.settled_ns = self._world.at
        self._move(market, MarketStatus.SETTLED)
        self._world.after(KEPT_AFTER_S, partial(self._world.forget, market))


def _happened(market: SandboxMarket) -> bool:
    """Whether the first outcome is the result; a tie counts as up."""
    value = market.settlement_value or 0
    if market.kind is MarketKind.NEG_RISK:
        return (market.lower is None or value >= market.lower) and (
            market.upper is None or value < market.upper
        )
    return value >= (market.strike or 0)
