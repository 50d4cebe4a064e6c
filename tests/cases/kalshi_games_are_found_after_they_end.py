"""A Kalshi market that closes early (every game, most of politics and economics) is looked for by its latest close, days after its end.

Real shape (568 game and player markets captured in August 2026, ids here made up): close_time 42 h to days after
expected_expiration_time, can_close_early true; when the game is over the venue moves close_time to that moment.
The feed asks for markets whose close_time is at most time_to_close_max_hours (2) away, so it never sees one that is played now.
Run from a Presage checkout. Exit 0 = a game that is expected to end within time_to_close_max_hours is followed before and while it is played.
"""

import asyncio
import sys

sys.path.insert(0, ".")
from datetime import UTC, datetime

import msgspec

from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from proto.feed import Market
from services.feed.live import kalshi as live

HOUR = 3_600
KICKOFF = 1_791_500_000
EXPECTED, LATEST = KICKOFF + 3 * HOUR, KICKOFF + 48 * HOUR


def text(s):
    return datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


row = {
    "ticker": "KXNFLGAME-26OCT08AAABBB-AAA",
    "event_ticker": "KXNFLGAME-26OCT08AAABBB",
    "status": "active",
    "title": "AAA wins",
    "result": "",
    "can_close_early": True,
    "open_time": text(KICKOFF - 200 * HOUR),
    "close_time": text(LATEST),
    "expected_expiration_time": text(EXPECTED),
    "occurrence_datetime": text(EXPECTED),
    "latest_expiration_time": text(LATEST),
    "strike_type": "structured",
    "settlement_timer_seconds": 60,
    "volume_fp": "200000.00",
    "price_level_structure": "linear_cent",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
}


class Venue:
    """Answers like GET /markets: an active market, filtered by status and close as it is asked."""

    async def raw(self, path, query=None, cache_s=0.0):
        query = query or {}
        if path == "/events":
            return msgspec.json.encode({"events": [], "cursor": ""})
        if not path.startswith("/markets"):
            return msgspec.json.encode(
                {
                    "series": {
                        "ticker": "KXNFLGAME",
                        "fee_type": "quadratic_with_maker_fees",
                        "fee_multiplier": 1,
                        "title": "NFL Game",
                    }
                }
            )
        inside = int(query.get("min_close_ts", 0)) <= LATEST <= int(query.get("max_close_ts", 2**60))
        return msgspec.json.encode({"markets": [row] if inside else [], "cursor": ""})

    async def close(self):
        pass


class NoSigner:
    def headers(self, *_):
        return {}


async def found(now):
    n, told = KalshiNormaliser(follow=("KXNFLGAME",)), []

    async def emit(_source, data, _at=0):
        told.extend(m for m in n.normalise(data, now * 10**9) if isinstance(m, Market))

    live.now_ns = lambda: now * 10**9
    source = live.KalshiSource(KalshiParams(series=("KXNFLGAME",)), emit, NoSigner(), lambda: n, Venue())
    await source.poll()
    return told


wrong = 0
for what, now in (
    ("an hour before it is expected to end", EXPECTED - HOUR),
    ("ten minutes before", EXPECTED - 600),
):
    told = asyncio.run(found(now))
    print(f"{what:38s}", "followed" if told else "NOT FOUND: nobody trades, nobody is told")
    wrong += not told
sys.exit(bool(wrong))
