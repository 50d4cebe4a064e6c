"""The world behind the sandbox's venues: one Bitcoin price, their markets, and who trades them.

    world = World(seed=7, start_ns=time.time_ns(), clock=time.time_ns)
    world.subscribe(callback)          # every event, in order, synchronously
    await world.run()                  # follow the clock, or: await world.advance(to_ns)

Same seed, same start, same moments and same orders: the same world, to the last event.
"""

import random
from collections.abc import Callable, Iterable

from libs.exchange.matching_types import LimitOrder, Placement, Reason, SelfTrade
from proto.feed import MarketStatus, PriceStep
from proto.units import ONE, SECOND
from sandbox.world.desk import Desk
from sandbox.world.events import BookChanged, PriceMoved, TickChanged, WorldEvent
from sandbox.world.lifecycle import Lifecycle
from sandbox.world.listing import SERIES
from sandbox.world.markets import KALSHI, MANIFOLD, MILLS, POLYMARKET, SandboxMarket
from sandbox.world.saving import SavedWorld, load_market, save_market
from sandbox.world.scheduler import Scheduler
from sandbox.world.spot import SpotExchange
from sandbox.world.venue_prices import STEP_NS, BitcoinPrice, Source

VENUES = (POLYMARKET, KALSHI, MANIFOLD)
UPDATES_PER_S = 3.0
"""Changes a second of each book: what a quiet real book of a 15 minute market shows."""
CATCH_UP_S_MAX = 7_800
"""Longest time lived through after a restart: the longest window, listed an hour ahead, and its settlement."""
EDGE_LOW, EDGE_HIGH = 40_000, 960_000
"""Polymarket's tick becomes finer when a best price leaves this range."""

Callback = Callable[[WorldEvent], None]


class World(Scheduler):
    """One Bitcoin price, several venues.

    ``time_scale`` divides the length of windows, averages and lags, and lets the price live faster by as
    much: a 5 m window of scale 15 lasts 20 s and moves as far. ``updates_per_s`` is per book.
    """

    def __init__(
        self,
        seed: int,
        start_ns: int,
        clock: Callable[[], int] | None = None,
        *,
        venues: Iterable[str] = VENUES,
        time_scale: float = 1.0,
        updates_per_s: float = UPDATES_PER_S,
        saved: SavedWorld | None = None,
        windows_from_start: bool = False,
    ) -> None:
        """``saved``: the world goes on from there instead of beginning at ``start_ns``; see ``catch_up``.

        ``windows_from_start``: every window opens in the minute in which the world begins, and has its whole
        length before it. Otherwise windows open at round times, and the first ones may end at any moment.
        """
        if time_scale <= 0 or updates_per_s <= 0:
            raise ValueError(f"expected positive rates, was {time_scale} and {updates_per_s}")
        super().__init__(start_ns // STEP_NS * STEP_NS if saved is None else saved.at, clock)
        self.seed = seed
        self.time_scale = time_scale
        self.updates_per_s = updates_per_s
        self.windows_from_s = start_ns // SECOND // 60 * 60 if windows_from_start else 0
        name = f"presage-sandbox/{seed}/price" + ("" if saved is None else f"/{saved.at}")
        self.price = BitcoinPrice(random.Random(name), speed=time_scale)
        if saved is not None:
            self.price.resume(saved.price)
        self.desk = Desk(self, self.emit)
        self.lifecycle = Lifecycle(self)
        self._callbacks: list[Callback] = []
        self._markets: dict[str, dict[str, SandboxMarket]] = {venue: {} for venue in VENUES}
        self.spot = {source: SpotExchange(self, source) for source in (Source.BINANCE, Source.COINBASE)}
        self.schedule(self.at, self._step)
        self._series = [series for series in SERIES if series.venue in set(venues)]
        self.catching_up = saved is not None
        if saved is not None:
            self._resume(saved)
            return
        for series in self._series:
            self.lifecycle.start(series)

    # ── a restart ───────────────────────────────────────────────────────────────────────────────────

    def save(self) -> SavedWorld:
        """Everything of the world that outlives a restart: not the makers, they come again."""
        markets = [save_market(market) for venue in VENUES for market in self.markets(venue)]
        spot = {source.value: exchange.save() for source, exchange in self.spot.items()}
        return SavedWorld(self.at, self.price.save(), spot, markets)

    def _resume(self, saved: SavedWorld) -> None:
        self.lifecycle.sleep()
        for source, exchange in self.spot.items():
            exchange.resume(saved.spot[source.value])
        for row in saved.markets:
            market = load_market(row)
            self.add(market)
            self.desk.resume(market, row.orders, row.matches)
        for series in self._series:
            known = [market for market in self.markets(series.venue) if market.series == series.name]
            self.lifecycle.resume(series, known)

    async def catch_up(self, to_ns: int) -> None:
        """Let the time pass that nobody lived through, without makers; then the clock is followed.

        Every window that was known ends and is decided by the price of its time. What is longer ago than
        ``CATCH_UP_S_MAX`` is skipped: markets that nobody has seen begin and end in it.
        """
        if not self.catching_up:
            return
        clock, self._clock = self._clock, None
        await self.advance(min(to_ns, self.at + CATCH_UP_S_MAX * SECOND))
        if self.at < to_ns - SECOND:
            self._skip_to(to_ns)
        self._clock = clock
        self.catching_up = False
        self.lifecycle.wake()

    def _skip_to(self, at_ns: int) -> None:
        self.forget_all(at_ns // STEP_NS * STEP_NS)
        self.schedule(self.at, self._step)
        for exchange in self.spot.values():
            exchange.appoint()
        for venue, markets in self._markets.items():
            settled = {name: m for name, m in markets.items() if m.status is MarketStatus.SETTLED}
            self._markets[venue] = settled
            for market in settled.values():
                self.lifecycle.appoint(market)
        for series in self._series:
            self.lifecycle.start(series)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    def markets(self, venue: str) -> list[SandboxMarket]:
        """Every market of a venue that is listed, runs, or ended within hours; oldest listing first."""
        return list(self._markets[venue].values())

    def market(self, venue: str, market_id: str) -> SandboxMarket | None:
        """One market by its id (condition id, ticker, contract id)."""
        return self._markets[venue].get(market_id)

    # ── events ──────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Be called with every event, in order; returns what ends it. A callback must not raise."""
        self._callbacks.append(callback)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return end

    def emit(self, event: WorldEvent) -> None:
        """Tell everybody; the grid of a Polymarket book is looked at after each of its changes."""
        for callback in tuple(self._callbacks):
            callback(event)
        if isinstance(event, BookChanged) and event.market.venue == POLYMARKET:
            self._look_at_tick(event.market)

    # ── orders of clients ───────────────────────────────────────────────────────────────────────────

    def place(
        self, market: SandboxMarket, order: LimitOrder, self_trade: SelfTrade = SelfTrade.ALLOW
    ) -> Placement:
        """See ``Desk.place``."""
        return self.desk.place(market, order, self_trade)

    def cancel(
        self, market: SandboxMarket, order_id: str, reason: str = Reason.REQUESTED
    ) -> LimitOrder | None:
        """See ``Desk.cancel``."""
        return self.desk.cancel(market, order_id, reason)

    # ── changing the world ──────────────────────────────────────────────────────────────────────────

    def change_tick(self, market: SandboxMarket, tick: int) -> None:
        """Give a market another even grid, as Polymarket does near the edges. ``tick`` in millionths."""
        old = market.tick
        if tick != old:
            market.price_steps = (PriceStep(0, tick),)
            self.emit(TickChanged(market, self.now(), old, tick))

    def add(self, market: SandboxMarket) -> None:
        """List a market; ``Lifecycle`` does."""
        self._markets[market.venue][market.id] = market

    def forget(self, market: SandboxMarket) -> None:
        """Drop a market that settled long ago."""
        self._markets[market.venue].pop(market.id, None)

    def _step(self) -> None:
        self.price.step()
        self.emit(PriceMoved(self.at))
        self.schedule(self.at + STEP_NS, self._step)

    def _look_at_tick(self, market: SandboxMarket) -> None:
        if market.tick != ONE // 100:
            return
        bid, ask = market.book.best()
        if (bid is not None and bid > EDGE_HIGH) or (ask is not None and ask < EDGE_LOW):
            self.change_tick(market, MILLS[0].step)
