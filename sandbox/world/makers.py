"""Who quotes and trades a book besides the clients: one maker who follows an old price, and noise.

Each book has a generator of its own, drawn from the seed and the market's id, so that what happens in one
book changes nothing in another.
"""

import random
from bisect import bisect_left
from collections.abc import Iterable
from functools import partial

from libs.exchange.matching_types import LimitOrder
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE
from sandbox.world.fair import fair_value
from sandbox.world.markets import MarketKind, SandboxMarket
from sandbox.world.order_entry import OrderEntry
from sandbox.world.scheduler import Scheduler
from sandbox.world.settings import WorldSettings
from sandbox.world.venue_markets import MakerStyle, markets_of
from sandbox.world.venue_prices import BitcoinPrice

MAKER, NOISE = "~maker", "~noise"
"""Owners that are part of the world. Their orders make no order events."""
DEPTH_LEVELS = 8
"""Levels the maker keeps on each side."""
TRADE_MAX = 60
"""Contracts of the largest noise trade: below most levels, so noise hardly moves the price."""
REPLACE_CHANCE, TRADE_CHANCE = 0.75, 0.12
"""Of what a book does besides following the price."""
COIN_STEP = 0.004
"""How far the fair value of a market that nothing decides wanders in one act."""


class MarketMaker:
    """The maker and the noise of one book. ``act`` is called ``updates_per_s`` times a second."""

    def __init__(
        self,
        market: SandboxMarket,
        style: MakerStyle,
        settings: WorldSettings,
        scheduler: Scheduler,
        price: BitcoinPrice,
        order_entry: OrderEntry,
    ) -> None:
        self._style = style
        self.draw = random.Random(f"presage-sandbox/{settings.seed}/{market.venue}/{market.id}")
        self.lag_s = self.draw.uniform(*style.lag_s) / settings.time_scale
        self._settings = settings
        self._scheduler = scheduler
        self._price = price
        self._order_entry = order_entry
        self._market = market
        self._coin = 0.5
        self._count = 0
        self._centre = 0
        self._quotes: dict[tuple[Side, int], str] = {}
        self._use_grid()

    def act(self) -> None:
        """Follow the price if it moved; else change a size or trade a little."""
        if self._steps != self._market.price_steps:
            self._use_grid()
        centre = min(max(bisect_left(self._grid, round(ONE * self._fair())), 1), len(self._grid) - 2)
        if centre != self._centre or not self._quotes:
            self._centre = centre
            self._requote()
        elif self.draw.random() < TRADE_CHANCE:
            self._trade()
        elif self.draw.random() < REPLACE_CHANCE:
            self._replace()

    def cancel_quotes(self) -> None:
        """Cancel everything."""
        self._quotes.clear()
        self._order_entry.withdraw(self._market, MAKER)

    def _fair(self) -> float:
        if self._market.kind is MarketKind.VOID:
            self._coin = min(max(self._coin + self.draw.gauss(0, COIN_STEP), 0.3), 0.7)
            return self._coin
        price = self._price.ago(self.lag_s)
        return fair_value(self._market, price, self._scheduler.at, self._settings.time_scale)

    def _use_grid(self) -> None:
        """Read the market's price steps; quotes on an older grid go."""
        self._steps = self._market.price_steps
        grid: list[int] = []
        for step, following in zip(self._steps, [*(s.start for s in self._steps[1:]), ONE], strict=True):
            grid += range(step.start or step.step, following, step.step)
        self._grid = grid
        self._centre = -1
        if self._quotes:
            self.cancel_quotes()

    def _requote(self) -> None:
        """Move all quotes around the new centre; quotes that would cross the new ones are cancelled first."""
        grid, centre = self._grid, self._centre
        first_bid = centre - 1
        first_ask = first_bid + self._style.spread_steps
        wanted = {(Side.BUY, grid[i]) for i in range(max(0, first_bid - DEPTH_LEVELS + 1), first_bid + 1)}
        asks = range(first_ask, min(len(grid), first_ask + DEPTH_LEVELS))
        wanted |= {(Side.SELL, grid[i]) for i in asks}
        old = [order for key, order in self._quotes.items() if key not in wanted]
        book = self._market.book
        kept = {k: o for k, o in self._quotes.items() if k in wanted and book.order(o) is not None}
        fresh = []
        for side, price in sorted(wanted - kept.keys()):
            order = self._order(side, price, self._size())
            kept[side, price] = order.order_id
            fresh.append(order)
        self._quotes = kept
        self._order_entry.requote(self._market, old, fresh)

    def _replace(self) -> None:
        """Cancel one level, more often a near one, and place it again with another size."""
        side = Side.BUY if self.draw.random() < 0.5 else Side.SELL
        near = sorted((p for s, p in self._quotes if s is side), reverse=side is Side.BUY)
        if near:
            price = near[min(int(self.draw.expovariate(0.6)), len(near) - 1)]
            order = self._order(side, price, self._size())
            old, self._quotes[side, price] = self._quotes[side, price], order.order_id
            self._order_entry.requote(self._market, [old], [order])

    def _trade(self) -> None:
        """Trade a little with the best level of one side, as a noise trader, whosever it is."""
        side = Side.BUY if self.draw.random() < 0.5 else Side.SELL
        quantity = self.draw.randint(1, TRADE_MAX) * ONE
        bid, ask = self._market.book.best()
        price = ask if side is Side.BUY else bid
        if price is not None:
            order = self._order(side, price, quantity, owner=NOISE, time_in_force=TimeInForce.IOC)
            self._order_entry.requote(self._market, [], [order])

    def _size(self) -> int:
        return self.draw.randint(*self._style.sizes) * ONE

    def _order(
        self,
        side: Side,
        price: int,
        quantity: int,
        owner: str = MAKER,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> LimitOrder:
        self._count += 1
        return LimitOrder(
            order_id=f"{owner}-{self._count}",
            owner=owner,
            outcome=0,
            side=side,
            price=price,
            quantity=quantity,
            time_in_force=time_in_force,
        )


class MarketMakers:
    """The makers of all books, each acting at random moments of its own."""

    def __init__(
        self, settings: WorldSettings, scheduler: Scheduler, price: BitcoinPrice, order_entry: OrderEntry
    ) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._price = price
        self._order_entry = order_entry
        self._makers: dict[SandboxMarket, MarketMaker] = {}
        self._paused = False

    def start(self, market: SandboxMarket) -> None:
        """Begin to quote a market, where its venue has books and the makers are not paused."""
        style = markets_of(market.venue).makers
        if style is None or self._paused or market in self._makers:
            return
        self._makers[market] = MarketMaker(
            market, style, self._settings, self._scheduler, self._price, self._order_entry
        )
        self._act(market)

    def stop(self, market: SandboxMarket) -> None:
        """Cancel a market's quotes, for good."""
        maker = self._makers.pop(market, None)
        if maker is not None:
            maker.cancel_quotes()

    def stop_all(self) -> None:
        """Cancel every quote, for good."""
        for market in list(self._makers):
            self.stop(market)

    def pause(self) -> None:
        """Start no maker until ``resume``."""
        self._paused = True

    def resume(self, markets: Iterable[SandboxMarket]) -> None:
        """Start makers again: now those of ``markets``, as far as they can be traded."""
        self._paused = False
        for market in markets:
            if _may_be_quoted(market):
                self.start(market)

    def _act(self, market: SandboxMarket) -> None:
        """Let a market's maker act once, and schedule its next act."""
        maker = self._makers.get(market)
        if maker is None or not _may_be_quoted(market):
            return
        if market.accepts_orders:
            maker.act()
        wait_s = maker.draw.expovariate(self._settings.updates_per_s)
        self._scheduler.after(wait_s, partial(self._act, market))


def _may_be_quoted(market: SandboxMarket) -> bool:
    return market.status in (MarketStatus.LISTED, MarketStatus.OPEN)
