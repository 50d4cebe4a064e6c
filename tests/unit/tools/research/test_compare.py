"""Two runs compared: order by order, and a difference whose causes add up to all of it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import encode
from libs.runtime.layout import RunFile
from libs.tape.record import TapeRecord
from proto.feed import Side
from proto.message import Message
from proto.units import ONE, SECOND
from tests.fault.rig import BUSY, busy_recording
from tools.exit_codes import UsageError
from tools.offline.backtest import Backtest
from tools.research.comparing import compare, differing, pairs_of
from tools.research.orders_seen import KINDS, RunSeen, SeenOrder
from tools.research.session_again import compare_session, run_again, sessions_of_run
from tools.system.composition import DEFAULT_STRATEGIES, sections

YES = "kalshi:M:yes"


def order(name: str = "a", at_s: float = 0, **changed) -> SeenOrder:
    values = {
        "price": 400_000,
        "quantity": 10 * ONE,
        "filled": 10 * ONE,
        "value": 4 * ONE,
        "fees": 1_000,
    } | changed
    side = values.pop("side", Side.BUY)
    return SeenOrder(name, "s", YES, side, False, int(at_s * SECOND), **values)


def seen(*orders: SeenOrder, paid: Mapping[str, int] | None = None) -> RunSeen:
    run = RunSeen(orders={row.order: row for row in orders})
    run.paid.update({YES: ONE} if paid is None else paid)
    return run


@pytest.mark.parametrize(
    ("changed", "cause", "difference"),
    [
        ({"fees": 3_000}, "fee", -2_000),
        ({"filled": 5 * ONE, "value": 2 * ONE, "fees": 1_000}, "fill", -3 * ONE),
        ({"value": 4_100_000}, "latency", -100_000),
        ({"price": 410_000, "value": 4_100_000}, "price", -100_000),
    ],
)
def test_each_cause_by_hand(changed, cause, difference):
    found = compare(seen(order()), seen(order(**changed)))
    assert found.by_cause == {name: difference if name == cause else 0 for name in found.by_cause}
    assert found.difference == difference
    assert found.equal == 0


def test_an_order_of_one_run_is_missing_in_the_other():
    one, two = seen(order()), seen(order(), order("b", 60))
    # Ten contracts for 0.40 that paid 1, less the fee.
    assert compare(one, two).by_cause["missing"] == 6 * ONE - 1_000
    assert compare(two, one).by_cause["missing"] == 1_000 - 6 * ONE
    assert [differing(pair) for pair in compare(one, two).pairs] == ["", "missing"]


def test_orders_are_matched_in_time_and_kind():
    first = [order("a", 10), order("b", 20), order("c", 30)]
    second = [order("x", 21), order("y", 30), order("z", 10, side=Side.SELL)]
    names = [tuple(None if row is None else row.order for row in pair) for pair in pairs_of(first, second)]
    assert sorted(names, key=str) == sorted([("a", None), (None, "z"), ("b", "x"), ("c", "y")], key=str)
    assert pairs_of([order("a", 0)], [order("x", 6)]) != pairs_of([order("a", 0)], [order("x", 4)])


ORDERS = st.builds(
    order,
    name=st.uuids().map(str),
    at_s=st.integers(0, 30),
    side=st.sampled_from(Side),
    filled=st.integers(0, 10 * ONE),
    value=st.integers(0, 9 * ONE),
    price=st.sampled_from([400_000, 410_000]),
    fees=st.integers(-5_000, 5_000),
)


@given(st.lists(ORDERS, max_size=8), st.lists(ORDERS, max_size=8), st.integers(0, ONE))
def test_the_causes_are_all_of_the_difference(first, second, paid):
    found = compare(seen(*first, paid={YES: paid}), seen(*second, paid={YES: paid}))
    assert sum(found.by_cause.values()) == found.difference
    assert sum(pair.first is not None for pair in found.pairs) == len(first)
    assert sum(pair.second is not None for pair in found.pairs) == len(second)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return busy_recording(tmp_path_factory.mktemp("compare"))


# ── the newest session of a state directory ──


@pytest.mark.parametrize(
    ("names", "played", "count"),
    [
        (["", "", ""], [], 1),
        (["a"], ["a"], 1),
        (["a", "a", "b"], ["a", "b"], 2),
        (["a", "b", "a"], ["a", "b"], 1),  # stopped after the first
        (["", "b"], ["a"], 0),
        ([], ["a"], 0),
    ],
)
def test_the_newest_sessions_of_a_tape_are_the_last_runs(names, played, count):
    assert sessions_of_run(names, played) == count


@dataclass
class Kept:
    """A tape, and the run file of its newest run."""

    records: list[TapeRecord] = field(default_factory=list)
    run: RunFile = field(default_factory=lambda: RunFile(broker_url="", tape="t"))

    @property
    def layout(self) -> "Kept":
        return self

    def read_run(self) -> RunFile:
        return self.run

    async def read_subjects(self, _: Collection[str]) -> list[TapeRecord]:
        return self.records

    def play(self, recording: Path, **changed: str) -> None:
        test = Backtest(sections(overrides=BUSY | changed))
        test.observe(self._keep)
        test.run([recording])

    def _keep(self, seq: int, _producer: str, _id: str, message: Message) -> None:
        if isinstance(message, KINDS):
            self.records.append(TapeRecord(seq, message.subject(), {}, encode(message), 0))

    def compared(self, *recordings: Path, frames: Path) -> dict[str, Any]:
        return asyncio.run(compare_session(self, self, recordings, frames))


def test_sessions_of_earlier_runs_are_left_out(recording, tmp_path):
    tape = Kept()
    tape.run.recordings = [str(recording)]
    tape.play(recording, **{"paper.latency_ms": "600"})
    tape.play(recording)
    found = tape.compared(frames=tmp_path)
    assert (found["verdict"], found["sessions"], found["sessions_left_out"]) == ("the same", 1, 1)
    tape.run.recordings = ["elsewhere"]
    with pytest.raises(UsageError, match=f"to have played elsewhere, was {recording.name}"):
        tape.compared(frames=tmp_path)
    assert tape.compared(recording, frames=tmp_path) == found
    # In real time: the frames of both sessions are in one folder.
    tape.run.recordings = []
    (tmp_path / "frames").touch()
    with pytest.raises(UsageError, match=r"newest session alone, was .* with those of 1 session before it"):
        tape.compared(frames=tmp_path)


def again(recording: Path, **changed: str) -> RunSeen:
    return run_again(sections(overrides=BUSY | changed), DEFAULT_STRATEGIES, [recording])


def test_the_same_run_is_the_same_and_a_slower_venue_is_latency(recording):
    one = again(recording)
    found = compare(one, again(recording))
    assert found.difference == 0
    assert found.equal == len(found.pairs) >= 10
    slower = compare(one, again(recording, **{"paper.latency_ms": "600"}))
    assert slower.equal < len(slower.pairs)
    assert sum(slower.by_cause.values()) == slower.difference
