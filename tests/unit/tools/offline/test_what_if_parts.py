"""The parts of a what-if that need no tape: which variants are asked for, where outputs stand, what is paired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.keys.signing import Verifier
from libs.machine.input_gate import InputGate
from libs.tape.record import CAUSE_HEADER, ID_HEADER, TapeRecord
from proto.units import MILLISECOND, SECOND
from tools.exit_codes import UsageError
from tools.offline.what_if.compare import PAIRED_NS, differing_decisions
from tools.offline.what_if.outcome import Decision, Outcome
from tools.offline.what_if.recorded import DELAY_UNKNOWN_NS, Pace, RecordedTape
from tools.offline.what_if.variants import Variant, split_values, variants_of

VALUE = st.text("abc01 .'[]{}", min_size=1).filter(
    lambda text: text.strip() and not set(text) & set("'[]{}") and text == text.strip()
)


@given(st.lists(VALUE, min_size=1))
def test_a_list_of_values_is_split_at_its_commas(values: list[str]) -> None:
    assert split_values(",".join(values)) == values


@pytest.mark.parametrize("text", ["[a, b]", "'a, b'", '"a, b"', "{a: 1, b: [2, 3]}"])
def test_a_value_with_commas_of_its_own_is_one(text: str) -> None:
    assert split_values(text) == [text]
    assert split_values(f"{text},x") == [text, "x"]


def test_lists_are_combined_and_names_add_up() -> None:
    assert variants_of([], []) == []
    assert variants_of(["a.b=1", "c.d=2"], []) == [Variant("a.b=1 c.d=2", {"a.b": "1", "c.d": "2"})]
    crossed = variants_of(["a.b=1,2", "c.d=3", "e.f=5,6"], [])
    assert [variant.name for variant in crossed] == [
        "a.b=1 e.f=5", "a.b=1 e.f=6", "a.b=2 e.f=5", "a.b=2 e.f=6",
    ]  # fmt: skip
    assert crossed[0].changes == {"a.b": "1", "c.d": "3", "e.f": "5"}
    named = variants_of(["c.d=3"], ["x:a.b=1", "y:a.b=2", "x:c.d=4"])
    assert named == [Variant("x", {"c.d": "4", "a.b": "1"}), Variant("y", {"c.d": "3", "a.b": "2"})]
    with pytest.raises(UsageError, match="at most 12"):
        variants_of(["a.b=1,2,3,4", "c.d=1,2,3,4"], [])


def stored(seq: int, subject: str, at_ms: int, message_id: str = "", cause: int = 0) -> TapeRecord:
    headers = {ID_HEADER: message_id, CAUSE_HEADER: str(cause)} if message_id else {}
    return TapeRecord(seq, subject, headers, subject.encode(), at_ms * MILLISECOND)


def test_the_delay_of_a_kind_is_measured_from_its_cause() -> None:
    tape = RecordedTape(("signal", "exit"), InputGate(Verifier({})))
    for number, delay_ms in enumerate((5, 7, 100)):
        seq, at_ms = 1 + 2 * number, 1_000 * number
        tape.add(stored(seq, "feed.quote.x", at_ms))
        tape.add(stored(seq + 1, "signal.proposal.a.b", at_ms + delay_ms, f"t:signal:{seq}:0", seq))
    # A repetition counts no second time, and what another producer says in its name is not its.
    tape.add(stored(7, "signal.proposal.a.b", 9_000, "t:signal:5:0", 5))
    tape.add(stored(8, "exit.proposal.a.b", 9_000, "t:signal:7:0", 7))
    pace = tape.pace_at(8)
    assert pace.delay_ns("signal.proposal", "feed.quote") == 7 * MILLISECOND
    assert pace.delay_ns("exit.proposal", "feed.quote") == 7 * MILLISECOND
    assert [found.seq for found in tape.outputs_of("signal", "t", 5)] == [6]
    assert tape.counts == {"signal": 3}
    assert not pace.is_lockstep


@pytest.mark.parametrize("overtaken", [True, False])
def test_a_played_session_in_which_nothing_is_overtaken_is_in_lockstep(*, overtaken: bool) -> None:
    pace = Pace(1, is_played=True)
    assert not pace.is_lockstep
    assert pace.delay_ns("risk.approval", "signal.proposal") == DELAY_UNKNOWN_NS
    pace.add("risk.approval", "signal.proposal", 1, overtaken=overtaken)
    assert pace.is_lockstep == (not overtaken)


def outcome(*decided: tuple[str, int, str]) -> Outcome:
    """Decisions on one instrument: proposal, when in nanoseconds, and what."""
    found = Outcome()
    for proposal, at_ns, text in decided:
        found.decisions[proposal] = Decision(at_ns, 1, "s", "m", "i", "buy", [text])
    return found


def test_a_decision_that_moved_is_paired_with_the_recorded_one() -> None:
    before = outcome(("t:exit:5:0", 10 * SECOND, "a"), ("t:exit:6:0", 20 * SECOND, "b"))
    moved = outcome(("t:exit:9:1", 10 * SECOND + PAIRED_NS, "a"), ("t:exit:6:0", 20 * SECOND, "c"))
    assert [pair[0] for pair in differing_decisions(before, moved)] == ["t:exit:6:0"]
    far = outcome(("t:exit:9:1", 10 * SECOND + PAIRED_NS + 1, "a"), ("t:exit:6:0", 20 * SECOND, "b"))
    assert [pair[0] for pair in differing_decisions(before, far)] == ["t:exit:5:0", "t:exit:9:1"]
