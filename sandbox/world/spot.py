"""Bitcoin at the two exchanges: trades, the best prices, and candles with a past."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from msgspec import Struct

from libs.synthetic.price_path import DIFFUSION
from proto.feed import Side
from proto.units import ONE, SECOND, notional
from sandbox.world.events import SpotTraded, WorldEvent
from sandbox.world.scheduler import Scheduler
from sandbox.world.venue_prices import BitcoinPrice, PriceSource

CENT = ONE // 100
MINUTE_NS = 60 * SECOND
HISTORY_MINUTES = 3 * 1440
"""Minutes of candles that lie before the world's beginning: three days, what a strategy warms up on."""
LIVED_MINUTES = 3 * 1440
"""Minutes of candles kept since the beginning."""
SAVED_MINUTES = 120
"""Minutes of candles that outlive a restart: the 20 candles of five minutes a strategy measures by."""
FIRST_TRADE_ID = 6_000_000_000
MINUTE_DIFFUSION = DIFFUSION * 60**0.5
TRADES_KEPT = 5_000
"""Trades that REST still lists: a quarter of an hour of them."""
TRADES_PER_S = {PriceSource.BINANCE: 6.0, PriceSource.COINBASE: 4.0}
# The best prices are so far from what the exchange shows, in cents.
HALF_SPREAD_CENTS = {PriceSource.BINANCE: 1, PriceSource.COINBASE: 40}
MEAN_TRADE_COINS = 0.03
DEPTH_LEVELS = 20
HISTORIC_TRADES = 240
"""Trades of a minute before the beginning, about as many as a minute has afterwards."""


@dataclass(slots=True)
class SpotCandle:
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


class SavedSpot(Struct):
    """What of an exchange outlives a restart."""

    trade_id: int
    candles: list[SpotCandle]


class SpotExchange:
    """One exchange's Bitcoin market. Trades come by chance; candles are what the trades were."""

    def __init__(
        self,
        source: PriceSource,
        seed: int,
        scheduler: Scheduler,
        price: BitcoinPrice,
        emit: Callable[[WorldEvent], None],
    ) -> None:
        self.source = source
        self.trades: deque[SpotTraded] = deque(maxlen=TRADES_KEPT)
        self._draw = random.Random(f"presage-sandbox/{seed}/spot/{source}")
        self._seed = seed
        self._scheduler = scheduler
        self._price = price
        self._emit = emit
        self._trade_id = FIRST_TRADE_ID
        begin, first_price = scheduler.at // MINUTE_NS * MINUTE_NS, self.price()
        self._past_of = partial(_history, f"presage-sandbox/{seed}/past/{source}", begin, first_price)
        self._past: list[SpotCandle] | None = None
        first = SpotCandle(begin, first_price, first_price, first_price, first_price)
        first.first_id, first.last_id = self._trade_id + 1, self._trade_id
        self._lived: deque[SpotCandle] = deque([first], maxlen=LIVED_MINUTES)
        self.schedule_trade()

    def save(self) -> "SavedSpot":
        """Return the newest candles and the number of trades."""
        return SavedSpot(self._trade_id, list(self._lived)[-SAVED_MINUTES:])

    def resume(self, saved: "SavedSpot") -> None:
        """Resume from what was saved; the past before it is generated to end where it begins."""
        self._trade_id = saved.trade_id
        self._lived = deque(saved.candles, maxlen=LIVED_MINUTES)
        first = saved.candles[0]
        name = f"presage-sandbox/{self._seed}/past/{self.source}"
        self._past_of = partial(_history, name, first.open_ns, first.open)
        self._past = None

    @property
    def candles(self) -> list[SpotCandle]:
        """Every minute known, oldest first, the last one running. The past is made when first asked for."""
        if self._past is None:
            self._past = self._past_of()
        return [*self._past, *self._lived]

    def price(self) -> int:
        """Return what the exchange shows, in millionths of a dollar on whole cents."""
        return round(100 * self._price.at(self.source)) * CENT

    def best(self) -> tuple[int, int]:
        """Return best bid and ask in millionths of a dollar."""
        half = HALF_SPREAD_CENTS[self.source] * CENT
        return self.price() - half, self.price() + half

    def sizes(self, side: Side) -> list[tuple[int, int]]:
        """Return the levels of a side, best first: price and coins. They depend on the price and the seed alone."""
        bid, ask = self.best()
        best, direction = (bid, -1) if side is Side.BUY else (ask, 1)
        gap = 10 * CENT
        first = best // gap * gap if side is Side.BUY else -(-best // gap) * gap
        levels = [(best, self._size(best))]
        prices = (first + direction * gap * i for i in range(DEPTH_LEVELS))
        levels += [(p, self._size(p)) for p in prices if p != best]
        return levels[:DEPTH_LEVELS]

    def candle(self, at_ns: int) -> SpotCandle:
        """Return the candle that runs at a moment; it is begun when it is missing."""
        start = at_ns // MINUTE_NS * MINUTE_NS
        while self._lived[-1].open_ns < start:
            close = self._lived[-1].close
            following = SpotCandle(self._lived[-1].open_ns + MINUTE_NS, close, close, close, close)
            following.first_id, following.last_id = self._trade_id + 1, self._trade_id
            self._lived.append(following)
        return self._lived[-1]

    def _size(self, price: int) -> int:
        """Return the coins at a level, between 0.05 and 2: the same while the price does not move."""
        mixed = (price // CENT * 2_654_435_761 + self._seed * 40_503) % (1 << 32)
        return 50_000 + mixed % 1_950_000

    def schedule_trade(self) -> None:
        """Schedule the next trade."""
        self._scheduler.after(self._draw.expovariate(TRADES_PER_S[self.source]), self._trade)

    def _trade(self) -> None:
        side = Side.BUY if self._draw.random() < 0.5 else Side.SELL
        bid, ask = self.best()
        quantity = max(10, round(self._draw.expovariate(1 / MEAN_TRADE_COINS) * ONE))
        self._trade_id += 1
        price = ask if side is Side.BUY else bid
        trade = SpotTraded(self.source, self._scheduler.at, self._trade_id, price, quantity, side)
        self.candle(trade.at).add(trade)
        self.trades.append(trade)
        self._emit(trade)
        self.schedule_trade()


def _history(seed: str, until_ns: int, last: int) -> list[SpotCandle]:
    """Return candles before the beginning, made from the newest backwards so that they end at the price ``last``."""
    draw = random.Random(seed)
    past: list[SpotCandle] = []
    close = last
    for i in range(1, HISTORY_MINUTES + 1):
        opened = _cents(close * (1.0 + draw.gauss(0.0, MINUTE_DIFFUSION)))
        reach = abs(draw.gauss(0.0, MINUTE_DIFFUSION / 2))
        volume = round(HISTORIC_TRADES * MEAN_TRADE_COINS * draw.uniform(0.5, 1.5) * ONE)
        bought = round(volume * draw.uniform(0.4, 0.6))
        middle = (opened + close) // 2
        past.append(
            SpotCandle(
                open_ns=until_ns - i * MINUTE_NS,
                open=opened,
                high=_cents(max(opened, close) * (1.0 + reach)),
                low=_cents(min(opened, close) * (1.0 - reach)),
                close=close,
                volume=volume,
                value=notional(middle, volume),
                trades=HISTORIC_TRADES,
                bought=bought,
                bought_value=notional(middle, bought),
                first_id=FIRST_TRADE_ID - i * HISTORIC_TRADES + 1,
                last_id=FIRST_TRADE_ID - (i - 1) * HISTORIC_TRADES,
            )
        )
        close = opened
    past.reverse()
    return past


def _cents(price: float) -> int:
    """Return a price in millionths, on whole cents."""
    return round(price / CENT) * CENT
