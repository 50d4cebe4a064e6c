"""Replaying a stored tape: what has to be known beforehand, the machines over a window, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.contract.plain import to_document
from libs.keys.signing import Verifier
from libs.machine.input_gate import InputGateState
from libs.machine.skips import OPERATOR_PATTERN, skips_of
from libs.machine.snapshots import SnapshotStore
from libs.tape.record import TapeRecord
from proto.message import Message
from proto.service import Started
from proto.subjects import MACHINE_ORDER
from tools.exit_codes import NothingDone, UsageError
from tools.offline.place import ReplayPlace
from tools.offline.replay import Replay, TapeHistory
from tools.system.composition import factories

PROGRESS_EVERY = 1_000

Condition = Callable[[TapeRecord, Message], bool]
Progress = Callable[[int, int], None]
"""Called now and then with the sequence reached and the last one."""


class Folded(NamedTuple):
    """All machines at one place of the tape: name → state, and what the gate before them remembers."""

    states: Mapping[str, bytes]
    gate: InputGateState


async def read_history(place: ReplayPlace, tape: History, verifier: Verifier) -> TapeHistory:
    """What a replay has to know beforehand."""
    starts: list[tuple[int, Started]] = []
    for record in await tape.read_subject(f"*.{Started.kind}"):
        try:
            start = decode(record.subject, record.payload)
        except Unreadable:
            continue
        if isinstance(start, Started):
            starts.append((record.seq, start))
    epoch = place.layout.read_run().tape
    skips = skips_of(await tape.read_subject(OPERATOR_PATTERN), verifier, epoch)
    digests: dict[int, str] = {}
    newest: dict[str, int] = {}
    for machine in MACHINE_ORDER:
        for snapshot in SnapshotStore(place.layout.root / "snapshots", machine).newest_first():
            if snapshot.seq not in digests:
                found = await tape.at(snapshot.seq)
                digests[snapshot.seq] = found.digest() if found is not None else ""
            if digests[snapshot.seq] == snapshot.digest:
                newest[machine] = max(newest.get(machine, 0), snapshot.seq)
    return TapeHistory(starts, skips, lambda snapshot: digests.get(snapshot.seq) == snapshot.digest, newest)


async def replay_window(
    place: ReplayPlace,
    tape: History,
    history: TapeHistory,
    window: tuple[int, int],
    strategies: Sequence[str],
    *,
    machines: Sequence[str] = MACHINE_ORDER,
    break_on: Condition | None = None,
    tell: Progress = lambda _, __: None,
) -> tuple[Replay, int]:
    """Run machines over a window (both ends in it); the engine, and the sequence it began at.

    Raises:
        UsageError: the tape no longer holds what there is no snapshot of.
    """
    verifier = Verifier.load(place.layout.public_keys)
    first_held, _ = await tape.bounds()
    raised_at: list[tuple[str, int]] = []
    while True:
        engine = Replay(verifier, machines, strategies, break_on, raised_at)
        start = engine.start(place.layout.root, history, max(window[0], first_held))
        if start < first_held:
            text = f"expected a snapshot before {first_held}, where the tape and its archive begin, was none"
            raise UsageError(text)
        await _feed(engine, tape, start, window[1], tell)
        if engine.skipping is None:
            engine.finish()
            return engine, start
        # The machine raised here, as it did live: begin again without this input.
        raised_at.append(engine.skipping)


async def _feed(engine: Replay, tape: History, first: int, last: int, tell: Progress) -> None:
    """Run the window, then look behind it for outputs of its last inputs."""
    async for record in tape.records(first, last):
        if not engine.handle(record):
            return
        if engine.messages % PROGRESS_EVERY == 0:
            tell(record.seq, last)
    if not engine.waiting:
        return
    async for record in tape.records(last + 1):
        if not engine.confirm(record) or not engine.waiting:
            return


def first_reachable(place: ReplayPlace, history: TapeHistory, held: int, strategies: Sequence[str]) -> int:
    """The first sequence to which all machines can be brought, of a tape that is held from ``held`` on.

    Raises:
        UsageError: there is no snapshot of some machine that the tape still fits.
    """
    if held <= 1:
        return 1
    reached = 0
    for name, make in factories(strategies).items():
        store = SnapshotStore(place.layout.root / "snapshots", name)
        version = make().version
        usable = [s.seq for s in store.newest_first() if s.version == version and history.fits(s)]
        oldest = min((seq for seq in usable if seq >= held - 1), default=0)
        if not oldest:
            text = f"expected a snapshot of {name} behind {held - 1}, where the tape and its archive begin, was none"
            raise UsageError(text)
        reached = max(reached, oldest)
    return reached + 1


async def fold(
    place: ReplayPlace,
    tape: History,
    history: TapeHistory,
    to: int,
    strategies: Sequence[str],
    tell: Progress,
) -> Folded:
    """All machines as they stand behind a sequence, from their snapshots on.

    Raises:
        NothingDone: they do not say what the tape says up to there.
        UsageError: the tape no longer holds what there is no snapshot of.
    """
    engine, _ = await replay_window(place, tape, history, (to + 1, to), strategies, tell=tell)
    if engine.difference is not None:
        found = engine.difference
        raise NothingDone(
            f"expected the machines to say what the tape says up to {to}, was a difference at {found.seq}, "
            f"{found.machine}: {found.text}"
        )
    return Folded(engine.states(), engine.gate_state())


def replay_document(engine: Replay, first: int, last: int) -> dict[str, Any]:
    """What came of a replay, as plain data."""
    document: dict[str, Any] = {
        "identical": engine.difference is None,
        "from": first,
        "to": last,
        "messages": engine.messages,
        "compared": engine.compared,
        "unstored": engine.unstored,
        "machines": list(engine.machines),
        "starts": [
            {
                "seq": seq,
                "machine": start.machine,
                "version": start.version,
                "build": start.build,
                "adopted": start.adopted,
            }
            for seq, start in engine.starts
        ],
        "left_out": engine.left_out,
        "skipped": [{"machine": machine, "seq": seq} for machine, seq in engine.raised_at],
        "difference": engine.difference.document() if engine.difference else None,
    }
    if engine.broke_at is not None:
        record, event = engine.broke_at
        document["break"] = {
            "seq": record.seq,
            "subject": record.subject,
            "message": to_document(event),
            "state": {name: engine.state_of(name) for name in engine.machines},
        }
    return document
