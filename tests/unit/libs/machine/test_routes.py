"""Machines that share one fold of the best prices say and remember what each would by itself."""

from functools import cache
from typing import ClassVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.machine.machine import Machine, Stamp
from libs.machine.routes import Routes
from libs.operator.desk import opening
from proto.feed import Book, FeedClock, Gap, Level, Market, MarketStatus, Outcome, Quote, Side
from proto.message import Message
from proto.operator import ClockOwner, Mode
from proto.signal import Proposal
from proto.units import ONE, SECOND
from proto.venue import Fill
from services.advisor.machine import AdvisorMachine
from services.exit.machine import ExitMachine
from services.monitor.machine import MonitorMachine
from services.signal.machine import SignalMachine
from services.signal.momentum import MomentumParams
from services.signal.strategy import NoState, Strategy
from tools.system.composition import sections

START = 1_779_000_000 * SECOND
NAMES = ("kalshi:A", "kalshi:B")
instruments = st.sampled_from([f"{name}:{outcome}" for name in NAMES for outcome in ("yes", "no")])
prices = st.none() | st.integers(1, 99).map(lambda cents: cents * 10_000)
jumps = st.sampled_from([1, 1, 1, 1, 2])


class Eager(Strategy[MomentumParams, NoState]):
    """Proposes at every quote that it is shown."""

    name: ClassVar[str] = "momentum"
    params_type = MomentumParams

    def on_quote(self, instrument, top):
        if top.ask is None:
            return ()
        proposal = Proposal(
            strategy="momentum",
            market=instrument.rpartition(":")[0],
            instrument=instrument,
            side=Side.BUY,
            price=top.ask,
            fair_value=top.ask,
            edge=0,
            strength=ONE,
            expires_at=self.now + SECOND,
        )
        return (proposal,)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), instruments, prices, jumps),
        st.tuples(st.just("quote"), instruments, prices, jumps),
        st.tuples(st.just("book"), instruments, prices, st.booleans()),
        st.tuples(st.just("gap"), st.sampled_from(["", *NAMES[:1]]), st.none(), st.none()),
        st.tuples(st.just("market"), st.sampled_from(NAMES), st.sampled_from(MarketStatus), st.booleans()),
        st.tuples(st.just("fill"), instruments, st.none(), st.none()),
        st.tuples(st.just("clock"), st.none(), st.none(), st.none()),
        st.tuples(st.just("session"), st.none(), st.none(), st.none()),
    ),
    max_size=40,
)


FORGOTTEN_BY_ONE = [
    ("book", "kalshi:A:no", 500_000, True),
    ("market", "kalshi:A", MarketStatus.OPEN, True),
    ("market", "kalshi:A", MarketStatus.SETTLED, False),
    ("quote", "kalshi:A:no", 400_000, 1),
    ("book", "kalshi:A:no", 500_000, True),
    ("quote", "kalshi:A:no", 400_000, 2),
]
"""The last word on a market names fewer outcomes than those before: the advisor forgets them all, others do not."""


@cache
def start() -> list[Message]:
    return list(
        opening(
            "t", mode=Mode.PLAYBACK, clock_owner=ClockOwner.FEED, started_at_ns=START, sections=sections()
        )
    )


class Tape:
    """Makes messages of steps, with counters that rise as a feed's do."""

    def __init__(self) -> None:
        self.now = START
        self.counters: dict[str, int] = {}

    def message(self, kind, name, value, flag) -> Message:
        self.now += SECOND // 2
        if kind == "quote":
            counter = self.counters[name] = self.counters.get(name, 0) + flag
            return Quote(instrument=name, at=self.now, counter=counter, bid=value, ask=value, ask_size=ONE)
        if kind == "book":
            counter = self.counters[name] = self.counters.get(name, 0) + 1
            levels = () if value is None else (Level(value, ONE),)
            return Book(
                instrument=name, at=self.now, counter=counter, bids=levels, asks=levels, snapshot=flag
            )
        if kind == "gap":
            return Gap(venue="kalshi", at=self.now, instrument=f"{name}:yes" if name else "", reason="lost")
        if kind == "market":
            # A last message that names fewer outcomes: not every machine forgets the others.
            outcomes = ("yes", "no") if flag else ("yes",)
            rows = tuple(Outcome(outcome, f"{name}:{outcome}") for outcome in outcomes)
            return Market(market=name, venue="kalshi", at=self.now, status=value, outcomes=rows)
        if kind == "fill":
            return Fill(
                fill_id=f"f{self.now}",
                order=f"t-{self.now}-0",
                market=name.rpartition(":")[0],
                instrument=name,
                strategy="momentum",
                side=Side.BUY,
                price=500_000,
                fee=0,
                quantity=ONE,
                at=self.now,
            )
        return FeedClock(at=self.now) if kind == "clock" else start()[0]


def machines() -> list[Machine]:
    return [SignalMachine([Eager]), ExitMachine(), MonitorMachine(), AdvisorMachine()]


@settings(max_examples=60)
@given(steps)
@example(FORGOTTEN_BY_ONE)
def test_one_fold_for_all_is_as_if_each_had_its_own(steps):
    apart, joined = machines(), machines()
    routes = Routes(enumerate(joined))
    tape = Tape()
    for seq, message in enumerate([*start(), *(tape.message(*step) for step in steps)], 1):
        stamp = Stamp(seq, tape.now, f"t:feed:{seq}:0")
        said = {
            order: list(out) for order, machine in enumerate(apart) if (out := machine.on(message, stamp))
        }
        heard = {
            order: list(out) for order, handle in routes.of(message) or () if (out := handle(message, stamp))
        }
        if isinstance(message, Market):
            routes.after_market(message)
        assert heard == said
        assert [machine.snapshot() for machine in joined] == [machine.snapshot() for machine in apart]


def test_exit_is_not_called_for_what_it_does_not_hold():
    signal, leaving = SignalMachine([Eager]), ExitMachine()
    routes = Routes(enumerate([signal, leaving, AdvisorMachine()]))
    quote = Quote(instrument="kalshi:A:yes", at=START, counter=1)
    book = Book(instrument="kalshi:A:yes", at=START, counter=2)
    assert [order for order, _ in routes.of(quote) or ()] == [0]
    assert routes.of(book) == []
    assert [order for order, _ in routes.of(book.replace(snapshot=True)) or ()] == [0, 1]
