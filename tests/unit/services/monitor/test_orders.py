"""Alerts about orders."""

import pytest

from proto.execution import TERMINAL, OrderStatus, RefusalReason
from proto.monitor import Severity
from proto.risk import TimeInForce
from tests.support.monitor_tape import Tape, approval, claim, refusal, said, session, update

ON_THE_WAY = [
    OrderStatus.PENDING_SUBMIT,
    OrderStatus.SUBMITTED,
    OrderStatus.UNKNOWN,
    OrderStatus.PENDING_CANCEL,
]


@pytest.mark.parametrize("status", ON_THE_WAY)
def test_an_order_that_stands_still_on_its_way_is_stuck_once_and_cleared_once(status: OrderStatus) -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", status))
    assert said(tape.tick(30)) == []
    assert said(tape.tick(1)) == [("stuck_order", "o1", True)]
    assert said(tape.tick(100)) == []
    cleared = said(tape.put(update("o1", OrderStatus.CANCELED)))
    assert ("stuck_order", "o1", False) in cleared
    assert said(tape.tick(1_000)) == []


def test_progress_starts_the_time_again() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", OrderStatus.SUBMITTED))
    tape.tick(25)
    tape.put(update("o1", OrderStatus.PARTIALLY_FILLED, filled=1))
    tape.tick(25)
    tape.put(update("o1", OrderStatus.PARTIALLY_FILLED, filled=2))
    assert said(tape.tick(25)) == []
    tape.put(update("o1", OrderStatus.PARTIALLY_FILLED, filled=2))
    assert said(tape.tick(6)) == [("stuck_order", "o1", True)]


def test_an_approval_that_execution_does_not_pick_up_is_stuck() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    assert said(tape.tick(31)) == [("stuck_order", "o1", True)]
    assert tape.alerts[-1].severity is Severity.CRITICAL


def test_a_resting_order_may_rest_for_hours_but_not_for_ever() -> None:
    tape = Tape()
    tape.put(approval("o1", tif=TimeInForce.GTC))
    tape.put(update("o1", OrderStatus.ACCEPTED))
    assert said(tape.tick(4 * 3_600)) == []
    assert said(tape.tick(1)) == [("stuck_order", "o1", True)]
    assert tape.alerts[-1].severity is Severity.WARNING


def test_an_unknown_order_is_told_at_once_and_over_when_the_venue_answers() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", OrderStatus.SUBMITTED))
    assert said(tape.put(update("o1", OrderStatus.UNKNOWN))) == [("unknown_order", "o1", True)]
    assert said(tape.put(update("o1", OrderStatus.ACCEPTED))) == [("unknown_order", "o1", False)]


@pytest.mark.parametrize("status", TERMINAL)
def test_a_finished_order_is_never_stuck_and_a_stray_update_does_not_revive_it(status: OrderStatus) -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", status))
    tape.put(update("o1", OrderStatus.SUBMITTED))
    assert said(tape.tick(10_000)) == []


@pytest.mark.parametrize("reason", list(RefusalReason))
def test_every_refused_approval_is_an_alert_and_ends_by_itself(reason: RefusalReason) -> None:
    tape = Tape()
    assert said(tape.put(refusal("o1", reason, "m1"))) == [("approval_refused", "o1 m1", True)]
    expected = Severity.WARNING if reason is RefusalReason.EXPIRED else Severity.CRITICAL
    assert tape.alerts[-1].severity is expected
    assert reason.value in tape.alerts[-1].text
    # Another message with the same order is another event; the same again is not.
    assert said(tape.put(refusal("o1", reason, "m2"))) == [("approval_refused", "o1 m2", True)]
    assert said(tape.put(refusal("o1", reason, "m2"))) == []
    assert sorted(said(tape.tick(300))) == [
        ("approval_refused", "o1 m1", False),
        ("approval_refused", "o1 m2", False),
    ]


def test_an_unverified_approval_allows_nothing() -> None:
    tape = Tape()
    alerts = tape.put(approval("o1"), verified=False, message_id="m1")
    assert said(alerts) == [("approval_refused", "o1 m1", True)]
    # Execution's refusal of the same message says the same thing.
    assert said(tape.put(refusal("o1", RefusalReason.SIGNATURE, "m1"))) == []
    assert ("claim_without_approval", "o1", True) in said(tape.put(claim("o1")))


def test_an_expired_approval_is_not_stuck() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(refusal("o1", RefusalReason.EXPIRED))
    assert ("stuck_order", "o1", True) not in said(tape.tick(31))


def test_a_forged_copy_does_not_end_the_watch_over_the_genuine_order() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(refusal("o1", RefusalReason.SIGNATURE, "forged"))
    assert ("stuck_order", "o1", True) in said(tape.tick(31))


def test_an_approved_order_sent_once_is_no_alert() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", OrderStatus.PENDING_SUBMIT))
    tape.put(claim("o1"))
    tape.put(update("o1", OrderStatus.SUBMITTED))
    tape.put(update("o1", OrderStatus.FILLED))
    assert said(tape.alerts) == []


def test_sent_without_approval_sent_twice_and_more_sent_than_approved() -> None:
    tape = Tape()
    assert said(tape.put(claim("o1"))) == [
        ("claim_without_approval", "o1", True),
        ("sent_exceeds_approved", "orders", True),
    ]
    tape.put(approval("o2"))
    assert said(tape.put(claim("o2"))) == []
    assert said(tape.put(claim("o2"))) == [("claim_repeated", "o2", True)]
    tape.put(update("o2", OrderStatus.FILLED))
    assert said(tape.put(claim("o2"))) == []


def test_a_forged_claim_is_told_and_does_not_stand_in_the_way_of_the_genuine_one() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    assert said(tape.put(claim("o1"), verified=False)) == [("claim_without_approval", "o1", True)]
    assert said(tape.put(claim("o1"))) == []
    assert tape.machine.state.claimed_count == 1


def test_an_order_nobody_approved_is_told_unless_it_was_denied() -> None:
    tape = Tape()
    assert said(tape.put(update("o1", OrderStatus.DENIED))) == []
    assert said(tape.put(update("o2", OrderStatus.FILLED))) == [("order_without_approval", "o2", True)]
    assert said(tape.put(update("o3", OrderStatus.SUBMITTED))) == [("order_without_approval", "o3", True)]


def test_a_jump_of_session_time_is_no_reason_for_an_alert() -> None:
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", OrderStatus.SUBMITTED))
    tape.tick(20)
    tape.now_s += 50_000
    tape.put(session(tape.now_s))
    # The recording may begin later than the session says.
    assert said(tape.tick(10_000)) == []
    assert said(tape.tick(30)) == []
    assert said(tape.tick(1)) == [("stuck_order", "o1", True)]


def test_nothing_is_said_without_a_configuration() -> None:
    tape = Tape(configured=False)
    tape.put(session(1_000))
    tape.put(claim("o1"))
    tape.put(refusal("o2", RefusalReason.SIGNATURE))
    tape.put(update("o1", OrderStatus.UNKNOWN))
    tape.tick(1_000)
    tape.tick(1_000)
    assert tape.alerts == []
