"""A system that trades busily while it is being hurt: many orders in a short recording."""

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import Any

from proto.subjects import SERVICES
from services.feed.recording.recording import RESULTS_FILE
from services.feed.synthetic.recording import write_recording
from tests.support.harness import Tape, kill
from tools.offline.backtest import Backtest
from tools.system.composition import sections
from tools.system.run import PlayProgress
from tools.system.system import System

BUSY = {
    "risk.cooldown_s": "1",
    "risk.repeat_s": "1",
    "risk.order_rate_max_count": "1000",
    "risk.bet_max": "0.01",
    "risk.heat_max": "0.90",
    "risk.group_loss_max": "0.90",
    "risk.one_position_per_market": "false",
    "risk.drawdown_stop": "0.99",
    "risk.spread_max": "0.10",
    "exit.target_delay_s": "1",
    "signal.momentum.warmup_s": "10",
    "signal.momentum.z_min": "1.0",
    "signal.momentum.change_interval_s": "1",
    "signal.momentum.repeat_interval_s": "2",
}
"""Settings under which the strategy trades every other second: a fault must find orders on their way."""
SEED = 30
JOURNAL_PATIENCE_S = 300.0
"""A busy machine takes a minute to start it."""
LIVE_AGAIN_S = 180.0
KILL_POLL_S = 0.01


def busy_recording(directory: Path, minutes: float = 0.5, *, results: bool = True) -> Path:
    """A recording with more than an order a second under ``BUSY``, from its tenth second on.

    Its results come when its markets close, minutes after a short recording: without them it ends at once.
    """
    recording = write_recording(directory / f"busy-{minutes:g}", SEED, minutes)
    if not results:
        (recording / RESULTS_FILE).unlink()
    return recording


def backtested(recording: Path, changes: dict[str, str]) -> dict[str, Any]:
    """The summary of a backtest."""
    test = Backtest(sections(overrides=changes))
    test.run([recording])
    return test.summary.document()


async def play(system: System, patience_s: float) -> dict[str, Any]:
    """Play all recordings to their end; the summary."""
    async with asyncio.timeout(patience_s):
        await system.play(PlayProgress(system.options.recordings, visible=False))
    return system.summary.document()


def kill_plan(seed: int, kills: int, first_seq: int, last_seq: int) -> list[tuple[int, str]]:
    """When to kill what: every service in turn before any comes again, at random tape sequences."""
    chance = random.Random(seed)
    services: list[str] = []
    while len(services) < kills:
        services += chance.sample(SERVICES, len(SERVICES))
    return list(zip(sorted(chance.sample(range(first_seq, last_seq), kills)), services, strict=False))


def has_reached(seq: int, tape: Tape) -> bool:
    """Whether the tape, as the test follows it, has come to a sequence."""
    return bool(tape.messages) and tape.messages[-1][0].seq >= seq


async def follow_plan(system: System, tape: Tape, plan: list[tuple[int, str]], patience_s: float) -> int:
    """Kill by plan as the tape gets there; a service is live again before it is killed again.

    Returns the number of kills that hit a running process.
    """
    killed = 0
    for seq, service in plan:
        await tape.wait(partial(has_reached, seq), patience_s)
        child = system.supervisor.children[service]
        async with asyncio.timeout(LIVE_AGAIN_S):
            while child.process is None or child.process.poll() is not None:
                await asyncio.sleep(KILL_POLL_S)
        # Restarts in a row are slowed down; here they are the test's doing, not a service that cannot start.
        child.in_a_row = 0
        kill(system, service)
        killed += 1
    return killed


async def journaled(system: System, tape: Tape) -> None:
    """Wait until the journal has all of the tape so far: one that was killed late has only begun to catch up."""
    last = tape.messages[-1][0].seq
    there = await system.reports.wait_for(
        lambda latest: latest.get("journal", {}).get("position", 0) >= last, JOURNAL_PATIENCE_S
    )
    assert there, f"expected the journal to reach {last}, was {system.reports.latest.get('journal')}"


def same_decisions(played: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal but for what depends on the run: times and the records of starts."""
    varying = ("events", "latency_ms", "tape_last_seq")
    for key, value in expected.items():
        if key not in varying:
            assert played[key] == value, f"{key}: expected {value}, was {played[key]}"
