"""What the build before the contract became pydantic left behind: its tape, and its stopped state directories."""

import base64
import json
import lzma
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from libs.contract.codec import decode, encode
from libs.keys.signing import Verifier
from libs.machine.outputs_hash import OutputsHash
from libs.tape.record import TapeRecord
from proto.execution import Claim
from proto.operator import Command, Verb
from proto.service import Started
from proto.subjects import MACHINE_ORDER, OPTIONAL_SERVICES
from proto.venue import Fill
from tests.fault import invariants
from tests.fault.live import EAGER
from tests.fault.rig import play
from tests.fault.sandbox_live import trading_at_sandbox
from tests.support.harness import readable, running
from tests.support.paths import ROOT
from tests.support.played import SETTINGS
from tools.offline.replay import Replay, TapeHistory
from tools.system.composition import factories
from tools.system.options import Options

FOLDER = ROOT / "tests" / "fixtures" / "build_829ba1a"
FACTS = json.loads((FOLDER / "facts.json").read_text())
STRATEGIES = ("momentum",)
PATIENCE_S = 300.0
SUMMED = ("proposals", "approvals", "rejections", "orders", "fills", "exits", "settlements", "outputs_hash")


@pytest.fixture(scope="module")
def tape() -> list[TapeRecord]:
    """Real orders at the sandbox's venues, decided alone and by the operator, through halts and a restart."""
    rows = map(json.loads, lzma.decompress((FOLDER / "tape.jsonl.xz").read_bytes()).splitlines())
    return [TapeRecord(**{**row, "payload": base64.b64decode(row["payload"])}) for row in rows]


def state_of(name: str, directory: Path) -> Path:
    """A state directory as the old build's planned stop left it."""
    with tarfile.open(FOLDER / f"{name}.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return directory / "state"


def versions() -> dict[str, int]:
    """Today's version of each machine that always runs."""
    makers = factories(STRATEGIES).items()
    return {name: make().version for name, make in makers if name not in OPTIONAL_SERVICES}


def starts_of(tape: Sequence[TapeRecord]) -> list[tuple[int, Started]]:
    """When which machine started on a tape."""
    return [(record.seq, m) for record, m in readable(list(tape)) if isinstance(m, Started)]


def changed(starts: Sequence[tuple[int, Started]]) -> set[str]:
    """Machines whose version is another today: they may decide otherwise, all others must not."""
    then = {start.machine: start.version for _, start in starts}
    return {name for name, version in versions().items() if then[name] != version}


def history(tape: Sequence[TapeRecord]) -> TapeHistory:
    """The tape's own starts, and behind its end those of today's machines, as after a planned stop."""
    last = tape[-1].seq
    today = [
        (last + 1, Started(service="any", machine=name, version=version, build="today", from_seq=last))
        for name, version in versions().items()
    ]
    return TapeHistory([*starts_of(tape), *today])


def test_every_message_of_the_old_tape_encodes_to_the_bytes_it_came_from(tape):
    for record in tape:
        assert encode(decode(record.subject, record.payload)) == record.payload, record.subject


def test_the_old_tape_is_decided_the_same(tape, tmp_path):
    said = [m.verb for _, m in readable(tape) if isinstance(m, Command)]
    assert said == [Verb.HALT, Verb.RESUME, Verb.CLOSE_ONLY, Verb.RESUME, Verb.APPROVE, Verb.DENY]
    engine = Replay(Verifier.load(FOLDER / "public.json"), strategies=STRATEGIES)
    engine.start(tmp_path, history(tape), 1)
    for record in tape:
        assert engine.handle(record), engine.difference
    engine.finish()
    assert engine.difference is None, engine.difference
    others = changed(starts_of(tape))
    assert {row["machine"] for row in engine.left_out} == others
    assert bool(engine.compared) == (others != set(MACHINE_ORDER) - set(OPTIONAL_SERVICES))


def test_the_old_tape_has_the_hash_that_the_old_build_told(tape):
    outputs = OutputsHash()
    for record in tape:
        outputs.add_record(record.message_id, record.subject, record.payload)
    assert outputs.hexdigest() == FACTS["traded"]["outputs_hash"]


def test_what_was_decided_otherwise_is_found_on_the_old_tape(tape, tmp_path):
    """The replay can fail: nobody would have decided the same without the first fill."""
    first = next(record for record, m in readable(tape) if isinstance(m, Fill))
    engine = Replay(Verifier.load(FOLDER / "public.json"), strategies=STRATEGIES)
    engine.start(tmp_path, TapeHistory(), 1)
    assert not all(engine.handle(record) for record in tape if record is not first)
    assert engine.difference is not None


def planned(state: Path) -> dict[str, int]:
    """Up to where each machine's planned snapshot reaches."""
    found = ((path.parent.name, int(path.stem)) for path in (state / "snapshots").glob("*/*.snapshot"))
    return dict(sorted(found))


def taken_over(records: list[TapeRecord], upto: int, planned: dict[str, int]) -> None:
    """Every machine went on from its snapshot of the planned stop, and nobody was told to adopt the tape."""
    starts = [start for seq, start in starts_of(records) if seq > upto]
    assert {start.machine: start.version for start in starts} == versions()
    assert {start.machine: start.from_seq for start in starts} == planned
    assert not any(start.adopted for start in starts)


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_stopped_paper_state_goes_on(tmp_path):
    """It settles what the old build held, and trades the next recording as the old build did."""
    state = state_of("played", tmp_path)
    snapshots = planned(state)
    old_seq = FACTS["played"]["tape_last_seq"]
    options = Options(
        state=state, recordings=[FOLDER / "recordings" / "second"], speed=None, strategies=STRATEGIES
    )
    async with running(options, SETTINGS) as (system, tape):
        summary = await play(system, PATIENCE_S)
        records = [record for record, _ in tape.messages]
    taken_over(records, old_seq, snapshots)
    assert not state.joinpath("HALT").exists()
    if not changed(starts_of(records[:old_seq])):
        assert {name: summary[name] for name in SUMMED} == {name: FACTS["went_on"][name] for name in SUMMED}
    assert summary["settlements"] == FACTS["went_on"]["settlements"]
    assert summary["orders"] > FACTS["played"]["orders"]
    found = await invariants.check(state)
    assert found.claims == summary["orders"]


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.asyncio
async def test_a_stopped_live_state_goes_on(tmp_path):
    """At the sandbox, whose world the old build left too: books agree, gates open, orders leave."""
    state = state_of("traded", tmp_path)
    snapshots = planned(state)
    stopped_ns = json.loads((state / "sandbox" / "world.json").read_text())["world"]["at"]
    if time.time_ns() < stopped_ns:
        pytest.skip(
            "expected a clock behind the fixture's, was one before it: its world has not happened yet"
        )
    old_seq = FACTS["traded"]["tape_last_seq"]
    # Whatever time it is: momentum has little to trade in the last minutes of a quarter of an hour.
    async with trading_at_sandbox(state, strategies=(*STRATEGIES, EAGER)) as (_, tape, _view):
        await tape.wait(lambda t: len(t.of(Claim)) > FACTS["traded"]["orders"], PATIENCE_S)
    taken_over([record for record, _ in tape.messages], old_seq, snapshots)
    await invariants.check(state, finished=False)
