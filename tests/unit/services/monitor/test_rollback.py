"""The hour after a change: when it is looked at, what a look comes to, and that it is taken back once and in time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.machine.machine import Stamp
from proto.evaluation import (
    ChangeStep,
    Checkpoint,
    Counterfactual,
    Edit,
    ExitChange,
    Revert,
    Ruling,
    Tally,
    Verdict,
)
from proto.message import Message
from proto.monitor import Alert, Clock
from proto.operator import ClockOwner, Config, Mode, Session
from proto.units import ONE, SECOND
from services.monitor.machine import MonitorMachine
from services.monitor.rollback import LOOKS, judge

START = 1_000_000 * SECOND
EDIT = Edit(path="exit.decay_s", section="exit", section_hash="h", old=14_400, new=10_800)
CALM = Tally(trades=30, orders=60, fills=60, rejections=40, errors=1, profit=5 * ONE)
HOUR_S = 3_600


def answer(changed: Tally | None, noise: int = ONE, differing: int = 20, minutes: int = 5) -> Counterfactual:
    return Counterfactual(
        proposal="c-1",
        minutes=minutes,
        at=START,
        without=None if changed is None else CALM,
        changed=changed,
        differing=differing,
        noise=noise,
    )


class World:
    """The monitor with a session; each input also goes to one that was restored from a snapshot."""

    def __init__(self) -> None:
        self.machine = MonitorMachine()
        self.seq = 0
        self.out: list[Message] = []
        self.at_s = 0
        session = Session(
            tape="t",
            mode=Mode.REALTIME,
            clock_owner=ClockOwner.MONITOR,
            started_at=START,
            nonce="n",
            expires_at=START,
        )
        self.put(session)
        self.put(Config(section="monitor", document={}, nonce="c", expires_at=START))
        self.put(Clock(at=START))

    def put(self, message: Message) -> list[Message]:
        self.seq += 1
        stamp = Stamp(self.seq, START + self.at_s * SECOND, f"t:x:{self.seq}:0")
        twin = MonitorMachine()
        twin.restore(self.machine.snapshot())
        said = list(self.machine.on(message, stamp))
        assert list(twin.on(message, stamp)) == said
        assert twin.snapshot() == self.machine.snapshot()
        self.out += said
        return said

    def change(self, step: ChangeStep = ChangeStep.APPLIED) -> list[Message]:
        return self.put(
            ExitChange(proposal="c-1", edit=EDIT, step=step, section_hash="x", at=START + self.at_s * SECOND)
        )

    def pass_to(self, at_s: int, step_s: int = 5) -> list[Message]:
        said: list[Message] = []
        while self.at_s < at_s:
            self.at_s = min(at_s, self.at_s + step_s)
            said += self.put(Clock(at=START + self.at_s * SECOND))
        return said

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.out if isinstance(message, kind)]


def test_a_change_is_looked_at_four_times_and_no_more():
    world = World()
    world.change()
    applied_seq = world.seq
    for minutes, due_s in LOOKS:
        world.pass_to(due_s)
        (asked,) = [found for found in world.of(Checkpoint) if found.minutes == minutes]
        assert (asked.from_seq, asked.to_seq, asked.edit) == (applied_seq, world.seq, EDIT)
        ruled = world.put(answer(CALM, minutes=minutes))
        assert [type(message) for message in ruled] == [Verdict]
    world.pass_to(2 * HOUR_S, 60)
    assert [found.minutes for found in world.of(Checkpoint)] == [5, 15, 30, 60]
    assert {verdict.ruling for verdict in world.of(Verdict)} == {Ruling.KEEP}
    assert not world.machine.state.changes
    assert world.put(answer(CALM.replace(profit=-99 * ONE), minutes=60)) == []


def test_harm_is_taken_back_once_and_told():
    world = World()
    world.change()
    world.pass_to(300)
    verdict, revert, alert = world.put(answer(CALM.replace(profit=ONE)))
    assert isinstance(verdict, Verdict)
    assert (verdict.ruling, verdict.loss, verdict.limit) == (Ruling.REVERT, 4 * ONE, 3 * ONE)
    assert isinstance(revert, Revert)
    assert (revert.edit, revert.barred_until - revert.at) == (EDIT, 7 * 24 * HOUR_S * SECOND)
    assert isinstance(alert, Alert)
    assert (alert.rule, alert.topic) == ("change_reverted", "c-1")
    assert world.put(answer(CALM.replace(profit=ONE))) == []
    world.change(ChangeStep.REVERTED)
    assert world.pass_to(2 * HOUR_S, 60)
    assert len(world.of(Checkpoint)) == len(world.of(Revert)) == 1


def test_a_late_answer_counts_and_none_is_told():
    world = World()
    world.change()
    said = world.pass_to(700)
    (verdict,) = [message for message in said if isinstance(message, Verdict)]
    assert (verdict.ruling, verdict.reason) == (Ruling.UNKNOWN, "the evaluator has not answered")
    assert [found.rule for found in world.of(Alert)] == ["change_unchecked"]
    late = world.put(answer(CALM.replace(profit=-9 * ONE)))
    assert [type(message) for message in late[:2]] == [Verdict, Revert]
    world.change(ChangeStep.REVERT_REFUSED)
    assert world.of(Alert)[-1].severity.value == "critical"
    assert not world.machine.state.changes


def test_every_verdict_comes_within_the_hour():
    """Also when nobody answers: later the acceptance allows nothing any more."""
    world = World()
    world.change()
    world.pass_to(2 * HOUR_S, 1)
    told = world.of(Verdict)
    assert [verdict.minutes for verdict in told] == [5, 15, 30, 60]
    assert max(verdict.at for verdict in told) <= START + HOUR_S * SECOND
    assert not world.machine.state.changes


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"profit": 2 * ONE}, {}),
        ({"profit": ONE}, {"noise": 2 * ONE}),
        ({"profit": -99 * ONE}, {"differing": 2}),
        ({"profit": 9 * ONE}, {"noise": 0}),
        ({"errors": 9}, {}),
        ({"trades": 1}, {}),
        ({"trades": 59}, {}),
        ({"rejections": 120}, {}),
        ({"orders": 500, "fills": 500}, {}),
    ],
)
def test_what_chance_explains_is_kept(changes: dict[str, Any], found: dict[str, Any]):
    assert judge(answer(CALM.replace(**changes), **found)).ruling is Ruling.KEEP


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"profit": ONE}, "lost 4 more than without it; noise explains 3"),
        ({"errors": 14}, "14 orders failed, 1 without it"),
        ({"trades": 0}, "no trade any more, 30 without it"),
        ({"trades": 91}, "91 trades, 30 without it"),
        ({"rejections": 121}, "121 rejections, 40 without it"),
    ],
)
def test_what_it_does_not_explain_is_taken_back(changes: dict[str, Any], why: str):
    judgement = judge(answer(CALM.replace(**changes)))
    assert (judgement.ruling, judgement.reason) == (Ruling.REVERT, why)


def test_what_could_not_be_simulated_is_unknown():
    assert judge(answer(None)).ruling is Ruling.UNKNOWN


@given(st.lists(st.integers(1, 100), min_size=1, max_size=9))
def test_a_loss_of_few_trades_is_never_more_than_noise(sizes: list[int]):
    """Of nine trades or fewer, whatever they lost: their sum is at most three times the root of their squares."""
    differences = [-size * ONE for size in sizes]
    noise = round(sum(d * d for d in differences) ** 0.5) + 1
    found = answer(CALM.replace(profit=CALM.profit + sum(differences)), noise, len(differences))
    assert judge(found).ruling is Ruling.KEEP
