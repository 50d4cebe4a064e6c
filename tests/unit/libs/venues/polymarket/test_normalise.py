"""Books, trades and the end of markets from Polymarket's frames."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.frame import FRAME_BYTES_MAX, FrameError
from libs.venues.polymarket.market_data.book import STRIKES_MAX, UNHASHED_NS
from libs.venues.polymarket.market_data.normalise import DIFFERS_NS, PolymarketNormaliser
from libs.venues.polymarket.market_data.wanted import RETRY_NS
from proto.feed import Book, Gap, Market, MarketStatus, PriceStep, Quote, Side, Trade
from proto.message import Message
from proto.units import MILLISECOND, ONE, SECOND
from tests.support.normalised import normalised, ticked
from tests.support.polymarket_frames import AT, CONDITION, DOWN, OPEN_S, UP, Venue, gamma, markets, spot_price

UP_NAME, DOWN_NAME = f"polymarket:{CONDITION}:up", f"polymarket:{CONDITION}:down"


def of(kind: type, messages: list[Message]) -> list[Any]:
    return [message for message in messages if isinstance(message, kind)]


def test_a_snapshot_shows_both_outcomes_best_first(normaliser: PolymarketNormaliser):
    venue = Venue()
    for price, size, side in (("0.48", "10", "BUY"), ("0.49", "20", "BUY"), ("0.52", "30.5", "SELL")):
        venue.set(price, size, side)
    out = normalised(normaliser, venue.both(), AT)
    up, down = of(Book, out)
    assert [(level.price, level.quantity) for level in up.bids] == [(490_000, 20 * ONE), (480_000, 10 * ONE)]
    assert [(level.price, level.quantity) for level in up.asks] == [(520_000, 30_500_000)]
    assert [level.price for level in down.asks] == [510_000, 520_000]
    assert up.snapshot
    assert down.snapshot
    assert [(quote.instrument, quote.bid, quote.ask) for quote in of(Quote, out)] == [
        (UP_NAME, 490_000, 520_000),
        (DOWN_NAME, 480_000, 510_000),
    ]
    assert (normaliser.checked, normaliser.matched) == (2, 2)


def test_a_change_is_a_new_total_and_is_checked(normaliser: PolymarketNormaliser, venue: Venue):
    out = normalised(normaliser, venue.change("0.50", "7"), AT + 1)
    assert [(quote.instrument, quote.bid, quote.ask) for quote in of(Quote, out)] == [
        (UP_NAME, 500_000, 520_000),
        (DOWN_NAME, 480_000, 500_000),
    ]
    assert of(Quote, out)[0].bid_size == 7 * ONE
    normalised(normaliser, venue.change("0.50", "5"), AT + 2)
    gone = normalised(normaliser, venue.change("0.50", "0"), AT + 3)
    assert of(Quote, gone)[0].bid == 490_000
    assert normaliser.checked == normaliser.matched == 8


def test_books_come_at_most_ten_times_a_second(normaliser: PolymarketNormaliser, venue: Venue):
    books = []
    for step in range(1, 1_000):
        out = normalised(normaliser, venue.change("0.48", str(step)), AT + step * MILLISECOND)
        books += [book for book in of(Book, out) if book.instrument == UP_NAME]
    assert 9 <= len(books) <= 10
    last = of(Book, ticked(normaliser, AT + 2 * SECOND))
    assert last[0].bids[1].quantity == 999 * ONE
    assert ticked(normaliser, AT + 3 * SECOND) == []


def test_a_batch_over_several_frames_is_not_a_mismatch(normaliser: PolymarketNormaliser, venue: Venue):
    venue.millisecond += 1
    venue.set("0.48", "0")
    venue.set("0.49", "0")
    first = venue.told([("0.48", "0", "BUY")], same_batch=True)
    second = venue.told([("0.49", "0", "BUY")], same_batch=True)
    assert not of(Gap, normalised(normaliser, first, AT + 1))
    assert not of(Gap, normalised(normaliser, second, AT + 2))
    assert not of(Gap, normalised(normaliser, venue.change("0.47", "3"), AT + 3))
    assert not of(Gap, ticked(normaliser, AT + 5 * SECOND))


def lost_change(venue: Venue) -> None:
    """Something happens at the venue that nobody tells us."""
    venue.set("0.40", "66")
    venue.millisecond += 1


def test_a_lost_change_is_noticed_by_the_next_batch(normaliser: PolymarketNormaliser, venue: Venue):
    lost_change(venue)
    normalised(normaliser, venue.change("0.45", "1"), AT + 1)
    gaps = of(Gap, normalised(normaliser, venue.change("0.46", "1"), AT + 2))
    assert [gap.instrument for gap in gaps] == [UP_NAME, DOWN_NAME]
    # Nothing is quoted from a broken book until a snapshot heals it.
    assert normalised(normaliser, venue.change("0.51", "1"), AT + 3) == []
    assert [json.loads(frame) for frame in normaliser.commands(AT + 4)] == [
        {"operation": word, "assets_ids": [UP, DOWN], "custom_feature_enabled": True}
        for word in ("unsubscribe", "subscribe")
    ]
    assert normaliser.commands(AT + 5) == []
    healed = normalised(normaliser, venue.both(), AT + 6)
    assert [book.snapshot for book in of(Book, healed)] == [True, True]
    assert of(Quote, healed)[0].bid == 510_000
    assert normaliser.commands(AT + 10 * SECOND) == []


def test_a_lost_change_is_noticed_by_time_alone(normaliser: PolymarketNormaliser, venue: Venue):
    lost_change(venue)
    normalised(normaliser, venue.change("0.45", "1"), AT + 1)
    assert not of(Gap, ticked(normaliser, AT + 900 * MILLISECOND))
    assert len(of(Gap, ticked(normaliser, AT + 1_100 * MILLISECOND))) == 2


def test_a_rest_body_heals_and_never_replaces(normaliser: PolymarketNormaliser, venue: Venue):
    def rest() -> bytes:
        body = venue.book(UP, min_order_size="5", neg_risk=False)
        return json.dumps({"_rest": "clob_book", "body": body}).encode()

    assert normalised(normaliser, rest(), AT + 1) == []
    lost_change(venue)
    normalised(normaliser, venue.change("0.45", "1"), AT + 2)
    ticked(normaliser, AT + 2 * SECOND)
    assert normaliser.wanted == (UP, DOWN)
    assert of(Book, normalised(normaliser, rest(), AT + 3 * SECOND))[0].snapshot
    assert normaliser.wanted == (DOWN,)


def test_an_unanswered_request_is_repeated(normaliser: PolymarketNormaliser):
    assert normaliser.commands(AT + RETRY_NS - 1) == []
    assert len(normaliser.commands(AT + RETRY_NS)) == 2


def test_without_metadata_the_best_prices_are_compared(venue: Venue):
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(gamma(orderMinSize=None)), AT)
    normalised(normaliser, venue.both(), AT)
    assert not of(Gap, normalised(normaliser, venue.change("0.50", "1"), AT + 1))
    assert normaliser.checked == 0
    venue.set("0.51", "4")
    normalised(normaliser, venue.change("0.45", "1"), AT + 2)
    assert len(of(Gap, normalised(normaliser, venue.change("0.46", "1"), AT + 3))) == 2


def test_a_hash_that_never_matches_does_not_block_a_market_for_ever(venue: Venue):
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(gamma(slug="no-window")), AT)
    wrong = json.dumps(venue.book(UP, hash="0" * 40)).encode()
    for attempt in range(STRIKES_MAX):
        assert not of(Book, normalised(normaliser, wrong, AT + attempt))
    assert of(Book, normalised(normaliser, wrong, AT + STRIKES_MAX))
    assert UP not in normaliser.wanted
    # Later it is tried again.
    normalised(normaliser, wrong, AT + STRIKES_MAX + UNHASHED_NS)
    assert UP in normaliser.wanted


def test_a_trade_told_after_its_change_does_not_break_the_book(
    normaliser: PolymarketNormaliser, venue: Venue
):
    venue.last_trade = "0.52"
    venue.set("0.52", "29", "SELL")
    venue.millisecond += 1
    change = json.loads(venue.told([("0.52", "29", "SELL")], same_batch=True))
    change["price_changes"] = change["price_changes"][:1]
    assert not of(Gap, normalised(normaliser, json.dumps(change).encode(), AT + 1))
    assert normaliser.matched == normaliser.checked == 3


def trade(token: str, price: str, side: str, **fields: Any) -> bytes:
    body = {"event_type": "last_trade_price", "asset_id": token, "market": CONDITION, "price": price}
    body |= {"size": "219.217767", "side": side, "timestamp": "1785000000500", "transaction_hash": "0xfeed"}
    return json.dumps(body | fields).encode()


def test_a_trade_is_shown_in_both_outcomes_own_prices(normaliser: PolymarketNormaliser):
    up, down = of(Trade, normalised(normaliser, trade(UP, "0.52", "BUY"), AT))
    assert (up.instrument, up.price, up.aggressor) == (UP_NAME, 520_000, Side.BUY)
    assert (down.instrument, down.price, down.aggressor) == (DOWN_NAME, 480_000, Side.SELL)
    assert up.quantity == down.quantity == 219_217_767


def test_a_trade_told_for_both_outcomes_counts_once(normaliser: PolymarketNormaliser):
    assert len(normalised(normaliser, trade(UP, "0.52", "BUY"), AT)) == 2
    assert normalised(normaliser, trade(DOWN, "0.48", "SELL"), AT) == []
    assert len(normalised(normaliser, trade(UP, "0.52", "BUY"), AT)) == 2


def test_pain_point_18_a_change_of_tick_reaches_the_market_and_the_hash(
    normaliser: PolymarketNormaliser, venue: Venue
):
    told = {"event_type": "tick_size_change", "market": CONDITION, "old_tick_size": "0.01"}
    told |= {"new_tick_size": "0.001", "timestamp": "1"}
    out = []
    for token in (UP, DOWN):
        out += normalised(normaliser, json.dumps(told | {"asset_id": token}).encode(), AT + 1)
    (market,) = of(Market, out)
    assert market.price_steps == (PriceStep(0, 1_000),)
    venue.tick = "0.001"
    assert not of(Gap, normalised(normaliser, venue.change("0.495", "4"), AT + 2))
    assert normaliser.checked == normaliser.matched
    # Gamma's late copy does not turn it back.
    assert normalised(normaliser, markets(), AT + 3) == []


def resolved(**fields: Any) -> bytes:
    body = {"event_type": "market_resolved", "id": "1", "market": CONDITION, "assets_ids": [UP, DOWN]}
    body |= {"winning_asset_id": DOWN, "winning_outcome": "Down", "timestamp": "1"}
    return json.dumps(body | fields).encode()


def test_a_resolution_settles_the_market_and_ends_its_books(normaliser: PolymarketNormaliser, venue: Venue):
    (market,) = normalised(normaliser, resolved(), AT + 1)
    assert (market.status, market.result) == (MarketStatus.SETTLED, "down")
    assert normaliser.tokens() == ()
    assert [json.loads(frame)["operation"] for frame in normaliser.commands(AT + 2)] == ["unsubscribe"]
    assert normalised(normaliser, venue.both(), AT + 3) == []


def test_resolutions_of_all_the_other_markets_are_nobodys_business(normaliser: PolymarketNormaliser):
    assert normalised(normaliser, resolved(market="0x99"), AT) == []
    assert normalised(normaliser, resolved(winning_asset_id="77"), AT) == []


def test_a_resolution_without_a_winner_waits_for_gamma(normaliser: PolymarketNormaliser):
    (market,) = normalised(normaliser, resolved(winning_asset_id="", winning_outcome=""), AT)
    assert (market.status, market.result) == (MarketStatus.CLOSED, "")
    (market,) = normalised(normaliser, markets(gamma(closed=True)), AT + 1)
    assert (market.status, market.result) == (MarketStatus.SETTLED, "void")


def test_the_clobs_market_tells_the_result_that_gamma_does_not(normaliser: PolymarketNormaliser):
    body = {"condition_id": CONDITION, "closed": True, "is_50_50_outcome": False}
    tokens = [{"token_id": UP, "winner": False}, {"token_id": DOWN, "winner": True}]
    open_still = json.dumps({"_rest": "clob_market", "body": body | {"closed": False, "tokens": tokens}})
    assert normalised(normaliser, open_still.encode(), AT) == []
    frame = json.dumps({"_rest": "clob_market", "body": body | {"tokens": tokens}}).encode()
    (market,) = normalised(normaliser, frame, AT)
    assert (market.status, market.result) == (MarketStatus.SETTLED, "down")


def test_a_window_closes_by_the_clock(normaliser: PolymarketNormaliser):
    assert ticked(normaliser, (OPEN_S + 299) * SECOND) == []
    (market,) = ticked(normaliser, (OPEN_S + 300) * SECOND)
    assert market.status is MarketStatus.CLOSED


def test_a_lost_connection_breaks_every_book_until_it_comes_anew(
    normaliser: PolymarketNormaliser, venue: Venue
):
    lost = normalised(normaliser, b'{"type":"_ws_disconnected","msg":{}}', AT + 1)
    assert [gap.instrument for gap in of(Gap, lost)] == [UP_NAME, DOWN_NAME]
    assert normaliser.commands(AT + 2) == []
    assert normalised(normaliser, b'{"type":"_ws_connected","msg":{}}', AT + 3) == []
    [subscription] = normaliser.subscriptions()
    assert json.loads(subscription) == {
        "type": "market",
        "assets_ids": [UP, DOWN],
        "custom_feature_enabled": True,
    }
    assert len(of(Book, normalised(normaliser, venue.both(), AT + 4))) == 2
    assert normaliser.commands(AT + 60 * SECOND) == []


def test_resend_tells_everything(normaliser: PolymarketNormaliser, venue: Venue):
    out = normaliser.resend(AT + 1)
    assert [type(message) for message in out] == [Market, Book, Quote, Book, Quote]
    assert all(book.snapshot for book in of(Book, out))


def test_frames_of_no_use_are_counted(normaliser: PolymarketNormaliser):
    assert normalised(normaliser, b"PONG", AT) == []
    for frame in (
        b'{"event_type":"something_new","x":1}',
        b'[{"event_type":"something_new"},{"event_type":"new_market","id":"7","assets_ids":[]}]',
        b'{"_rest":"unheard","body":1}',
        b'{"type":"subscribed"}',
    ):
        assert normalised(normaliser, frame, AT) == []
    assert normaliser.unused == 5


GOOD = [
    markets(),
    Venue().both(),
    Venue().change("0.50", "3"),
    trade(UP, "0.5", "BUY"),
    resolved(),
    spot_price(OPEN_S, "65000.5"),
]


@given(data=st.data())
def test_garbage_raises_a_frame_error_and_changes_nothing(data: st.DataObject):
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(), AT)
    normalised(normaliser, Venue().both(), AT)
    frame = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(frame) - 1))
        frame[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not frame:
            return
    before = (
        [m for m in normaliser.resend(0) if isinstance(m, Market)],
        normaliser.tokens(),
        normaliser.wanted,
    )
    books = [(book.bids, book.asks) for book in of(Book, normaliser.resend(0))]
    try:
        normalised(normaliser, bytes(frame), AT + 1)
    except FrameError:
        after = (
            [m for m in normaliser.resend(0) if isinstance(m, Market)],
            normaliser.tokens(),
            normaliser.wanted,
        )
        assert after == before
        assert [(book.bids, book.asks) for book in of(Book, normaliser.resend(0))] == books


def test_one_bad_event_spoils_its_whole_frame(normaliser: PolymarketNormaliser, venue: Venue):
    good = json.loads(venue.change("0.50", "1"))
    bad = json.loads(venue.change("0.51", "1")) | {"price_changes": [{"asset_id": UP, "price": "1.5"}]}
    with pytest.raises(FrameError):
        normalised(normaliser, json.dumps([good, bad]).encode(), AT + 1)
    assert of(Quote, normaliser.resend(AT))[0].bid == 490_000


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"7",
        b"{",
        b"[[]]",
        b"\xff",
        b"INVALID OPERATION",
        b"[" * 100_000,
        b" " * (FRAME_BYTES_MAX + 1),
        json.dumps(Venue().book(UP, bids=[{"price": "0.5", "size": "-1"}])).encode(),
        json.dumps(
            Venue().book(UP, bids=[{"price": "0.5", "size": "1"}, {"price": "0.50", "size": "1"}])
        ).encode(),
        json.dumps(Venue().book(UP, bids=[{"price": "NaN", "size": "1"}])).encode(),
        json.dumps(Venue().book(UP, bids=[{"price": "1", "size": "1"}])).encode(),
    ],
)
def test_what_is_no_frame_is_refused(normaliser: PolymarketNormaliser, frame: bytes):
    with pytest.raises(FrameError):
        normalised(normaliser, frame, AT)


def test_a_book_that_differs_from_the_best_prices_for_long_is_doubted(
    normaliser: PolymarketNormaliser, venue: Venue
):
    def best(bid: str, at: int) -> None:
        event = {"event_type": "best_bid_ask", "asset_id": UP, "market": CONDITION}
        told = json.dumps(event | {"best_bid": bid, "best_ask": str(ask / ONE)})
        assert of(Quote, normalised(normaliser, told.encode(), at)) == []

    quote = [q for q in of(Quote, normaliser.resend(AT)) if q.instrument == UP_NAME][-1]
    right, ask = str(quote.bid / ONE), quote.ask
    best("0.01", AT)
    assert normaliser.inconsistent_markets(AT + DIFFERS_NS - 1) == []
    assert normaliser.inconsistent_markets(AT + DIFFERS_NS) == [f"polymarket:{CONDITION}"]
    best(right, AT + SECOND)
    assert normaliser.inconsistent_markets(AT + DIFFERS_NS) == []
    best("0.01", AT + SECOND)
    normalised(normaliser, venue.both(), AT + 2 * SECOND)
    assert normaliser.inconsistent_markets(AT + 2 * DIFFERS_NS) == []
