"""The order state machine at live venues: doubtful answers, their books, fills until they are final."""

import msgspec
import pytest

from libs.portfolio.portfolio import Portfolio
from proto.execution import (
    OrderStatus,
    Query,
)
from proto.operator import Config
from proto.units import ONE, SECOND
from proto.venue import (
    Account,
    Ack,
    AckStatus,
    Reconciliation,
    Settlement,
    StatusReport,
    TradeState,
    TradeStatus,
)
from services.execution import state as execution_state
from services.execution.machine import ExecutionMachine
from services.execution.state import VenueRecord
from tests.support.order_tape import (
    MARKET,
    ORDER,
    START_S,
    YES,
    Hand,
    accepted,
    ack,
    approval,
    claim,
    correction,
    execution_hand,
    fill,
    session,
    states,
    submitted,
)

S = OrderStatus


def live_hand() -> Hand:
    tape = Hand(ExecutionMachine())
    tape.put(session(START_S))
    tape.put(Config(section="execution", document={"live_venues": ["kalshi"]}, nonce="n", expires_at=0))
    return tape


def test_an_answer_that_proves_nothing_makes_the_order_unknown_and_asks_at_once():
    tape = submitted()
    update, query = tape.put(ack(AckStatus.UNKNOWN, reason="timeout"))
    assert (update.status, update.reason, update.remaining) == (S.UNKNOWN, "timeout", 10 * ONE)
    assert query == Query(order=ORDER)
    assert tape.put(ack(AckStatus.UNKNOWN)) == []


def test_such_an_answer_may_come_before_the_claim():
    tape = execution_hand()
    tape.approve(approval(1))
    assert states(tape.put(ack(AckStatus.UNKNOWN))) == [(S.UNKNOWN, 0, 10)]
    assert tape.put(claim(approval(1))) == []
    assert tape.machines[0].awaiting_claim() == []


@pytest.mark.parametrize("status", [AckStatus.ACCEPTED, AckStatus.CANCELED])
def test_a_late_doubt_does_not_undo_what_is_known(status):
    tape = submitted()
    tape.put(ack(status))
    assert tape.put(ack(AckStatus.UNKNOWN)) == []


def test_a_report_of_an_unknown_status_proves_nothing():
    tape = submitted()
    assert tape.put(StatusReport(order=ORDER, found=True, status=AckStatus.UNKNOWN)) == []


def test_the_books_of_a_live_venue_are_kept_in_its_state():
    tape = live_hand()
    tape.approve(approval(1))
    tape.put(claim(approval(1)))
    tape.put(Account(account_id="a", venue="kalshi", deposit=100 * ONE))
    tape.put(Account(account_id="b", venue="paper", deposit=100 * ONE))
    tape.put(fill(1, 4))
    tape.put(fill(2, 2))
    tape.put(correction(2))
    state = tape.machines[0].state
    assert list(state.venues) == ["kalshi"]
    book = state.venues["kalshi"].portfolio
    assert (book.quantity(YES), book.cash) == (4 * ONE, 100 * ONE - 1_800_000)
    tape.put(Settlement(settlement_id="s", market=MARKET, instrument=YES, price=ONE))
    assert (book.quantity(YES), book.cash) == (0, 100 * ONE + 2_200_000)
    tape.put(Reconciliation(venue="kalshi", complete=False, at=5))
    assert state.venues["kalshi"].reconciled_at == 0
    tape.put(Reconciliation(venue="kalshi", complete=True, at=7))
    tape.put(Reconciliation(venue="polymarket", complete=True, at=9))
    assert state.venues["kalshi"].reconciled_at == 7


def test_fills_are_remembered_until_they_are_final(monkeypatch):
    monkeypatch.setattr(execution_state, "UNCONFIRMED_MAX", 2)
    tape = live_hand()

    def step(number: int, status: TradeStatus, at: int = 5) -> None:
        tape.put(TradeState(fill_id=f"f-{number}", order=ORDER, instrument=YES, status=status, at=at))

    step(1, TradeStatus.MATCHED)
    step(1, TradeStatus.RETRYING, at=9)
    step(2, TradeStatus.MATCHED, at=0)
    unconfirmed = tape.machines[0].state.venues["kalshi"].unconfirmed
    assert {name: fill.at for name, fill in unconfirmed.items()} == {"f-1": 5, "f-2": tape.now_s * SECOND}
    step(3, TradeStatus.MATCHED)
    assert list(unconfirmed) == ["f-2", "f-3"]
    step(2, TradeStatus.CONFIRMED)
    step(3, TradeStatus.FAILED)
    assert unconfirmed == {}
    tape.put(TradeState(fill_id="f", order="o", instrument="paper:m:yes", status=TradeStatus.MATCHED))
    assert list(tape.machines[0].state.venues) == ["kalshi"]


def test_snapshots_name_the_fields_of_a_venue_as_they_always_did():
    fill = {"order": ORDER, "instrument": YES, "at": 5, "venue_order_id": ""}
    before = {"portfolio": Portfolio(), "reconciled_at": 7, "unsettled": {"f-1": fill}}
    record = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=VenueRecord)
    assert record.unconfirmed["f-1"].at == 5
    assert msgspec.to_builtins(record) == msgspec.to_builtins(before)


def test_a_snapshot_from_before_fills_were_remembered_is_read():
    before = msgspec.msgpack.encode({"portfolio": Portfolio(), "reconciled_at": 7})
    assert msgspec.msgpack.decode(before, type=VenueRecord) == VenueRecord(reconciled_at=7)


def test_on_paper_no_books_are_kept():
    tape = accepted()
    tape.put(fill(1, 4))
    assert tape.machines[0].state.venues == {}


def test_the_venues_own_id_is_remembered():
    tape = submitted()
    tape.put(Ack(order=ORDER, status=AckStatus.ACCEPTED, venue_order_id="v-1"))
    assert tape.machines[0].state.live[ORDER].venue_order_id == "v-1"
