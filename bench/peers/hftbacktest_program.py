"""pm-hftbacktest over the quotes of a file, run by the peers' own Python: figures as JSON on stdout.

The ceiling: compiled code over an array, with a book and a queue, and nothing else.
"""

import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_BBO_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    event_dtype,
)
from numba import njit

UNITS = 1_000_000
STEP_NS = 10_000_000_000
"""How long the loop waits for the next event at most."""
END, FEED = 1, 2
"""What waiting came to: there is no more, or something came."""
COPIES = 50
"""The file so many times over: by itself it is done before a clock can say anything."""


@njit
def run(backtest: Any) -> int:
    """Go through all there is, looking at the best prices."""
    seen = 0
    while True:
        came = backtest.wait_next_feed(False, STEP_NS)
        if came == END:
            break
        if came == FEED:
            depth = backtest.depth(0)
            if depth.best_ask_tick > depth.best_bid_tick:
                seen += 1
    return seen


def events_of(path: Path) -> Any:
    """Two events a quote, of the first instrument that the file has."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    first = rows[0][0]
    events = []
    span = int(rows[-1][1]) - int(rows[0][1]) + STEP_NS
    for copy in range(COPIES):
        for name, at, bid, bid_size, ask, ask_size in rows:
            if name != first:
                continue
            moment = int(at) + copy * span
            for side, price, size in ((BUY_EVENT, bid, bid_size), (SELL_EVENT, ask, ask_size)):
                kind = DEPTH_BBO_EVENT | EXCH_EVENT | LOCAL_EVENT | side
                events.append((kind, moment, moment, int(price) / UNITS, int(size) / UNITS, 0, 0, 0.0))
    return np.array(events, dtype=event_dtype)


def main() -> None:
    """``FILE``: the quotes."""
    events = events_of(Path(sys.argv[1]))
    best, seen = float("inf"), 0
    for _ in range(2):
        # The first one compiles.
        asset = (
            BacktestAsset()
            .data(events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
        )
        asset = asset.no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        backtest = HashMapMarketDepthBacktest([asset.tick_size(0.0001).lot_size(0.01)])
        began = process_time()
        seen = run(backtest)
        best = min(best, process_time() - began)
        backtest.close()
    print(json.dumps({"events": len(events) // 2, "run_s": best, "looks": seen}))


if __name__ == "__main__":
    main()
