"""Coinbase beyond trades: best prices, the book, heartbeats, REST history."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import FrameError, rest_frame
from proto.feed import Book, Gap, Level, Quote, Side, Trade
from proto.units import MILLISECOND, ONE, SECOND
from tests.support.captures import captures, rows_of
from tests.support.normalised import normalised, ticked

AT = 1_790_000_000 * SECOND
BTC = "coinbase:BTC-USD"


def frame(kind: str, **fields: object) -> bytes:
    return json.dumps({"type": kind, "product_id": "BTC-USD", **fields}).encode()


def ticker(bid: str, ask: str) -> bytes:
    return frame("ticker", best_bid=bid, best_ask=ask, best_bid_size="0.22187602", best_ask_size="1")


def test_a_ticker_tells_best_prices_and_heals():
    normaliser = CoinbaseNormaliser()
    book, quote = normalised(normaliser, ticker("76084.31", "76084.32"), AT)
    assert book.snapshot
    assert quote == Quote(
        instrument=BTC,
        at=AT,
        counter=2,
        bid=76_084_310_000,
        bid_size=221_876,
        ask=76_084_320_000,
        ask_size=ONE,
    )
    assert normalised(normaliser, ticker("76085", "76086"), AT + 1) == []
    [late] = ticked(normaliser, AT + 100 * MILLISECOND)
    assert late.bid == 76_085 * ONE
    with pytest.raises(FrameError, match="at most the ask"):
        normalised(normaliser, ticker("76087", "76086"), AT + SECOND)
    [gap] = normalised(normaliser, b'{"type":"_ws_disconnected","msg":{}}', AT + SECOND)
    assert isinstance(gap, Gap)
    normalised(normaliser, b'{"type":"_ws_connected","msg":{}}', AT + SECOND)
    assert [type(m) for m in normalised(normaliser, ticker("76085", "76086"), AT + SECOND)] == [Book, Quote]
    assert len(normaliser.resend(AT + SECOND)) == 2
    assert len(normaliser.invalidate(BTC, AT + SECOND, "stale")) == 1


def test_a_subscribed_book_is_kept_up_and_knows_better_than_the_ticker():
    normaliser = CoinbaseNormaliser()
    assert normalised(normaliser, frame("l2update", changes=[["buy", "10", "1"]]), AT) == []
    snapshot = frame("snapshot", bids=[["10", "1"], ["9", "2"]], asks=[["11", "3"]])
    book, quote = normalised(normaliser, snapshot, AT)
    assert book.bids == (Level(10 * ONE, ONE), Level(9 * ONE, 2 * ONE))
    assert (quote.bid, quote.ask) == (10 * ONE, 11 * ONE)
    changes = [["buy", "10", "0.00000000"], ["sell", "10.5", "4"]]
    quote, book = normalised(normaliser, frame("l2update", changes=changes), AT + SECOND)
    assert (quote.bid, quote.ask) == (9 * ONE, 10_500_000)
    assert book.asks == (Level(10_500_000, 4 * ONE), Level(11 * ONE, 3 * ONE))
    assert normalised(normaliser, ticker("8", "12"), AT + 2 * SECOND) == []


def test_heartbeats_show_missing_trades_and_errors_are_counted():
    normaliser = CoinbaseNormaliser()
    normalised(normaliser, frame("match", price="10", trade_id=5, size="1", side="buy"), AT)
    normalised(normaliser, frame("heartbeat", last_trade_id=5, sequence=1), AT)
    assert normaliser.behind == 0
    normalised(normaliser, frame("heartbeat", last_trade_id=7, sequence=2), AT)
    assert normaliser.behind == 1
    normalised(normaliser, b'{"type":"error","message":"Failed","reason":"no such product"}', AT)
    assert (normaliser.errors, normaliser.last_error) == (1, "Failed no such product")


def test_history_comes_as_closed_candles_oldest_first_once():
    start = AT // SECOND - 180
    body = f"[[{start + 120},9,12,10,11,1.5],[{start + 60},9.01,12.5,10,11,2e-07],[{start},9,12,10,11,1.50000001]]"
    sent = rest_frame("candles", body.encode(), product="BTC-USD", granularity="60")
    normaliser = CoinbaseNormaliser()
    candles = normalised(normaliser, sent, AT - 1)
    assert [c.start_at // SECOND - start for c in candles] == [0, 60]
    second = candles[1]
    assert (second.first, second.high, second.low, second.last, second.volume) == (
        10 * ONE,
        12_500_000,
        9_010_000,
        11 * ONE,
        0,
    )
    # A minute later the third one is closed.
    assert [c.start_at // SECOND - start for c in normalised(normaliser, sent, AT)] == [120]
    assert normalised(normaliser, sent, AT) == []
    for wrong in ("[[1,9,8,10,11,1]]", '[["x",9,12,10,11,1]]', "[[1,9,12,10,11]]", "[[1,9,12,1e1,11,1]]"):
        with pytest.raises(FrameError):
            normalised(
                normaliser, rest_frame("candles", wrong.encode(), product="BTC-USD", granularity="60"), AT
            )


def test_missed_trades_are_filled_from_rest_newest_last():
    def rows(*numbers: int) -> bytes:
        body = [{"trade_id": n, "price": "10", "size": "1", "side": "buy", "time": "x"} for n in numbers]
        return rest_frame("trades", json.dumps(body).encode(), product="BTC-USD")

    normaliser = CoinbaseNormaliser()
    assert [t.trade_id for t in normalised(normaliser, rows(3, 2, 1), AT)] == ["3"]
    out = normalised(normaliser, rows(6, 5, 4, 3), AT)
    assert [t.trade_id for t in out] == ["4", "5", "6"]
    assert {t.aggressor for t in out} == {Side.SELL}
    best = rest_frame("ticker", b'{"bid":"10","ask":"11","price":"10"}', product="BTC-USD")
    assert [type(m) for m in normalised(normaliser, best, AT)] == [Book, Quote]


KNOWN = [
    ticker("10", "11"),
    frame("match", price="10", trade_id=5, size="1", side="buy"),
    frame("snapshot", bids=[["10", "1"]], asks=[["11", "3"]]),
    frame("l2update", changes=[["buy", "10", "2"]]),
    rest_frame("candles", b"[[60,9,12,10,11,1.5]]", product="BTC-USD", granularity="60"),
]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.sampled_from(KNOWN), st.integers(0, 400), st.binary(max_size=8)).map(
            lambda t: t[0][: t[1] % len(t[0])] + t[2] + t[0][t[1] % len(t[0]) + len(t[2]) :]
        ),
    )
)
def test_garbage_raises_frame_errors_only_and_changes_nothing(garbage):
    def state(normaliser: CoinbaseNormaliser) -> str:
        references = {
            name: [getattr(known, slot) for slot in type(known).__slots__]
            for name, known in normaliser._references.items()
        }
        return repr((references, normaliser._last, normaliser._candles, normaliser.frames))

    normaliser = CoinbaseNormaliser()
    for known in KNOWN:
        normalised(normaliser, known, AT)
    before = state(normaliser)
    try:
        normalised(normaliser, garbage, AT + SECOND)
    except FrameError:
        assert state(normaliser) == before


@pytest.mark.recorded
def test_every_coinbase_frame_of_the_captures_is_read(recordings):
    normaliser = CoinbaseNormaliser()
    quotes = frames = 0
    for capture in captures(recordings):
        for row in rows_of(capture, "coinbase"):
            frames += 1
            out = normalised(normaliser, row["payload"].encode(), row["recv_mono_ns"])
            quotes += sum(isinstance(m, Quote) for m in out)
            assert not any(isinstance(m, Trade) for m in out)
    assert frames == normaliser.frames > 50
    assert quotes > 20


def past(*rows: tuple[int, str, str]) -> bytes:
    """Trades of before as a frame, newest first as the venue has them: number, time, price."""
    body = [{"trade_id": n, "side": "buy", "size": "0.5", "price": p, "time": at} for n, at, p in rows]
    return rest_frame("past_trades", json.dumps(body).encode(), product="BTC-USD")


def test_past_trades_become_candles_of_a_second_once():
    normaliser = CoinbaseNormaliser()
    # 2026-09-21T14:13:20Z is AT.
    older = past(
        (3, "2026-09-21T14:13:11.9Z", "12"),
        (2, "2026-09-21T14:13:11.000001Z", "9"),
        (1, "2026-09-21T14:13:08Z", "10"),
    )
    newer = past(
        (6, "2026-09-21T14:13:20.1Z", "15"),
        (5, "2026-09-21T14:13:12Z", "13"),
        (4, "2026-09-21T14:13:11.95Z", "11"),
    )
    first, second = normalised(normaliser, older, AT)
    assert (first.start_at, first.interval_s, first.first, first.last) == (
        AT - 12 * SECOND,
        1,
        10 * ONE,
        10 * ONE,
    )
    assert (second.start_at, second.first, second.high, second.low, second.last) == (
        AT - 9 * SECOND, 9 * ONE, 12 * ONE, 9 * ONE, 12 * ONE,
    )  # fmt: skip
    assert second.volume == ONE
    # The second that two pages share was told with the older one, and the one of now is not over.
    [third] = normalised(normaliser, newer, AT)
    assert (third.start_at, third.last) == (AT - 8 * SECOND, 13 * ONE)
    assert normalised(normaliser, older, AT) == []


@pytest.mark.parametrize("at", ["", "yesterday", "2026-09-21T14:13:11", "1969-09-21T13:33:11Z", "9" * 60])
def test_a_past_trade_without_a_time_is_refused(at: str):
    with pytest.raises(FrameError, match="time"):
        CoinbaseNormaliser().normalise(past((1, at, "10")), AT)
