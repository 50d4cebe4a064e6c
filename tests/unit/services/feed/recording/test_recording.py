"""Recordings in any condition, and what playing them gives."""

import gzip
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from libs.contract import codec
from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import FeedClock, Market, MarketStatus, Played
from proto.units import SECOND
from services.feed.normalise import DeadFrame, Normalisers, source_of
from services.feed.recording.lines import CHUNK_BYTES, LINE_BYTES_MAX, Torn, read_lines
from services.feed.recording.play import CLOCKS_MAX, play
from services.feed.recording.recording import (
    FRAMES_FILE,
    RESULTS_FILE,
    SETTLEMENT_DELAY_NS,
    TRADES_FILE,
    TRADES_HEADER,
    RecordingError,
    open_recording,
    recording_span,
)
from services.feed.synthetic.recording import START_NS, write_recording
from tests.support.feed_observer import FeedObserver
from tests.support.paths import ROOT

AT = 1_778_700_000 * SECOND
MINUTES = 4


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("recording"), seed=5, minutes=MINUTES)


def write(path: Path, lines: list[bytes]) -> Path:
    path.mkdir(exist_ok=True)
    (path / FRAMES_FILE).write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    return path


def line(at: int, frame: str = '{"type":"_ws_connected","msg":{}}') -> bytes:
    return f'{{"recv_ns":{at},"frame":{frame}}}'.encode()


def frames_of(path: Path) -> list[RawFrame]:
    return [f for f in open_recording(path).frames() if isinstance(f, RawFrame)]


def dead_of(path: Path) -> list[DeadFrame]:
    return [f for f in open_recording(path).frames() if isinstance(f, DeadFrame)]


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kept", [0, 1, 10, 1_000, 20_000, -8, -1])
def test_cut_gzip_gives_what_is_before_the_cut(tmp_path: Path, kept: int) -> None:
    lines = [os.urandom(40).hex().encode() for _ in range(2_000)]
    packed = gzip.compress(b"\n".join(lines) + b"\n")
    path = tmp_path / "x.gz"
    path.write_bytes(packed[:kept])
    out = list(read_lines(path))
    whole = [piece for piece in out if isinstance(piece, bytes)]
    assert whole == lines[: len(whole)]
    assert len(whole) == (2_000 if kept < 0 else len(whole))
    torn = [piece for piece in out if isinstance(piece, Torn)]
    assert len(torn) == (0 if kept == 0 else 1)
    if kept == 20_000:
        assert len(whole) > 100


def test_several_members_and_no_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\nd"))
    assert list(read_lines(path)) == [b"a", b"bc", b"d"]


def test_damaged_gzip_is_torn(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(os.urandom(30).hex().encode() + b"\n" for _ in range(5_000))))
    packed[len(packed) // 2] ^= 0xFF
    packed[len(packed) // 2 + 1] ^= 0xFF
    path = tmp_path / "x.gz"
    path.write_bytes(packed)
    assert sum(isinstance(piece, Torn) for piece in read_lines(path)) == 1


def test_endless_line_is_torn_and_the_next_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"x" * (2 * LINE_BYTES_MAX + CHUNK_BYTES) + b"\nb\n"))
    first, torn, last = read_lines(path)
    assert (first, last) == (b"a", b"b")
    assert isinstance(torn, Torn)


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────


def test_streams_are_merged_by_receive_time(tmp_path: Path) -> None:
    path = write(tmp_path / "r", [line(AT + 10), line(AT + 30), line(AT + 20), line(AT + 40)])
    rows = [TRADES_HEADER, *(f"t,{AT + n},79377.68,{n},match" for n in (5, 25, 45))]
    (path / TRADES_FILE).write_bytes(gzip.compress("\n".join(rows).encode()))
    # A late frame is moved up to the one before it.
    assert [f.at - AT for f in frames_of(path)] == [5, 10, 25, 30, 30, 40, 45]
    assert {f.source for f in frames_of(path)} == {"kalshi", "coinbase"}
    assert recording_span(path) == (AT + 5, AT + 45)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"recv_ns":1778700000000000000,"fra',
        b'{"recv_ns":-1,"frame":{}}',
        b'{"recv_ns":"x","frame":{}}',
        b'{"recv_ns":99999999999999999999999,"frame":{}}',
        line(AT + 10**18),
        b"[" * 100_000,
    ],
)
def test_bad_line_is_dead_and_the_rest_is_played(tmp_path: Path, bad: bytes) -> None:
    path = write(tmp_path / "r", [line(AT), bad, line(AT + 5 * SECOND)])
    assert [f.at for f in frames_of(path)] == [AT, AT + 5 * SECOND]
    (dead,) = dead_of(path)
    assert len(dead.excerpt) <= 256
    assert len(dead.reason) <= 300
    messages = list(play(open_recording(path)))
    assert messages[-1] == Played(recording="r", at=AT + 5 * SECOND, frames=3, dead=1)


@pytest.mark.parametrize(
    "row", ["", "a,b,c", "t,x,1.0,1,match", "t,1,1.0,x,match", "t,99999999999999999999,1,1,m"]
)
def test_bad_row_is_dead(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "r", [line(AT)])
    (path / TRADES_FILE).write_bytes(gzip.compress(f"{TRADES_HEADER}\n{row}\nt,{AT},1.0,1,match\n".encode()))
    assert len(dead_of(path)) == 1
    assert len(frames_of(path)) == 2


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '[{"market":"A"}]', '[{"market":"A","result":"yes","close_time":"x"}]']
)
def test_bad_results_are_dead(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "r", [line(AT)])
    (path / RESULTS_FILE).write_text(text)
    assert len(dead_of(path)) == 1


def test_late_result_is_played_at_its_own_close(tmp_path: Path) -> None:
    path = write(tmp_path / "r", [line(AT)])
    result = {"market": "KXBTC15M-X", "close_time": "2026-05-13T21:30:00Z", "result": "yes"}
    (path / RESULTS_FILE).write_text(json.dumps([result]))
    messages = list(play(open_recording(path)))
    (market,) = [m for m in messages if isinstance(m, Market)]
    assert market.status is MarketStatus.SETTLED
    assert market.result == "yes"
    assert market.at == market.close_at + SETTLEMENT_DELAY_NS
    clocks = [m.at for m in messages if isinstance(m, FeedClock)]
    assert len(clocks) == CLOCKS_MAX
    assert clocks[-1] == market.at


def test_path_that_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"expected ws\.jsonl\.gz"):
        open_recording(tmp_path)
    with pytest.raises(RecordingError, match="expected a recording"):
        open_recording(tmp_path / "missing")
    empty = write(tmp_path / "r", [b"nothing"])
    with pytest.raises(RecordingError, match="at least one readable frame"):
        recording_span(empty)


def test_frames_file_alone_is_a_recording(synthetic: Path) -> None:
    recording = open_recording(synthetic / FRAMES_FILE)
    assert (recording.trades_file, recording.results_file) == (None, None)
    assert all(f.source == "kalshi" for f in recording.frames() if isinstance(f, RawFrame))


# ── playing ─────────────────────────────────────────────────────────────────────────────────────────


def test_synthetic_recording_round_trips(synthetic: Path) -> None:
    normalisers, observer = Normalisers(), FeedObserver()
    for message in play(open_recording(synthetic), normalisers):
        assert not isinstance(message, DeadFrame)
        observer.handle_messages([message])
    kalshi = normalisers.of(KALSHI, KalshiNormaliser)
    assert (
        kalshi.gaps,
        kalshi.old,
        normalisers.of(COINBASE, CoinbaseNormaliser).missed,
        normalisers.dead,
    ) == (0, 0, 0, 0)
    # The synthetic venue's ticker does not lag: every one must equal the book.
    assert kalshi.ticker_checks == kalshi.ticker_matches > 100
    results = {r["market"]: r["result"] for r in json.loads((synthetic / RESULTS_FILE).read_text())}
    told = {name.removeprefix("kalshi:"): markets[-1] for name, markets in observer.markets.items()}
    assert {ticker: market.result for ticker, market in told.items()} == results
    assert all(market.status is MarketStatus.SETTLED for market in told.values())
    assert observer.played is not None
    assert observer.played.at == recording_span(synthetic).end_ns
    assert len(observer.clocks) >= MINUTES * 60 - 1
    assert all(clock.at % SECOND == 0 for clock in observer.clocks)
    assert len(observer.trades) > 100


def test_damaged_recording_is_played_to_its_end(synthetic: Path, tmp_path: Path) -> None:
    """Every 50th line is damaged, and then the file is cut: gaps, healing, and no exception."""
    lines = gzip.decompress((synthetic / FRAMES_FILE).read_bytes()).splitlines()
    for i in range(10, len(lines), 50):
        lines[i] = lines[i][: len(lines[i]) // 2] + b"\xff" + lines[i][len(lines[i]) // 2 :]
    packed = gzip.compress(b"\n".join(lines))
    path = tmp_path / "damaged"
    path.mkdir()
    (path / FRAMES_FILE).write_bytes(packed[: len(packed) * 3 // 4])
    normalisers, observer = Normalisers(), FeedObserver()
    dead = 0
    for message in play(open_recording(path), normalisers):
        if isinstance(message, DeadFrame):
            dead += 1
        else:
            observer.handle_messages([message])
    assert observer.played is not None
    assert observer.played.dead == dead > 10
    assert observer.gaps


PLAY_HASH = """
import sys
from hashlib import sha256
from pathlib import Path
from libs.contract import codec
from services.feed.recording.play import play
from services.feed.recording.recording import open_recording
from services.feed.synthetic.recording import write_recording

path = write_recording(Path(sys.argv[1]), seed=11, minutes=1.5)
digest = sha256()
for message in play(open_recording(path)):
    digest.update(message.subject().encode() + codec.encode(message))
print(digest.hexdigest())
"""


def test_same_under_two_hash_seeds(tmp_path: Path) -> None:
    hashes = set()
    for seed in ("0", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PLAY_HASH, str(tmp_path / seed / "same")],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(run.stdout)
    assert len(hashes) == 1
    files = [sha256((tmp_path / seed / "same" / FRAMES_FILE).read_bytes()).digest() for seed in ("0", "4711")]
    assert files[0] == files[1]


def test_messages_fit_their_contract(synthetic: Path) -> None:
    for message in play(open_recording(synthetic)):
        assert not isinstance(message, DeadFrame)
        assert codec.decode(message.subject(), codec.encode(message)) == message


def test_sources_are_told_apart_by_form() -> None:
    assert source_of(b'{"type":"match","trade_id":1,"product_id":"BTC-USD"}') == "coinbase"
    assert source_of(b'{"id":1,"type":"subscribed","msg":{"channel":"ticker","sid":1}}') == "kalshi"
    assert source_of(b'{"type":"_ws_connected"}') == "kalshi"
    assert source_of(b"\xff\x00") == ""


def test_unknown_source_is_dead() -> None:
    normalisers = Normalisers()
    dead = normalisers.read(RawFrame(AT, "nowhere", b"x" * 1000))
    assert isinstance(dead, DeadFrame)
    assert len(dead.excerpt) == 256
    assert (normalisers.frames, normalisers.dead) == (1, 1)


def test_written_recording_starts_where_it_says(synthetic: Path) -> None:
    assert recording_span(synthetic).start_ns == START_NS
