"""Promises that hold under any order of events: alternation, bounds, snapshots, dead letters' sums."""

from pathlib import Path
from typing import cast

import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import decode, encode
from libs.machine.machine import Stamp
from proto.execution import OrderStatus, RefusalReason
from proto.exit import PositionStage
from proto.feed import Book, MarketStatus, Quote, Side
from proto.message import Message
from proto.monitor import DEAD_EXCERPT_BYTES_MAX, Dead
from proto.operator import Command, Config, Verb
from proto.risk import ExitPortfolioReport, Rejection
from proto.subjects import TABLE
from proto.units import ONE, SECOND
from proto.venue import Correction, Settlement
from services.monitor.board import ALERTS_ACTIVE_MAX, OVERFLOW_RULE
from services.monitor.dead_letters import OTHER, DeadLetters
from services.monitor.machine import MonitorMachine
from tests.support.monitor_tape import (
    BITCOIN,
    MARKET,
    NO,
    YES,
    Tape,
    approval,
    book,
    claim,
    exit_proposal,
    fill,
    gap,
    market,
    position_update,
    quote,
    refusal,
    session,
    trade,
    update,
)
from tests.unit.services.monitor.test_positions import risk_report

ORDERS = st.sampled_from(["o1", "o2", "o3"])
INSTRUMENTS = st.sampled_from([YES, NO])
COUNTERS = st.integers(0, 5)
MOMENTS = st.integers(1, 3)
DIGESTS = st.sampled_from(["a", "b"])

EVENTS = st.one_of(
    st.builds(approval, ORDERS, reduce_only=st.booleans()),
    st.builds(update, ORDERS, st.sampled_from(OrderStatus), filled=st.integers(0, 2)),
    st.builds(claim, ORDERS),
    st.builds(refusal, ORDERS, st.sampled_from(RefusalReason), st.sampled_from(["", "m"])),
    st.builds(fill, st.integers(1, 6), ORDERS, st.sampled_from(Side), st.just(1), INSTRUMENTS),
    st.builds(position_update, st.sampled_from(PositionStage), INSTRUMENTS),
    st.builds(exit_proposal, INSTRUMENTS),
    st.builds(market, st.sampled_from(MarketStatus)),
    st.builds(quote, COUNTERS, INSTRUMENTS),
    st.builds(book, COUNTERS, INSTRUMENTS, snapshot=st.booleans()),
    st.builds(trade, st.sampled_from([BITCOIN, YES])),
    st.builds(gap, st.sampled_from(["", YES])),
    st.builds(risk_report, MOMENTS, DIGESTS),
    st.builds(ExitPortfolioReport, digest=DIGESTS, at=MOMENTS),
    st.builds(session, st.integers(0, 10_000), halted=st.booleans()),
    st.builds(Command, verb=st.sampled_from(Verb), nonce=st.just("n"), expires_at=st.just(0)),
    st.builds(
        Correction, correction_id=st.just("c"), fill_id=st.sampled_from(["fill:1", "fill:2"]), order=ORDERS
    ),
    st.builds(
        Settlement,
        settlement_id=st.just("s"),
        market=st.just(MARKET),
        instrument=INSTRUMENTS,
        price=st.just(ONE),
    ),
    st.just(Rejection(strategy="s", market=MARKET, instrument=YES, side=Side.BUY, price=0, proposal="p")),
)
# A number lets that many seconds pass in one tick of the clock.
STEPS = st.lists(st.one_of(EVENTS, st.integers(0, 400)), max_size=60)


def run(tape: Tape, steps: list[Message | int]) -> None:
    for step in steps:
        if isinstance(step, int):
            tape.tick(step)
        else:
            tape.put(step)


@given(steps=STEPS)
def test_an_alert_is_raised_and_cleared_in_turns(steps: list[Message | int]) -> None:
    tape = Tape()
    run(tape, steps)
    active: set[tuple[str, str]] = set()
    for alert in tape.alerts:
        key = (alert.rule, alert.topic)
        assert alert.active == (key not in active)
        (active.add if alert.active else active.remove)(key)
    known = {(rule, topic) for rule, topics in tape.machine.state.active.items() for topic in topics}
    assert active == known


@given(before=STEPS, after=STEPS)
def test_a_restored_machine_says_the_same(before: list[Message | int], after: list[Message | int]) -> None:
    straight = Tape()
    run(straight, before)
    restored = MonitorMachine()
    restored.restore(straight.machine.snapshot())
    other = Tape(restored, configured=False)
    other.seq, other.now_s = straight.seq, straight.now_s
    told = len(straight.alerts)
    run(straight, after)
    run(other, after)
    assert other.alerts == straight.alerts[told:]
    assert restored.snapshot() == straight.machine.snapshot()


@given(steps=STEPS)
def test_every_alert_is_a_readable_message(steps: list[Message | int]) -> None:
    tape = Tape()
    run(tape, steps)
    for alert in tape.alerts:
        assert decode(alert.subject(), encode(alert)) == alert


@given(steps=STEPS, jump_s=st.integers(1, 1_000_000))
def test_a_new_session_raises_nothing_by_its_jump(steps: list[Message | int], jump_s: int) -> None:
    tape = Tape()
    run(tape, steps)
    tape.now_s += jump_s
    assert not any(alert.active for alert in tape.put(session(tape.now_s)))
    assert tape.tick(jump_s) == []


def test_a_flood_is_bounded_counted_and_over_when_it_ebbs() -> None:
    tape = Tape()
    for number in range(ALERTS_ACTIVE_MAX + 50):
        tape.put(refusal(f"o{number}", RefusalReason.SIGNATURE))
    assert len(tape.alerts) == ALERTS_ACTIVE_MAX + 1
    assert tape.alerts[-1].rule == OVERFLOW_RULE
    tape.tick(301)
    assert len(tape.alerts) == 2 * (ALERTS_ACTIVE_MAX + 1)
    assert tape.alerts[-1].text == "50 events were not shown"
    assert tape.machine.state.active == {}


def test_long_names_are_cut_to_what_a_message_may_hold() -> None:
    tape = Tape()
    long = "x" * 120
    (alert,) = tape.put(refusal(long, RefusalReason.SIGNATURE, "y" * 512))
    assert decode(alert.subject(), encode(alert)) == alert
    assert [cleared.topic for cleared in tape.tick(301)] == [alert.topic]


def test_finished_orders_are_remembered_within_a_bound() -> None:
    tape = Tape()
    for number in range(5_000):
        tape.put(approval(f"o{number}"))
        tape.put(update(f"o{number}", OrderStatus.FILLED))
    assert len(tape.machine.state.finished) == 4_096
    assert tape.machine.state.orders == {}
    assert tape.alerts == []


def test_the_machine_reads_only_what_the_table_gives_it() -> None:
    readable = {row.model for row in TABLE if "monitor" in row.readers}
    assert set(MonitorMachine().reads) <= readable


def test_a_healthy_quote_costs_no_object() -> None:
    machine = MonitorMachine()
    stamp = Stamp(seq=1, now=SECOND)
    machine.on(Book(instrument=YES, at=0, counter=0, snapshot=True), stamp)
    assert machine.on(Quote(instrument=YES, at=0, counter=1), stamp) == ()
    assert machine.on(trade(YES), stamp) == ()
    assert machine.state.feeds[YES].counter == 1


def test_the_configuration_file_is_what_the_machine_takes(root: Path) -> None:
    document = yaml.safe_load((root / "config" / "monitor.yaml").read_text())
    tape = Tape(configured=False)
    tape.put(session(1_000))
    tape.put(Config(section="monitor", document=document, nonce="n", expires_at=0))
    assert tape.machine.state.params is not None


DEADS = st.lists(
    st.tuples(
        st.builds(
            Dead,
            producer=st.sampled_from(["feed", "risk", "x" * 120]),
            reason=st.one_of(
                st.sampled_from(["torn line", "not utf-8"]),
                st.text(st.characters(exclude_categories=["Cs"]), max_size=512),
            ),
            topic=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            excerpt=st.binary(max_size=DEAD_EXCERPT_BYTES_MAX),
            count=st.integers(1, 50),
        ),
        st.integers(0, 3 * SECOND),
    ),
    max_size=60,
)


@given(deads=DEADS)
def test_no_dead_input_goes_uncounted_and_the_rate_is_bounded(deads: list[tuple[Dead, int]]) -> None:
    letters = DeadLetters(burst_count=3)
    now = 0
    out: list[Dead] = []
    added = 0
    for dead, wait in deads:
        now += wait
        added += dead.count
        out += letters.add(dead, now)
        out += letters.flush(now)
        assert sum(sent.count for sent in out) + letters.held_count == added
    assert len(out) <= 4 * (3 + now // SECOND)
    out += letters.drain()
    assert sum(sent.count for sent in out) == sum(dead.count for dead, _ in deads)
    for sent in out:
        assert cast(Dead, decode(sent.subject(), encode(sent))) == sent


def test_thousands_of_poisonous_producers_and_reasons_take_bounded_memory() -> None:
    letters = DeadLetters()
    sent = 0
    for number in range(5_000):
        dead = Dead(producer=f"p{number}", reason=f"r{number}", excerpt=b"z" * DEAD_EXCERPT_BYTES_MAX)
        sent += sum(out.count for out in letters.add(dead, 0))
    assert len(letters._producers) <= 65
    assert OTHER in letters._producers
    held = letters.drain()
    assert sum(out.count for out in held) == 5_000 - sent
    assert len(held) <= 65 * 17
