"""A tape that lost its tail: a new epoch, halted, and nothing of the lost part is mistaken for what follows."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from libs.machine.snapshots import SnapshotStore
from libs.tape.record import TapeRecord
from proto.execution import TERMINAL, Claim, OrderUpdate
from proto.ids import MessageId, parse_message_id
from proto.monitor import Clock
from proto.operator import Session
from proto.risk import Approval
from proto.subjects import LEDGER, MACHINE_ORDER
from tests.fault.live import flowing, presage, status_text, trading
from tests.support.harness import Tape, caught_up, kill, read_all, readable
from tools.cli.commands.journal import verify_journal
from tools.cli.commands.replay import ReplayRequest, run_replay
from tools.system.system import System

pytestmark = [
    pytest.mark.fault,
    pytest.mark.broker,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

STREAM = Path("jetstream") / "jetstream" / "$G" / "streams"


def open_orders(tape: Tape) -> list[str]:
    """Orders that may still trade; halted, they are all cancelled."""
    status = {m.order: m.status for m in tape.of(OrderUpdate)}
    return [order for order, last in status.items() if last not in TERMINAL]


def put_back(broker: Path, copy: Path, *, ledger: bool) -> None:
    """The tape as it was when the copy was made; with ``ledger`` the claims too."""
    streams = [path.name for path in (copy / STREAM).iterdir()]
    for name in streams:
        if name == LEDGER and not ledger:
            continue
        shutil.rmtree(broker / STREAM / name)
        shutil.copytree(copy / STREAM / name, broker / STREAM / name)


async def leave_unsaid(system: System, tape: Tape) -> None:
    """Freeze execution and go on: a stop now leaves approvals on the tape that it has not answered."""
    kill(system, "execution", signal.SIGSTOP)
    await caught_up(system, tape)
    seen = len(tape.of(Approval))
    await tape.wait(lambda t: len(t.of(Approval)) > seen)


def outputs(records: Iterable[TapeRecord]) -> list[tuple[int, MessageId]]:
    """Sequence and id of everything that machines said."""
    found = ((record.seq, parse_message_id(record.message_id)) for record in records)
    return [(seq, said) for seq, said in found if said is not None and said.producer in MACHINE_ORDER]


async def pass_by(tape: Tape, clocks: int) -> None:
    wanted = len(tape.of(Clock)) + clocks
    await tape.wait(lambda t: len(t.of(Clock)) >= wanted)


@pytest.mark.asyncio
async def test_a_torn_tail_opens_a_new_epoch_halted(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy"
    async with trading(state) as (system, tape):
        await flowing(tape)
        await leave_unsaid(system, tape)
    broker = system.installation.broker.directory
    shutil.copytree(broker / "jetstream", copy / "jetstream")
    async with trading(state) as (system, tape):
        kept_to = tape.messages[-1][0].seq
        await flowing(tape)
        before = system.tape
        lost_claims = {m.order for r, m in tape.messages if isinstance(m, Claim) and r.seq > kept_to}
    assert lost_claims
    for ledger in (True, False):
        torn = tmp_path / f"torn-{ledger}"
        # The database's files are its user's.
        await asyncio.to_thread(subprocess.run, ["cp", "-a", state, torn], check=True)
        put_back(torn / broker.relative_to(state), copy, ledger=ledger)
        await goes_on_in_a_new_epoch(torn, before, lost_claims, ledger=ledger)


async def goes_on_in_a_new_epoch(state: Path, before: str, lost_claims: set[str], *, ledger: bool) -> None:
    """Start over a torn tape; with ``ledger`` the claims were lost with it."""
    async with trading(state) as (system, tape):
        assert system.new_epoch
        assert system.tape != before
        torn_at = next(r.seq for r, m in tape.messages if isinstance(m, Session) and m.tape == system.tape)
        assert [m.halted for m in tape.of(Session)][-1]
        assert (await status_text(state)).startswith("halted: new epoch")
        for machine in MACHINE_ORDER:
            store = SnapshotStore(state / "snapshots", machine)
            assert all(s.tape == system.tape or s.seq < torn_at for s in store.newest_first())
        claims = len(tape.of(Claim))
        await pass_by(tape, 3)
        assert len(tape.of(Claim)) == claims or not ledger
        await tape.wait(lambda t: not open_orders(t))
        code, said = await presage("resume", "--state", str(state))
        assert code == 0, said
        await flowing(tape)
        # It has no snapshot since the tail was lost: it computes all of that again, and says none of it again.
        kill(system, "execution")
        await flowing(tape)
        records = await read_all(system)
    said_after = [said for seq, said in outputs(records) if seq > torn_at]
    assert len(said_after) == len(set(said_after))
    late = {said.producer for said in said_after if said.tape == before}
    assert "execution" in late, "expected something left unsaid by the lost tail, was nothing"
    fates(readable(records), lost_claims, kept=not ledger)
    verification, lines = await verify_journal(state)
    assert verification["sound"], lines
    replayed = await run_replay(ReplayRequest(state))
    assert replayed["identical"], replayed["difference"]


def fates(messages, lost_claims, *, kept):
    """No order twice; what was claimed in the lost part is on the tape again if the ledger kept it."""
    claims = [m.order for _, m in messages if isinstance(m, Claim)]
    assert len(claims) == len(set(claims))
    if kept:
        assert lost_claims <= set(claims)
        ended = {m.order for _, m in messages if isinstance(m, OrderUpdate) and m.status in TERMINAL}
        assert lost_claims <= ended, "expected each of them to be followed to its end"
    else:
        assert not lost_claims & set(claims)
