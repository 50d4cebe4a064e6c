"""Binance frames as the venue sends them: candles still forming, repetitions, books by update ids."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.binance.market_data.streams import stream_names
from libs.venues.frame import FRAME_BYTES_MAX, FrameError, rest_frame
from libs.venues.reference import Reference, Repeats
from proto.feed import Book, Candle, Gap, Level, Quote, Side, Trade
from proto.units import MILLISECOND, ONE, SECOND
from tests.support.normalised import normalised, ticked

AT = 1_790_000_000 * SECOND
BTC = "binance:BTCUSDT"


def frame(body: object, stream: str = "") -> bytes:
    return json.dumps({"stream": stream, "data": body} if stream else body).encode()


def trade(number: int, price: str = "76584.81000000", size: str = "0.01074000", **more: object) -> bytes:
    body = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": price, "q": size, "T": 1, "m": False}
    return frame(body | more)


def kline(start_ms: int, closed: bool, low: str = "9") -> bytes:
    body = {"t": start_ms, "T": start_ms + 59_999, "s": "BTCUSDT", "i": "1m", "o": "10", "c": "11", "h": "12"}
    return frame(
        {"e": "kline", "E": 1, "s": "BTCUSDT", "k": body | {"l": low, "v": "1.50000000", "x": closed}}
    )


def ticker(update: int, bid: str, ask: str, size: str = "1") -> bytes:
    return frame(
        {"u": update, "s": "BTCUSDT", "b": bid, "B": size, "a": ask, "A": size}, "btcusdt@bookTicker"
    )


def diff(first: int, last: int, bids: Sequence = (), asks: Sequence = ()) -> bytes:
    return frame(
        {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}
    )


def snapshot(last: int, bids: list, asks: list) -> bytes:
    body = json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks}).encode()
    return rest_frame("depth", body, symbol="BTCUSDT")


def test_a_trade_has_its_price_size_and_taker_bare_or_wrapped():
    normaliser = BinanceNormaliser()
    [first] = normalised(normaliser, trade(7), AT)
    assert first == Trade(
        instrument=BTC, at=AT, trade_id="7", price=76_584_810_000, quantity=10_740, aggressor=Side.BUY
    )
    wrapped = frame(json.loads(trade(8, size="0.00000049", m=True)), "btcusdt@trade")
    [second] = normalised(normaliser, wrapped, AT)
    # The buyer waited, so the seller took; what is finer than a millionth is cut off.
    assert (second.aggressor, second.quantity) == (Side.SELL, 0)


def test_trades_repeated_by_an_overlapping_connection_come_once_and_lost_ones_are_counted():
    normaliser = BinanceNormaliser()
    numbers = [5, 6, 5, 6, 7, 10]
    out = [t.trade_id for n in numbers for t in normalised(normaliser, trade(n), AT)]
    assert out == ["5", "6", "7", "10"]
    assert (normaliser.old, normaliser.missed) == (2, 2)


def test_a_new_count_of_ids_is_believed_after_a_run_of_old_ones():
    repeats = Repeats()
    assert repeats.is_new(2**50)
    assert not any(repeats.is_new(n) for n in range(Repeats.RUN_MAX))
    assert repeats.is_new(65)
    assert repeats.is_new(66)


def test_of_trades_and_aggregates_only_one_kind_is_taken():
    normaliser = BinanceNormaliser()
    aggregate = {"e": "aggTrade", "s": "BTCUSDT", "a": 1, "p": "10", "q": "1", "m": True, "M": True}
    assert len(normalised(normaliser, frame(aggregate), AT)) == 1
    assert normalised(normaliser, trade(900), AT) == []
    assert len(normalised(normaliser, frame(aggregate | {"a": 2}), AT)) == 1
    assert normaliser.unused == 1


def test_a_candle_comes_once_and_only_when_it_is_closed():
    normaliser = BinanceNormaliser()
    assert normalised(normaliser, kline(60_000, closed=False), AT) == []
    [candle] = normalised(normaliser, kline(60_000, closed=True), AT)
    assert candle == Candle(
        instrument=BTC,
        at=AT,
        start_at=60 * SECOND,
        interval_s=60,
        first=10 * ONE,
        high=12 * ONE,
        low=9 * ONE,
        last=11 * ONE,
        volume=1_500_000,
    )
    assert normalised(normaliser, kline(60_000, closed=True), AT) == []
    with pytest.raises(FrameError, match="low"):
        normalised(normaliser, kline(120_000, closed=True, low="11.5"), AT)
    assert len(normalised(normaliser, kline(120_000, closed=True), AT)) == 1


def test_backfilled_candles_leave_out_the_forming_one_and_what_is_known():
    now_ms = AT // MILLISECOND
    rows = [
        [now_ms - back, "10", "12", "9", "11", "1.5", now_ms - back + 59_999, "1", 3, "1", "1", "0"]
        for back in (180_000, 120_000, 60_000, 1_000)
    ]
    normaliser = BinanceNormaliser()
    body = rest_frame("klines", json.dumps(rows).encode(), symbol="BTCUSDT", interval="1m")
    candles = normalised(normaliser, body, AT)
    assert [c.start_at // MILLISECOND - now_ms for c in candles] == [-180_000, -120_000, -60_000]
    assert normalised(normaliser, body, AT) == []
    assert len(normalised(normaliser, kline(now_ms - 1_000, closed=True), AT)) == 1


def test_best_prices_without_kind_or_time_heal_and_are_told_ten_times_a_second():
    normaliser = BinanceNormaliser()
    book, quote = normalised(normaliser, ticker(1, "10.5", "10.6"), AT)
    assert book == Book(
        instrument=BTC,
        at=AT,
        counter=1,
        bids=(Level(10_500_000, ONE),),
        asks=(Level(10_600_000, ONE),),
        snapshot=True,
    )
    assert (quote.counter, quote.bid, quote.ask) == (2, 10_500_000, 10_600_000)
    assert normalised(normaliser, ticker(2, "10.7", "10.8"), AT + 1) == []
    assert normalised(normaliser, ticker(3, "10.8", "10.9"), AT + 2) == []
    [late] = ticked(normaliser, AT + 100 * MILLISECOND)
    assert (late.counter, late.bid) == (3, 10_800_000)
    # Neither a size nor an older update is news.
    assert normalised(normaliser, ticker(4, "10.8", "10.9", size="9"), AT + SECOND) == []
    assert normalised(normaliser, ticker(2, "10.1", "10.2"), AT + SECOND) == []
    [empty] = normalised(normaliser, ticker(5, "0.00000000", "10.9"), AT + SECOND)
    assert (empty.bid, empty.ask) == (None, 10_900_000)


def test_a_lost_connection_is_a_gap_that_the_next_best_prices_heal():
    normaliser = BinanceNormaliser()
    normalised(normaliser, ticker(1, "10.5", "10.6"), AT)
    [gap] = normalised(normaliser, frame({"type": "_ws_disconnected", "msg": {}}), AT + SECOND)
    assert (type(gap), gap.instrument, gap.reason) == (Gap, BTC, "connection lost")
    assert ticked(normaliser, AT + 2 * SECOND) == []
    normalised(normaliser, frame({"type": "_ws_connected", "msg": {}}), AT + 2 * SECOND)
    # The same prices as before, and yet news.
    book, quote = normalised(normaliser, ticker(1, "10.5", "10.6"), AT + 3 * SECOND)
    assert book.snapshot
    assert book.counter == quote.counter - 1 == 3


def test_distrust_drops_one_instrument_and_resend_gives_whole_ones():
    normaliser = BinanceNormaliser()
    normalised(normaliser, ticker(1, "10.5", "10.6"), AT)
    assert [type(m) for m in normaliser.resend(AT + 1)] == [Book, Quote]
    [gap] = normaliser.invalidate(BTC, AT, "stale")
    assert isinstance(gap, Gap)
    assert gap.reason == "stale"
    assert normaliser.invalidate(BTC, AT, "stale") == []
    assert normaliser.invalidate("binance:NONE", AT, "stale") == []
    assert normaliser.resend(AT + 2) == []


_STEP = st.tuples(st.integers(1, 4), st.sampled_from("ba"), st.integers(1, 5), st.integers(0, 3))


def a_session(
    steps: list[tuple[int, str, int, int]],
) -> tuple[list[bytes], dict[int, dict[str, dict[int, int]]]]:
    """Changes as frames, and the book after each update id at which one ends."""
    truth: dict[int, dict[str, dict[int, int]]] = {0: {"b": {}, "a": {}}}
    frames = []
    update = 0
    for span, side, level, size in steps:
        price = level if side == "b" else level + 10
        book = {s: dict(levels) for s, levels in truth[update].items()}
        book[side].pop(price, None)
        if size:
            book[side][price] = size
        rows = {s: [[str(price), str(size)]] if s == side else [] for s in "ba"}
        frames.append(diff(update + 1, update + span, rows["b"], rows["a"]))
        update += span
        truth[update] = book
    return frames, truth


class TestDepth:
    """The venue's rule: buffer, snapshot, drop, apply."""

    def test_changes_wait_for_a_snapshot_and_are_applied_to_it(self):
        normaliser = BinanceNormaliser()
        assert normalised(normaliser, diff(1, 5, [["10", "1"]]), AT) == []
        assert normalised(normaliser, diff(6, 8, [["10", "3"]], [["12", "4"]]), AT) == []
        assert normalised(normaliser, diff(9, 9, [["9", "0"]]), AT) == []
        assert list(normaliser.wanted_snapshots) == ["BTCUSDT"]
        out = normalised(normaliser, snapshot(6, [["10", "2"], ["9", "5"]], [["11", "1"]]), AT)
        assert not normaliser.wanted_snapshots
        book, quote = out
        assert book.snapshot
        assert book.bids == (Level(10 * ONE, 3 * ONE),)
        assert book.asks == (Level(11 * ONE, ONE), Level(12 * ONE, 4 * ONE))
        assert (quote.bid, quote.ask) == (10 * ONE, 11 * ONE)

    def test_a_snapshot_older_than_the_waiting_changes_is_not_taken(self):
        normaliser = BinanceNormaliser()
        normalised(normaliser, diff(20, 25, [["10", "1"]]), AT)
        assert normalised(normaliser, snapshot(18, [["10", "2"]], []), AT) == []
        assert normaliser.wanted_snapshots == ("BTCUSDT",)
        assert normalised(normaliser, snapshot(19, [["10", "2"]], []), AT)[0].bids == (Level(10 * ONE, ONE),)

    def test_a_hole_breaks_the_book_and_the_change_behind_it_waits(self):
        normaliser = BinanceNormaliser()
        normalised(normaliser, snapshot(10, [["10", "2"]], [["11", "1"]]), AT)
        assert normalised(normaliser, diff(8, 10, [["10", "0"]]), AT) == []
        [book] = normalised(normaliser, diff(11, 12, [["10", "7"]]), AT + SECOND)
        assert book.bids == (Level(10 * ONE, 7 * ONE),)
        [gap] = normalised(normaliser, diff(14, 15, [["10", "8"]]), AT + SECOND)
        assert gap.instrument == BTC
        assert normaliser.wanted_snapshots == ("BTCUSDT",)
        [book, _] = normalised(normaliser, snapshot(13, [["9", "1"]], [["11", "1"]]), AT + SECOND)
        assert book.bids == (Level(10 * ONE, 8 * ONE), Level(9 * ONE, ONE))

    @given(st.data())
    def test_the_book_is_that_of_the_venue_whatever_is_lost_or_repeated(self, data):
        steps = data.draw(st.lists(_STEP, min_size=5, max_size=30))
        frames, truth = a_session(steps)
        normaliser = BinanceNormaliser()
        for sent in frames:
            # Lost, once, or twice.
            for _ in range(data.draw(st.sampled_from([0, 1, 1, 1, 1, 2]))):
                normalised(normaliser, sent, AT)
            if normaliser.wanted_snapshots and data.draw(st.booleans()):
                taken = data.draw(st.sampled_from(sorted(truth)))
                rows = {s: [[str(p), str(q)] for p, q in truth[taken][s].items()] for s in "ba"}
                normalised(normaliser, snapshot(taken, rows["b"], rows["a"]), AT)
            symbol = normaliser._references.get("BTCUSDT")
            if symbol is not None and symbol.whole:
                expected = truth[symbol.sequence.last]
                assert symbol.bids == {p * ONE: q * ONE for p, q in expected["b"].items()}
                assert symbol.asks == {p * ONE: q * ONE for p, q in expected["a"].items()}

    def test_a_partial_book_is_whole_each_time_and_named_by_its_stream(self):
        normaliser = BinanceNormaliser()
        body = {"lastUpdateId": 1, "bids": [["10", "1"]], "asks": [["11", "1"]]}
        out = normalised(normaliser, frame(body, "btcusdt@depth5@100ms"), AT)
        assert [type(m) for m in out] == [Book, Quote]
        with pytest.raises(FrameError):
            normalised(normaliser, frame(body), AT)


def test_missed_trades_are_filled_from_rest_and_no_history_is_told_as_news():
    def rows(*numbers: int) -> bytes:
        body = [{"id": n, "price": "10", "qty": "1", "time": 5, "isBuyerMaker": True} for n in numbers]
        return rest_frame("trades", json.dumps(body).encode(), symbol="BTCUSDT")

    normaliser = BinanceNormaliser()
    assert [t.trade_id for t in normalised(normaliser, rows(1, 2, 3), AT)] == ["3"]
    normalised(normaliser, trade(4), AT)
    assert [t.trade_id for t in normalised(normaliser, rows(2, 3, 4, 5, 6), AT)] == ["5", "6"]


def test_answers_and_refusals_are_counted():
    normaliser = BinanceNormaliser()
    assert normalised(normaliser, frame({"result": None, "id": 1}), AT) == []
    assert normaliser.errors == 0
    normalised(normaliser, frame({"code": 2, "msg": "Invalid request: missing field"}), AT)
    assert (normaliser.errors, normaliser.last_error) == (1, "2 Invalid request: missing field")
    normalised(normaliser, frame({"id": 3, "error": {"code": 1, "msg": "x"}}), AT)
    assert normaliser.errors == 2
    assert normalised(normaliser, frame({"e": "24hrTicker", "s": "BTCUSDT"}), AT) == []
    assert normaliser.unused == 1


KNOWN = [trade(7), kline(60_000, closed=True), ticker(3, "10", "11"), diff(1, 2), snapshot(1, [], [])]


@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["e", "s", "u", "U", "b", "a", "p", "k", "data", "_rest", "body"]), inner
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
        st.tuples(st.sampled_from(KNOWN), st.integers(0, 400), st.binary(max_size=8)).map(
            lambda t: t[0][: t[1] % len(t[0])] + t[2] + t[0][t[1] % len(t[0]) + len(t[2]) :]
        ),
    )
)
def test_garbage_raises_frame_errors_only_and_changes_nothing(garbage):
    def state(normaliser: BinanceNormaliser) -> list:
        return [
            (n, vars_of(s), s.sequence.last, s.repeats.last, s.ticker)
            for n, s in normaliser._references.items()
        ] + [normaliser._candles, normaliser.frames]

    def vars_of(symbol: Reference) -> list:
        return [repr(getattr(symbol, name)) for name in (*Reference.__slots__, "aggregate")]

    normaliser = BinanceNormaliser()
    for known in KNOWN:
        normalised(normaliser, known, AT)
    before = repr(state(normaliser))
    try:
        normalised(normaliser, garbage, AT + SECOND)
    except FrameError:
        assert repr(state(normaliser)) == before


def test_a_frame_of_any_length_and_depth_is_refused():
    for huge in (b'{"e":"' + b"x" * FRAME_BYTES_MAX + b'"}', b"[" * 100_000, b'{"data":' * 50_000):
        with pytest.raises(FrameError):
            BinanceNormaliser().normalise(huge, AT)
    with pytest.raises(FrameError, match="six decimals"):
        BinanceNormaliser().normalise(trade(1, price="1.00001234"), AT)


def test_a_coin_below_a_millionth_is_refused_once_as_a_whole():
    normaliser = BinanceNormaliser()
    assert normalised(normaliser, trade(1, price="0.00001200", s="SHIBUSDT"), AT)
    prices = ("0.00001234", "0.00001235", "0.00001200")
    for price in prices:
        assert normalised(normaliser, trade(2, price=price, s="SHIBUSDT"), AT) == []
    assert (
        normalised(normaliser, ticker(5, "0.00000784", "0.00000785").replace(b"BTCUSDT", b"PEPEUSDT"), AT)
        == []
    )
    assert normaliser.notes() == [
        "SHIBUSDT is not followed: expected a price of at most 6 decimals, was 0.00001234",
        "PEPEUSDT is not followed: expected a price of at most 6 decimals, was 0.00000784",
    ]
    assert (normaliser.odd_items.count, normaliser.unused) == (2, 4)
    assert len(normalised(normaliser, trade(1), AT)) == 1


def test_stream_names_stay_within_a_connection():
    names = stream_names(["BTCUSDT"], ["1m", "5m"], depth=True)
    kinds = ["aggTrade", "bookTicker", "kline_1m", "kline_5m", "depth@100ms"]
    assert names == [f"btcusdt@{kind}" for kind in kinds]
    with pytest.raises(ValueError, match="at most 1024"):
        stream_names([f"A{n}" for n in range(600)])
