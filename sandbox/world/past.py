"""What was traded before the world began: three days of minutes, and a quarter of an hour of single trades.

All of it ends where the world begins, and comes from the seed. The last two minutes are those that the price really
lived (``BitcoinPrice`` has them before the first event); what lies before is drawn backwards from there.
"""

import random
from collections.abc import Sequence

from libs.synthetic.price_path import DIFFUSION, STEPS_PER_SECOND
from proto.feed import Side
from proto.units import ONE, SECOND, notional
from sandbox.world.candles import MINUTE_NS, SpotCandle
from sandbox.world.events import SpotTraded
from sandbox.world.venue_prices import STEP_NS, PriceSource

CENT = ONE // 100
HISTORY_MINUTES = 3 * 1440
"""Minutes of candles that lie before the world's beginning: three days, what a strategy warms up on."""
PAST_MINUTES = 16
"""Minutes of single trades before the beginning: the quarter of an hour that a feed asks for, and its first minute."""
FIRST_TRADE_ID = 6_000_000_000
MINUTE_DIFFUSION = DIFFUSION * 60**0.5
STEP_DIFFUSION = DIFFUSION / STEPS_PER_SECOND**0.5
MEAN_TRADE_COINS = 0.03
HISTORIC_TRADES = 240
"""Trades of a minute before the beginning, about as many as a minute has afterwards."""


def historic_minutes(seed: str, until_ns: int, last: int) -> list[SpotCandle]:
    """Return candles before the beginning, made from the newest backwards so that they end at the price ``last``."""
    draw = random.Random(seed)
    past: list[SpotCandle] = []
    close = last
    for i in range(1, HISTORY_MINUTES + 1):
        opened = to_cents(close * (1.0 + draw.gauss(0.0, MINUTE_DIFFUSION)))
        reach = abs(draw.gauss(0.0, MINUTE_DIFFUSION / 2))
        volume = round(HISTORIC_TRADES * MEAN_TRADE_COINS * draw.uniform(0.5, 1.5) * ONE)
        bought = round(volume * draw.uniform(0.4, 0.6))
        middle = (opened + close) // 2
        past.append(
            SpotCandle(
                open_ns=until_ns - i * MINUTE_NS,
                open=opened,
                high=to_cents(max(opened, close) * (1.0 + reach)),
                low=to_cents(min(opened, close) * (1.0 - reach)),
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


def extended_back(seed: str, prices: Sequence[float], count: int) -> list[float]:
    """Return ``count`` prices of steps that end with ``prices``: what is missing is drawn backwards from the first."""
    draw = random.Random(f"{seed}/back")
    missing: list[float] = []
    price = prices[0]
    for _ in range(count - len(prices)):
        price *= 1.0 + draw.gauss(0.0, STEP_DIFFUSION)
        missing.append(price)
    return [*reversed(missing), *prices]


def lived_trades(
    seed: str, source: PriceSource, prices: Sequence[int], until_ns: int, per_s: float, half_spread: int
) -> list[SpotTraded]:
    """Return the trades of the time that the price lived before the first event.

    ``prices`` are those of every step up to ``until_ns``; a trade is at the bid or ask of its moment.
    """
    draw = random.Random(seed)
    begin_ns = until_ns - (len(prices) - 1) * STEP_NS
    found: list[SpotTraded] = []
    at_s = draw.expovariate(per_s)
    while (at_ns := begin_ns + round(at_s * SECOND)) < until_ns:
        side = Side.BUY if draw.random() < 0.5 else Side.SELL
        price = prices[(at_ns - begin_ns) // STEP_NS] + (half_spread if side is Side.BUY else -half_spread)
        number = FIRST_TRADE_ID + 1 + len(found)
        found.append(SpotTraded(source, at_ns, number, price, trade_size(draw), side))
        at_s += draw.expovariate(per_s)
    return found


def trades_within(
    seed: str, source: PriceSource, minutes: Sequence[SpotCandle], until_ns: int
) -> list[SpotTraded]:
    """Return trades that fit candles of a minute, as many as they count, from first to last price within their range.

    Between the two the price is a Brownian bridge; the last minute may end early, at ``until_ns``.
    """
    return [
        trade
        for minute in minutes
        for trade in _of_minute(f"{seed}/{minute.open_ns}", source, minute, until_ns)
    ]


def _of_minute(seed: str, source: PriceSource, minute: SpotCandle, until_ns: int) -> list[SpotTraded]:
    count = minute.trades
    length_ns = min(MINUTE_NS, until_ns - minute.open_ns)
    if not count or length_ns <= 0:
        return []
    draw = random.Random(seed)
    shares = sorted(draw.random() for _ in range(count))
    weights = [draw.expovariate(1.0) for _ in range(count)]
    scale = minute.volume / sum(weights)
    found = []
    for i, (share, price) in enumerate(zip(shares, _bridge(draw, shares, minute), strict=True)):
        side = Side.BUY if draw.random() < 0.5 else Side.SELL
        quantity = max(10, round(weights[i] * scale))
        at_ns = minute.open_ns + int(share * length_ns)
        found.append(SpotTraded(source, at_ns, minute.first_id + i, price, quantity, side))
    return found


def _bridge(draw: random.Random, shares: Sequence[float], minute: SpotCandle) -> list[int]:
    """Return a price for each share of a minute; the first is the candle's first, the last its last."""
    walk, before = [0.0], shares[0]
    for share in shares[1:]:
        walk.append(walk[-1] + draw.gauss(0.0, MINUTE_DIFFUSION * (share - before) ** 0.5))
        before = share
    span = (shares[-1] - shares[0]) or 1.0
    prices = []
    for share, step in zip(shares, walk, strict=True):
        done = (share - shares[0]) / span
        straight = minute.open + (minute.close - minute.open) * done
        price = to_cents(straight + minute.open * (step - walk[-1] * done))
        prices.append(min(max(price, minute.low), minute.high))
    prices[0], prices[-1] = minute.open, minute.close
    return prices


def trade_size(draw: random.Random) -> int:
    """Return the coins of one trade, in millionths."""
    return max(10, round(draw.expovariate(1 / MEAN_TRADE_COINS) * ONE))


def to_cents(price: float) -> int:
    """Return a price in millionths, on whole cents."""
    return round(price / CENT) * CENT
