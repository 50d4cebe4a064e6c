"""A Kalshi market whose own clock has passed stays closed although the venue says: active, closes later.

Run from a Presage checkout. Exit 0 = told open again.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Market

S = 10**9
T = 1_780_000_000
J = msgspec.json.encode


def life(event, **more):
    return J(
        {
            "type": "market_lifecycle_v2",
            "sid": 13,
            "msg": {"market_ticker": "KXNBAGAME-26MAY28-A", "event_type": event, **more},
        }
    )


def listed(status, close):
    row = {
        "ticker": "KXNBAGAME-26MAY28-A",
        "status": status,
        "title": "?",
        "open_time": "2026-05-01T00:00:00Z",
        "close_time": close,
        "can_close_early": True,
    }
    return rest_frame("markets", J({"markets": [row], "cursor": ""}))


def last(messages, now):
    found = [m for m in messages if isinstance(m, Market)]
    return found[-1] if found else now


wrong = 0
for what, frame in (
    ("by the socket (close_date_updated)", life("close_date_updated", close_ts=T + 3_600)),
    ("by the list (status active)", listed("active", "2026-05-28T23:00:00Z")),
    ("by the socket (activated)", life("activated", close_ts=T + 3_600)),
):
    n = KalshiNormaliser()
    m = last(n.normalise(life("created", open_ts=T - 100, close_ts=T + 10), T * S), None)
    m = last(n.normalise(life("activated"), T * S), m)
    m = last(n.tick((T + 11) * S), m)  # a second after the close we knew of
    m = last(n.normalise(frame, (T + 12) * S), m)  # the venue: it goes on for an hour
    wrong += m.status.value != "open"
    print(f"told later {what:36s}: status {m.status.value}, closes in {m.close_at // S - T - 12} s")
sys.exit(bool(wrong))
