"""Freshness leases: what renews one, what is done when one runs out, and what heals."""

import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from proto.feed import Book, Gap, Market, MarketStatus
from proto.units import SECOND
from services.feed.live.lease import Leases

MARKET = "kalshi:T"
LEASE_S = 20


def whole(at: int, market: str = MARKET) -> Book:
    return Book(instrument=f"{market}:yes", at=at, counter=1, snapshot=True)


def leases(*markets: str, failures_max: int = 3, books: bool = True) -> Leases:
    made = Leases(LEASE_S, failures_max, books=books)
    made.follow(markets or (MARKET,), 0)
    made.handle_messages([whole(0, market) for market in markets or (MARKET,)])
    return made


def test_a_proved_book_is_left_alone() -> None:
    made = leases()
    for second in range(0, 200, 5):
        made.renew([MARKET], second * SECOND)
        assert made.due((second + 4) * SECOND) == ([], [], [], False)


def test_after_half_a_lease_the_venue_is_asked_and_its_answer_renews() -> None:
    made = leases()
    assert made.due(9 * SECOND).probe == []
    assert made.due(10 * SECOND).probe == [MARKET]
    assert made.due(11 * SECOND).probe == [], "asked a second time at once"
    assert made.due(15 * SECOND).probe == [MARKET]
    made.renew([MARKET], 16 * SECOND)
    assert made.due(21 * SECOND) == ([], [], [], False)


def test_a_lease_that_ran_out_is_told_once_and_the_book_asked_for_again_and_again() -> None:
    made = leases()
    due = made.due(20 * SECOND)
    assert (due.stale, due.resubscribe, due.reconnect) == ([MARKET], [MARKET], False)
    assert made.due(25 * SECOND) == ([], [], [], False)
    assert made.due(30 * SECOND).resubscribe == [MARKET]
    assert made.due(40 * SECOND).resubscribe == [MARKET]
    due = made.due(50 * SECOND)
    assert due.reconnect, "three vain attempts, and the connection was kept"
    assert due.stale == []


def test_frames_about_a_stale_book_do_not_make_it_whole_but_a_snapshot_does() -> None:
    made = leases()
    made.due(20 * SECOND)
    made.renew([MARKET], 21 * SECOND)
    assert made.due(30 * SECOND).resubscribe == [MARKET]
    made.handle_messages([whole(31 * SECOND)])
    assert made.due(40 * SECOND) == ([], [], [], False)
    assert made.due(51 * SECOND).stale == [MARKET]


def test_a_gap_is_healed_like_a_lease_that_ran_out() -> None:
    made = leases()
    made.handle_messages([Gap(venue="kalshi", at=2 * SECOND, reason="sequence", instrument=f"{MARKET}:yes")])
    made.renew([MARKET], 11 * SECOND)
    assert made.due(11 * SECOND).resubscribe == [], "the normaliser has half a lease to mend it by itself"
    assert made.due(12 * SECOND).resubscribe == [MARKET]
    assert made.broken == 0
    made.due(22 * SECOND)
    assert made.broken == 1


def test_only_trading_markets_are_under_lease() -> None:
    made = leases()
    market = Market(
        market=MARKET,
        venue="kalshi",
        at=0,
        status=MarketStatus.OPEN,
        open_at=100 * SECOND,
        close_at=200 * SECOND,
    )
    made.handle_messages([market])
    assert made.due(99 * SECOND) == ([], [], [], False)
    assert made.due(120 * SECOND).stale == [MARKET]
    made.handle_messages([whole(121 * SECOND)])
    assert made.due(200 * SECOND) == ([], [], [], False)
    closed = Market(market=MARKET, venue="kalshi", at=0, status=MarketStatus.CLOSED)
    made.handle_messages([closed])
    assert made.due(900 * SECOND) == ([], [], [], False)


def test_a_new_connection_gives_every_book_its_time() -> None:
    made = leases()
    made.handle_messages([Gap(venue="kalshi", at=1, reason="connection lost")])
    made.connected(100 * SECOND)
    assert made.due(109 * SECOND) == ([], [], [], False)
    assert made.due(110 * SECOND).resubscribe == [MARKET]


def test_a_market_that_no_connection_heals_costs_ever_fewer_of_them() -> None:
    made = Leases(LEASE_S, 1)
    made.follow([MARKET], 0)
    reconnects = [second for second in range(5_000) if made.due(second * SECOND).reconnect]
    pauses = [later - earlier for earlier, later in itertools.pairwise(reconnects)]
    assert pauses[:3] == sorted(pauses[:3])
    assert pauses[-1] >= 320
    made.handle_messages([whole(5_000 * SECOND)])
    again = [s for s in range(5_000, 5_100) if made.due(s * SECOND).reconnect]
    assert again, "a book that was healed counts as new"


def test_a_reference_price_is_whole_with_any_frame() -> None:
    made = Leases(LEASE_S, 3, books=False)
    made.follow(["binance:BTCUSDT"], 0)
    made.renew(["binance:BTCUSDT"], SECOND)
    assert made.due(12 * SECOND).probe == ["binance:BTCUSDT"]
    assert made.due(21 * SECOND).stale == ["binance:BTCUSDT"]
    made.renew(["binance:BTCUSDT"], 22 * SECOND)
    assert made.due(31 * SECOND) == ([], [], [], False)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["prove", "whole", "gap", "connected", "pass"])),
        max_size=60,
    )
)
def test_no_book_is_believed_longer_than_its_lease(steps: list[tuple[int, str]]) -> None:
    made = leases()
    proved = now = 0
    believed = True
    for seconds, what in steps:
        for _ in range(seconds):
            now += SECOND
            if MARKET in made.due(now).stale:
                believed = False
            assert not believed or now - proved < LEASE_S * SECOND
        if what == "prove":
            made.renew([MARKET], now)
            proved = now if believed else proved
        elif what == "whole":
            made.handle_messages([whole(now)])
            believed, proved = True, now
        elif what == "gap":
            made.handle_messages([Gap(venue="kalshi", at=now, reason="x", instrument=f"{MARKET}:no")])
            believed = False
        elif what == "connected":
            made.connected(now)
            believed = False


def doubted(made: Leases, start: float, end: float, heard: Callable[[int], bool]) -> list[tuple[str, float]]:
    """What is due, and when (s), while ``heard`` says whether the book is doubted, and may add what came."""
    found: list[tuple[str, float]] = []
    for at in range(round(start * SECOND), round(end * SECOND), SECOND // 10):
        made.set_inconsistent([MARKET, "kalshi:NOBODY"] if heard(at) else [], at)
        due = made.due(at)
        found += [("probe", at / SECOND)] * (MARKET in due.probe)
        found += [("stale", at / SECOND)] * (MARKET in due.stale)
    return found


def test_a_doubted_book_is_asked_for_once_and_no_more_believed_if_that_does_not_help() -> None:
    """Frames of its other token go on, even whole books: they speak for that one only."""

    def other_token(at: int) -> bool:
        made.renew([MARKET], at)
        made.handle_messages([whole(at)] if at < 10 * SECOND else [])
        return True

    made = leases(MARKET, "kalshi:OTHER")
    assert doubted(made, 5, 15, other_token) == [("probe", 5), ("stale", 10)]
    assert made.due(15 * SECOND).stale == []


def test_a_doubt_that_the_answer_clears_costs_one_question() -> None:
    made = leases()
    assert doubted(made, 5, 9, lambda at: at < 7 * SECOND) == [("probe", 5)]
    made.renew([MARKET], 9 * SECOND)
    assert doubted(made, 9, 19, lambda _: False) == []
    assert made.due(19 * SECOND).probe == [MARKET]
    made.renew([MARKET], 19 * SECOND)
    # A new doubt has a question of its own, but not sooner than any other.
    assert doubted(made, 20, 32, lambda _: True) == [("probe", 24), ("stale", 29)]


def test_a_book_that_is_whole_again_and_doubted_still_is_asked_for_first() -> None:
    def healed_at_12(at: int) -> bool:
        made.handle_messages([whole(at)] if at == 12 * SECOND else [])
        return True

    made = leases()
    assert doubted(made, 5, 18, healed_at_12) == [("probe", 5), ("stale", 10), ("probe", 12), ("stale", 17)]
