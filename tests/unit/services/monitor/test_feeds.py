"""Sweeps that are left out would have found nothing."""

from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.machine.machine import Stamp
from libs.operator.desk import opening
from proto.feed import FeedClock, Gap, Market, MarketStatus, Outcome, Quote
from proto.message import Message
from proto.operator import ClockOwner, Mode
from proto.units import SECOND
from services.monitor.machine import MonitorMachine
from tools.system.composition import sections

START = 1_779_000_000 * SECOND
MARKETS = ("kalshi:A", "kalshi:B")
UNDERLYING = "coinbase:BTC-USD"
INSTRUMENTS = [*(f"{name}:{outcome}" for name in MARKETS for outcome in ("yes", "no")), UNDERLYING]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("clock"), st.integers(1, 40), st.none()),
        st.tuples(st.just("clock"), st.integers(1, 3), st.none()),
        st.tuples(st.just("quote"), st.sampled_from(INSTRUMENTS), st.none()),
        st.tuples(
            st.just("market"),
            st.sampled_from(MARKETS),
            st.tuples(
                st.sampled_from(
                    [MarketStatus.OPEN, MarketStatus.OPEN, MarketStatus.PAUSED, MarketStatus.SETTLED]
                ),
                st.sampled_from([0, 20, 60, 200]),
            ),
        ),
        st.tuples(st.just("gap"), st.sampled_from(["", *INSTRUMENTS[:1]]), st.none()),
        st.tuples(st.just("session"), st.none(), st.none()),
    ),
    max_size=60,
)


CLOSES_WHILE_SILENT = [
    ("market", "kalshi:A", (MarketStatus.OPEN, 200)),
    ("clock", 1, None),
    ("clock", 180, None),
    ("clock", 20, None),
]


@cache
def start() -> tuple[Message, ...]:
    return tuple(
        opening(
            "t", mode=Mode.PLAYBACK, clock_owner=ClockOwner.FEED, started_at_ns=START, sections=sections()
        )
    )


class Tireless(MonitorMachine):
    """Looks through all instruments at every tick."""

    def on(self, event, stamp):
        self._quiet_until = 0
        return super().on(event, stamp)


def messages(steps):
    """What the steps are, and the moment of each."""
    now, counters = START, dict.fromkeys(INSTRUMENTS, 0)
    for message in start():
        yield now, message
    for kind, what, more in steps:
        if kind == "clock":
            now += what * SECOND
            yield now, FeedClock(at=now)
        elif kind == "quote":
            counters[what] += 1
            yield now, Quote(instrument=what, at=now, counter=counters[what])
        elif kind == "market":
            status, lasts_s = more
            yield (
                now,
                Market(
                    market=what,
                    venue="kalshi",
                    at=now,
                    status=status,
                    outcomes=tuple(Outcome(outcome, f"{what}:{outcome}") for outcome in ("yes", "no")),
                    underlying=UNDERLYING,
                    close_at=now + lasts_s * SECOND if lasts_s else 0,
                ),
            )
        elif kind == "gap":
            yield now, Gap(venue="kalshi", at=now, instrument=what, reason="lost")
        else:
            yield now, start()[0]


@settings(max_examples=100)
@given(steps)
@example(CLOSES_WHILE_SILENT)
def test_a_monitor_that_rests_says_what_one_says_that_never_does(steps):
    resting, tireless = MonitorMachine(), Tireless()
    for seq, (now, message) in enumerate(messages(steps), 1):
        stamp = Stamp(seq, now, f"t:feed:{seq}:0")
        assert list(resting.on(message, stamp)) == list(tireless.on(message, stamp))
    assert resting.snapshot() == tireless.snapshot()
