"""A tape with accepted, refused and reverted changes is replayed identically, its first part from the archive."""

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.archive.archive import Archive, make_folder, subject_matches
from libs.archive.history import History
from libs.archive.segment import SegmentWriter
from libs.changes.book import REVERT_WITHIN_S
from libs.config.section import section_hash
from libs.contract.codec import decode, encode
from libs.keys.signing import PublicKey, public_keys_text
from libs.machine.input_gate import InputGate
from libs.machine.runner import MachineRunner
from libs.runtime.layout import RunFile, StateLayout
from libs.tape.record import ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.evaluation import ChangeStep, Edit, Revert, SignalChange
from proto.ids import MessageId
from proto.operator import Command, Config, Verb
from proto.units import ONE
from tests.support.runner_tape import OPERATOR, START_NS, TAPE, VERIFIER, MemoryTape
from tools.offline.place import ReplayPlace
from tools.offline.replay import Replay, TapeHistory
from tools.offline.what_if.accepted import section_in
from tools.offline.what_if.run import WhatIfRun, what_if
from tools.offline.what_if.variants import Variant
from tools.system.composition import DEFAULT_STRATEGIES, factories, sections

FAR = 2**62
SECTION = "signal.momentum"
PATHS = (f"{SECTION}.z_min", f"{SECTION}.edge_min")
RESOLVED = sections()
STEPS = [ChangeStep.APPLIED, ChangeStep.REFUSED, ChangeStep.REVERTED, ChangeStep.APPLIED]


class ChangedTape(MemoryTape):
    """A session in which the operator accepts changes of a strategy, and the monitor takes one back."""

    def __init__(self, *, is_reverted: bool = True) -> None:
        super().__init__()
        self.runner = MachineRunner(factories(DEFAULT_STRATEGIES)["signal"](), InputGate(VERIFIER), "b")
        for name in ("eval", SECTION):
            self.operate(Config(section=name, document=RESOLVED[name], nonce=name, expires_at=FAR))
        self.trade(50)
        self.live(self.runner)
        old, new = self.accept("c-1", PATHS[0], 250_000)
        self.trade(51)
        self.accept("c-2", PATHS[0], 250_000)
        if is_reverted:
            self.take_back("c-1", old, new)
        # The hour in which nothing else of the section is accepted.
        self.trade(52, REVERT_WITHIN_S)
        self.accept("c-3", PATHS[1], 5_000)
        self.trade(53)
        self.live(self.runner)

    def accept(self, proposal: str, path: str, step: int) -> tuple[int, int]:
        params = section_in([self.runner.machine], SECTION)
        assert params is not None
        document = params.document()
        old = document[path.rpartition(".")[2]]
        command = Command(
            verb=Verb.ACCEPT,
            nonce=proposal,
            expires_at=FAR,
            proposal=proposal,
            path=path,
            section_hash=section_hash(document),
            old=old,
            new=old + step,
        )
        self.operate(command)
        self.live(self.runner)
        return old, old + step

    def take_back(self, proposal: str, old: int, new: int) -> None:
        edit = Edit(
            path=PATHS[0], section=SECTION, section_hash=section_hash(RESOLVED[SECTION]), old=old, new=new
        )
        revert = Revert(proposal=proposal, edit=edit, reason="loss", at=START_NS, barred_until=FAR)
        cause = len(self.records)
        self.store(revert.subject(), encode(revert), {ID_HEADER: str(MessageId(TAPE, "monitor", cause, 0))})
        self.live(self.runner)


class MemoryHistory:
    """What a what-if reads of a tape, from memory."""

    def __init__(self, records: Sequence[TapeRecord]) -> None:
        self._records = records

    async def bounds(self) -> tuple[int, int]:
        return 1, len(self._records)

    async def at(self, seq: int) -> TapeRecord | None:
        return self._records[seq - 1]

    async def read_subject(self, pattern: str) -> list[TapeRecord]:
        return [record for record in self._records if subject_matches(pattern, record.subject)]

    async def records(self, first: int = 1, last: int = FAR) -> AsyncIterator[TapeRecord]:
        for record in self._records[first - 1 : last]:
            yield record


def archived(folder: Path, records: Iterable[TapeRecord]) -> Archive:
    make_folder(folder)
    writer = SegmentWriter(folder, TAPE, "")
    writer.add_all(records)
    writer.seal()
    return Archive(folder)


def replayed(state: Path, records: Iterable[TapeRecord]) -> Replay:
    engine = Replay(VERIFIER, ("signal",), DEFAULT_STRATEGIES)
    assert engine.start(state, TapeHistory(), 1) == 1
    for record in records:
        if not engine.handle(record):
            break
    engine.finish()
    return engine


@pytest.fixture(scope="module")
def tape() -> ChangedTape:
    return ChangedTape()


def test_it_says_the_same_wherever_the_archive_ends(tape: ChangedTape, tmp_path: Path):
    said = [decode(record.subject, record.payload) for record in tape.records]
    assert [message.step for message in said if isinstance(message, SignalChange)] == STEPS
    for last in range(1, len(tape.records) + 1):
        archive = archived(tmp_path / f"{last}", tape.records[:last])
        assert archive.verify() == []
        engine = replayed(tmp_path, chain(archive.records(1, last), tape.records[last:]))
        assert engine.difference is None, last
        assert (engine.compared, engine.unstored) == (len(STEPS), 0)
        assert engine.states() == {"signal": tape.runner.machine.snapshot()}


def test_a_tape_whose_acceptance_nobody_signed_is_another_one(tape: ChangedTape, tmp_path: Path):
    records = [
        record._replace(headers={**record.headers, SIGNATURE_HEADER: ""})
        if record.headers.get(ID_HEADER) == "operator.c-3"
        else record
        for record in tape.records
    ]
    assert records != tape.records
    difference = replayed(tmp_path, records).difference
    assert difference is not None
    assert difference.machine == "signal"


async def settings_of(
    folder: Path, tape: ChangedTape, variants: Sequence[Variant], first: int, patch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], list[tuple[int, int, int]]]:
    """A what-if from a sequence on; its document, and three settings of the section at the end of each branch."""
    runs: list[WhatIfRun] = []
    document_of = WhatIfRun.document

    def keeping(run: WhatIfRun) -> dict[str, Any]:
        runs.append(run)
        return document_of(run)

    patch.setattr(WhatIfRun, "document", keeping)
    layout = StateLayout(folder)
    layout.write_run(RunFile(broker_url="", tape=TAPE, strategies=list(DEFAULT_STRATEGIES)))
    layout.public_keys.parent.mkdir(parents=True)
    layout.public_keys.write_bytes(public_keys_text({OPERATOR.key_id: PublicKey(OPERATOR.public_key)}))
    place = cast("ReplayPlace", SimpleNamespace(layout=layout))
    history = cast("History", MemoryHistory(tape.records))
    document = await what_if(place, history, TapeHistory(), variants, (first, len(tape.records)))
    found = []
    for branch in runs[0]._branches:
        params = section_in(branch._machines, SECTION)
        assert params is not None
        section = params.document()
        found.append((section["z_min"], section["edge_min"], section["price_min"]))
    return document, found


@pytest.mark.asyncio
async def test_a_what_if_holds_what_it_sets_and_applies_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tape = ChangedTape(is_reverted=False)
    variants = [Variant("set", {PATHS[0]: "1.5"}), Variant("other", {f"{SECTION}.price_min": "0.06"})]
    document, values = await settings_of(tmp_path, tape, variants, 1, monkeypatch)
    assert document["identical"]
    found = [(variant["inserted"], variant["left_out"]) for variant in document["variants"]]
    assert found == [(1, 3), (3, 3)]
    base = RESOLVED[SECTION]
    z_min, edge_min, price_min = base["z_min"] + 250_000, base["edge_min"] + 5_000, base["price_min"]
    assert values == [
        (z_min, edge_min, price_min),
        (1_500_000, edge_min, price_min),
        (z_min, edge_min, 60_000),
    ]


@pytest.mark.asyncio
async def test_what_it_sets_holds_against_a_change_in_force_where_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tape = ChangedTape(is_reverted=False)
    first = 1 + next(r.seq for r in tape.records if r.subject == "signal.change.c-1")
    base = RESOLVED[SECTION]
    # The value of the file itself, which the accepted change stands on.
    variants = [Variant("file", {PATHS[0]: str(base["z_min"] / ONE)})]
    document, values = await settings_of(tmp_path, tape, variants, first, monkeypatch)
    assert document["identical"]
    assert values == [
        (base["z_min"] + 250_000, base["edge_min"] + 5_000, base["price_min"]),
        (base["z_min"], base["edge_min"] + 5_000, base["price_min"]),
    ]
