"""Runners that are handed inputs together do what they do one by one."""

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import decode
from libs.machine.errors import Failed
from libs.machine.input_gate import InputGate
from libs.machine.runner import MachineRunner
from libs.machine.together import Together
from tests.support.runner_tape import POISON, VERIFIER, MemoryTape, Summing, runner_of

trades = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 50)), max_size=12)


class Other(Summing):
    """A second machine, which the tape says nothing of."""

    name: ClassVar[str] = "exit"


def pair() -> list[MachineRunner]:
    input_gate = InputGate(VERIFIER)
    input_gate.shared = True
    return [MachineRunner(machine, input_gate, "test") for machine in (Summing(), Other())]


def played(tape: MemoryTape, runners: list[MachineRunner], together: Together | None) -> list[MachineRunner]:
    for record in tape.records:
        event = decode(record.subject, record.payload)
        if together is None or not together.take(record, event):
            for runner in runners:
                runner.take(record, event)
    if together is not None:
        together.part()
    return runners


@given(trades)
def test_together_and_one_by_one_are_the_same(prices: list[tuple[int, int]]):
    tape, living = MemoryTape(), runner_of()
    for price, at_s in prices:
        tape.trade(price, at_s)
        tape.live(living)
        # Said a second time: the gate lets it through to nobody.
        tape.records.append(tape.records[1]._replace(seq=len(tape.records) + 1))
        living.position = len(tape.records)
    joined = pair()
    assert Together.fit(joined)
    for a, b in zip(played(tape, pair(), None), played(tape, joined, Together(joined)), strict=True):
        assert (a.position, a.confirmed, a.confirmed_to) == (b.position, b.confirmed, b.confirmed_to)
        assert a.machine.snapshot() == b.machine.snapshot()
        assert a.input_gate.state == b.input_gate.state
        assert a.open_outputs == b.open_outputs


def test_a_machine_that_raises_stops_under_its_own_name():
    tape, runners = MemoryTape(), pair()
    tape.trade(POISON)
    with pytest.raises(Failed, match="poison") as stop:
        played(tape, runners, Together(runners))
    assert (stop.value.machine, stop.value.seq) == ("signal", 2)


def test_runners_at_different_places_or_with_inputs_to_skip_do_not_fit():
    runners = pair()
    runners[1].position = 7
    assert not Together.fit(runners)
    runners = pair()
    runners[1].skips = {3}
    assert not Together.fit(runners)
