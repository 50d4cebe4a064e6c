"""A followed series with one strike below zero: what the feed knows of it, through the live source and the feed's normaliser."""

import sys

sys.path.insert(0, ".")
import asyncio
import json
import time

from libs.venues.frame import RawFrame
from libs.venues.kalshi.params import KalshiParams
from proto.feed import Market
from services.feed.live.kalshi import KalshiSource
from services.feed.normalise import DeadFrame
from services.feed.normalise import Normalisers as Normaliser

now = int(time.time())
iso = lambda s: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(s))
rows = [
    {
        "ticker": f"KXCPI-26JUN-T{k}",
        "event_ticker": "KXCPI-26JUN",
        "status": "active",
        "title": f"CPI above {k}%?",
        "open_time": iso(now - 86400),
        "close_time": iso(now + 3600),
        "floor_strike": k,
        "volume_fp": "46645.47",
    }
    for k in (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
]


class Client:
    async def raw(self, path, query=None, cache_s=0):
        if path.startswith("/series/"):
            return json.dumps(
                {"series": {"ticker": "KXCPI", "fee_type": "quadratic", "fee_multiplier": 1}}
            ).encode()
        return json.dumps({"markets": rows, "cursor": ""}).encode()

    async def close(self):
        pass


frames = []


async def emit(venue, data, at):
    frames.append(data)


async def main():
    p = KalshiParams(series=("KXCPI",))
    s = KalshiSource(p, emit, None, lambda: None, client=Client())
    await s._poll_series("KXCPI")


asyncio.run(main())
n = Normaliser()
told = []
dead = []
for f in frames:
    out = n.read(RawFrame(source="kalshi", at=time.time_ns(), data=f))
    if isinstance(out, DeadFrame):
        dead.append(out)
    else:
        told += [m for m in out if isinstance(m, Market)]
print(
    "frames",
    len(frames),
    "markets told",
    len(told),
    "of",
    len(rows),
    "dead frames",
    len(dead),
    [getattr(d, "reason", "")[:80] for d in dead],
)
from libs.venues.kalshi.client import _decode
from libs.venues.kalshi.schemas import answers as rest

try:
    _decode(
        "GET /markets",
        json.dumps({"markets": [dict(rows[0], title=None)], "cursor": ""}).encode(),
        rest.Markets,
    )
except Exception as e:
    print("gateway's list with a null title:", type(e).__name__, str(e)[:100])
sys.exit(len(told) < len(rows))
