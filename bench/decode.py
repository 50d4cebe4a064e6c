"""Frames decoded to book updates, venue by venue, from recorded frames in memory: no file, no bus, no conflation of ours.

Kalshi's frames come from a whole capture. Of the others only some hundred frames are recorded: they are read over
and over, each time by a normaliser that knows nothing yet. A venue without recorded frames is left out, loudly.
"""

import gc
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from bench import recorded
from bench.result import Figure, Tell, rate
from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import FrameError, RawFrame, rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from libs.venues.normaliser import Normaliser
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Book, Quote, Trade
from proto.units import MILLISECOND
from services.feed.recording.recording import open_recording

FRAMES_MIN = 20_000
"""Frames read of each venue: seconds, where a hash over a whole book is checked with each."""
KALSHI_AIM = 50_000
CAPTURES = "polymarket/jonahgrigoryan_15m_captures"
SOURCES = {"polymarket": "polymarket_clob", "binance": "binance", "coinbase": "coinbase"}
"""Venue → what the recorder of those captures called it."""
MAKERS: dict[str, Callable[[], Normaliser]] = {
    "kalshi": KalshiNormaliser,
    "polymarket": PolymarketNormaliser,
    "binance": BinanceNormaliser,
    "coinbase": CoinbaseNormaliser,
    "manifold": ManifoldNormaliser,
}


class Decoded(NamedTuple):
    """What reading came to. ``updates`` are books, best prices and trades, for the tape."""

    frames: int
    updates: int
    dead: int
    seconds: float


def kalshi_runs() -> list[list[RawFrame]]:
    """Kalshi's frames of the first capture."""
    for path in recorded.captures():
        frames = [
            frame
            for frame in open_recording(path).frames()
            if isinstance(frame, RawFrame) and frame.source == "kalshi"
        ]
        if frames:
            return [frames]
    return []


def other_runs(venue: str) -> list[list[RawFrame]]:
    """A venue's frames of each capture that has some; Polymarket's begin with what Gamma said of the markets."""
    folder = recorded.folder() / CAPTURES
    runs = []
    for path in sorted(folder.glob("*/raw_messages.jsonl.gz")):
        frames = list(_frames(path, venue))
        if frames and venue == "polymarket":
            frames.insert(0, RawFrame(frames[0].at, venue, _listings(path.with_name("markets.jsonl"))))
        if frames:
            runs.append(frames)
    return runs


def _frames(path: Path, venue: str) -> Iterator[RawFrame]:
    with gzip.open(path) as lines:
        for line in lines:
            row = json.loads(line)
            data = row["payload"].strip().encode()
            if row["source"] != SOURCES.get(venue) or not data:
                continue
            if venue == "polymarket" and b'"event_type"' not in data and b'"bids"' in data:
                data = rest_frame("clob_book", data)
            yield RawFrame(row["recv_wall_ts"] * MILLISECOND, venue, data)


def _listings(path: Path) -> bytes:
    rows = [_listing(json.loads(line)) for line in path.read_text().splitlines()]
    return rest_frame("gamma_markets", json.dumps(rows).encode())


def _listing(row: dict[str, Any]) -> dict[str, Any]:
    """A market as Gamma gives it, from what the recorder noted of it."""

    def utc(milliseconds: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))

    return {
        "conditionId": row["condition_id"],
        "slug": row["slug"],
        "question": row["title"],
        "outcomes": json.dumps([outcome["outcome"] for outcome in row["outcomes"]]),
        "clobTokenIds": json.dumps([outcome["token_id"] for outcome in row["outcomes"]]),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "orderPriceMinTickSize": row["tick_size"],
        "orderMinSize": int(row["min_order_size"]),
        "eventStartTime": utc(row["start_ts"]),
        "endDate": utc(row["end_ts"]),
    }


def decode(make: Callable[[], Normaliser], runs: Sequence[Sequence[RawFrame]]) -> Decoded:
    """Read all runs until there were enough frames; only reading is timed."""
    frames = updates = dead = 0
    seconds = 0.0
    gc.collect()
    while frames < FRAMES_MIN:
        for run in runs:
            normaliser = make()
            out: list[Any] = []
            began = perf_counter()
            for frame in run:
                try:
                    out += normaliser.normalise(frame.data, frame.at)
                except FrameError:
                    dead += 1
            seconds += perf_counter() - began
            frames += len(run)
            updates += sum(isinstance(message, Book | Quote | Trade) for message in out)
    return Decoded(frames, updates, dead, seconds)


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Frames a second of each venue, and the updates that came of them."""
    figures: list[Figure] = []
    for venue, make in MAKERS.items():
        runs = kalshi_runs() if venue == "kalshi" else other_runs(venue)
        if not runs:
            tell(f"{venue}: no recorded frames under {recorded.folder()}: left out")
            continue
        distinct = sum(len(run) for run in runs)
        found = decode(make, runs)
        tell(f"{venue}: {distinct:,} recorded frames, {found.frames:,} read")
        if not found.updates or found.dead > found.frames // 100:
            raise RuntimeError(
                f"expected {venue}'s frames to be read, was {found.dead} dead of {found.frames}"
            )
        aim = KALSHI_AIM if venue == "kalshi" else None
        figures.append(
            rate(f"{venue}: frames decoded to book updates", found.frames, found.seconds, "frames", aim)
        )
        figures.append(rate("  messages for the tape", found.updates, found.seconds, "messages"))
    return figures
