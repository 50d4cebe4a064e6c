"""A tape with accepted, refused and reverted changes is replayed identically, its first part from the archive."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

from libs.archive.archive import Archive, make_folder
from libs.archive.segment import SegmentWriter
from libs.config.section import section_hash
from libs.contract.codec import decode, encode
from libs.machine.input_gate import InputGate
from libs.machine.runner import MachineRunner
from libs.tape.record import ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.evaluation import ChangeStep, Edit, Revert, SignalChange
from proto.ids import MessageId
from proto.operator import Command, Config, Verb
from tests.support.runner_tape import START_NS, TAPE, VERIFIER, MemoryTape
from tools.offline.replay import Replay, TapeHistory
from tools.system.composition import DEFAULT_STRATEGIES, factories, sections

FAR = 2**62
SECTION = "signal.momentum"
PATHS = (f"{SECTION}.z_min", f"{SECTION}.edge_min")
RESOLVED = sections()
STEPS = [ChangeStep.APPLIED, ChangeStep.REFUSED, ChangeStep.REVERTED, ChangeStep.APPLIED]


class ChangedTape(MemoryTape):
    """A session in which the operator accepts changes of a strategy, and the monitor takes one back."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = MachineRunner(factories(DEFAULT_STRATEGIES)["signal"](), InputGate(VERIFIER), "b")
        for name in ("eval", SECTION):
            self.operate(Config(section=name, document=RESOLVED[name], nonce=name, expires_at=FAR))
        self.trade(50)
        old, new = self.accept("c-1", PATHS[0], 250_000)
        self.trade(51)
        self.accept("c-2", PATHS[0], 250_000)
        self.take_back("c-1", old, new)
        self.trade(52)
        self.accept("c-3", PATHS[1], 5_000)
        self.trade(53)
        self.live(self.runner)

    def accept(self, proposal: str, path: str, step: int) -> tuple[int, int]:
        document = RESOLVED[SECTION]
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
