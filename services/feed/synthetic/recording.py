"""A synthetic session as a recording: the same three files that real sessions are kept in."""

import gzip
from pathlib import Path

import msgspec
from msgspec import Struct

from libs.venues.frame import RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.schemas import wire
from proto.units import SECOND
from services.feed.recording.recording import FRAMES_FILE, RESULTS_FILE, TRADES_FILE, TRADES_HEADER
from services.feed.synthetic.frames import iso
from services.feed.synthetic.market import WINDOW_S, SyntheticMarket

START_NS = 1_779_000_000 * SECOND
"""A recording made from a seed begins at a fixed moment (2026-05-17 06:40 UTC), so it is always the same."""
# Fast and small enough: a session is written once and read often.
_GZIP_LEVEL = 3


class _Trade(Struct):
    type: str
    trade_id: int
    price: str
    time: str


_trade = msgspec.json.Decoder(_Trade)


class _Results:
    """Watches the frames of a market's life for what ``results.json`` tells of it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.undecided: set[str] = set()
        self._listing = True

    def close_list(self) -> None:
        """The recording is over: markets listed from now on are not its business."""
        self._listing = False

    def watch(self, frame: RawFrame) -> None:
        lifecycle = wire.decode(frame.data) if b"market_lifecycle_v2" in frame.data[:40] else None
        if not isinstance(lifecycle, wire.Lifecycle):
            return
        body = lifecycle.msg
        if body.event_type == "created" and self._listing:
            self.undecided.add(body.market_ticker)
        elif body.event_type == "determined" and body.market_ticker in self.undecided:
            self.undecided.remove(body.market_ticker)
            self.rows.append(
                {
                    "close_time": f"{iso((body.close_ts or 0) * SECOND)[:19]}Z",
                    "market": body.market_ticker,
                    "result": body.result or "",
                    "source": "synthetic",
                    "status": "finalized",
                }
            )


def write_recording(
    directory: Path, seed: int, minutes: float, *, start_ns: int = START_NS, window_s: int = WINDOW_S
) -> Path:
    """Write ``minutes`` of a synthetic market into ``directory`` and return it.

    The same arguments give the same bytes. Markets still running at the end get their results from
    the market going on unrecorded, as real results are looked up later.

    Raises:
        OSError: when the directory cannot be made or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    market = SyntheticMarket(seed, start_ns, window_s)
    end_ns = market.at + round(minutes * 60) * SECOND
    results = _Results()
    lines: list[bytes] = []
    rows = [TRADES_HEADER.encode()]
    while market.at < end_ns:
        for frame in market.step():
            if frame.source == KALSHI:
                results.watch(frame)
                lines.append(b'{"recv_ns":%d,"frame":%b}' % (frame.at, frame.data))
            else:
                rows.append(_row(frame))
    results.close_list()
    while results.undecided:
        for frame in market.step():
            results.watch(frame)
    _write_zipped(directory / FRAMES_FILE, lines)
    _write_zipped(directory / TRADES_FILE, rows)
    text = msgspec.json.format(msgspec.json.encode(results.rows), indent=2)
    (directory / RESULTS_FILE).write_bytes(text + b"\n")
    return directory


def _row(frame: RawFrame) -> bytes:
    """A Coinbase trade as a row of the trades table, which keeps neither size nor side."""
    trade = _trade.decode(frame.data)
    time = trade.time.replace("Z", "+00:00")
    return f"{time},{frame.at},{trade.price},{trade.trade_id},{trade.type}".encode()


def _write_zipped(path: Path, lines: list[bytes]) -> None:
    """Write lines packed, without a time stamp in the header: the same lines give the same file."""
    lines.append(b"")
    path.write_bytes(gzip.compress(b"\n".join(lines), _GZIP_LEVEL, mtime=0))
