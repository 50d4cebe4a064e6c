"""One market that the normaliser cannot read hides all others of its page (Kalshi, Manifold); Gamma's pages skip it.

Run from a Presage checkout. Exit 0 = every page still tells its two ordinary markets.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.frame import FrameError
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from proto.feed import Market

AT = 1_780_000_000 * 10**9
J = msgspec.json.encode
KALSHI = {
    "ticker": "KXCPI-26JUL-T0.1",
    "status": "active",
    "title": "?",
    "result": "",
    "open_time": "2026-07-01T15:00:00Z",
    "close_time": "2026-08-12T12:25:00Z",
    "floor_strike": 0.1,
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
}
ODD_KALSHI = {
    "CPI below zero": b'"floor_strike":-0.3',
    "payrolls below zero": b'"floor_strike":-25000',
    "frost": b'"floor_strike":-4',
    "a SHIB price": b'"floor_strike":0.000006999',
    "the same with an exponent": b'"floor_strike":6.999e-06',
    "noise of a float": b'"floor_strike":4.0999999999999996',
    "a null title": b'"title":null',
    "null price ranges": b'"price_ranges":null',
    "a null subtitle": b'"yes_sub_title":null',
    "an open time of the year 1": b'"open_time":"0001-01-01T00:00:00Z"',
}
MANIFOLD = {
    "id": "good1",
    "question": "?",
    "outcomeType": "BINARY",
    "mechanism": "cpmm-1",
    "pool": {"YES": 100.0, "NO": 100.0},
    "p": 0.5,
    "closeTime": 1790000000000,
    "createdTime": 1770000000000,
    "isResolved": False,
}
ODD_MANIFOLD = {
    "closes after the year 9999": b'"closeTime":253402318740000',
    "closes at the end of JavaScript's time": b'"closeTime":8640000000000000',
    "a null volume": b'"volume":null',
}
wrong = 0


def tells(normaliser, frame):
    try:
        return sum(isinstance(m, Market) for m in normaliser.normalise(frame, AT)), ""
    except FrameError as e:
        return 0, str(e)[:110]


for what, odd in ODD_KALSHI.items():
    bad = b'{"ticker":"KXODD-26JUL-T1","status":"active",' + odd + b"}"
    body = (
        b'{"markets":['
        + J(KALSHI)
        + b","
        + bad
        + b","
        + J(dict(KALSHI, ticker="KXCPI-26JUL-T0.2", floor_strike=0.2))
        + b'],"cursor":""}'
    )
    count, why = tells(KalshiNormaliser(), rest_frame("markets", body))
    wrong += count < 2
    print(f"kalshi   {what:38s} ordinary markets told: {min(count, 2)} of 2  {why}")
for what, odd in ODD_MANIFOLD.items():
    bad = b'{"id":"odd","outcomeType":"BINARY","mechanism":"cpmm-1",' + odd + b"}"
    body = b"[" + J(MANIFOLD) + b"," + bad + b"," + J(dict(MANIFOLD, id="good2")) + b"]"
    count, why = tells(ManifoldNormaliser(), b'{"_rest":"search-markets","body":' + body + b"}")
    wrong += count < 2
    print(f"manifold {what:38s} ordinary markets told: {min(count, 2)} of 2  {why}")
sys.exit(bool(wrong))
