"""Alerts about live venues."""

import pytest

from proto.execution import OrderStatus
from proto.feed import MarketStatus
from proto.monitor import Severity
from proto.units import ONE
from proto.venue import Correction, Difference, Reconciliation, Settlement, TradeState, TradeStatus
from tests.support.monitor_tape import MARKET, YES, Tape, approval, fill, market, said, update

GHOST = "fill_unconfirmed"


def reconciliation(*differences: Difference, complete: bool = True) -> Reconciliation:
    return Reconciliation(
        venue="kalshi", complete=complete, reason="" if complete else "HTML", differences=differences
    )


def trade(status: TradeStatus, number: int = 1) -> TradeState:
    return TradeState(fill_id=f"fill:{number}", order="o1", instrument=YES, status=status)


def holding() -> Tape:
    """Ten contracts of an approved order."""
    tape = Tape()
    tape.put(approval("o1"))
    tape.put(update("o1", OrderStatus.FILLED))
    tape.put(fill(1, "o1"))
    return tape


def test_a_difference_is_told_until_the_books_agree() -> None:
    tape = Tape()
    topic = f"kalshi position {YES}"
    off = Difference("position", YES, 10 * ONE, 11 * ONE)
    (alert,) = tape.put(reconciliation(off))
    assert (alert.rule, alert.topic, alert.severity) == ("venue_difference", topic, Severity.CRITICAL)
    assert alert.text == "ours 10, the venue's 11"
    assert tape.put(reconciliation(off)) == []
    assert tape.put(reconciliation(complete=False))[0].rule == "venue_not_reconciled"
    assert ("venue_difference", topic, False) in said(tape.put(reconciliation()))


def test_what_is_not_ours_is_told_less_loudly() -> None:
    (alert,) = Tape().put(reconciliation(Difference("foreign_order", "v-7", 0, ONE)))
    assert alert.severity is Severity.WARNING


def test_another_venues_differences_stay() -> None:
    tape = Tape()
    tape.put(reconciliation(Difference("balance", "money", 1, 2)))
    assert tape.put(Reconciliation(venue="polymarket", complete=True)) == []


def test_a_venue_that_is_not_reconciled_is_told_and_cleared() -> None:
    tape = Tape()
    tape.put(reconciliation())
    assert said(tape.tick(120)) == []
    assert said(tape.tick(1)) == [("venue_not_reconciled", "kalshi", True)]
    assert said(tape.put(reconciliation())) == [("venue_not_reconciled", "kalshi", False)]


@pytest.mark.parametrize("status", [TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.RETRYING])
def test_a_fill_that_does_not_become_final_is_a_ghost(status: TradeStatus) -> None:
    tape = Tape()
    tape.put(trade(TradeStatus.MATCHED))
    tape.tick(100)
    tape.put(trade(status))
    assert said(tape.tick(21)) == [(GHOST, "fill:1", True)]
    assert said(tape.put(trade(TradeStatus.CONFIRMED))) == [(GHOST, "fill:1", False)]


def test_a_failed_trade_is_told() -> None:
    tape = Tape()
    tape.put(trade(TradeStatus.MATCHED))
    assert said(tape.put(trade(TradeStatus.FAILED))) == [("fill_failed", "fill:1", True)]
    assert GHOST not in [rule for rule, _, _ in said(tape.tick(200))]


def test_a_corrected_fill_is_no_ghost() -> None:
    tape = Tape()
    tape.put(trade(TradeStatus.MATCHED))
    tape.put(Correction(correction_id="c", fill_id="fill:1", order="o1"))
    assert said(tape.tick(200)) == []


@pytest.mark.parametrize("status", [MarketStatus.DETERMINED, MarketStatus.DISPUTED, MarketStatus.SETTLED])
def test_a_payout_that_does_not_come_is_told(status: MarketStatus) -> None:
    tape = holding()
    tape.put(market(status))
    tape.tick(7_200)
    assert ("payout_missing", YES, True) in said(tape.tick(1))
    paid = Settlement(settlement_id="s", market=MARKET, instrument=YES, price=ONE)
    assert ("payout_missing", YES, False) in said(tape.put(paid))
    assert tape.machine.state.decided == {}


def test_a_decided_market_without_a_position_owes_nothing() -> None:
    tape = Tape()
    tape.put(market(MarketStatus.SETTLED))
    assert tape.machine.state.decided == {}
    assert said(tape.tick(8_000)) == []


def test_a_jump_of_time_starts_every_time_again() -> None:
    from tests.support.monitor_tape import session

    tape = Tape()
    tape.put(trade(TradeStatus.MATCHED))
    tape.put(reconciliation())
    tape.now_s += 10_000
    tape.put(session(tape.now_s))
    tape.tick(0)
    assert said(tape.tick(120)) == []
