"""Positions at a live venue are left also when everything that knew of them has died meanwhile."""

from pathlib import Path

import pytest

from proto.feed import Side
from proto.risk import Approval
from proto.subjects import SERVICES
from proto.venue import Fill
from tests.fault.sandbox_live import agreed, check_arrivals, folded, positions, trading_at_sandbox
from tests.support.harness import Tape, kill

pytestmark = [
    pytest.mark.fault,
    pytest.mark.broker,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

BACK_S = 200.0
SOLD_S = 280.0
"""Also where the answer to the first sale is lost on a busy machine: it is unknown, and is tried again when its absence
is proved, two minutes and two reconciliations later."""


def exits(tape: Tape, instrument: str, after: int = 0) -> list[Approval]:
    """Approvals of exits from a position, stored later than a sequence."""
    return [
        m
        for r, m in tape.messages
        if isinstance(m, Approval) and m.reduce_only and m.instrument == instrument and r.seq > after
    ]


def sold(tape: Tape, instrument: str) -> int:
    return sum(f.quantity for f in tape.of(Fill) if f.instrument == instrument and f.side is Side.SELL)


@pytest.mark.asyncio
async def test_pain_point_09_a_position_is_left_after_every_service_died(tmp_path: Path):
    """No stop, no target: here exits come again from the tape, and the position is sold."""
    state = tmp_path / "state"
    # No targets yet, so that no exit is on its way when everything dies (such a one would be unknown, and
    # hold its place, until its absence is proved); twelve seconds after the entry the position must go.
    changes = {
        "exit.target_delay_s": "60",
        "exit.stop_loss": "0.9",
        "exit.decay_s": "12",
        "exit.decay_movement": "0.5",
        # Nothing is bought whose market may close before everything is back and the exit is due and filled: what is
        # open at the close is settled, never sold.
        "risk.time_to_close_min_s": "290",
    }
    async with trading_at_sandbox(state, changes) as (system, tape, view):
        # At the end of an hour that may take until the next windows open.
        await tape.wait(lambda t: len(positions(folded(t))) >= 2, 400)
        for service in SERVICES:
            kill(system, service)
        died_at = tape.messages[-1][0].seq
        bought = set(positions(folded(tape)))
        await tape.wait(lambda t: any(exits(t, name, died_at) for name in bought), BACK_S)
        await tape.wait(lambda t: any(sold(t, name) for name in bought), SOLD_S)
        # Nothing was sold twice: what is left at the venue is what is left here, once trading is halted.
        system.installation.layout.halt_file.write_text("a test")
        await agreed(tape, view)
        await check_arrivals(tape, view)
