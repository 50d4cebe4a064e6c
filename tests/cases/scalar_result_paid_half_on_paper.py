"""A Kalshi market with result "scalar" is paid 0.50 on paper, whatever its settlement value.

Run from a Presage checkout. Exit 0 = right.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.machine.machine import Stamp
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from proto.feed import Market
from proto.units import ONE
from proto.venue import Settlement
from services.execution.paper.machine import PaperMachine

AT = 1_790_000_000 * 10**9


def paid(market: Market) -> dict[str, float]:
    paper = PaperMachine()
    paper.state.traded[market.market] = {o.instrument: 1 for o in market.outcomes}  # both were traded
    return {
        m.instrument.rpartition(":")[2]: m.price / ONE
        for m in paper.on(market, Stamp(1, AT))
        if isinstance(m, Settlement)
    }


wrong = 0
for value, result in (
    ("0.2400", "scalar"),
    ("0.7200", "scalar"),
    ("0.0100", "scalar"),
    ("0.2000", "scalar"),
    ("0.5000", "scalar"),
    ("1.0000", "yes"),
    ("0.0000", "no"),
):
    row = {
        "ticker": "KXRAINX-26AUG30-T1",
        "status": "finalized",
        "result": result,
        "settlement_value_dollars": value,
        "title": "?",
        "open_time": "2026-08-29T00:00:00Z",
        "close_time": "2026-08-31T00:00:00Z",
    }
    told = KalshiNormaliser().normalise(
        rest_frame("markets", msgspec.json.encode({"markets": [row], "cursor": ""})), AT
    )
    (market,) = [m for m in told if isinstance(m, Market)]
    got, want = paid(market), {"yes": float(value), "no": round(1 - float(value), 6)}
    wrong += got != want
    print(
        f"kalshi {result} {value}: told result {market.result!r}; paid {got}; right is {want}",
        "" if got == want else "  <-- WRONG",
    )

for resolution, probability, want in (
    ("MKT", 0.83, {"yes": 0.83, "no": 0.17}),
    ("YES", None, {"yes": 1.0, "no": 0.0}),
):
    row = {
        "id": "abcDEF123",
        "question": "?",
        "outcomeType": "BINARY",
        "mechanism": "cpmm-1",
        "pool": {"YES": 100.0, "NO": 100.0},
        "p": 0.5,
        "closeTime": 1780000000000,
        "createdTime": 1770000000000,
        "isResolved": True,
        "resolution": resolution,
        "resolutionProbability": probability,
        "resolutionTime": 1785000000000,
    }
    told = ManifoldNormaliser().normalise(b'{"_rest":"market","body":' + msgspec.json.encode(row) + b"}", AT)
    (market,) = [m for m in told if isinstance(m, Market)]
    got = paid(market)
    wrong += got != want
    print(
        f"manifold {resolution} {probability}: told result {market.result!r}; paid {got}; right is {want}",
        "" if got == want else "  <-- WRONG",
    )
sys.exit(bool(wrong))
