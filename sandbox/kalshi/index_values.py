"""The channel ``cfbenchmarks_value``: the index by which Bitcoin's markets are decided, once a second."""

from typing import Any

import msgspec

from proto.units import SECOND
from sandbox.world.venue_prices import BitcoinPrice, PriceSource

INDEX = "BRTI"
"""The only index here; a subscription names it, or all."""
ALL = "all"
EVERY_NS = SECOND
AVERAGE_S = 60
QUARTER_S = 900
"""Windows of a quarter of an hour are decided by the average of their last minute."""


def value_body(price: BitcoinPrice, at: int) -> dict[str, Any]:
    """Return the index, its mean over a minute and, in the last minute of a quarter-hour, the mean of that."""
    value, at_ms = f"{price.at(PriceSource.BRTI):.2f}", at // 1_000_000
    data = {"type": "value", "id": INDEX, "time": at_ms, "value": value}
    body: dict[str, Any] = {
        "index_id": INDEX,
        "received_at": at_ms,
        "data": msgspec.json.encode(data).decode(),
        "avg_60s_data": _mean(price, at, AVERAGE_S),
    }
    into_s = at // SECOND % QUARTER_S
    if into_s > QUARTER_S - AVERAGE_S:
        body["last_60s_windowed_average_15min"] = _mean(price, at, into_s - (QUARTER_S - AVERAGE_S))
    return body


def _mean(price: BitcoinPrice, at: int, seconds: int) -> dict[str, Any]:
    until_ms = at // SECOND * 1_000
    return {
        "value": f"{price.mean(PriceSource.BRTI, seconds) / 1_000_000:.8f}",
        "window_size": seconds,
        "window_start_ts_ms": until_ms - seconds * 1_000,
        "window_end_ts_exclusive": until_ms,
    }
