"""The matching core: what an order gets from the observed market, and never more."""

from libs.exchange.orders import UNSEEN, Accepted, EndReason
from proto.feed import BOOK_LEVELS_MAX, MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from tests.support.exchange_world import NO, Venue, ends, got, listing


def test_a_marketable_order_walks_the_visible_levels_up_to_its_limit():
    venue = Venue()
    venue.book({44: 9}, {45: 5, 46: 7, 48: 50})
    reports = venue.send("a", 46, 20)
    assert reports[0] == Accepted("a", 20 * ONE)
    assert got(reports) == [("a", 45, 5, False), ("a", 46, 7, False)]
    assert venue.exchange.orders["a"].remaining == 8 * ONE


def test_what_was_taken_stays_taken_until_the_level_is_refreshed():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    assert got(venue.send("a", 45, 4, tif=TimeInForce.IOC)) == [("a", 45, 4, False)]
    assert got(venue.send("b", 45, 4, tif=TimeInForce.IOC)) == [("b", 45, 1, False)]
    venue.book({44: 9}, {45: 5})
    assert got(venue.send("c", 45, 4, tif=TimeInForce.IOC)) == []
    venue.book({44: 9}, {45: 7})
    assert got(venue.send("d", 45, 4, tif=TimeInForce.IOC)) == [("d", 45, 2, False)]
    venue.book({44: 9}, {46: 7})
    venue.book({44: 9}, {45: 3})
    assert got(venue.send("e", 45, 4, tif=TimeInForce.IOC)) == [("e", 45, 3, False)]


def test_both_outcomes_draw_on_one_book():
    venue = Venue()
    venue.book({44: 6}, {45: 5})
    # Buying NO at 56 takes the bid for YES at 44.
    assert got(venue.send("no", 56, 4, instrument=NO, tif=TimeInForce.IOC)) == [("no", 56, 4, False)]
    assert got(venue.send("yes", 44, 9, buy=False, tif=TimeInForce.IOC)) == [("yes", 44, 2, False)]


def test_fill_or_kill_fills_whole_or_not_at_all():
    venue = Venue()
    venue.book({44: 9}, {45: 5, 46: 7})
    reports = venue.send("a", 46, 13, tif=TimeInForce.FOK)
    assert got(reports) == []
    assert ends(reports) == [("a", EndReason.CANCELED, "fok")]
    reports = venue.send("b", 46, 12, tif=TimeInForce.FOK)
    assert sum(quantity for _, _, quantity, _ in got(reports)) == 12
    assert ends(reports) == [("b", EndReason.FILLED, "")]


def test_nothing_is_taken_from_a_book_that_is_not_seen():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    venue.exchange.forget_books(venue="kalshi")
    assert got(venue.send("a", 46, 3, tif=TimeInForce.IOC)) == []


def test_a_newer_quote_overrides_the_book_it_follows():
    venue = Venue()
    venue.book({44: 9, 43: 1}, {45: 5, 46: 7})
    venue.quote((44, 9), (46, 2))
    assert got(venue.send("a", 46, 20, tif=TimeInForce.IOC)) == [("a", 46, 2, False)]
    venue.quote((44, 9), None)
    assert got(venue.send("b", 99, 20, tif=TimeInForce.IOC)) == []


def test_a_level_that_a_newer_quote_says_is_gone_has_no_queue():
    venue = Venue()
    venue.book({44: 9, 43: 6}, {46: 5})
    venue.quote((43, 6), (46, 5))
    venue.send("a", 44, 4)
    venue.send("b", 43, 4)
    assert [venue.exchange.orders[name].ahead // ONE for name in "ab"] == [0, 6]


def test_a_resting_order_waits_for_the_queue_ahead_of_it():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 44, 4)
    assert got(venue.trade(44, 7, Side.SELL)) == []
    assert got(venue.trade(44, 5, Side.BUY)) == []
    assert got(venue.trade(44, 5, Side.SELL)) == [("a", 44, 2, True)]
    reports = venue.trade(44, 5, Side.SELL)
    assert got(reports) == [("a", 44, 2, True)]
    assert ends(reports) == [("a", EndReason.FILLED, "")]


def test_inside_the_spread_there_is_no_queue():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 45, 4)
    assert got(venue.trade(45, 3)) == [("a", 45, 3, True)]


def test_a_shrinking_level_moves_the_queue_and_a_late_trade_does_not_move_it_again():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 44, 4)
    venue.book({44: 3}, {46: 5})
    assert venue.exchange.orders["a"].ahead == 3 * ONE
    # The trade that made the level shrink is reported now: it pays the credit, no more.
    assert got(venue.trade(44, 7, Side.SELL)) == []
    assert venue.exchange.orders["a"].ahead == 3 * ONE
    assert got(venue.trade(44, 5, Side.SELL)) == [("a", 44, 2, True)]


def test_credit_lapses():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 44, 4)
    venue.book({44: 3}, {46: 5})
    venue.wait(1_001)
    assert got(venue.trade(44, 5, Side.SELL)) == [("a", 44, 2, True)]


def test_a_trade_through_the_price_fills_as_far_as_its_volume():
    venue = Venue()
    venue.book({44: 10, 43: 10}, {46: 5})
    venue.send("a", 44, 4)
    assert got(venue.trade(43, 3, Side.SELL)) == [("a", 44, 3, True)]


def test_one_trade_serves_our_orders_in_turn_and_only_once():
    venue = Venue()
    venue.book({40: 10}, {60: 5})
    venue.send("late", 44, 4)
    venue.send("best", 45, 4)
    venue.send("last", 44, 4)
    assert got(venue.trade(44, 9, Side.SELL, name="x")) == [
        ("best", 45, 4, True),
        ("late", 44, 4, True),
        ("last", 44, 1, True),
    ]
    assert got(venue.trade(56, 9, Side.BUY, instrument=NO, name="x")) == []


def test_a_trade_reported_on_the_other_outcome_is_turned_round():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 45, 4)
    assert got(venue.trade(55, 3, Side.SELL, instrument=NO)) == []
    assert got(venue.trade(55, 3, Side.BUY, instrument=NO)) == [("a", 45, 3, True)]


def test_the_other_side_coming_to_our_price_fills_at_our_price():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 45, 4)
    assert got(venue.book({43: 1}, {44: 3})) == [("a", 45, 3, True)]
    assert got(venue.book({43: 1}, {44: 3})) == []


def test_deep_orders_learn_their_place_when_their_level_shows():
    venue = Venue()
    deep = dict.fromkeys(range(44, 44 - BOOK_LEVELS_MAX, -1), 1)
    venue.book(deep, {46: 5})
    venue.send("a", 20, 4)
    assert venue.exchange.orders["a"].ahead == UNSEEN
    assert got(venue.trade(20, 50, Side.SELL)) == []
    venue.book({20: 8}, {46: 5})
    assert venue.exchange.orders["a"].ahead == 8 * ONE


# ── markets that hold takers back, and books that are cleared ──


def held_back(**changes: int) -> Venue:
    """A market that holds takers back for three seconds."""
    venue = Venue()
    venue.exchange.market(listing(taker_delay_ms=3_000, **changes), venue.now)
    venue.book({44: 9}, {45: 5})
    return venue


def test_a_taker_meets_the_book_of_when_it_is_let_go():
    venue = held_back()
    assert venue.send("a", 46, 4, tif=TimeInForce.IOC) == [Accepted("a", 4 * ONE)]
    assert venue.book({44: 9}, {46: 2, 47: 9}) == []
    reports = venue.wait(3_000)
    assert got(reports) == [("a", 46, 2, False)]
    assert ends(reports) == [("a", EndReason.CANCELED, "ioc")]


def test_a_taker_that_meets_nobody_any_more_rests():
    venue = held_back()
    venue.send("a", 45, 4)
    venue.book({44: 9}, {47: 5})
    assert venue.wait(3_000) == []
    assert got(venue.book({44: 9}, {45: 9})) == [("a", 45, 4, True)]


def test_what_does_not_take_is_not_held_back():
    venue = held_back()
    venue.send("a", 44, 4)
    assert venue.exchange.orders["a"].active


def test_a_held_order_cannot_be_cancelled():
    venue = held_back()
    venue.send("a", 45, 2)
    venue.send("b", 45, 9)
    for name in "ab":
        assert venue.exchange.cancel(name, "asked", venue.now) == ()
    reports = venue.wait(3_000)
    # One filled whole before its cancel could take effect; of the other, what was left went.
    assert got(reports) == [("a", 45, 2, False), ("b", 45, 3, False)]
    assert ends(reports) == [("a", EndReason.FILLED, ""), ("b", EndReason.CANCELED, "asked")]


def test_a_held_order_ends_with_its_market_and_with_its_own_time():
    venue = held_back()
    venue.send("a", 45, 2)
    reports = list(venue.exchange.market(listing(MarketStatus.CLOSED), venue.now))
    assert ends(reports) == [("a", EndReason.CANCELED, "market_closed")]
    venue = held_back()
    venue.send("b", 45, 2, tif=TimeInForce.GTD, expires_ms=2_000)
    assert ends(venue.wait(3_000)) == [("b", EndReason.EXPIRED, "expired")]
    venue = held_back()
    venue.exchange.market(listing(taker_delay_ms=3_000, close_at=venue.now + 1), venue.now)
    venue.send("c", 45, 2)
    assert ends(venue.wait(3_000)) == [("c", EndReason.CANCELED, "market_closed")]


def test_the_beginning_of_an_event_clears_its_book_once():
    venue = Venue()
    begins = venue.now + 5 * SECOND
    venue.exchange.market(listing(clears_at=begins), venue.now)
    venue.book({44: 9}, {46: 5})
    venue.send("a", 44, 4)
    assert venue.wait(4_999) == []
    assert ends(venue.wait(1)) == [("a", EndReason.CANCELED, "book_cleared")]
    venue.send("b", 44, 4)
    venue.exchange.market(listing(clears_at=begins), venue.now)
    venue.exchange.market(listing(), venue.now)
    assert venue.wait(60_000) == []
    assert list(venue.exchange.orders) == ["b"]


def test_what_rests_learns_of_a_later_beginning():
    venue = Venue()
    begins = venue.now + 5 * SECOND
    venue.book({44: 9}, {46: 5})
    venue.send("a", 44, 4)
    venue.exchange.market(listing(clears_at=begins), venue.now)
    venue.exchange.market(listing(clears_at=begins + SECOND), venue.now)
    assert venue.wait(5_999) == []
    assert ends(venue.wait(1)) == [("a", EndReason.CANCELED, "book_cleared")]
