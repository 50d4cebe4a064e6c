"""All machines in one process: lockstep's order, signatures as live, nothing that runs for ever."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.machine.inprocess import InProcess
from libs.machine.machine import Stamp, StateMachine
from proto.execution import Cancel, Claim, OrderStatus, OrderUpdate
from proto.feed import Side, Trade
from proto.ids import parse_message_id
from proto.message import Message
from proto.monitor import Alert, Severity
from proto.operator import ClockOwner, Mode, Session
from proto.risk import Approval, TimeInForce
from proto.units import SECOND
from services.execution.claims import claims_of

START = 1_000 * SECOND


class Seen(msgspec.Struct):
    """Sequences, times and verdicts in the order they came."""

    seqs: list[int] = []
    nows: list[int] = []
    verified: list[bool] = []
    kinds: list[str] = []


class Recorder(StateMachine[Seen]):
    """Notes what it is shown; says what ``answers`` has for the kind."""

    version: ClassVar[int] = 1

    def __init__(self, answers: dict[type[Message], list[Message]]) -> None:
        super().__init__(Seen())
        self._answers = answers
        kinds = (Trade, Alert, Approval, OrderUpdate, Claim, Cancel, Session)
        self.handlers = dict.fromkeys(kinds, self._on_any)

    def _on_any(self, event: Message, stamp: Stamp) -> Sequence[Message]:
        self.state.seqs.append(stamp.seq)
        self.state.nows.append(stamp.now)
        self.state.verified.append(stamp.verified)
        self.state.kinds.append(event.kind)
        return self._answers.get(type(event), [])


class First(Recorder):
    name: ClassVar[str] = "risk"


class Second(Recorder):
    name: ClassVar[str] = "execution"


def trade(at_s: int = 0) -> Trade:
    return Trade(instrument="i", at=START + at_s * SECOND, price=1, quantity=1, trade_id="1")


def alert(rule: str) -> Alert:
    return Alert(rule=rule, severity=Severity.INFO, topic="t", text="x")


def session() -> Session:
    return Session(
        tape="t", mode=Mode.PLAYBACK, clock_owner=ClockOwner.FEED, started_at=START, nonce="n", expires_at=0
    )


def approval() -> Approval:
    return Approval(
        order="t-1-0", strategy="s", market="m", instrument="i", side=Side.BUY, price=1, quantity=1,
        time_in_force=TimeInForce.IOC, expires_at=START * 2, proposal="p",
    )  # fmt: skip


def observed(runner: InProcess) -> list[tuple[int, str, str, str]]:
    found: list[tuple[int, str, str, str]] = []
    runner.observers.append(lambda seq, who, name, message: found.append((seq, who, name, message.kind)))
    return found


def test_outputs_of_a_cause_come_in_the_fixed_order_before_those_of_later_causes() -> None:
    first = First({Trade: [alert("a")], Alert: []})
    second = Second({Trade: [alert("b"), alert("c")]})
    runner = InProcess([first, second], "t", claims_of)
    found = observed(runner)
    runner.feed_together([session(), trade(), trade(1)], "feed")
    causes = [(who, place_of(name)) for _, who, name, kind in found if kind == "monitor.alert"]
    assert causes == [
        ("risk", (2, 0)), ("execution", (2, 0)), ("execution", (2, 1)),
        ("risk", (3, 0)), ("execution", (3, 0)), ("execution", (3, 1)),
    ]  # fmt: skip
    assert first.state.seqs == second.state.seqs == list(range(1, 10))


def place_of(text: str) -> tuple[int, int]:
    found = parse_message_id(text)
    assert found is not None
    return found.cause, found.index


@given(st.lists(st.integers(0, 100), max_size=20))
def test_every_machine_sees_every_sequence_once_and_time_never_goes_back(ats: list[int]) -> None:
    first, second = First({Trade: [alert("a")]}), Second({})
    runner = InProcess([first, second], "t", claims_of)
    runner.feed_together([session()], "operator")
    for at in ats:
        runner.feed(trade(at))
    assert second.state.seqs == list(range(1, runner.seq + 1))
    assert second.state.nows == sorted(second.state.nows)
    assert runner.now == START + max([0, *ats]) * SECOND
    assert runner.seq == 1 + 2 * len(ats)


def test_an_approval_is_signed_and_its_claim_comes_before_the_decision() -> None:
    accepted = OrderUpdate(
        order="t-1-0", status=OrderStatus.PENDING_SUBMIT, instrument="i", market="m", strategy="s"
    )
    risk, execution = First({Trade: [approval()]}), Second({Approval: [accepted]})
    runner = InProcess([risk, execution], "t", claims_of)
    found = observed(runner)
    runner.feed_together([session()], "operator")
    runner.feed(trade())
    kinds = [kind for _, _, _, kind in found]
    assert kinds == ["operator.session", "feed.trade", "risk.approval", "ledger.order", "execution.order"]
    assert all(execution.state.verified)


def test_an_approval_by_hand_is_believed_only_as_far_as_its_signature() -> None:
    # ``feed`` is for inputs from outside; a claim made for an unsigned approval must not verify.
    accepted = OrderUpdate(
        order="t-1-0", status=OrderStatus.PENDING_SUBMIT, instrument="i", market="m", strategy="s"
    )
    execution = Second({Approval: [accepted]})
    runner = InProcess([execution], "t", claims_of)
    runner.feed(approval(), "risk")
    seen = dict(zip(execution.state.kinds, execution.state.verified, strict=True))
    assert seen["ledger.order"] is False


def test_machines_that_answer_each_other_for_ever_are_stopped() -> None:
    runner = InProcess([First({Alert: [alert("again")]})], "t", claims_of)
    with pytest.raises(RuntimeError, match="expected at most"):
        runner.feed(alert("first"), "monitor")
