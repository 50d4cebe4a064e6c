"""The world behind the sandbox's venues: one Bitcoin price, their markets, and who trades them.

    world = World(seed=7, start_ns=time.time_ns(), clock=time.time_ns)
    world.subscribe(callback)          # every event, in order, synchronously
    await world.run()                  # follow the clock, or: await world.advance(to_ns)

Same seed, same start, same moments and same orders: the same world, to the last event.
"""

import random
from collections.abc import Callable, Iterable
from functools import partial

from libs.exchange.matching_types import LimitOrder, Placement, Reason, SelfTrade
from libs.venues.polymarket import POLYMARKET
from proto.feed import PriceStep
from proto.units import ONE, SECOND
from sandbox.world.events import BookChanged, PriceMoved, TickChanged, WorldEvent
from sandbox.world.lifecycle import MarketLifecycle
from sandbox.world.makers import MarketMakers
from sandbox.world.market_registry import MarketRegistry
from sandbox.world.markets import MILLS, SandboxMarket
from sandbox.world.opening import opening_moves
from sandbox.world.order_entry import OrderEntry
from sandbox.world.saving import SavedWorld, load_market, save_market
from sandbox.world.scheduler import Scheduler
from sandbox.world.settings import WorldSettings
from sandbox.world.spot import SpotExchange
from sandbox.world.venue_markets import market_venues, markets_of
from sandbox.world.venue_prices import STEP_NS, BitcoinPrice, PriceSource

UPDATES_PER_S = 3.0
"""Changes a second of each book: what a quiet real book of a 15 minute market shows."""
CATCH_UP_S_MAX = 7_800
"""Longest time that is caught up after a restart: the longest window, listed an hour ahead, and its settlement."""
EDGE_LOW, EDGE_HIGH = 40_000, 960_000
"""Polymarket's tick becomes finer when a best price leaves this range."""

Callback = Callable[[WorldEvent], None]


class World(Scheduler):
    """One Bitcoin price, several venues. See ``WorldSettings`` for its speed."""

    def __init__(  # noqa: PLR0913 - what a command line and tests choose, all with defaults
        self,
        seed: int,
        start_ns: int,
        clock: Callable[[], int] | None = None,
        *,
        venues: Iterable[str] | None = None,
        time_scale: float = 1.0,
        updates_per_s: float = UPDATES_PER_S,
        saved: SavedWorld | None = None,
        windows_from_start: bool = False,
        lively: bool = False,
    ) -> None:
        """``saved``: the world resumes from there instead of beginning at ``start_ns``; see ``catch_up``.

        ``windows_from_start``: every window opens in the minute in which the world begins, and has its whole
        length before it. Otherwise windows open at round times, and the first ones may end at any moment.

        ``lively``: the world begins with a trend (``opening.py``), and windows that need not open at round times
        open then too, so that at every time of the day one is far from its end. One that resumes has begun before.
        """
        if time_scale <= 0 or updates_per_s <= 0:
            raise ValueError(f"expected positive rates, was {time_scale} and {updates_per_s}")
        super().__init__(start_ns // STEP_NS * STEP_NS if saved is None else saved.at, clock)
        begun_s = start_ns // SECOND // 60 * 60
        self.settings = WorldSettings(
            seed,
            time_scale,
            updates_per_s,
            windows_from_s=begun_s if windows_from_start else 0,
            free_windows_from_s=begun_s if windows_from_start or lively else 0,
        )
        name = f"presage-sandbox/{seed}/price" + ("" if saved is None else f"/{saved.at}")
        self.price = BitcoinPrice(random.Random(name), speed=time_scale)
        if saved is not None:
            self.price.resume(saved.price)
        self._callbacks: list[Callback] = []
        self._markets = MarketRegistry(market_venues())
        self.order_entry = OrderEntry(self, self.emit)
        self.makers = MarketMakers(self.settings, self, self.price, self.order_entry)
        self.lifecycle = MarketLifecycle(
            self.settings, self, self.price, self._markets, self.order_entry, self.makers, self.emit
        )
        self.spot = {
            source: SpotExchange(source, seed, self, self.price, self.emit)
            for source in (PriceSource.BINANCE, PriceSource.COINBASE)
        }
        self.schedule(self.at, self._step)
        chosen = market_venues() if venues is None else list(venues)
        self._series = [series for venue in chosen for series in markets_of(venue).series]
        self.catching_up = saved is not None
        if saved is not None:
            self._resume(saved)
            return
        for series in self._series:
            self.lifecycle.start(series)
        if lively:
            for move in opening_moves(seed):
                begin_ns = self.at + round(move.after_s / time_scale * SECOND)
                self.schedule(begin_ns, partial(self.price.drift, move.change, move.seconds / time_scale))

    # ── a restart ───────────────────────────────────────────────────────────────────────────────────

    def save(self) -> SavedWorld:
        """Return everything of the world that outlives a restart: not the makers, they start again."""
        markets = [save_market(market) for venue in market_venues() for market in self.markets(venue)]
        spot = {source.value: exchange.save() for source, exchange in self.spot.items()}
        return SavedWorld(self.at, self.price.save(), spot, markets)

    def _resume(self, saved: SavedWorld) -> None:
        self.makers.pause()
        for source, exchange in self.spot.items():
            exchange.resume(saved.spot[source.value])
        for row in saved.markets:
            market = load_market(row)
            self._markets.add(market)
            self.order_entry.resume(market, row.orders, row.matches)
        for series in self._series:
            known = [market for market in self.markets(series.venue) if market.series == series.name]
            self.lifecycle.resume(series, known)

    async def catch_up(self, to_ns: int) -> None:
        """Let the time pass in which no process ran, without makers; then follow the clock.

        Every window that was known ends and is decided by the price of its time. What is longer ago than
        ``CATCH_UP_S_MAX`` is skipped: markets that no client has seen begin and end in it.
        """
        if not self.catching_up:
            return
        clock, self._clock = self._clock, None
        await self.advance(min(to_ns, self.at + CATCH_UP_S_MAX * SECOND))
        if self.at < to_ns - SECOND:
            self._skip_to(to_ns)
        self._clock = clock
        self.catching_up = False
        self.makers.resume(market for venue in market_venues() for market in self.markets(venue))

    def _skip_to(self, at_ns: int) -> None:
        self.reset(at_ns // STEP_NS * STEP_NS)
        self.schedule(self.at, self._step)
        for exchange in self.spot.values():
            exchange.schedule_trade()
        for market in self._markets.keep_settled():
            self.lifecycle.schedule_next(market)
        for series in self._series:
            self.lifecycle.start(series)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    def markets(self, venue: str) -> list[SandboxMarket]:
        """Return every market of a venue that is listed, runs, or ended within hours; oldest listing first."""
        return self._markets.of(venue)

    def market(self, venue: str, market_id: str) -> SandboxMarket | None:
        """Return one market by its id (condition id, ticker, contract id)."""
        return self._markets.get(venue, market_id)

    def keep_markets(self, is_needed: Callable[[SandboxMarket], bool]) -> None:
        """Keep settled markets for which ``is_needed``: whoever is told of a trade may ask about its market."""
        self._markets.needed.append(is_needed)

    # ── events ──────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with every event, in order; return what ends it. A callback must not raise."""
        self._callbacks.append(callback)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return end

    def emit(self, event: WorldEvent) -> None:
        """Call every subscriber; then refine the grid of a Polymarket book whose price came near an edge."""
        for callback in tuple(self._callbacks):
            callback(event)
        if isinstance(event, BookChanged) and event.market.venue == POLYMARKET:
            self._refine_tick(event.market)

    # ── orders of clients ───────────────────────────────────────────────────────────────────────────

    def place(
        self, market: SandboxMarket, order: LimitOrder, self_trade: SelfTrade = SelfTrade.ALLOW
    ) -> Placement:
        """See ``OrderEntry.place``."""
        return self.order_entry.place(market, order, self_trade)

    def cancel(
        self, market: SandboxMarket, order_id: str, reason: str = Reason.REQUESTED
    ) -> LimitOrder | None:
        """See ``OrderEntry.cancel``."""
        return self.order_entry.cancel(market, order_id, reason)

    # ── changing the world ──────────────────────────────────────────────────────────────────────────

    def change_tick(self, market: SandboxMarket, tick: int) -> None:
        """Give a market another even grid, as Polymarket does near the edges. ``tick`` in millionths."""
        old = market.tick
        if tick != old:
            market.price_steps = (PriceStep(0, tick),)
            self.emit(TickChanged(market, self.now(), old, tick))

    def _step(self) -> None:
        self.price.step()
        self.emit(PriceMoved(self.at))
        self.schedule(self.at + STEP_NS, self._step)

    def _refine_tick(self, market: SandboxMarket) -> None:
        if market.tick != ONE // 100:
            return
        bid, ask = market.book.best()
        if (bid is not None and bid > EDGE_HIGH) or (ask is not None and ask < EDGE_LOW):
            self.change_tick(market, MILLS[0].step)
