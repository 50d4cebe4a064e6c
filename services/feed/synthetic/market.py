"""A seeded synthetic market: frames as Kalshi and Coinbase would send them, without an exchange.

Bitcoin moves by jump-diffusion; every ``window_s // 2`` a market "up in N minutes?" opens, so two
overlap. Their makers look at a price 30 to 90 s old, which is the edge a momentum strategy can find.
The strike is the mean price of the minute before the open; the mean of the minute before the close
decides, as at Kalshi. Pure: the clock is a count of steps, and chance comes from the seed alone.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from libs.synthetic.price_path import STEPS_PER_SECOND, Price
from libs.venues.coinbase import COINBASE
from libs.venues.frame import RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.series import CRYPTO_AVERAGE_S
from proto.units import SECOND
from services.feed.synthetic import frames
from services.feed.synthetic.book import LAG_MAX_S, LAG_MIN_S, NO, YES, SyntheticBook

STEP_NS = SECOND // STEPS_PER_SECOND
FRAME_SPACING_NS = 200_000
"""Frames of one step follow each other by so much: at most 500 fit a step, about 60 come."""
WINDOW_S = 300
START_PRICE = 80_000.0
LISTED_BEFORE_S = 15
"""A market is announced so long before it opens."""
DETERMINED_AFTER_S, SETTLED_AFTER_S = 2, 5
KEPT_AFTER_S = 120
"""A settled market stays in the state so long: what a crash kept from the tape is told again."""
MATCH_CHANCE = 0.4
"""A Bitcoin trade in a tenth of a second: four a second."""
# A night without running moves the price as much as this long would; beyond it nothing is learnt.
DOWNTIME_S_MAX = 3600
DOWNTIME_VOLATILITY = 0.0001

LISTED, OPEN, CLOSED, DETERMINED, SETTLED = "listed", "open", "closed", "determined", "settled"


class _Window:
    """One market's life: times in seconds, the strike in cents, its book while it is open."""

    def __init__(self, series: str, open_s: int, close_s: int, lag_s: float, draw: random.Random) -> None:
        close = datetime.fromtimestamp(close_s, UTC)
        day = f"{close:%y}{close:%b}".upper()
        self.ticker = f"{series}-{day}{close:%d%H%M}-{close:%M}"
        self.open_s = open_s
        self.close_s = close_s
        self.strike_cents: int | None = None
        self.book = SyntheticBook(draw, lag_s)
        self.stage = LISTED
        self.result = ""

    def event(self, name: str) -> bytes:
        minutes = (self.close_s - self.open_s) // 60
        return frames.lifecycle(
            self.ticker,
            name,
            open_s=self.open_s,
            close_s=self.close_s,
            strike_cents=self.strike_cents,
            result=self.result,
            title=f"BTC price up in {minutes} minutes? (synthetic)",
        )

    def decide(self, price: float) -> None:
        self.result = YES if round(100 * price) >= (self.strike_cents or 0) else NO


class SyntheticMarket:
    """The whole synthetic world. ``step()`` yields the frames of the next tenth of a second.

    ``start_ns`` is rounded down to a step. After a restart ``resume`` goes on from ``state()``.
    """

    def __init__(
        self, seed: int, start_ns: int, window_s: int = WINDOW_S, price: float = START_PRICE
    ) -> None:
        if window_s < 120 or window_s % 60:
            raise ValueError(f"expected a window of full minutes, at least 120 seconds, was {window_s}")
        self.seed = seed
        self.at = start_ns // STEP_NS * STEP_NS
        self.window_s = window_s
        self._resumes = 0
        self._draw = random.Random(f"presage/{seed}/0")
        self._price = Price(self._draw, START_PRICE, price)
        self._windows: list[_Window] = []
        self._trade_id = 1
        self._seq = 0
        self._next_open_s = self._first_open_s()
        self._opening = True

    @property
    def series(self) -> str:
        """Series ticker in Kalshi's fashion, ``KXBTC5M`` for windows of five minutes."""
        return f"KXBTC{self.window_s // 60}M"

    @property
    def price(self) -> float:
        """The Bitcoin price now, in dollars."""
        return self._price.now

    # ── running ─────────────────────────────────────────────────────────────────────────────────────

    def frames(self) -> Iterator[RawFrame]:
        """Frames without end, in order of time."""
        while True:
            yield from self.step()

    def step(self) -> list[RawFrame]:
        """Go a tenth of a second further and return what the venues sent in it."""
        step = _Step(self.at)
        if self._opening:
            self._opening = False
            for data in frames.connected():
                step.add(KALSHI, data)
            self._reopen(step)
        self._price.step()
        if self._draw.random() < MATCH_CHANCE:
            self._match(step)
        self._list_windows(step)
        for window in self._windows:
            self._live(window, step)
        self._windows = [w for w in self._windows if self._now_s < w.close_s + KEPT_AFTER_S]
        self.at += STEP_NS
        return step.frames

    @property
    def _now_s(self) -> float:
        return self.at / SECOND

    def _match(self, step: "_Step") -> None:
        size = f"{self._draw.expovariate(30):.8f}"
        side = "buy" if self._draw.random() < 0.5 else "sell"
        cents = round(100 * self._price.now)
        step.add(COINBASE, frames.match(self._trade_id, cents, size, side, step.at))
        self._trade_id += 1

    def _list_windows(self, step: "_Step") -> None:
        while self._now_s >= self._next_open_s - LISTED_BEFORE_S:
            open_s = self._next_open_s
            lag_s = round(self._draw.uniform(LAG_MIN_S, LAG_MAX_S), 1)
            window = _Window(self.series, open_s, open_s + self.window_s, lag_s, self._draw)
            self._windows.append(window)
            self._next_open_s += self.window_s // 2
            step.add(KALSHI, window.event("created"))

    def _live(self, window: _Window, step: "_Step") -> None:
        """What happens to one market in this step."""
        now_s = self._now_s
        if window.stage == LISTED and now_s >= window.open_s:
            window.strike_cents = round(100 * self._price.mean(CRYPTO_AVERAGE_S))
            self._open(window, step)
        elif window.stage == OPEN and now_s >= window.close_s:
            window.stage = CLOSED
            window.decide(self._price.mean(CRYPTO_AVERAGE_S))
            step.add(KALSHI, frames.snapshot(window.ticker, self._next_seq(), (), ()))
        elif window.stage == OPEN:
            self._trade_window(window, step)
        if window.stage == CLOSED and now_s >= window.close_s + DETERMINED_AFTER_S:
            window.stage = DETERMINED
            step.add(KALSHI, window.event("determined"))
        if window.stage == DETERMINED and now_s >= window.close_s + SETTLED_AFTER_S:
            window.stage = SETTLED
            step.add(KALSHI, window.event("settled"))

    def _open(self, window: _Window, step: "_Step") -> None:
        window.stage = OPEN
        step.add(KALSHI, window.event("activated"))
        window.book.step(self._price, self._strike(window), window.close_s - self._now_s)
        self._snapshot(window, step)

    def _trade_window(self, window: _Window, step: "_Step") -> None:
        book = window.book
        for change in book.step(self._price, self._strike(window), window.close_s - self._now_s):
            if change.taker:
                trade_id = f"{window.ticker}-{self._seq}"
                step.add(KALSHI, frames.trade(window.ticker, trade_id, change, step.at))
            step.add(KALSHI, frames.delta(window.ticker, self._next_seq(), change, step.at))
        if self.at % SECOND == 0:
            step.add(KALSHI, frames.ticker_frame(window.ticker, *book.best(), step.at))

    def _snapshot(self, window: _Window, step: "_Step") -> None:
        yes, no = window.book.side_levels(YES), window.book.side_levels(NO)
        step.add(KALSHI, frames.snapshot(window.ticker, self._next_seq(), yes, no))

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _strike(self, window: _Window) -> float:
        return (window.strike_cents or 0) / 100

    def _first_open_s(self) -> int:
        """The open of the oldest window that is still running now."""
        stride = self.window_s // 2
        return (self.at // SECOND // stride - 1) * stride

    # ── restarting ──────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """What ``resume`` needs, small and fit for JSON; taken between steps."""
        return {
            "seed": self.seed,
            "at": self.at,
            "window_s": self.window_s,
            "resumes": self._resumes,
            "price": round(self._price.now, 2),
            "trade_id": self._trade_id,
            "windows": [
                {
                    "open_s": w.open_s,
                    "close_s": w.close_s,
                    "lag_s": w.book.lag_s,
                    "strike_cents": w.strike_cents,
                    "result": w.result,
                }
                for w in self._windows
            ],
        }

    @classmethod
    def resume(cls, state: dict[str, Any], now_ns: int) -> "SyntheticMarket":
        """Go on from a state at a later time.

        Markets that closed meanwhile are settled at once, by the price then known against their strike;
        those still running come back with a new book.

        Raises:
            KeyError, TypeError, ValueError: for a dictionary that ``state`` did not make.
        """
        now_ns = max(now_ns, int(state["at"]))
        market = cls(int(state["seed"]), now_ns, int(state["window_s"]), float(state["price"]))
        market._resumes = int(state["resumes"]) + 1
        market._trade_id = int(state["trade_id"])
        market._draw.seed(f"presage/{market.seed}/{market._resumes}")
        down_s = min((now_ns - int(state["at"])) / SECOND, DOWNTIME_S_MAX)
        market._price.jump(market._draw.gauss(0.0, DOWNTIME_VOLATILITY * down_s**0.5))
        for row in state["windows"]:
            window = _Window(market.series, row["open_s"], row["close_s"], row["lag_s"], market._draw)
            window.strike_cents, window.result = row["strike_cents"], row["result"]
            market._windows.append(window)
            market._next_open_s = max(market._next_open_s, window.open_s + market.window_s // 2)
        return market

    def _reopen(self, step: "_Step") -> None:
        """Bring back the markets of a resumed state: settle what is over, show what runs."""
        for window in self._windows:
            if window.strike_cents is None and self._now_s >= window.open_s:
                window.strike_cents = round(100 * self._price.now)
            if self._now_s >= window.close_s:
                if not window.result:
                    window.decide(self._price.now)
                window.stage = SETTLED
                step.add(KALSHI, window.event("settled"))
            elif self._now_s >= window.open_s:
                self._open(window, step)
            else:
                step.add(KALSHI, window.event("created"))


class _Step:
    """Collects the frames of one step, each a little later than the one before."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.frames: list[RawFrame] = []
        self._end = at + STEP_NS - 1

    def add(self, source: str, data: bytes) -> None:
        self.frames.append(RawFrame(self.at, source, data))
        self.at = min(self.at + FRAME_SPACING_NS, self._end)
