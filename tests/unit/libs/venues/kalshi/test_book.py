"""The Kalshi book by sequence, against a naive book that recomputes everything after every frame."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.venues.kalshi.market_data.normalise import SNAPSHOT_RETRY_NS, KalshiNormaliser
from libs.venues.kalshi.market_data.streams import OLD_RUN_MAX
from libs.venues.kalshi.market_data.table import BOOK_INTERVAL_NS
from proto.feed import BOOK_LEVELS_MAX, Book, Quote
from proto.units import ONE, SECOND
from services.feed.synthetic.book import Change
from services.feed.synthetic.frames import delta, snapshot
from tests.support.feed_observer import FeedObserver

TICKER = "KXBTC15M-26MAY131730-30"
YES, NO = f"kalshi:{TICKER}:yes", f"kalshi:{TICKER}:no"
START = 1_778_700_000 * SECOND

# Few prices and many removals: best levels go, and levels enter and leave the shown ten.
MILLS = st.integers(1, 16).map(lambda i: 60 * i)
LEVELS = st.dictionaries(MILLS, st.integers(1, 5_000), max_size=16)
CONTRACTS = st.one_of(st.just(0), st.integers(1, 5_000))
STEPS = st.lists(st.tuples(st.sampled_from(["yes", "no"]), MILLS, CONTRACTS), max_size=60)


class NaiveBook:
    """Two dictionaries, price in mills → contracts."""

    def __init__(self, yes: dict[int, int], no: dict[int, int]) -> None:
        self.sides = {"yes": dict(yes), "no": dict(no)}

    def change_to(self, side: str, mills: int, contracts: int) -> Change:
        """Set a level and return the delta that says so."""
        levels = self.sides[side]
        change = Change(side, mills, contracts - levels.get(mills, 0))
        levels[mills] = contracts
        if not contracts:
            del levels[mills]
        return change

    def bids(self, side: str) -> list[tuple[int, int]]:
        levels = self.sides[side]
        return [(p * 1000, levels[p] * ONE) for p in sorted(levels, reverse=True)][:BOOK_LEVELS_MAX]

    def asks(self, side: str) -> list[tuple[int, int]]:
        return [(ONE - p, q) for p, q in self.bids("no" if side == "yes" else "yes")]

    def snapshot(self, seq: int) -> bytes:
        return snapshot(TICKER, seq, sorted(self.sides["yes"].items()), sorted(self.sides["no"].items()))


def check_quotes(observer: FeedObserver, naive: NaiveBook) -> None:
    for instrument, side in ((YES, "yes"), (NO, "no")):
        quote = observer.quotes[instrument]
        bids, asks = naive.bids(side), naive.asks(side)
        assert quote.bid == (bids[0][0] if bids else None)
        assert quote.ask == (asks[0][0] if asks else None)


def check_books(observer: FeedObserver, naive: NaiveBook) -> None:
    for instrument, side in ((YES, "yes"), (NO, "no")):
        book = observer.books[instrument]
        assert [(level.price, level.quantity) for level in book.bids] == naive.bids(side)
        assert [(level.price, level.quantity) for level in book.asks] == naive.asks(side)


@given(LEVELS, LEVELS, STEPS, st.integers(0, 2 * BOOK_INTERVAL_NS))
def test_book_follows_naive_book(
    yes: dict[int, int], no: dict[int, int], steps: list[tuple[str, int, int]], spacing: int
) -> None:
    naive, normaliser, observer = NaiveBook(yes, no), KalshiNormaliser(), FeedObserver()
    at = START
    observer.handle_messages(normaliser.normalise(naive.snapshot(1), at))
    check_books(observer, naive)
    for seq, (side, mills, contracts) in enumerate(steps, start=2):
        if not contracts and mills not in naive.sides[side]:
            contracts = 1
        at += spacing
        observer.handle_messages(
            normaliser.normalise(delta(TICKER, seq, naive.change_to(side, mills, contracts), at), at)
        )
        check_quotes(observer, naive)
        if spacing >= BOOK_INTERVAL_NS:
            check_books(observer, naive)
    observer.handle_messages(normaliser.tick(at + BOOK_INTERVAL_NS))
    check_books(observer, naive)
    assert not observer.gaps


@given(LEVELS, LEVELS, STEPS.filter(lambda steps: len(steps) > 2), st.data())
def test_lost_frame_breaks_the_book_until_a_snapshot(
    yes: dict[int, int], no: dict[int, int], steps: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    naive, normaliser, observer = NaiveBook(yes, no), KalshiNormaliser(), FeedObserver()
    frames = [naive.snapshot(1)]
    for seq, (side, mills, contracts) in enumerate(steps, start=2):
        if not contracts and mills not in naive.sides[side]:
            contracts = 1
        frames.append(delta(TICKER, seq, naive.change_to(side, mills, contracts), START))
    lost = data.draw(st.integers(0, len(frames) - 2))
    del frames[lost]
    for i, frame in enumerate(frames):
        observer.handle_messages(normaliser.normalise(frame, START + i * SECOND))
    # The observer fails by itself on any quote or book from the gap on.
    assert {gap.instrument for gap in observer.gaps} == {YES, NO}
    assert len(observer.gaps) == 2
    assert list(normaliser.wanted_snapshots) == [TICKER]
    observer.handle_messages(normaliser.normalise(naive.snapshot(len(frames) + 2), START + 100 * SECOND))
    check_books(observer, naive)
    check_quotes(observer, naive)
    assert observer.books[YES].snapshot
    assert list(normaliser.wanted_snapshots) == []


@given(LEVELS, STEPS, st.lists(st.integers(0, 60), max_size=20))
@settings(max_examples=50)
def test_repeated_frames_change_nothing(
    yes: dict[int, int], steps: list[tuple[str, int, int]], repeats: list[int]
) -> None:
    naive, normaliser, observer = NaiveBook(yes, {}), KalshiNormaliser(), FeedObserver()
    frames = [naive.snapshot(1)]
    for seq, (side, mills, contracts) in enumerate(steps, start=2):
        if not contracts and mills not in naive.sides[side]:
            contracts = 1
        frames.append(delta(TICKER, seq, naive.change_to(side, mills, contracts), START))
    for frame in frames:
        observer.handle_messages(normaliser.normalise(frame, START))
    for i in repeats:
        assert [m for m in normaliser.normalise(frames[i % len(frames)], START) if isinstance(m, Quote)] == []
    assert normaliser.old == len(repeats)
    observer.handle_messages(normaliser.tick(START + SECOND))
    check_books(observer, naive)


def test_gap_breaks_every_market_of_the_subscription() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    other = "KXBTC15M-26MAY131745-45"
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 1, [(400, 10)], [(500, 10)]), START))
    observer.handle_messages(normaliser.normalise(snapshot(other, 2, [(300, 10)], [(600, 10)]), START))
    observer.handle_messages(normaliser.normalise(delta(TICKER, 4, Change("yes", 410, 5), START), START))
    assert {gap.instrument for gap in observer.gaps} == {YES, NO, f"kalshi:{other}:yes", f"kalshi:{other}:no"}
    assert observer.gaps[0].reason == "expected sequence 3, was 4"
    observer.handle_messages(normaliser.normalise(snapshot(other, 5, [(310, 10)], [(600, 10)]), START))
    assert observer.whole(f"kalshi:{other}:yes")
    assert not observer.whole(YES)
    assert normaliser.wanted_snapshots == (TICKER,)


def test_negative_level_is_a_gap_of_its_market_alone() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 1, [(400, 10)], [(500, 10)]), START))
    observer.handle_messages(normaliser.normalise(delta(TICKER, 2, Change("yes", 400, -11), START), START))
    assert [gap.reason for gap in observer.gaps] == ["negative level at 0.4000"] * 2
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 3, [(400, 7)], [(500, 10)]), START))
    assert observer.quotes[YES].bid_size == 7 * ONE


def test_one_damaged_number_does_not_make_all_later_ones_old() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 1, [(400, 10)], []), START))
    observer.handle_messages(normaliser.normalise(delta(TICKER, 2**50, Change("yes", 410, 5), START), START))
    observer.handle_messages(normaliser.normalise(delta(TICKER, 2, Change("yes", 410, 5), START), START))
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 3, [(420, 10)], []), START))
    observer.handle_messages(normaliser.normalise(delta(TICKER, 4, Change("yes", 430, 5), START), START))
    assert observer.quotes[YES].bid == 430_000
    assert normaliser.old == 0


def test_server_counting_anew_is_noticed() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 5_000, [(400, 10)], []), START))
    for seq in range(1, OLD_RUN_MAX + 1):
        observer.handle_messages(
            normaliser.normalise(delta(TICKER, seq, Change("yes", 300, 5), START), START)
        )
    assert not observer.gaps
    observer.handle_messages(
        normaliser.normalise(delta(TICKER, OLD_RUN_MAX + 1, Change("yes", 300, 5), START), START)
    )
    assert len(observer.gaps) == 2


def test_snapshot_is_asked_for_until_it_comes() -> None:
    normaliser = KalshiNormaliser()
    subscribed = b'{"id":1,"type":"subscribed","msg":{"channel":"orderbook_delta","sid":2}}'
    normaliser.normalise(subscribed, START)
    normaliser.normalise(snapshot(TICKER, 1, [(400, 10)], []), START)
    assert normaliser.commands(START) == []
    normaliser.normalise(delta(TICKER, 3, Change("yes", 410, 5), START), START)
    (command,) = normaliser.commands(START)
    assert b'"action":"get_snapshot"' in command
    assert b'"sids":[2]' in command
    assert TICKER.encode() in command
    assert normaliser.commands(START + SNAPSHOT_RETRY_NS - 1) == []
    assert len(normaliser.commands(START + SNAPSHOT_RETRY_NS)) == 1
    normaliser.normalise(snapshot(TICKER, 4, [(400, 10)], []), START)
    assert normaliser.commands(START + 10 * SNAPSHOT_RETRY_NS) == []


@pytest.mark.parametrize("kind", ["_ws_connected", "_ws_disconnected"])
def test_connection_change_breaks_books_and_restarts_sequences(kind: str) -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 700, [(400, 10)], []), START))
    observer.handle_messages(normaliser.normalise(f'{{"type":"{kind}","msg":{{}}}}'.encode(), START))
    assert len(observer.gaps) == 2
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 1, [(410, 10)], []), START))
    observer.handle_messages(normaliser.normalise(delta(TICKER, 2, Change("yes", 420, 5), START), START))
    assert observer.quotes[YES].bid == 420_000


def test_books_wait_their_turn_and_quotes_do_not() -> None:
    normaliser = KalshiNormaliser()
    normaliser.normalise(snapshot(TICKER, 1, [(100, 10)], []), START)
    seen: list[Book] = []
    for i in range(100):
        at = START + i * 10_000_000
        out = normaliser.normalise(delta(TICKER, i + 2, Change("yes", 200 + i, 5), at), at)
        assert [m.bid for m in out if isinstance(m, Quote) and m.instrument == YES] == [(200 + i) * 1000]
        seen += [m for m in out if isinstance(m, Book) and m.instrument == YES]
    assert [book.at for book in seen] == [START + i * BOOK_INTERVAL_NS for i in range(1, 10)]


@pytest.mark.parametrize(
    ("rank", "shown"), [(1, True), (BOOK_LEVELS_MAX, True), (BOOK_LEVELS_MAX + 1, False)]
)
def test_only_a_change_among_the_shown_levels_is_a_new_book(rank: int, shown: bool) -> None:
    normaliser = KalshiNormaliser()
    normaliser.normalise(snapshot(TICKER, 1, [(10 * i, 5) for i in range(1, 21)], []), START)
    at = START + SECOND
    out = normaliser.normalise(delta(TICKER, 2, Change("yes", 10 * (21 - rank), 7), at), at)
    assert [m.instrument for m in out if isinstance(m, Book)] == ([YES, NO] if shown else [])


def test_resend_gives_snapshots_that_continue_the_counter() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 1, [(400, 10)], [(500, 3)]), START))
    observer.handle_messages(normaliser.resend(START + SECOND))
    assert observer.books[NO].snapshot
    assert observer.quotes[NO].ask == 600_000
    assert len(observer.markets[f"kalshi:{TICKER}"]) == 2


def test_empty_snapshot_empties_both_instruments() -> None:
    normaliser, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 1, [(400, 10)], [(500, 3)]), START))
    observer.handle_messages(normaliser.normalise(snapshot(TICKER, 2, [], []), START))
    for instrument in (YES, NO):
        assert (observer.books[instrument].bids, observer.books[instrument].asks) == ((), ())
        assert (observer.quotes[instrument].bid, observer.quotes[instrument].ask) == (None, None)


def test_a_distrusted_book_is_a_gap_until_its_snapshot():
    kalshi, observer = KalshiNormaliser(), FeedObserver()
    observer.handle_messages(kalshi.normalise(snapshot(TICKER, 1, [(400, 5)], [(500, 5)]), START))
    observer.handle_messages(kalshi.invalidate(f"kalshi:{TICKER}", START + 1, "stale"))
    assert [gap.reason for gap in observer.gaps] == ["stale", "stale"]
    assert kalshi.invalidate(f"kalshi:{TICKER}", START + 2, "stale") == []
    assert kalshi.invalidate("kalshi:OTHER", START + 2, "stale") == []
    assert len(kalshi.commands(START + 2)) == 1
    observer.handle_messages(kalshi.normalise(snapshot(TICKER, 2, [(410, 5)], [(500, 5)]), START + 3))
    assert observer.whole(YES)
    assert observer.quotes[YES].bid == 410_000
