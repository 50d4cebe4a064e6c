"""Coinbase trades: exact, once, and nothing but FrameError from unreadable frames."""

import json
import random

import pytest

from libs.contract import codec
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import FrameError
from proto.feed import Side, Trade
from proto.message import Message

FRAME = {
    "type": "match",
    "trade_id": 10,
    "side": "sell",
    "size": "0.01234567",
    "price": "79377.68",
    "product_id": "BTC-USD",
    "sequence": 50,
    "time": "2026-05-13T21:19:51.202070Z",
}
FUZZED_FRAMES = 4_000


def frame(**changes: object) -> bytes:
    merged = {k: v for k, v in (FRAME | changes).items() if v is not None}
    return json.dumps(merged).encode()


def test_match_is_exact() -> None:
    # Coinbase names the maker's side: a resting sell was bought.
    assert CoinbaseNormaliser().normalise(frame(), 7) == [
        Trade(
            instrument="coinbase:BTC-USD",
            at=7,
            trade_id="10",
            price=79_377_680_000,
            quantity=12_345,
            aggressor=Side.BUY,
        )
    ]


def test_recorded_row_without_size_and_side() -> None:
    (trade,) = CoinbaseNormaliser().normalise(frame(size=None, side=None), 7)
    assert isinstance(trade, Trade)
    assert (trade.quantity, trade.aggressor) == (0, None)


def test_trade_repeated_after_a_reconnect_is_left_out() -> None:
    normaliser = CoinbaseNormaliser()
    assert len(normaliser.normalise(frame(type="last_match"), 1)) == 1
    assert len(normaliser.normalise(frame(trade_id=11), 2)) == 1
    assert normaliser.normalise(frame(type="last_match", trade_id=11), 3) == []
    assert len(normaliser.normalise(frame(trade_id=15), 4)) == 1
    assert (normaliser.old, normaliser.missed) == (1, 3)


def test_other_types_are_unused() -> None:
    normaliser = CoinbaseNormaliser()
    assert normaliser.normalise(b'{"type":"subscriptions","channels":[]}', 1) == []
    assert normaliser.unused == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"\xff",
        b'{"type":"match"}',
        frame(price="NaN"),
        frame(price="-1"),
        frame(price="0"),
        frame(price="1e5"),
        frame(price=79377.68),
        frame(price="9" * 50),
        frame(size="-0.1"),
        frame(size="0.1x"),
        frame(size="1e-3"),
        frame(trade_id=-1),
        frame(trade_id=10**30),
        frame(side="both"),
        frame(product_id="BTC USD"),
        frame(product_id="B" * 500),
    ],
)
def test_unreadable_frame_is_refused(data: bytes) -> None:
    normaliser = CoinbaseNormaliser()
    with pytest.raises(FrameError):
        normaliser.normalise(data, 1)
    assert normaliser._last == {}


def read(data: bytes) -> list[Message] | FrameError:
    try:
        return CoinbaseNormaliser().normalise(data, 1)
    except FrameError as e:
        return e


def test_fuzzed_frames_raise_only_frame_error() -> None:
    draw = random.Random(7)
    good = frame()
    refused = 0
    for _ in range(FUZZED_FRAMES):
        data = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        out = read(bytes(data[: draw.randint(1, len(data))] if draw.random() < 0.3 else data))
        if isinstance(out, FrameError):
            refused += 1
        else:
            for message in out:
                assert codec.decode(message.subject(), codec.encode(message)) == message
    assert FUZZED_FRAMES // 4 < refused < FUZZED_FRAMES
