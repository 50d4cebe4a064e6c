"""Windows roll over: list, open, close, determine, sometimes dispute, settle."""

from collections.abc import Callable, Sequence
from functools import partial

from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus
from proto.units import SECOND
from sandbox.world.events import MarketMoved, WorldEvent
from sandbox.world.listing import make_markets, span_s
from sandbox.world.makers import MarketMakers
from sandbox.world.market_registry import MarketRegistry
from sandbox.world.markets import VOID, MarketKind, SandboxMarket
from sandbox.world.order_entry import OrderEntry
from sandbox.world.scheduler import Scheduler
from sandbox.world.settings import WorldSettings
from sandbox.world.venue_markets import MarketSeries, markets_of
from sandbox.world.venue_prices import BitcoinPrice

DISPUTED_AFTER_S = 2.0
DISPUTE_LASTS_S = 6.0
KEPT_AFTER_S = 6 * 3600
"""A settled market in which no client traded is served for so long."""
MARKET_CLOSED, MARKET_RESOLVED = "market_closed", "market_resolved"
"""Reasons for the cancel of an order that still rested."""


class MarketLifecycle:
    """Keeps one window of a series open and the next one listed."""

    def __init__(
        self,
        settings: WorldSettings,
        scheduler: Scheduler,
        price: BitcoinPrice,
        markets: MarketRegistry,
        order_entry: OrderEntry,
        makers: MarketMakers,
        emit: Callable[[WorldEvent], None],
    ) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._price = price
        self._markets = markets
        self._order_entry = order_entry
        self._makers = makers
        self._emit = emit

    def start(self, series: MarketSeries) -> None:
        """Open the window that runs now, list the next."""
        span = span_s(series, self._settings.time_scale)
        is_round = markets_of(series.venue).round_windows
        from_s = self._settings.windows_from_s if is_round else self._settings.free_windows_from_s
        open_s = from_s + (self._scheduler.at // SECOND - from_s) // span * span
        self._list(series, open_s)
        self._list(series, open_s + span)

    def resume(self, series: MarketSeries, markets: Sequence[SandboxMarket]) -> None:
        """Continue the windows of a series that were there before a restart."""
        if not markets:
            self.start(series)
            return
        newest = max(market.open_ns for market in markets)
        span = span_s(series, self._settings.time_scale)
        self._scheduler.schedule(newest, partial(self._list, series, newest // SECOND + span))
        for market in markets:
            self.schedule_next(market)

    def schedule_next(self, market: SandboxMarket) -> None:
        """Schedule a market's next change of status, after a restart."""
        schedule, status = self._scheduler.schedule, market.status
        decided = market.determined_ns + round((DISPUTED_AFTER_S if market.disputes else 0.0) * SECOND)
        if status is MarketStatus.LISTED:
            schedule(market.open_ns, partial(self._open, market))
        if status in (MarketStatus.LISTED, MarketStatus.OPEN):
            schedule(market.close_ns, partial(self._close, market))
        elif status is MarketStatus.CLOSED:
            wait_ns = round(markets_of(market.venue).determined_after_s * SECOND)
            schedule(market.closed_ns + wait_ns, partial(self._determine, market))
        elif status is MarketStatus.DETERMINED and market.disputes:
            schedule(decided, partial(self._dispute, market))
        elif status is MarketStatus.DETERMINED:
            wait_ns = round(markets_of(market.venue).settled_after_s * SECOND)
            schedule(decided + wait_ns, partial(self._settle, market))
        elif status is MarketStatus.DISPUTED:
            schedule(decided + round(DISPUTE_LASTS_S * SECOND), partial(self._settle, market))
        else:
            schedule(market.settled_ns + KEPT_AFTER_S * SECOND, partial(self._markets.remove, market))

    def _list(self, series: MarketSeries, open_s: int) -> None:
        settings, now = self._settings, self._scheduler.at
        price = self._price.mean(markets_of(series.venue).source, 1.0)
        for market in make_markets(
            settings.seed, series, open_s, settings.time_scale, listed_ns=now, price=price
        ):
            self._markets.add(market)
            self._emit(MarketMoved(market, now, None))
            if market.open_ns <= now:
                self._open(market)
            else:
                self._scheduler.schedule(market.open_ns, partial(self._open, market))
            # The maker of a Polymarket quotes before the open: the venue takes orders from the listing on.
            self._makers.start(market)
            self._scheduler.schedule(market.close_ns, partial(self._close, market))
        span = span_s(series, settings.time_scale)
        if open_s * SECOND > now:
            self._scheduler.schedule(open_s * SECOND, partial(self._list, series, open_s + span))

    def _move(self, market: SandboxMarket, status: MarketStatus) -> None:
        previous, market.status = market.status, status
        self._emit(MarketMoved(market, self._scheduler.at, previous))

    def _open(self, market: SandboxMarket) -> None:
        if market.kind is MarketKind.UPDOWN:
            source = markets_of(market.venue).source
            market.strike = self._price.mean(source, market.settlement_average_s)
        self._move(market, MarketStatus.OPEN)

    def _close(self, market: SandboxMarket) -> None:
        self._makers.stop(market)
        market.closed_ns = self._scheduler.at
        market.settlement_value = self._price.mean(
            markets_of(market.venue).source, market.settlement_average_s
        )
        self._move(market, MarketStatus.CLOSED)
        if market.venue != POLYMARKET:
            self._order_entry.clear(market, MARKET_CLOSED)
        self._scheduler.after(markets_of(market.venue).determined_after_s, partial(self._determine, market))

    def _determine(self, market: SandboxMarket) -> None:
        market.determined_ns = self._scheduler.at
        market.result = market.outcomes[0 if _has_happened(market) else 1]
        self._move(market, MarketStatus.DETERMINED)
        self._order_entry.clear(market, MARKET_RESOLVED)
        if market.disputes:
            self._scheduler.after(DISPUTED_AFTER_S, partial(self._dispute, market))
        else:
            self._scheduler.after(markets_of(market.venue).settled_after_s, partial(self._settle, market))

    def _dispute(self, market: SandboxMarket) -> None:
        self._move(market, MarketStatus.DISPUTED)
        self._scheduler.after(DISPUTE_LASTS_S, partial(self._settle, market))

    def _settle(self, market: SandboxMarket) -> None:
        if market.kind is MarketKind.VOID:
            market.result = VOID
        market.settled_ns = self._scheduler.at
        self._move(market, MarketStatus.SETTLED)
        self._scheduler.after(KEPT_AFTER_S, partial(self._markets.remove, market))


def _has_happened(market: SandboxMarket) -> bool:
    """Whether the first outcome is the result; a tie counts as up."""
    value = market.settlement_value or 0
    if market.kind is MarketKind.NEG_RISK:
        return (market.lower is None or value >= market.lower) and (
            market.upper is None or value < market.upper
        )
    return value >= (market.strike or 0)
