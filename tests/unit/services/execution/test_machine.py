"""The order state machine: once for each approval, and silence is never taken for an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proto.execution import (
    Cancel,
    OrderStatus,
    OrderUpdate,
    Query,
    Refusal,
    RefusalReason,
    Unclaimed,
)
from proto.exit import ExitCancel
from proto.operator import Config, Verb
from proto.risk import TimeInForce
from proto.units import ONE
from proto.venue import (
    AckStatus,
    StatusReport,
)
from services.execution import transitions
from services.execution.high_water import HighWaterMarks, OrderKey, parse_order_id
from services.execution.machine import ExecutionMachine
from tests.support.order_tape import (
    MARKET,
    ORDER,
    START_S,
    TAPE,
    YES,
    Hand,
    accepted,
    ack,
    approval,
    claim,
    command,
    correction,
    execution_hand,
    fill,
    of,
    session,
    states,
    submitted,
)

S = OrderStatus


# ── approvals ──


def test_an_approval_becomes_an_order_awaiting_its_claim():
    tape = execution_hand()
    (update,) = tape.approve(approval(1, reduce_only=True))
    assert update == OrderUpdate(
        order=ORDER,
        status=S.PENDING_SUBMIT,
        instrument=YES,
        market=MARKET,
        strategy="momentum",
        remaining=10 * ONE,
        reduce_only=True,
    )
    (waiting,) = tape.machines[0].awaiting_claim()
    assert (waiting.order, waiting.message_id, waiting.reduce_only) == (ORDER, f"{TAPE}:risk:1:0", True)
    assert states(tape.put(claim(approval(1, reduce_only=True)))) == [(S.SUBMITTED, 0, 10)]
    assert tape.machines[0].awaiting_claim() == []


def test_an_unsigned_approval_is_refused_and_touches_nothing():
    tape = execution_hand()
    tape.approve(approval(1))
    before = tape.machines[0].snapshot()
    (refusal,) = tape.approve(approval(1, quantity=99), verified=False)
    assert refusal == Refusal(order=ORDER, reason=RefusalReason.SIGNATURE, message_id=f"{TAPE}:risk:1:0")
    assert tape.machines[0].snapshot() == before
    # Nor does it use up the number of an order that is still to come.
    tape.approve(approval(7), verified=False)
    assert states(tape.approve(approval(2))) == [(S.PENDING_SUBMIT, 0, 10)]


@pytest.mark.parametrize(
    "name", ["", "x", f"{TAPE}:risk:1:1", f"{TAPE}:exit:1:0", "other:risk:1:0", "a:b:c:d"]
)
def test_an_approval_under_another_name_is_refused(name):
    tape = execution_hand()
    (refusal,) = tape.approve(approval(1), message_id=name or " ")
    assert (refusal.order, refusal.reason) == (ORDER, RefusalReason.MISMATCH)
    assert tape.machines[0].awaiting_claim() == []


def test_an_approval_of_another_tape_is_refused_and_its_reservation_released():
    tape = execution_hand()
    tape.put(session(START_S, tape="tape2"))
    refusal, update = tape.approve(approval(1))
    assert refusal.reason is RefusalReason.MISMATCH
    assert (update.status, update.reason) == (S.DENIED, "other_tape")


def test_an_expired_approval_is_refused_and_its_order_denied():
    tape = execution_hand()
    refusal, update = tape.approve(approval(1, expires_s=START_S))
    assert refusal.reason is RefusalReason.EXPIRED
    assert (update.status, update.reason, update.remaining) == (S.DENIED, "expired", 10 * ONE)


def test_single_use_outlasts_every_memory(monkeypatch):
    monkeypatch.setattr(transitions, "ENDED_MAX", 2)
    tape = execution_hand()
    approvals = [approval(cause, index=index) for cause in range(1, 6) for index in (0, 1)]
    for event in approvals:
        tape.approve(event)
        tape.put(Unclaimed(order=event.order, reason="expired"))
    assert len(tape.machines[0].state.ended) == 2
    for event in approvals:
        (refusal,) = tape.approve(event)
        assert refusal.reason is RefusalReason.REPEATED


def test_without_its_configuration_it_says_nothing():
    tape = Hand(ExecutionMachine())
    tape.put(session(START_S))
    assert tape.approve(approval(1)) == []
    assert tape.approve(approval(2), verified=False) == []
    assert tape.put(command(Verb.HALT)) == []
    assert tape.tick(100) == []


def test_a_configuration_out_of_bounds_is_refused():
    with pytest.raises(ValidationError):
        execution_hand().put(
            Config(section="execution", document={"ack_timeout_s": 0}, nonce="n", expires_at=0)
        )


# ── claims ──


def test_no_claim_means_denied():
    tape = execution_hand()
    tape.approve(approval(1))
    (update,) = tape.put(Unclaimed(order=ORDER, reason="lagging"))
    assert (update.status, update.reason) == (S.DENIED, "lagging")
    assert tape.put(Unclaimed(order=ORDER, reason="lagging")) == []


def test_an_unverified_claim_is_not_believed():
    tape = execution_hand()
    tape.approve(approval(1))
    assert tape.put(claim(approval(1)), verified=False) == []
    assert len(tape.machines[0].awaiting_claim()) == 1


def test_a_claim_after_the_end_is_cancelled_once():
    tape = execution_hand()
    tape.approve(approval(1))
    tape.put(Unclaimed(order=ORDER, reason="halted"))
    assert tape.put(claim(approval(1))) == [Cancel(order=ORDER, reason="denied")]
    assert tape.put(claim(approval(1))) == []
    assert tape.put(ack(AckStatus.ACCEPTED)) == [Cancel(order=ORDER, reason="denied")]
    assert states(tape.put(fill(1, 4))) == [(S.DENIED, 4, 6)]


def test_a_repeated_claim_changes_nothing():
    tape = submitted()
    assert tape.put(claim(approval(1))) == []
    tape.put(ack(AckStatus.ACCEPTED))
    assert tape.put(claim(approval(1))) == []


def test_the_venue_may_answer_before_the_claim_is_copied():
    tape = execution_hand()
    tape.approve(approval(1))
    assert states(tape.put(ack(AckStatus.ACCEPTED))) == [(S.ACCEPTED, 0, 10)]
    assert tape.put(claim(approval(1))) == []
    assert states(tape.put(fill(1, 10))) == [(S.FILLED, 10, 0)]


def test_an_order_may_be_over_before_its_claim_is_copied():
    tape = execution_hand()
    tape.approve(approval(1))
    assert states(tape.put(fill(1, 10))) == [(S.FILLED, 10, 0)]
    assert tape.put(claim(approval(1))) == []


# ── the venue ──


def test_an_order_fills_in_parts():
    tape = accepted()
    assert states(tape.put(fill(1, 4))) == [(S.PARTIALLY_FILLED, 4, 6)]
    assert tape.put(fill(1, 4)) == []
    assert states(tape.put(fill(2, 5))) == [(S.PARTIALLY_FILLED, 9, 1)]
    assert states(tape.put(fill(3, 1))) == [(S.FILLED, 10, 0)]
    assert tape.put(ack(AckStatus.CANCELED)) == []


@pytest.mark.parametrize("status", [AckStatus.CANCELED, AckStatus.EXPIRED, AckStatus.REJECTED])
def test_a_fill_after_the_end_still_counts(status):
    tape = submitted()
    tape.put(ack(status))
    (update,) = tape.put(fill(1, 4))
    assert (update.filled, update.remaining, update.reason) == (4 * ONE, 6 * ONE, "late_fill")
    assert update.status.value == status.value


def test_a_correction_takes_a_fill_back_even_before_it_came():
    tape = accepted()
    tape.put(fill(1, 4))
    assert states(tape.put(correction(1))) == [(S.PARTIALLY_FILLED, 0, 6)]
    assert tape.put(correction(1)) == []
    assert tape.put(correction(2)) == []
    assert states(tape.put(fill(2, 6))) == [(S.FILLED, 0, 0)]


def test_more_than_was_asked_is_counted_and_told():
    tape = accepted()
    assert states(tape.put(fill(1, 12))) == [(S.FILLED, 12, 0)]
    assert tape.machines[0].state.counters.overfilled == 1


def test_a_fill_of_nobodys_order_is_counted():
    tape = execution_hand()
    assert tape.put(fill(1, 12)) == []
    assert tape.put(ack(AckStatus.ACCEPTED)) == []
    assert tape.machines[0].state.counters.unmatched == 2


def test_a_claim_whose_approval_the_tape_lost_is_followed_and_cancelled():
    tape = execution_hand()
    lost = approval()
    update, cancel = tape.put(claim(lost))
    assert (update.order, update.status, update.reason) == (lost.order, S.SUBMITTED, "no_approval")
    assert (update.remaining, update.instrument) == (lost.quantity, lost.instrument)
    assert isinstance(cancel, Cancel)
    assert cancel.order == lost.order
    assert tape.put(claim(lost)) == []
    assert states(tape.put(ack(AckStatus.CANCELED))) == [(S.CANCELED, 0, 10)]


def test_a_claim_of_an_order_forgotten_long_ago_is_not_adopted():
    tape = execution_hand()
    tape.tick(100_000)
    assert tape.put(claim(approval())) == []


# ── unknown ──


def test_silence_makes_an_order_unknown_and_it_is_asked_about_until_there_is_proof():
    tape = submitted()
    assert tape.tick(4) == []
    update, query = tape.tick(1)
    assert (update.status, query) == (S.UNKNOWN, Query(order=ORDER))
    said = [tape.tick(1) for _ in range(40)]
    assert sum(len(messages) for messages in said) == 4
    assert {message for messages in said for message in messages} == {Query(order=ORDER)}
    # Found, but the venue does not know yet what becomes of it: still unknown.
    assert tape.put(StatusReport(order=ORDER, found=True)) == []
    assert tape.machines[0].state.live[ORDER].status is S.UNKNOWN


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (StatusReport(order=ORDER, found=False), S.REJECTED),
        (StatusReport(order=ORDER, found=True, status=AckStatus.ACCEPTED), S.ACCEPTED),
        (StatusReport(order=ORDER, found=True, status=AckStatus.CANCELED), S.CANCELED),
        (StatusReport(order=ORDER, found=True, status=AckStatus.EXPIRED), S.EXPIRED),
        (StatusReport(order=ORDER, found=True, status=AckStatus.REJECTED), S.REJECTED),
    ],
)
def test_proof_resolves_an_unknown_order(report, status):
    tape = submitted()
    tape.tick(5)
    (update,) = tape.put(report)
    assert update.status is status
    assert tape.put(report) == []


def test_a_cancel_without_an_answer_is_asked_about_and_repeated():
    tape = accepted()
    update, cancel = tape.put(ExitCancel(order=ORDER, reason="stop"))
    assert (update.status, cancel) == (S.PENDING_CANCEL, Cancel(order=ORDER, reason="stop"))
    assert tape.put(ExitCancel(order=ORDER)) == []
    assert tape.tick(5) == [Query(order=ORDER)]
    assert tape.put(StatusReport(order=ORDER, found=True, status=AckStatus.ACCEPTED)) == [
        Cancel(order=ORDER, reason="still_working")
    ]
    assert states(tape.put(fill(1, 4))) == [(S.PENDING_CANCEL, 4, 6)]
    assert states(tape.put(StatusReport(order=ORDER, found=False))) == [(S.CANCELED, 4, 6)]


def test_an_immediate_order_that_does_not_end_is_asked_about():
    tape = accepted(tif=TimeInForce.IOC)
    assert tape.tick(5) == [Query(order=ORDER)]
    assert tape.tick(5) == []


def test_a_resting_order_may_rest():
    assert accepted().tick(3_000) == []


def test_a_dated_order_is_cancelled_when_the_venue_forgets_to_expire_it():
    tape = accepted(tif=TimeInForce.GTD, expires_s=START_S + 60)
    assert tape.tick(64) == []
    update, cancel = tape.tick(1)
    assert (update.status, cancel) == (S.PENDING_CANCEL, Cancel(order=ORDER, reason="expired"))


def test_an_earlier_session_time_does_not_stop_the_questions():
    tape = submitted()
    tape.now_s -= 1_000
    tape.put(session(tape.now_s))
    assert tape.tick(4) == []
    assert [type(message) for message in tape.tick(1)] == [OrderUpdate, Query]


# ── halt ──


def test_halt_cancels_what_works_and_denies_what_comes_until_resumed():
    tape = accepted()
    tape.approve(approval(2))
    tape.approve(approval(3))
    tape.put(claim(approval(3)))
    outputs = tape.put(command(Verb.HALT))
    assert states(outputs) == [(S.PENDING_CANCEL, 0, 10)]
    assert [c.order for c in of(Cancel, outputs)] == [ORDER, "tape1-3-0"]
    assert [w.cancel_reason for w in tape.machines[0].awaiting_claim()] == ["halted"]
    (denied,) = tape.approve(approval(4, reduce_only=True))
    assert (denied.status, denied.reason) == (S.DENIED, "halted")
    # A claim that was under way is cancelled as soon as it shows, and again when it works.
    assert [type(m) for m in tape.put(claim(approval(2)))] == [OrderUpdate, Cancel]
    again = tape.put(ack(AckStatus.ACCEPTED, "tape1-2-0"))
    assert [s for s, _, _ in states(again)] == [S.ACCEPTED, S.PENDING_CANCEL]
    assert of(Cancel, again) == [Cancel(order="tape1-2-0", reason="halted")]
    tape.put(command(Verb.RESUME))
    assert states(tape.approve(approval(5))) == [(S.PENDING_SUBMIT, 0, 10)]


def test_close_only_lets_exits_through():
    tape = accepted(reduce_only=True)
    tape.approve(approval(2))
    tape.put(claim(approval(2)))
    assert [c.order for c in of(Cancel, tape.put(command(Verb.CLOSE_ONLY)))] == ["tape1-2-0"]
    (denied,) = tape.approve(approval(3))
    assert (denied.status, denied.reason) == (S.DENIED, "close_only")
    assert states(tape.approve(approval(4, reduce_only=True))) == [(S.PENDING_SUBMIT, 0, 10)]


def test_one_message_ends_a_halt_for_exits_alone():
    tape = accepted()
    tape.put(command(Verb.HALT))
    tape.put(command(Verb.RESUME, close_only=True))
    (denied,) = tape.approve(approval(2))
    assert (denied.status, denied.reason) == (S.DENIED, "close_only")
    assert states(tape.approve(approval(3, reduce_only=True))) == [(S.PENDING_SUBMIT, 0, 10)]
    tape.put(command(Verb.RESUME))
    assert states(tape.approve(approval(4))) == [(S.PENDING_SUBMIT, 0, 10)]
    # Without a halt before it, entries that work are cancelled.
    tape.put(claim(approval(4)))
    assert [c.order for c in of(Cancel, tape.put(command(Verb.RESUME, close_only=True)))] == ["tape1-4-0"]


def test_a_session_may_open_halted_and_a_later_one_does_not_resume():
    tape = accepted()
    assert len(of(Cancel, tape.put(session(START_S, halted=True)))) == 1
    tape.put(session(START_S))
    assert states(tape.approve(approval(2))) == [(S.DENIED, 0, 10)]


def test_a_cancel_before_the_claim_goes_out_with_it():
    tape = execution_hand()
    tape.approve(approval(1))
    assert tape.put(ExitCancel(order=ORDER, reason="moved")) == []
    outputs = tape.put(claim(approval(1)))
    assert states(outputs) == [(S.SUBMITTED, 0, 10)]
    assert of(Cancel, outputs) == [Cancel(order=ORDER, reason="moved")]


# ── single use ──


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 3))))
def test_high_water_covers_what_is_not_above_it(uses):
    used = HighWaterMarks()
    highest: dict[str, tuple[int, int]] = {}
    for tape, cause, output in uses:
        covered = (cause, output) <= highest.get(tape, (-1, -1))
        assert used.is_used(OrderKey(tape, cause, output)) is covered
        used.mark_used(OrderKey(tape, cause, output))
        highest[tape] = max(highest.get(tape, (-1, -1)), (cause, output))


@pytest.mark.parametrize("text", ["", "a", "a-1", "-1-2", "a-1-x", "a-x-1", "a-1--1"])
def test_what_is_no_order_id_is_not_read_as_one(text):
    assert parse_order_id(text) is None


def test_a_tape_id_may_hold_hyphens():
    assert parse_order_id("2026-11-21-7-0") == OrderKey("2026-11-21", 7, 0)
