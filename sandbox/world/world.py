"""The world behind the sandbox's venues: one Bitcoin price, their markets, and who trades them.

    world = World(seed=7, start_ns=time.time_ns(), clock=time.time_ns)
    world.subscribe(callback)          # every event, in order, synchronously
    await world.run()                  # follow the clock, or: await world.advance(to_ns)

Same seed, same start, same moments and same orders: the same world, to the last event.
"""

import random
from collections.abc import Callable, Iterable

from libs.exchange.matching_types import LimitOrder, Placement, Reason, SelfTrade
from proto.feed import PriceStep
from proto.units import ONE
from sandbox.world.desk import Desk
from sandbox.world.events import BookChanged, PriceMoved, TickChanged, WorldEvent
from sandbox.world.lifecycle import Lifecycle
from sandbox.world.listing import SERIES
from sandbox.world.markets import KALSHI, MANIFOLD, MILLS, POLYMARKET, SandboxMarket
from sandbox.world.price import STEP_NS, BitcoinPrice, Source
from sandbox.world.scheduler import Scheduler
from sandbox.world.spot import SpotExchange

VENUES = (POLYMARKET, KALSHI, MANIFOLD)
UPDATES_PER_S = 3.0
"""Changes a second of each book: what a quiet real book of a 15 minute market shows."""
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
    ) -> None:
        if time_scale <= 0 or updates_per_s <= 0:
            raise ValueError(f"expected positive rates, was {time_scale} and {updates_per_s}")
        super().__init__(start_ns // STEP_NS * STEP_NS, clock)
        self.seed = seed
        self.time_scale = time_scale
        self.updates_per_s = updates_per_s
        self.price = BitcoinPrice(random.Random(f"presage-sandbox/{seed}/price"), speed=time_scale)
        self.desk = Desk(self, self.emit)
        self.lifecycle = Lifecycle(self)
        self._callbacks: list[Callback] = []
        self._markets: dict[str, dict[str, SandboxMarket]] = {venue: {} for venue in VENUES}
        self.spot = {source: SpotExchange(self, source) for source in (Source.BINANCE, Source.COINBASE)}
        self.schedule(self.at, self._step)
        chosen = set(venues)
        for series in SERIES:
            if series.venue in chosen:
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
