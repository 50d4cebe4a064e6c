"""Candles of longer intervals from candles of a minute."""

from sandbox.world.spot import MINUTE_NS, SpotCandle


def join_candles(candles: list[SpotCandle], minutes: int) -> list[SpotCandle]:
    """Join one-minute candles to longer ones, aligned to whole intervals since 1970; the last may run."""
    if minutes == 1:
        return candles
    result: list[SpotCandle] = []
    length = minutes * MINUTE_NS
    for minute in candles:
        start = minute.open_ns // length * length
        if not result or result[-1].open_ns != start:
            whole = SpotCandle(start, minute.open, minute.high, minute.low, minute.close)
            whole.first_id, whole.last_id = minute.first_id, minute.first_id - 1
            result.append(whole)
        whole = result[-1]
        whole.high, whole.low = max(whole.high, minute.high), min(whole.low, minute.low)
        whole.close = minute.close
        whole.volume += minute.volume
        whole.value += minute.value
        whole.trades += minute.trades
        whole.bought += minute.bought
        whole.bought_value += minute.bought_value
        whole.last_id = max(whole.last_id, minute.last_id)
    return result
