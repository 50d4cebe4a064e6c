"""Bitcoin at the two exchanges: trades, the best prices, and candles with a past."""

import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.synthetic.price import DIFFUSION
from proto.feed import Side
from proto.units import ONE, SECOND, notional
from sandbox.world.events import SpotTraded
from sandbox.world.price import Source

if TYPE_CHECKING:
    from sandbox.world.world import World

CENT = ONE // 100
MINUTE_NS = 60 * SECOND
HISTORY_MINUTES = 3 * 1440
"""Minutes of candles that lie before the world's beginning: three days, what a strategy warms up on."""
KEPT_MINUTES = HISTORY_MINUTES + 3 * 1440
TRADES_KEPT = 5_000
"""Trades that REST still tells: a quarter of an hour of them."""
TRADES_PER_S = {Source.BINANCE: 6.0, Source.COINBASE: 4.0}
# The best prices are so far from what the exchange shows, in cents.
HALF_SPREAD_CENTS = {Source.BINANCE: 1, Source.COINBASE: 40}
MEAN_TRADE_COINS = 0.03
DEPTH_LEVELS = 20
HISTORIC_TRADES = 240
"""Trades of a minute before the beginning, about as many as a minute has afterwards."""


@dataclass(slots=True)
class Candle:
    """One minute of one exchange. Prices in millionths, volumes of coins, money in millionths."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    value: int = 0
    trades: int = 0
    bought: int = 0
    bought_value: int = 0
    first_id: int = 0
    last_id: int = -1

    def add(self, trade: SpotTraded) -> None:
        """Count a trade in."""
        value = notional(trade.price, trade.quantity)
        if not self.trades:
            self.open, self.high, self.low = trade.price, trade.price, trade.price
            self.first_id = trade.trade_id
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.close = trade.price
        self.volume += trade.quantity
        self.value += value
        self.trades += 1
        self.last_id = trade.trade_id
        if trade.side is Side.BUY:
            self.bought += trade.quantity
            self.bought_value += value


class SpotExchange:
    """One exchange's Bitcoin market. Trades come by chance; candles are what the trades were."""

    def __init__(self, world: "World", source: Source) -> None:
        self.source = source
        self.candles: deque[Candle] = deque(maxlen=KEPT_MINUTES)
        self.trades: deque[SpotTraded] = deque(maxlen=TRADES_KEPT)
        self._draw = random.Random(f"presage-sandbox/{world.seed}/spot/{source}")
        self._world = world
        self._trade_id = 6_000_000_000
        self._history(world.at // MINUTE_NS * MINUTE_NS, self.price())
        self._appoint()

    def price(self) -> int:
        """What the exchange shows, in millionths of a dollar on whole cents."""
        return round(100 * self._world.price.at(self.source)) * CENT

    def best(self) -> tuple[int, int]:
        """Best bid and ask in millionths of a dollar."""
        half = HALF_SPREAD_CENTS[self.source] * CENT
        return self.price() - half, self.price() + half

    def sizes(self, side: Side) -> list[tuple[int, int]]:
        """Levels of a side, best first: price and coins. They depend on the price and the seed alone."""
        bid, ask = self.best()
        best, direction = (bid, -1) if side is Side.BUY else (ask, 1)
        gap = 10 * CENT
        first = best // gap * gap if side is Side.BUY else -(-best // gap) * gap
        levels = [(best, self._size(best))]
        prices = (first + direction * gap * i for i in range(DEPTH_LEVELS))
        levels += [(p, self._size(p)) for p in prices if p != best]
        return levels[:DEPTH_LEVELS]

    def candle(self, at_ns: int) -> Candle:
        """The candle that runs at a moment; it is begun when it is missing."""
        start = at_ns // MINUTE_NS * MINUTE_NS
        while self.candles[-1].open_ns < start:
            close = self.candles[-1].close
            following = Candle(self.candles[-1].open_ns + MINUTE_NS, close, close, close, close)
            following.first_id, following.last_id = self._trade_id + 1, self._trade_id
            self.candles.append(following)
        return self.candles[-1]

    def _size(self, price: int) -> int:
        """Coins at a level, between 0.05 and 2: a level does not flicker while the price stands still."""
        mixed = (price // CENT * 2_654_435_761 + self._world.seed * 40_503) % (1 << 32)
        return 50_000 + mixed % 1_950_000

    def _appoint(self) -> None:
        self._world.after(self._draw.expovariate(TRADES_PER_S[self.source]), self._trade)

    def _trade(self) -> None:
        side = Side.BUY if self._draw.random() < 0.5 else Side.SELL
        bid, ask = self.best()
        quantity = max(10, round(self._draw.expovariate(1 / MEAN_TRADE_COINS) * ONE))
        self._trade_id += 1
        price = ask if side is Side.BUY else bid
        trade = SpotTraded(self.source, self._world.at, self._trade_id, price, quantity, side)
        self.candle(trade.at).add(trade)
        self.trades.append(trade)
        self._world.emit(trade)
        self._appoint()

    def _history(self, until_ns: int, last: int) -> None:
        """Candles before the beginning, from the newest backwards; the running one is empty."""
        draw = self._draw
        past: list[Candle] = []
        close = last
        for i in range(1, HISTORY_MINUTES + 1):
            opened = round(close * (1.0 + draw.gauss(0.0, DIFFUSION * 60**0.5)) / CENT) * CENT
            reach = abs(draw.gauss(0.0, DIFFUSION * 60**0.5 / 2))
            high = round(max(opened, close) * (1.0 + reach) / CENT) * CENT
            low = round(min(opened, close) * (1.0 - reach) / CENT) * CENT
            volume = round(HISTORIC_TRADES * MEAN_TRADE_COINS * draw.uniform(0.5, 1.5) * ONE)
            bought = round(volume * draw.uniform(0.4, 0.6))
            middle = (opened + close) // 2
            past.append(
                Candle(
                    open_ns=until_ns - i * MINUTE_NS,
                    open=opened,
                    high=high,
                    low=low,
                    close=close,
                    volume=volume,
                    value=notional(middle, volume),
                    trades=HISTORIC_TRADES,
                    bought=bought,
                    bought_value=notional(middle, bought),
                    first_id=self._trade_id - i * HISTORIC_TRADES + 1,
                    last_id=self._trade_id - (i - 1) * HISTORIC_TRADES,
                )
            )
            close = opened
        self.candles.extend(reversed(past))
        self.candle(until_ns)
