"""Time on the tape: the largest believable moment since the session began, said by its owner."""

from hypothesis import given
from hypothesis import strategies as st

from libs.machine.timeline import SKEW_NS_MAX, Timeline
from proto.feed import Book, FeedClock, Gap, Market, MarketStatus, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import ClockOwner, Command, Mode, Session, Verb
from proto.units import SECOND

START = 1_000_000 * SECOND


def opened(mode: Mode, owner: ClockOwner, started_at: int = START) -> Timeline:
    timeline = Timeline()
    timeline.observe(session(mode, owner, started_at), started_at)
    return timeline


def session(mode: Mode, owner: ClockOwner, started_at: int = START) -> Session:
    return Session(tape="t", mode=mode, clock_owner=owner, started_at=started_at, nonce="n", expires_at=0)


def feed_at(at: int) -> list[Message]:
    return [
        Quote(instrument="i", at=at, counter=1),
        Book(instrument="i", at=at, counter=1),
        Trade(instrument="i", at=at, price=1, quantity=1, trade_id="1"),
    ]


moments = st.integers(START - 100 * SECOND, START + 1_000 * SECOND)


@given(st.lists(moments, max_size=20))
def test_now_is_the_largest_moment_and_never_goes_back(ats: list[int]) -> None:
    timeline = opened(Mode.PLAYBACK, ClockOwner.FEED)
    latest = START
    for at in ats:
        latest = max(latest, at)
        assert timeline.observe(FeedClock(at=at), 0) == latest
        for message in feed_at(at):
            assert timeline.observe(message, 0) == latest
    assert timeline.skewed == 0


@given(st.integers(-3 * SKEW_NS_MAX, 3 * SKEW_NS_MAX))
def test_live_a_moment_far_from_the_brokers_clock_does_not_move_now(skew: int) -> None:
    timeline = opened(Mode.REALTIME, ClockOwner.MONITOR)
    stored_at = START + 1_000 * SECOND
    for count, message in enumerate(feed_at(stored_at + skew), start=1):
        timeline.observe(message, stored_at)
        if abs(skew) > SKEW_NS_MAX:
            assert timeline.now == START
            assert timeline.skewed == count
        else:
            assert timeline.now == stored_at + skew
            assert timeline.skewed == 0


@given(moments)
def test_only_the_owner_of_the_clock_moves_it(at: int) -> None:
    later = max(at, START + 1)
    for mode in Mode:
        feed = opened(mode, ClockOwner.FEED)
        assert feed.observe(Clock(at=later), later) == START
        assert feed.observe(FeedClock(at=later), later) == later
        monitor = opened(mode, ClockOwner.MONITOR)
        assert monitor.observe(FeedClock(at=later), later) == START
        assert monitor.observe(Clock(at=later), later) == later


@given(moments, moments)
def test_a_session_sets_now_anew_even_back(first: int, second: int) -> None:
    timeline = opened(Mode.PLAYBACK, ClockOwner.FEED, first)
    timeline.observe(FeedClock(at=first + 3_600 * SECOND), 0)
    timeline.observe(session(Mode.REALTIME, ClockOwner.MONITOR, second), 0)
    assert timeline.now == second
    assert timeline.mode is Mode.REALTIME
    assert timeline.clock_owner is ClockOwner.MONITOR


def test_listings_and_gaps_carry_time_and_other_messages_do_not() -> None:
    timeline = opened(Mode.PLAYBACK, ClockOwner.FEED)
    listing = Market(market="m", venue="v", at=START + 5, status=MarketStatus.OPEN, close_at=START * 2)
    assert timeline.observe(listing, 0) == START + 5
    assert timeline.observe(Gap(venue="v", at=START + 6, reason="r"), 0) == START + 6
    assert timeline.observe(Command(verb=Verb.HALT, nonce="n", expires_at=START * 3), 0) == START + 6
