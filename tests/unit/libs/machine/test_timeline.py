"""Time on the tape: the largest believable moment since the session began, said by its owner."""

from hypothesis import given
from hypothesis import strategies as st

from libs.machine.timeline import JUMP_NS_MAX, SKEW_NS_MAX, TICKS_TO_BELIEVE, Timeline
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


HOUR = 3_600 * SECOND
FAR = st.one_of(st.integers(-30 * HOUR, -2 * JUMP_NS_MAX), st.integers(JUMP_NS_MAX + 1, 30 * HOUR))


def ticking(seconds: int = 3) -> Timeline:
    timeline = opened(Mode.REALTIME, ClockOwner.MONITOR)
    for second in range(1, seconds + 1):
        at = START + second * SECOND
        assert timeline.observe(Clock(at=at), at) == at
    return timeline


@given(FAR, st.integers(1, TICKS_TO_BELIEVE - 1))
def test_a_clock_that_is_wrong_for_a_moment_moves_nothing(off: int, ticks: int) -> None:
    """An hour ahead, a day ahead, back: the broker's timestamps are wrong with it, and right again."""
    timeline = ticking()
    now = timeline.now
    for tick in range(1, ticks + 1):
        at = now + off + tick * SECOND
        assert timeline.observe(Clock(at=at), at) == now
        for message in feed_at(at):
            assert timeline.observe(message, at) == now
        assert timeline.is_doubtful
    right = now + (ticks + 1) * SECOND
    assert timeline.observe(Clock(at=right), right) == right
    assert (timeline.is_doubtful, timeline.jumps) == (False, 0)


@given(FAR)
def test_a_clock_that_goes_on_saying_another_time_is_believed(off: int) -> None:
    timeline = ticking()
    at = now = timeline.now
    for tick in range(1, TICKS_TO_BELIEVE + 1):
        at = now + off + tick * SECOND
        timeline.observe(Clock(at=at), at)
    assert (timeline.now, timeline.is_doubtful, timeline.jumps) == (at, False, 1)
    later = at + SECOND
    assert timeline.observe(Clock(at=later), later) == later


@given(st.lists(st.integers(0, JUMP_NS_MAX), max_size=30), st.integers(-SKEW_NS_MAX, SKEW_NS_MAX))
def test_good_tapes_have_the_time_they_always_had(steps: list[int], skew: int) -> None:
    """Now is the largest moment, whatever the first message was and however late a tick comes."""
    timeline = opened(Mode.REALTIME, ClockOwner.MONITOR)
    latest, stored_at = START, START + 10 * HOUR
    for step in steps:
        stored_at += step
        latest = max(latest, stored_at + skew)
        for message in (Clock(at=stored_at + skew), *feed_at(stored_at + skew)):
            assert timeline.observe(message, stored_at) == latest
    assert (timeline.skewed, timeline.is_doubtful) == (0, False)


def test_played_time_jumps_as_it_was_recorded() -> None:
    timeline = opened(Mode.PLAYBACK, ClockOwner.FEED)
    assert timeline.observe(FeedClock(at=START + HOUR), 0) == START + HOUR
    assert timeline.observe(FeedClock(at=START + 30 * HOUR), 0) == START + 30 * HOUR
