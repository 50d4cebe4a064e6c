"""REST answers among the frames, and following markets as they are listed."""

import msgspec
import pytest

from libs.venues.frame import FrameError
from libs.venues.kalshi.market_data import following as following_module
from libs.venues.kalshi.market_data.following import BATCH_MAX, REFUSED_RETRY_NS, RETRY_NS
from libs.venues.kalshi.market_data.listings import decode_rest, fees_of, rest_frame
from libs.venues.kalshi.market_data.normalise import DIFFERS_NS, KalshiNormaliser
from libs.venues.kalshi.market_data.table import FOLLOWED_AFTER_CLOSE_NS
from libs.venues.kalshi.schemas.answers import Series
from proto.feed import Book, FeeSchedule, Gap, Market, MarketStatus, PriceStep, Quote, Side, Trade
from proto.units import ONE, SECOND

START = 1_778_709_000 * SECOND  # 2026-05-13T21:50:00Z
TICKER = "KXBTC15M-26MAY131800-00"
OTHER = "KXBTC15M-26MAY131815-15"
TAPERED = [
    {"start": "0.0000", "end": "0.1000", "step": "0.0010"},
    {"start": "0.1000", "end": "0.9000", "step": "0.0100"},
    {"start": "0.9000", "end": "1.0000", "step": "0.0010"},
]


def encode(body) -> bytes:
    return msgspec.json.encode(body)


def listed(ticker=TICKER, status="active", close="2026-05-13T22:00:00Z", **more) -> dict:
    return {
        "ticker": ticker,
        "event_ticker": ticker.rpartition("-")[0],
        "status": status,
        "title": "BTC price up in next 15 mins?",
        "open_time": "2026-05-13T21:45:00Z",
        "close_time": close,
        "floor_strike": 79452.6,
        "price_ranges": TAPERED,
        "price_level_structure": "a_label_of_tomorrow",
        "exchange_index": 2,
        **more,
    }


def markets(*bodies) -> bytes:
    return rest_frame("markets", encode({"markets": bodies, "cursor": ""}))


def connected(**msg) -> bytes:
    return encode({"type": "_ws_connected", "msg": msg})


def subscribed(channel: str, sid: int) -> bytes:
    return encode({"type": "subscribed", "id": 1, "msg": {"channel": channel, "sid": sid}})


def snapshot(
    ticker: str, seq: int, sid: int = 2, yes=(("0.4200", "13.00"),), no=(("0.5400", "20.00"),)
) -> bytes:
    msg = {"market_ticker": ticker, "yes_dollars_fp": yes, "no_dollars_fp": no}
    return encode({"type": "orderbook_snapshot", "sid": sid, "seq": seq, "msg": msg})


def delta(ticker: str, seq: int, side: str, price: str, change: str, sid: int = 2) -> bytes:
    msg = {"market_ticker": ticker, "price_dollars": price, "delta_fp": change, "side": side}
    return encode({"type": "orderbook_delta", "sid": sid, "seq": seq, "msg": msg})


def asked(normaliser: KalshiNormaliser, at: int) -> list[tuple[str, dict]]:
    commands = [msgspec.json.decode(c) for c in normaliser.commands(at)]
    assert len({c["id"] for c in commands}) == len(commands)
    return [(c["cmd"], c["params"]) for c in commands]


def of_kind(messages, kind):
    return [m for m in messages if isinstance(m, kind)]


def following(*tickers: str) -> KalshiNormaliser:
    """Connected and subscribed to the books of ``tickers``, which have come."""
    normaliser = KalshiNormaliser(follow=["KXBTC15M"])
    normaliser.normalise(connected(), START)
    normaliser.normalise(markets(*[listed(t) for t in tickers]), START)
    asked(normaliser, START)
    for sid, channel in enumerate(("market_lifecycle_v2", "orderbook_delta", "ticker", "trade"), 1):
        normaliser.normalise(subscribed(channel, sid), START)
    for seq, ticker in enumerate(tickers, 1):
        normaliser.normalise(snapshot(ticker, seq), START)
    return normaliser


# ── REST answers ────────────────────────────────────────────────────────────────────────────────────


def test_listing_tells_all_facts() -> None:
    normaliser = KalshiNormaliser()
    [market] = of_kind(normaliser.normalise(markets(listed()), START), Market)
    assert market.market == f"kalshi:{TICKER}"
    assert market.status is MarketStatus.OPEN
    assert (market.strike, market.title) == (79_452_600_000, "BTC price up in next 15 mins?")
    assert (market.open_at, market.close_at) == (START - 300 * SECOND, START + 600 * SECOND)
    assert market.price_steps == (PriceStep(0, 1_000), PriceStep(100_000, 10_000), PriceStep(900_000, 1_000))
    assert of_kind(normaliser.normalise(markets(listed()), START + 1), Market) == []


def test_result_comes_by_rest_and_is_not_undone_by_an_older_answer() -> None:
    normaliser = KalshiNormaliser()
    normaliser.normalise(markets(listed()), START)
    end = START + 700 * SECOND
    [closed] = of_kind(normaliser.normalise(markets(listed(status="closed", result="")), end), Market)
    assert closed.status is MarketStatus.CLOSED
    final = rest_frame("market", encode({"market": listed(status="finalized", result="yes")}))
    [settled] = of_kind(normaliser.normalise(final, end + 1), Market)
    assert (settled.status, settled.result) == (MarketStatus.SETTLED, "yes")
    assert normaliser.normalise(markets(listed(status="active")), end + 2) == []


@pytest.mark.parametrize(
    ("fields", "fees"),
    [
        ({"fee_type": "quadratic", "fee_multiplier": 1}, ("kalshi_quadratic", 70_000, 0)),
        ({"fee_type": "quadratic", "fee_multiplier": 0.5}, ("kalshi_quadratic", 35_000, 0)),
        (
            {"fee_type": "quadratic_with_maker_fees", "fee_multiplier": 0.5},
            ("kalshi_quadratic", 35_000, 8_750),
        ),
        ({"fee_type": "quadratic_with_combo_maker_fees"}, ("kalshi_quadratic", 70_000, 17_500)),
        ({"fee_type": "flat", "fee_multiplier": 1}, ("kalshi_flat", 70_000, 0)),
        ({}, ("kalshi_unknown", 70_000, 0)),
    ],
)
def test_fees_of_a_series_hold_for_all_its_markets(fields, fees) -> None:
    series = rest_frame("series", encode({"series": {"ticker": "KXBTC15M", **fields}}))
    early, late = KalshiNormaliser(), KalshiNormaliser()
    early.normalise(series, START)
    early.normalise(markets(listed()), START)
    late.normalise(markets(listed()), START)
    late.normalise(series, START)
    for normaliser in (early, late):
        [market] = of_kind(normaliser.resend(START), Market)
        assert market.fees == FeeSchedule(model=fees[0], taker_rate=fees[1], maker_rate=fees[2])


def test_fee_multiplier_must_be_a_small_number() -> None:
    for text in (b"11", b"-1", b'"much"', b"1e3"):
        with pytest.raises(FrameError):
            fees_of(Series("S", "quadratic", msgspec.Raw(text)))


def test_polled_book_is_shown_but_takes_no_deltas() -> None:
    normaliser = KalshiNormaliser()
    body = {"orderbook_fp": {"yes_dollars": [["0.0100", "200.00"], ["0.4200", "13.00"]], "no_dollars": []}}
    out = normaliser.normalise(rest_frame("orderbook", encode(body), TICKER), START)
    quote = of_kind(out, Quote)[0]
    assert (quote.instrument, quote.bid, quote.bid_size, quote.ask) == (
        f"kalshi:{TICKER}:yes", 420_000, 13 * ONE, None,
    )  # fmt: skip
    assert of_kind(out, Book)[0].snapshot
    assert of_kind(normaliser.normalise(delta(TICKER, 1, "yes", "0.4300", "1.00"), START), Gap)
    # The socket's own snapshot is better, and a later poll does not replace it.
    normaliser.normalise(snapshot(TICKER, 2), START)
    assert normaliser.normalise(rest_frame("orderbook", encode(body), TICKER), START) == []
    assert not of_kind(normaliser.normalise(delta(TICKER, 3, "yes", "0.4300", "1.00"), START), Gap)


def test_polled_trades_are_told_once_oldest_first() -> None:
    normaliser = KalshiNormaliser()
    rows = [
        {"trade_id": f"t{i}", "ticker": TICKER, "count_fp": "1.50", "yes_price_dollars": "0.4500",
         "no_price_dollars": "0.5500", "taker_side": "no", "created_time": "2026-04-28T13:45:02.536176Z"}
        for i in (3, 2, 1)
    ]  # fmt: skip
    page = rest_frame("trades", encode({"trades": rows, "cursor": ""}))
    trades = of_kind(normaliser.normalise(page, START), Trade)
    assert [t.trade_id for t in trades[::2]] == ["t1", "t2", "t3"]
    assert (trades[0].price, trades[0].aggressor, trades[1].price, trades[1].aggressor) == (
        450_000, Side.SELL, 550_000, Side.BUY,
    )  # fmt: skip
    assert normaliser.normalise(page, START) == []


@pytest.mark.parametrize(
    "frame",
    [
        rest_frame("markets", b"{}"),
        rest_frame("markets", b"<html>"),
        rest_frame("markets", b"[" * 10_000),
        rest_frame("orderbook", encode({"orderbook_fp": {"yes_dollars": [["0.5", "1"]]}})),
        rest_frame("orderbook", encode({"orderbook_fp": {"yes_dollars": [["1.5", "1"]]}}), TICKER),
        rest_frame("orderbook", encode({"orderbook_fp": {}}), "no ticker"),
        rest_frame("trades", encode({"trades": [{"trade_id": "1", "ticker": TICKER, "count_fp": "0",
                                                 "yes_price_dollars": "0.5"}]})),
        markets(listed(price_ranges=[{"start": "0", "end": "1", "step": "0"}])),
        b'{"_rest":1}',
        b'{"_rest":"markets"}',
    ],
)  # fmt: skip
def test_broken_answers_change_nothing(frame: bytes) -> None:
    normaliser = KalshiNormaliser(follow=["KXBTC15M"])
    with pytest.raises(FrameError):
        normaliser.normalise(frame, START)
    assert normaliser.resend(START) == []


def test_answers_of_other_kinds_are_counted_only() -> None:
    normaliser = KalshiNormaliser()
    assert decode_rest(rest_frame("balance", b"{}")) is None
    assert normaliser.normalise(rest_frame("balance", b"{}"), START) == []
    assert normaliser.unused == 1


# ── NO levels in YES prices ─────────────────────────────────────────────────────────────────────────


def test_no_side_in_yes_prices_gives_the_same_book() -> None:
    own, turned = KalshiNormaliser(), KalshiNormaliser()
    own.normalise(connected(), START)
    turned.normalise(connected(use_yes_price=True), START)
    outs = []
    for normaliser, no_level, no_delta in ((own, "0.5400", "0.5500"), (turned, "0.4600", "0.4500")):
        out = normaliser.normalise(snapshot(TICKER, 1, no=((no_level, "20.00"),)), START)
        out += normaliser.normalise(delta(TICKER, 2, "no", no_delta, "3.00"), START)
        out += normaliser.normalise(delta(TICKER, 3, "yes", "0.4300", "2.00"), START)
        outs.append(out)
    assert outs[0] == outs[1]
    quote = [q for q in of_kind(outs[1], Quote) if q.instrument.endswith(":no")][-1]
    assert (quote.bid, quote.ask) == (550_000, 570_000)


# ── following ───────────────────────────────────────────────────────────────────────────────────────


def test_without_series_nothing_is_subscribed() -> None:
    normaliser = KalshiNormaliser()
    normaliser.normalise(connected(), START)
    normaliser.normalise(markets(listed()), START)
    assert asked(normaliser, START) == []


def test_connection_subscribes_to_lifecycle_and_to_known_markets() -> None:
    normaliser = KalshiNormaliser(follow=["KXBTC15M"])
    normaliser.normalise(markets(listed()), START)
    assert asked(normaliser, START) == []
    normaliser.normalise(connected(), START)
    [(first, lifecycle), (second, books)] = asked(normaliser, START)
    assert (first, lifecycle) == ("subscribe", {"channels": ["market_lifecycle_v2"]})
    assert second == "subscribe"
    assert books == {
        "channels": ["orderbook_delta", "ticker", "trade"],
        "market_tickers": [TICKER],
        "send_initial_snapshot": True,
        "use_yes_price": False,
    }
    assert asked(normaliser, START + RETRY_NS - 1) == []
    assert len(asked(normaliser, START + RETRY_NS)) == 2


def test_new_market_is_added_to_each_subscription_once() -> None:
    normaliser = following(TICKER)
    created = {
        "market_ticker": OTHER, "event_type": "created", "open_ts": START // SECOND + 600,
        "close_ts": START // SECOND + 1500, "price_ranges": TAPERED, "additional_metadata": {"title": "next"},
    }  # fmt: skip
    frame = encode({"type": "market_lifecycle_v2", "sid": 1, "msg": created})
    [market] = of_kind(normaliser.normalise(frame, START), Market)
    assert market.status is MarketStatus.LISTED
    assert market.price_steps[0] == PriceStep(0, 1_000)
    commands = asked(normaliser, START)
    assert commands == [
        ("update_subscription", {"sids": [sid], "market_tickers": [OTHER], "action": "add_markets"})
        for sid in (2, 3, 4)
    ]
    assert asked(normaliser, START + 1) == []
    normaliser.normalise(encode({"type": "ok", "id": 9, "sid": 2, "seq": 2, "msg": {}}), START)
    normaliser.normalise(snapshot(OTHER, 3), START)
    assert asked(normaliser, START + RETRY_NS) == []


def test_unanswered_addition_is_repeated() -> None:
    normaliser = following(TICKER)
    normaliser.normalise(markets(listed(OTHER, close="2026-05-13T22:15:00Z")), START)
    assert len(asked(normaliser, START)) == 3
    assert len(asked(normaliser, START + RETRY_NS)) == 3


def test_market_that_is_over_is_left() -> None:
    normaliser = following(TICKER, OTHER)
    at = START + 600 * SECOND + FOLLOWED_AFTER_CLOSE_NS
    normaliser.normalise(markets(listed(OTHER, close="2026-05-13T22:15:00Z")), START)
    normaliser.tick(START + 600 * SECOND)
    assert asked(normaliser, START + 600 * SECOND) == []
    normaliser.normalise(markets(listed(status="closed")), at)
    assert asked(normaliser, at) == [
        ("update_subscription", {"sids": [sid], "market_tickers": [TICKER], "action": "delete_markets"})
        for sid in (2, 3, 4)
    ]


def test_other_series_are_not_kept() -> None:
    normaliser = following(TICKER)
    event = {"market_ticker": "KXHIGHNY-1", "event_type": "created", "open_ts": 1, "close_ts": 2}
    frame = encode({"type": "market_lifecycle_v2", "sid": 1, "msg": event})
    assert normaliser.normalise(frame, START) == []
    assert normaliser.normalise(markets(listed("KXHIGHNY-1")), START) == []
    assert asked(normaliser, START) == []


def test_reconnect_subscribes_anew() -> None:
    normaliser = following(TICKER)
    out = normaliser.normalise(b'{"type":"_ws_disconnected","msg":{}}', START)
    assert len(of_kind(out, Gap)) == 2
    assert asked(normaliser, START + RETRY_NS) == []
    normaliser.normalise(connected(), START)
    assert [p["channels"][0] for _, p in asked(normaliser, START)] == [
        "market_lifecycle_v2",
        "orderbook_delta",
    ]


def test_gap_asks_for_a_snapshot_on_the_books_subscription() -> None:
    normaliser = following(TICKER)
    normaliser.normalise(delta(TICKER, 5, "yes", "0.4300", "1.00"), START)
    assert asked(normaliser, START) == [
        ("update_subscription", {"sids": [2], "market_tickers": [TICKER], "action": "get_snapshot"})
    ]


def test_number_of_markets_and_batches_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(following_module, "BATCH_MAX", 2)
    normaliser = KalshiNormaliser(follow=["KXBTC15M"], markets_max=3)
    bodies = [listed(f"KXBTC15M-{i}", close=f"2026-05-13T22:{i:02d}:00Z") for i in range(9, 0, -1)]
    normaliser.normalise(connected(), START)
    normaliser.normalise(markets(*bodies), START)
    [_, (_, books)] = asked(normaliser, START)
    assert books["market_tickers"] == ["KXBTC15M-1", "KXBTC15M-2"]
    normaliser.normalise(subscribed("orderbook_delta", 2), START)
    assert [p["market_tickers"] for _, p in asked(normaliser, START)] == [["KXBTC15M-3"]]
    assert BATCH_MAX == 50


# ── refused commands ────────────────────────────────────────────────────────────────────────────────


def refused(normaliser: KalshiNormaliser, command: bytes, code: int = 16) -> None:
    number = msgspec.json.decode(command)["id"]
    error = {"type": "error", "id": number, "msg": {"code": code, "msg": "Market not found"}}
    assert normaliser.normalise(encode(error), START) == []


def test_one_unknown_ticker_does_not_keep_the_other_books_away() -> None:
    """The venue refuses a command as a whole: its tickers are asked for singly, and the one to blame seldom."""
    bad = "KXBTC15M-BAD"
    normaliser = KalshiNormaliser(follow=["KXBTC15M"])
    normaliser.normalise(connected(), START)
    normaliser.normalise(markets(listed(bad), listed(), listed(OTHER, close="2026-05-13T22:15:00Z")), START)
    [_, opening] = normaliser.commands(START)
    refused(normaliser, opening)
    assert (normaliser.errors, normaliser.last_error) == (1, "16 Market not found")
    [single] = normaliser.commands(START)
    assert msgspec.json.decode(single)["params"]["market_tickers"] == [bad]
    refused(normaliser, single)
    [(_, books)] = asked(normaliser, START)
    assert books["market_tickers"] == [TICKER]
    for sid, channel in enumerate(("orderbook_delta", "ticker", "trade"), 2):
        normaliser.normalise(subscribed(channel, sid), START)
    normaliser.normalise(snapshot(TICKER, 1), START)
    added = [params["market_tickers"] for _, params in asked(normaliser, START)]
    assert added == [[OTHER]] * 3
    normaliser.normalise(snapshot(OTHER, 2), START)
    soon, late = START + REFUSED_RETRY_NS - 1, START + REFUSED_RETRY_NS
    named = [params.get("market_tickers") for _, params in asked(normaliser, soon)]
    assert [bad] not in named
    assert [bad] in [params.get("market_tickers") for _, params in asked(normaliser, late)]


def test_an_addition_that_is_refused_for_another_reason_stays_one_command() -> None:
    normaliser = following(TICKER)
    normaliser.normalise(markets(listed(OTHER, close="2026-05-13T22:15:00Z")), START)
    [first, *_] = normaliser.commands(START)
    refused(normaliser, first, code=27)
    assert asked(normaliser, START) == []
    assert len(asked(normaliser, START + RETRY_NS)) == 3


def test_a_book_that_differs_from_the_ticker_for_long_is_doubted() -> None:
    normaliser = following(TICKER)

    def ticker(bid: str, at: int) -> None:
        msg = {"market_ticker": TICKER, "yes_bid_dollars": bid, "yes_ask_dollars": "0.4600"}
        assert normaliser.normalise(encode({"type": "ticker", "sid": 3, "msg": msg}), at) == []

    late = START + DIFFERS_NS
    ticker("0.4300", START)
    ticker("0.4300", late - 1)
    assert normaliser.inconsistent_markets(late - 1) == []
    assert normaliser.inconsistent_markets(late) == [f"kalshi:{TICKER}"]
    ticker("0.4200", late)
    assert normaliser.inconsistent_markets(late) == []
    ticker("0.4300", late)
    normaliser.normalise(snapshot(TICKER, 2), late + SECOND)
    assert normaliser.inconsistent_markets(late + DIFFERS_NS) == [], "the venue has just shown the whole book"
