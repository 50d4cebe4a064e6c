"""The order state machine under any history: legal moves only, nothing sent twice, unknown stays unknown."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proto.execution import (
    NO_APPROVAL,
    TERMINAL,
    Claim,
    OrderStatus,
    OrderUpdate,
    Refusal,
    Unclaimed,
)
from proto.exit import ExitCancel
from proto.message import Message
from proto.operator import Verb
from proto.risk import Approval, TimeInForce
from proto.venue import Ack, AckStatus, Fill, StatusReport
from services.execution.machine import ExecutionMachine
from services.execution.orders import TRANSITIONS
from services.execution.paper.machine import PaperMachine
from tests.support.order_tape import (
    ORDER,
    START_S,
    Hand,
    ack,
    approval,
    book,
    claim,
    command,
    correction,
    execution_hand,
    fill,
    listing,
    of,
    submitted,
)

S = OrderStatus


ORDERS = st.integers(1, 5)


def name(cause: int) -> str:
    return f"tape1-{cause}-0"


def approved(cause: int) -> Approval:
    kinds = (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC)
    return approval(cause, tif=kinds[cause - 1], reduce_only=cause == 5, expires_s=START_S + 40)


EVENTS = st.one_of(
    st.builds(lambda cause, good: ("approve", cause, good), ORDERS, st.integers(0, 4).map(bool)),
    st.builds(lambda cause: claim(approved(cause)), ORDERS),
    st.builds(lambda cause: Unclaimed(order=name(cause), reason="expired"), ORDERS),
    st.builds(lambda cause, status: ack(status, name(cause)), ORDERS, st.sampled_from(AckStatus)),
    st.builds(lambda c, n, q: fill(n, q, name(c)), ORDERS, st.integers(1, 4), st.integers(1, 10)),
    st.builds(lambda cause, number: correction(number, name(cause)), ORDERS, st.integers(1, 4)),
    st.builds(
        lambda cause, found, status: StatusReport(order=name(cause), found=found, status=status),
        ORDERS,
        st.booleans(),
        st.sampled_from((None, *AckStatus)),
    ),
    st.builds(lambda cause: ExitCancel(order=name(cause)), ORDERS),
    st.builds(command, st.sampled_from((Verb.HALT, Verb.RESUME, Verb.CLOSE_ONLY))),
    st.integers(0, 15),
)


def play(tape: Hand, event: Any) -> list[Any]:
    if isinstance(event, int):
        return tape.tick(event)
    if isinstance(event, tuple):
        _, cause, verified = event
        return tape.approve(approved(cause), verified=verified)
    return tape.put(event)


def check_history(said: list[Message]) -> None:
    """What must hold for the outputs of any history whatever."""
    updates: dict[str, list[OrderUpdate]] = {}
    for message in of(OrderUpdate, said):
        updates.setdefault(message.order, []).append(message)
    for order, history in updates.items():
        adopted = history[0].reason == NO_APPROVAL and history[0].status is S.SUBMITTED
        assert adopted or history[0].status in (S.PENDING_SUBMIT, S.DENIED), order
        assert [u.status for u in history].count(S.PENDING_SUBMIT) <= 1
        for before, after in pairwise(history):
            assert after.status is before.status or after.status in TRANSITIONS[before.status]
            assert before.status not in TERMINAL or after.status is before.status
            assert after.remaining <= before.remaining
        for update in history:
            assert update.filled + update.remaining >= 0
            assert update.remaining <= history[0].remaining


@given(st.lists(EVENTS, max_size=40))
def test_any_history_is_legal_and_orders_are_sent_only_when_approved(events):
    tape = execution_hand()
    verified: set[str] = set()
    for event in events:
        if isinstance(event, tuple) and event[2]:
            verified.add(name(event[1]))
        if isinstance(event, Claim):
            # A claim carries its signed approval, also when the tape has lost it.
            verified.add(event.order)
        outputs = play(tape, event)
        for message in outputs:
            assert message.order in verified or isinstance(message, Refusal)
    check_history(tape.said)
    state = tape.machines[0].state
    for tracked in state.live.values():
        assert tracked.status not in TERMINAL
        assert tracked.traded + tracked.remaining >= tracked.quantity
        assert 0 <= tracked.undone <= tracked.traded == sum(tracked.fills.values())


@given(st.lists(EVENTS, max_size=40))
def test_a_machine_restored_at_any_point_says_the_same(events):
    one, other = execution_hand(), execution_hand()
    for event in events:
        other.machines[0].restore(other.machines[0].snapshot())
        assert play(one, event) == play(other, event)
    assert one.machines[0].snapshot() == other.machines[0].snapshot()


@given(
    st.lists(st.one_of(EVENTS.filter(lambda e: not isinstance(e, StatusReport | Ack | Fill))), max_size=40)
)
def test_unknown_stays_unknown_without_proof(events):
    tape = submitted()
    tape.tick(5)
    for event in events:
        play(tape, event)
        assert tape.machines[0].state.live[ORDER].status is S.UNKNOWN


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("approve"), st.integers(0, 4), st.integers(40, 50), st.integers(1, 20)),
            st.tuples(st.just("book"), st.integers(40, 50), st.integers(1, 4), st.integers(1, 9)),
            st.tuples(st.just("cancel"), st.integers(1, 20), st.just(0), st.just(0)),
            st.tuples(st.just("tick"), st.integers(1, 6), st.just(0), st.just(0)),
        ),
        max_size=30,
    ),
    st.integers(0, 2),
)
def test_with_the_paper_venue_every_order_comes_to_rest(steps, unanswered):
    """Closed loop: outputs are fed back in order; acknowledgements get lost; nothing stays unknown."""
    tape = Hand(ExecutionMachine(), PaperMachine())
    tape.configure(paper={"latency_ms": 1_000, "unanswered_every_n": unanswered})
    loop(tape, [listing(), book({44: 9}, {45: 9})])
    approvals = {}
    for cause, (kind, a, b, c) in enumerate(steps, start=1):
        if kind == "approve":
            event = approval(
                cause, price=b, quantity=c, tif=tuple(TimeInForce)[a % 4], expires_s=tape.now_s + 20
            )
            approvals[event.order] = event
            echo(tape, tape.approve(event))
            loop(tape, [claim(event)])
        elif kind == "book":
            loop(tape, [book({a: c}, {a + b: c})])
        elif kind == "cancel":
            loop(tape, [ExitCancel(order=name(a))])
        else:
            tape.now_s += a
            echo(tape, tape.tick())
    loop(tape, [command(Verb.HALT)])
    for _ in range(30):
        echo(tape, tape.tick(1))
    check_history(tape.said)
    state = tape.machines[0].state
    assert not state.live
    assert not tape.machines[1].state.sent
    assert state.counters.illegal == state.counters.unmatched == state.counters.overfilled == 0
    for order, event in approvals.items():
        fills = [f for f in of(Fill, tape.said) if f.order == order]
        final = [u for u in of(OrderUpdate, tape.said) if u.order == order][-1]
        assert final.filled == sum(f.quantity for f in fills) <= event.quantity
        assert final.filled + final.remaining == event.quantity
        assert all(f.price <= event.price for f in fills)


def echo(tape: Hand, outputs: list[Message]) -> None:
    """Put outputs back as inputs, as the tape does, until nothing more is said."""
    waiting = list(outputs)
    while waiting:
        waiting.extend(tape.put(waiting.pop(0)))


def loop(tape: Hand, events: list[Message]) -> None:
    for event in events:
        echo(tape, tape.put(event))
