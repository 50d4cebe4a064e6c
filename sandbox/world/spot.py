"""Bitcoin at the two exchanges: trades, the best prices, and candles with a past."""

import random
from collections import deque
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from proto.feed import Side
from proto.units import ONE
from sandbox.world.candles import MINUTE_NS, SpotCandle
from sandbox.world.events import SpotTraded, WorldEvent
from sandbox.world.past import (
    CENT,
    FIRST_TRADE_ID,
    PAST_MINUTES,
    extended_back,
    historic_minutes,
    lived_trades,
    to_cents,
    trade_size,
    trades_within,
)
from sandbox.world.scheduler import Scheduler
from sandbox.world.venue_prices import STEP_NS, BitcoinPrice, PriceSource

LIVED_MINUTES = 3 * 1440
"""Minutes of candles kept since the beginning."""
SAVED_MINUTES = 120
"""Minutes of candles that outlive a restart: the 20 candles of five minutes a strategy measures by."""
TRADES_KEPT = 6_000
"""Trades that REST still lists: a quarter of an hour of them."""
TRADES_PER_S = {PriceSource.BINANCE: 6.0, PriceSource.COINBASE: 4.0}
# The best prices are so far from what the exchange shows, in cents.
HALF_SPREAD_CENTS = {PriceSource.BINANCE: 1, PriceSource.COINBASE: 40}
DEPTH_LEVELS = 20


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
        self._past_seed = f"presage-sandbox/{seed}/past/{source}"
        self._past: list[SpotCandle] | None = None
        self._past_trades: list[SpotTraded] | None = None
        self._live_before()
        self.schedule_trade()

    def _live_before(self) -> None:
        """Trade through the minutes that the price has lived before the first event."""
        until_ns, half = self._scheduler.at, HALF_SPREAD_CENTS[self.source] * CENT
        seed = f"presage-sandbox/{self._seed}/before/{self.source}"
        seen = self._price.seen(self.source)
        begin = (until_ns - (len(seen) - 1) * STEP_NS) // MINUTE_NS * MINUTE_NS
        seen = extended_back(seed, seen, (until_ns - begin) // STEP_NS + 1)
        prices = [to_cents(price * ONE) for price in seen]
        trades = lived_trades(seed, self.source, prices, until_ns, TRADES_PER_S[self.source], half)
        self._past_until_ns = begin
        self._trade_id = FIRST_TRADE_ID
        self._past_of = partial(historic_minutes, self._past_seed, begin, prices[0])
        self._lived = deque([SpotCandle(begin, *[prices[0]] * 4)], maxlen=LIVED_MINUTES)
        self._lived[0].first_id, self._lived[0].last_id = self._trade_id + 1, self._trade_id
        for trade in trades:
            self._trade_id = trade.trade_id
            self.candle(trade.at).add(trade)
        self.candle(until_ns)
        self.trades.extend(trades)

    def save(self) -> "SavedSpot":
        """Return the newest candles and the number of trades."""
        return SavedSpot(self._trade_id, list(self._lived)[-SAVED_MINUTES:])

    def resume(self, saved: "SavedSpot") -> None:
        """Resume from what was saved; the past before it is generated to end where it begins."""
        self._trade_id = saved.trade_id
        self._lived = deque(saved.candles, maxlen=LIVED_MINUTES)
        first = saved.candles[0]
        self._past_of = partial(historic_minutes, self._past_seed, first.open_ns, first.open)
        self._past = self._past_trades = None
        self._past_until_ns = self._scheduler.at
        self.trades.clear()

    @property
    def candles(self) -> list[SpotCandle]:
        """Every minute known, oldest first, the last one running. The past is made when first asked for."""
        if self._past is None:
            self._past = self._past_of()
        return [*self._past, *self._lived]

    def known_trades(self) -> list[SpotTraded]:
        """Return every trade known, oldest first: those since the beginning, and a quarter of an hour before it.

        Those before fit the candles of their minutes; they are made when first asked for.
        """
        if len(self.trades) == TRADES_KEPT:
            return list(self.trades)
        if self._past_trades is None:
            until = self._past_until_ns
            from_ns = until - PAST_MINUTES * MINUTE_NS
            minutes = [c for c in self.candles if from_ns <= c.open_ns < until]
            self._past_trades = trades_within(f"{self._past_seed}/trades", self.source, minutes, until)
        return [*self._past_trades, *self.trades][-TRADES_KEPT:]

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
        quantity = trade_size(self._draw)
        self._trade_id += 1
        price = ask if side is Side.BUY else bid
        trade = SpotTraded(self.source, self._scheduler.at, self._trade_id, price, quantity, side)
        self.candle(trade.at).add(trade)
        self.trades.append(trade)
        self._emit(trade)
        self.schedule_trade()
