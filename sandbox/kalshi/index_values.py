"""The channel ``cfbenchmarks_value``: the indices by which crypto markets are decided, once a second.

The world has one price, Bitcoin's. The other coins' indices follow it at fixed ratios, so that they move as it does.
"""

from typing import Any

import msgspec

from proto.units import SECOND
from sandbox.world.venue_prices import BitcoinPrice, PriceSource

RATIOS = {"BRTI": 1.0, "ETHUSD_RTI": 0.05, "SOLUSD_RTI": 0.0025}
"""Index → its part of Bitcoin's; a subscription names some, or all."""
ALL = "all"
EVERY_NS = SECOND
AVERAGE_S = 60
QUARTER_S = 900
"""Windows of a quarter of an hour are decided by the average of their last minute."""


def value_bodies(price: BitcoinPrice, at: int) -> dict[str, dict[str, Any]]:
    """Return each index, its mean over a minute and, in the last minute of a quarter-hour, the mean of that."""
    return {index: _value_body(price, at, index, ratio) for index, ratio in RATIOS.items()}


def _value_body(price: BitcoinPrice, at: int, index: str, ratio: float) -> dict[str, Any]:
    value, at_ms = f"{price.at(PriceSource.BRTI) * ratio:.2f}", at // 1_000_000
    data = {"type": "value", "id": index, "time": at_ms, "value": value}
    body: dict[str, Any] = {
        "index_id": index,
        "received_at": at_ms,
        "data": msgspec.json.encode(data).decode(),
        "avg_60s_data": _mean(price, at, AVERAGE_S, ratio),
    }
    into_s = at // SECOND % QUARTER_S
    if into_s > QUARTER_S - AVERAGE_S:
        body["last_60s_windowed_average_15min"] = _mean(price, at, into_s - (QUARTER_S - AVERAGE_S), ratio)
    return body


def _mean(price: BitcoinPrice, at: int, seconds: int, ratio: float) -> dict[str, Any]:
    until_ms = at // SECOND * 1_000
    return {
        "value": f"{price.mean(PriceSource.BRTI, seconds) * ratio / 1_000_000:.8f}",
        "window_size": seconds,
        "window_start_ts_ms": until_ms - seconds * 1_000,
        "window_end_ts_exclusive": until_ms,
    }
