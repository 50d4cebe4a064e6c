"""Unreadable Kalshi frames: only FrameError comes out, and the books stay as they were."""

import random
from typing import Any

import pytest

from libs.contract import codec
from libs.venues.frame import FRAME_BYTES_MAX, FrameError
from libs.venues.kalshi.market_data import table as module
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.message import Message
from proto.units import SECOND
from services.feed.synthetic import frames
from services.feed.synthetic.book import Change

TICKER = "KXBTC5M-26NOV211205-05"
START = 1_778_700_000 * SECOND
FUZZED_FRAMES = 8_000

JUNK = [
    b"NaN", b"Infinity", b"-1", b"0", b"1e999999999", b"9" * 400, b'"\xff\xfe"', b'"\\ud800"', b"null", b"true",
    b"[" * 2_000, b'{"a":' * 2_000, b'""', b'"' + b"A" * 5_000 + b'"', b"[]", b"{}", b"\x00", b'"0.33001"',
    b'"1e5"', b'"-0.5"', b'"0"', b'"99999999999999999999"', b'"\xd9\xa3"', b"2026", b"1.5",
]  # fmt: skip


def good_frames() -> list[bytes]:
    """One of each kind, the numbered ones in order."""
    life = {"open_s": START // SECOND - 60, "close_s": START // SECOND + 240}
    taken = Change("yes", 400, -5, "no")
    return [
        *frames.connected(),
        frames.lifecycle(TICKER, "created", **life, strike_cents=8_000_000, title="BTC up?"),
        frames.snapshot(TICKER, 1, [(390, 7), (400, 10)], [(500, 10), (590, 3)]),
        frames.delta(TICKER, 2, Change("no", 595, 12), START),
        frames.trade(TICKER, "t-1", taken, START),
        frames.delta(TICKER, 3, taken, START),
        frames.ticker_frame(TICKER, 400, 405, START),
        b'{"type":"_watch_market","msg":{"close_time":"2026-05-13T21:30:00Z","market_ticker":"'
        + TICKER.encode()
        + b'","status":"active","strike":79404.26}}',
        b'{"type":"error","id":9,"msg":{"code":6,"msg":"Already subscribed"}}',
        b'{"type":"ok","id":9,"sid":2,"seq":4,"msg":{"market_tickers":[]}}',
    ]


def fed() -> KalshiNormaliser:
    normaliser = KalshiNormaliser()
    for frame in good_frames():
        normaliser.normalise(frame, START)
    return normaliser


def picture(normaliser: KalshiNormaliser) -> dict[str, Any]:
    """Everything that a later message depends on."""
    markets = {
        ticker: (m.facts(0), m.counter, m.whole, m.gapped, m.sid, dict(m.yes.levels), dict(m.no.levels))
        for ticker, m in normaliser._markets.items()
    }
    streams = {sid: (s.last, s.old_run) for sid, s in normaliser._streams._by_sid.items()}
    return {"markets": markets, "streams": streams, "wanted": normaliser.wanted_snapshots}


def mutated(draw: random.Random, frame: bytes) -> bytes:
    """Damage a frame in one of the ways frames get damaged."""
    kind = draw.randrange(6)
    cut = draw.randrange(len(frame))
    if kind == 0:
        return frame[:cut]
    if kind == 1:
        return frame[:cut] + bytes([draw.randrange(256)]) + frame[cut + 1 :]
    if kind == 2:
        return frame[:cut] + draw.choice(JUNK) + frame[cut:]
    if kind == 3:
        return draw.choice(JUNK)
    if kind == 4:
        return frame + frame[cut:]
    # Replace a whole value.
    colons = [i for i, c in enumerate(frame) if c == ord(":")]
    start = draw.choice(colons) + 1
    ends = [i for i in range(start, len(frame)) if frame[i] in b",}"]
    return frame[:start] + draw.choice(JUNK) + frame[draw.choice(ends[:2]) :]


def read(normaliser: KalshiNormaliser, frame: bytes) -> list[Message] | FrameError:
    """The messages, or the one error that may come instead."""
    try:
        return normaliser.normalise(frame, START)
    except FrameError as e:
        return e


def test_fuzzed_frames_raise_only_frame_error_and_leave_the_books() -> None:
    draw = random.Random(20261121)
    normaliser = fed()
    before = picture(normaliser)
    refused = 0
    originals = good_frames()
    for _ in range(FUZZED_FRAMES):
        frame = mutated(draw, draw.choice(originals))
        messages = read(normaliser, frame)
        if isinstance(messages, FrameError):
            refused += 1
            assert len(str(messages)) <= 400
            assert picture(normaliser) == before, frame
            continue
        # Still a frame of the protocol. Whatever it says must be readable by everybody.
        for message in messages:
            assert codec.decode(message.subject(), codec.encode(message)) == message
        normaliser = fed()
    assert refused > FUZZED_FRAMES // 2


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type":1}',
        b'{"type":"orderbook_delta"}',
        b" " * (FRAME_BYTES_MAX + 1),
        b"[" * 100_000,
        b'{"type":"x","deep":' + b"[" * 100_000,
        frames.delta(TICKER, 0, Change("yes", 400, 1), START),
        frames.delta(TICKER, 5, Change("maybe", 400, 1), START),
        frames.delta(TICKER, 5, Change("yes", 0, 1), START),
        frames.delta(TICKER, 5, Change("yes", 1000, 1), START),
        frames.delta(TICKER, 5, Change("yes", 400, 10**12), START),
        frames.delta("NO SPACES", 5, Change("yes", 400, 1), START),
        frames.delta("X" * 200, 5, Change("yes", 400, 1), START),
        frames.snapshot(TICKER, 5, [(400, 1), (400, 2)], []),
        frames.snapshot(TICKER, 5, [(400, -1)], []),
        frames.trade(TICKER, "t", Change("yes", 400, 0, "no"), START),
        frames.trade(TICKER, "", Change("yes", 400, -1, "no"), START),
        frames.lifecycle(TICKER, "created", open_s=-1, close_s=1),
        frames.lifecycle(TICKER, "created", open_s=0, close_s=10**15),
        b'{"type":"_watch_market","msg":{"market_ticker":"A","close_time":"2026-05-13T21:30:00","strike":1}}',
        b'{"type":"_watch_market","msg":{"market_ticker":"A","close_time":"0002-01-01T00:00:00Z","strike":1}}',
    ],
)
def test_frame_outside_the_protocol_is_refused(frame: bytes) -> None:
    normaliser = fed()
    before = picture(normaliser)
    with pytest.raises(FrameError):
        normaliser.normalise(frame, START)
    assert picture(normaliser) == before


def test_control_good_frame_is_taken() -> None:
    normaliser = fed()
    before = picture(normaliser)
    assert normaliser.normalise(frames.delta(TICKER, 5, Change("yes", 402, 1), START), START)
    assert picture(normaliser) != before


def test_unknown_type_is_no_error() -> None:
    normaliser = fed()
    assert normaliser.normalise(b'{"type":"multivariate_lookup","sid":9,"msg":[1]}', START) == []
    assert normaliser.unused == 1


def test_markets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARKETS_MAX", 3)
    normaliser = KalshiNormaliser()
    for i in range(3):
        normaliser.normalise(frames.snapshot(f"M-{i}", i + 1, [(400, 1)], []), START)
    with pytest.raises(FrameError, match="at most 3 markets"):
        normaliser.normalise(frames.snapshot("M-3", 4, [(400, 1)], []), START)
    settled = frames.lifecycle("M-1", "settled", open_s=0, close_s=1, result="yes")
    normaliser.normalise(settled, START)
    normaliser.normalise(frames.snapshot("M-3", 4, [(400, 1)], []), START)
    assert set(normaliser._markets) == {"M-0", "M-2", "M-3"}


def test_subscriptions_are_bounded() -> None:
    normaliser = KalshiNormaliser()
    for sid in range(256):
        normaliser.normalise(b'{"type":"ok","sid":%d,"seq":1}' % sid, START)
    with pytest.raises(FrameError, match="at most 256 subscriptions"):
        normaliser.normalise(b'{"type":"ok","sid":256,"seq":1}', START)
