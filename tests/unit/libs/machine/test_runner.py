"""A runner: restarts recompute, duplicates do no harm, a changed or missing output shows itself."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import decode
from libs.machine.errors import Diverged, Failed
from libs.machine.input_gate import InputGate, InputGateState
from libs.machine.runner import MachineRunner
from libs.tape.record import ID_HEADER, TapeRecord
from tests.support.runner_tape import (
    POISON,
    START_NS,
    VERIFIER,
    MemoryTape,
    Summing,
    headers_of,
    runner_of,
    said,
)

trades = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 50)), min_size=1, max_size=15)


def lived(prices: list[tuple[int, int]]) -> tuple[MemoryTape, MachineRunner]:
    """A tape on which one runner has said everything it had to say."""
    tape, runner = MemoryTape(), runner_of()
    for price, at_s in prices:
        tape.trade(price, at_s)
        tape.live(runner)
    return tape, runner


def copy_of(runner: MachineRunner) -> MachineRunner:
    """What a snapshot makes of a runner: machine and gate through their bytes."""
    machine = Summing()
    machine.restore(runner.machine.snapshot())
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(runner.input_gate.state), type=InputGateState)
    restored = MachineRunner(machine, InputGate(VERIFIER, state), "test")
    restored.position = restored.verified_to = runner.position
    return restored


@given(trades, st.data())
def test_a_restart_at_any_point_recomputes_the_same(
    prices: list[tuple[int, int]], data: st.DataObject
) -> None:
    tape, whole = lived(prices)
    fresh = runner_of()
    tape.play(fresh, data.draw(st.integers(0, len(tape.records))))
    if fresh.open_outputs:
        # A snapshot is only taken where every output is on the tape.
        return
    restored = copy_of(fresh)
    tape.play(restored)
    assert restored.position == whole.position
    assert restored.machine.snapshot() == whole.machine.snapshot()
    assert not restored.open_outputs
    assert not restored.ready
    assert restored.confirmed == whole.confirmed - fresh.confirmed


@given(trades, st.data())
def test_a_missing_tail_is_published_and_nothing_else(
    prices: list[tuple[int, int]], data: st.DataObject
) -> None:
    tape = MemoryTape()
    for price, at_s in prices:
        tape.trade(price, at_s)
    whole = MemoryTape()
    whole.records = list(tape.records)
    whole.live(runner_of())
    complete = said(whole.records)
    whole.records = whole.records[: len(tape.records) + data.draw(st.integers(0, len(complete)))]
    kept = len(said(whole.records))
    restarted = runner_of()
    whole.play(restarted)
    assert len(restarted.open_outputs) == len(complete) - kept
    whole.live(restarted)
    assert said(whole.records) == complete


@given(trades, trades, st.data())
def test_what_a_torn_tail_left_unsaid_is_said_once_under_its_own_epoch(
    before: list[tuple[int, int]], after: list[tuple[int, int]], data: st.DataObject
) -> None:
    # The tail with some of the outputs is lost, a new epoch begins, and only then does the machine restart.
    tape = MemoryTape()
    for price, at_s in before:
        tape.trade(price, at_s)
    inputs = len(tape.records)
    tape.live(runner_of())
    complete = said(tape.records)
    tape.records = tape.records[: inputs + data.draw(st.integers(0, len(complete)))]
    tape.open("t1e1")
    runner = runner_of()
    for price, at_s in after:
        tape.trade(price, at_s)
        tape.live(runner)
    assert said(tape.records)[: len(complete)] == complete
    assert not runner.open_outputs
    # A crash before the next snapshot: everything is recomputed, nothing is missing, nothing is said again.
    again = runner_of()
    tape.play(again)
    assert not again.open_outputs
    assert not again.ready
    assert again.confirmed == len(said(tape.records))
    assert again.machine.snapshot() == runner.machine.snapshot()


def test_an_earlier_epochs_output_that_was_never_computed_is_a_divergence() -> None:
    tape = MemoryTape()
    tape.trade(1)
    runner = runner_of()
    tape.play(runner)
    own = runner.ready[0].outputs[0]
    tape.open("t1e1")
    invented = own.headers | {ID_HEADER: f"{own.headers[ID_HEADER]}1"}
    tape.say(own)
    tape.store(own.subject, own.payload, invented)
    with pytest.raises(Diverged, match="recomputed was nothing"):
        tape.play(runner)


def test_an_earlier_epochs_output_after_one_of_the_new_epoch_is_nobodys_news() -> None:
    tape = MemoryTape()
    tape.trade(2)
    runner = runner_of()
    tape.live(runner)
    old = tape.records[-1]
    tape.open("t1e1")
    tape.trade(1)
    tape.live(runner)
    before = runner.machine.snapshot()
    tape.store(old.subject, old.payload, old.headers)
    tape.store(old.subject, old.payload, old.headers | {ID_HEADER: "t1:signal:2:3"})
    tape.play(runner)
    assert runner.machine.snapshot() == before
    assert not runner.open_outputs


@given(trades, st.data())
def test_own_outputs_on_the_tape_twice_do_no_harm(prices: list[tuple[int, int]], data: st.DataObject) -> None:
    tape, whole = lived(prices)
    for index in data.draw(st.lists(st.integers(0, len(tape.records) - 1), max_size=5)):
        record = tape.records[index]
        if record.subject.startswith("signal."):
            tape.store(record.subject, record.payload, record.headers)
    again = runner_of()
    tape.play(again)
    assert again.machine.snapshot() == whole.machine.snapshot()
    assert again.confirmed == whole.confirmed
    assert not again.open_outputs


@given(trades, st.data())
def test_a_changed_output_is_a_divergence_with_its_sequence(
    prices: list[tuple[int, int]], data: st.DataObject
) -> None:
    tape, _ = lived([*prices, (3, 50)])
    own = [r for r in tape.records if r.subject.startswith("signal.")]
    victim = data.draw(st.sampled_from(own))
    payload = msgspec.msgpack.decode(victim.payload)
    payload["price"] += 1
    tape.records[victim.seq - 1] = victim._replace(payload=msgspec.msgpack.encode(payload))
    runner = runner_of()
    with pytest.raises(Diverged) as caught:
        tape.play(runner)
    assert caught.value.seq == victim.seq
    assert caught.value.machine == "signal"
    assert runner.position == victim.seq - 1
    assert runner.mismatch is not None
    assert runner.mismatch.payload == victim.payload
    with pytest.raises(Diverged):
        tape.play(runner_of())


def test_an_output_that_was_never_computed_is_a_divergence() -> None:
    tape, runner = lived([(2, 0)])
    own = tape.records[-1]
    invented = own.headers | {ID_HEADER: own.message_id.replace(":1", ":9")}
    record = tape.store(own.subject, own.payload, invented)
    with pytest.raises(Diverged, match="recomputed was nothing") as caught:
        tape.play(runner)
    assert caught.value.seq == record.seq


def test_what_was_adopted_is_neither_compared_nor_said_again() -> None:
    tape, _ = lived([(3, 0), (3, 1)])
    changed = next(r for r in tape.records if r.message_id == "t1:signal:2:1")
    tape.records[changed.seq - 1] = changed._replace(headers={}, payload=changed.payload[:-1] + b"\x02")
    runner = runner_of()
    runner.verified_to = len(tape.records)
    tape.play(runner)
    assert not runner.open_outputs
    assert not runner.ready
    tape.trade(1)
    tape.live(runner)
    assert runner.confirmed == 1


@given(trades)
def test_a_poisoned_input_stops_before_it_and_a_skip_passes_it_by(prices: list[tuple[int, int]]) -> None:
    tape, whole = lived(prices)
    bad = tape.trade(POISON)
    tape.trade(3)
    runner = runner_of()
    with pytest.raises(Failed) as caught:
        tape.play(runner)
    assert caught.value.seq == bad.seq
    assert "ValueError: poison in _on_trade" in str(caught.value)
    assert runner.position == bad.seq - 1
    again = runner_of()
    again.skips.add(bad.seq)
    tape.play(again)
    # The machine never saw it: as many trades as before, and the one behind it.
    assert msgspec.msgpack.decode(again.machine.snapshot())["trades"] == len(prices) + 1
    assert len(again.open_outputs) == 3
    assert again.confirmed == whole.confirmed


@pytest.mark.parametrize(("machine", "signed", "works"), [
    ("signal", True, True),
    ("risk", True, False),
    ("signal", False, False),
])  # fmt: skip
def test_a_skip_on_the_tape_counts_for_its_machine_if_signed(machine: str, signed: bool, works: bool) -> None:
    tape, runner = MemoryTape(), runner_of()
    tape.skip(3, machine, signed=signed)
    tape.trade(POISON)
    if not signed:
        with pytest.raises(ValueError, match="signature"):
            tape.play(runner)
    if works:
        tape.play(runner)
        assert runner.position == 3
    else:
        with pytest.raises(Failed):
            tape.play(runner)


def test_outputs_carry_cause_root_and_build() -> None:
    tape, _ = lived([(1, 0)])
    assert headers_of(tape.records[-1]) == ("2", "2")
    assert tape.records[-1].headers["build"] == "test"
    assert tape.records[-1].message_id == "t1:signal:2:0"


def test_an_older_or_unreadable_record_changes_nothing_but_the_position() -> None:
    tape, runner = lived([(1, 0)])
    before = runner.machine.snapshot()
    tape.play(runner)
    runner.take(tape.records[0], decode(tape.records[0].subject, tape.records[0].payload))
    runner.take(TapeRecord(runner.position + 1, "x", {}, b"\xc1", START_NS), None)
    assert runner.machine.snapshot() == before
    assert runner.position == len(tape.records) + 1
