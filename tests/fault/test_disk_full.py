"""A full disk under the broker or the database: no new orders, a clear state, and recovery without loss."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import time_ns

import pytest

from proto.execution import Claim
from proto.feed import Trade
from proto.units import SECOND
from tests.fault import invariants
from tests.fault.live import flowing, presage, status_until, trading
from tests.support.harness import Tape

pytestmark = [
    pytest.mark.fault,
    pytest.mark.broker,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

DISK_BYTES = 160 << 20
FREE_LEFT_BYTES = 64 << 10
STOP_WITHIN_NS = 5 * SECOND
WATCHED_NS = STOP_WITHIN_NS + 3 * SECOND
"""As long as a full disk is watched: beyond the time by which orders must have stopped."""
CHUNK = bytes(1 << 20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; skipped where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"mounting a small disk needs root: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave almost nothing free; the file that takes the room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            room = os.statvfs(disk)
            free = room.f_bavail * room.f_frsize - FREE_LEFT_BYTES
            if free <= 0:
                return ballast
            file.write(CHUNK[:free])


def claims_after(tape: Tape, moment_ns: int) -> list[str]:
    return [m.order for r, m in tape.messages if isinstance(m, Claim) and r.stored_at_ns > moment_ns]


@pytest.mark.asyncio
async def test_a_full_disk_under_the_broker_stops_orders_and_heals(tmp_path, small_disk):
    state = tmp_path / "state"
    (state / "broker").mkdir(parents=True)
    (small_disk / "jetstream").mkdir()
    (state / "broker" / "jetstream").symlink_to(small_disk / "jetstream")
    async with trading(state) as (system, tape):
        await flowing(tape)
        filled_ns = time_ns()
        ballast = fill(small_disk)
        await status_until(state, lambda text: text == "no new orders: broker disk full")
        code, said = await presage("halt", "--state", str(state))
        assert code == 0, said
        # The tape may stand still by now: only the clock on the wall tells.
        while time_ns() < filled_ns + WATCHED_NS:
            await asyncio.sleep(0.1)
        assert not claims_after(tape, filled_ns + STOP_WITHIN_NS)
        ballast.unlink()
        freed = tape.messages[-1][0].seq
        await tape.wait(lambda t: t.messages[-1][0].seq > freed + 100)
        code, said = await presage("resume", "--state", str(state))
        assert code == 0, said
        await flowing(tape)
        assert await status_until(state, lambda text: text == "open")
        assert not system.installation.layout.pause_file.exists()
    found = await invariants.check(state, finished=False)
    assert found.claims >= 6


@pytest.mark.asyncio
async def test_a_full_disk_under_the_database_stops_orders_and_heals(tmp_path, small_disk):
    state = tmp_path / "state"
    state.mkdir()
    (state / "postgres").symlink_to(small_disk)
    async with trading(state) as (system, tape):
        await flowing(tape)
        filled_ns = time_ns()
        ballast = fill(small_disk)
        await status_until(state, lambda text: text == "no new orders: database disk full")
        traded = len(tape.of(Trade))
        await tape.wait(lambda t: t.messages[-1][0].stored_at_ns > filled_ns + WATCHED_NS)
        assert not claims_after(tape, filled_ns + STOP_WITHIN_NS)
        assert len(tape.of(Trade)) > traded
        ballast.unlink()
        await flowing(tape)
        assert await status_until(state, lambda text: text == "open")
        last = tape.messages[-1][0].seq
        assert await system.reports.wait_for(lambda r: r["journal"].get("position", 0) >= last, 180)
    found = await invariants.check(state, finished=False)
    assert found.claims >= 6
