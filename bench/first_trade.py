"""``python -m bench first-trade``: from ``presage up`` in a fresh state directory to the first fill, seed after seed.

The clock starts when the command is started and stops when the broker has stored the first fill; the view shows it a
quarter of a second later. Everything between is as an operator has it: every service a process of its own, the
sandbox, the default configuration. Where the seconds go is read from the tape.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench import machine
from libs.archive.archive import Archive
from libs.operator.watch import TapeWatch
from libs.runtime.layout import StateLayout
from libs.tape.record import TapeRecord
from proto.feed import Candle, Trade
from proto.message import Message
from proto.operator import Session
from proto.service import Started
from proto.signal import Proposal
from proto.venue import Fill
from tools.system.installation import tape_access

SEEDS = 10
PATIENCE_S = 180.0
"""The figure to reach is 60 s; one that missed it is worth knowing too."""
STOP_PATIENCE_S = 30.0
CHECK_S = 0.05
MEDIAN_AIM_S, WORST_AIM_S = 45.0, 60.0
STAGES: tuple[tuple[str, type[Message]], ...] = (
    ("session opened", Session),
    ("first service", Started),
    ("history", Candle),
    ("first live price", Trade),
    ("first proposal", Proposal),
    ("first fill", Fill),
)
"""What a start comes to, one after the other, each by the first message of its kind."""


class Run(NamedTuple):
    """One start: seconds from the command to each stage's first message, and the load when it began."""

    seed: int
    load: float
    stages_s: dict[str, float]

    @property
    def fill_s(self) -> float:
        """Seconds to the first fill; infinity when none came."""
        return self.stages_s.get("first fill", float("inf"))

    def document(self) -> dict[str, object]:
        """As plain data."""
        return {"seed": self.seed, "load": round(self.load, 2), "stages_s": self.stages_s}


def start_once(seed: int, directory: Path) -> Run:
    """Start the system with a seed in a fresh state directory, wait for its first fill, stop it.

    Raises:
        RuntimeError: it did not come up; the text has its last words.
    """
    state, log = directory / f"state-{seed}", directory / f"up-{seed}.log"
    load = os.getloadavg()[0]
    command = [
        sys.executable,
        "-m",
        "tools.cli",
        "up",
        "--headless",
        "--state",
        str(state),
        "--seed",
        str(seed),
    ]
    with log.open("wb") as output:
        began_ns, began_s = time.time_ns(), time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=Path(__file__).parents[1])
    try:
        while not StateLayout(state).was_run:
            if process.poll() is not None or time.monotonic() - began_s > PATIENCE_S:
                raise RuntimeError(f"expected the system to start, was {log.read_text()[-300:]}")
            time.sleep(CHECK_S)
        seen = asyncio.run(_watched(state, began_s + PATIENCE_S))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_PATIENCE_S)
    return Run(seed, load, {name: round((at - began_ns) / 1e9, 2) for name, at in seen.items()})


async def _watched(state: Path, deadline_s: float) -> dict[str, int]:
    """Follow the tape to the first fill; when the first message of each stage was stored."""
    seen: dict[str, int] = {}

    def take(record: TapeRecord, message: Message) -> None:
        for name, kind in STAGES:
            if isinstance(message, kind):
                seen.setdefault(name, record.stored_at_ns)

    async with tape_access(state) as (installation, link):
        watch = TapeWatch(link, Archive(installation.layout.archive), take)
        try:
            while "first fill" not in seen and time.monotonic() < deadline_s:
                await watch.step()
        finally:
            await watch.close()
    return seen


def main(words: Sequence[str]) -> int:
    """Measure and print.

    Returns:
        0, also when an aim is missed; 1 when a start failed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench first-trade", description="From the command to the first fill."
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"starts, each with its seed (default {SEEDS})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(words)
    console = Console(stderr=True)
    about = machine.describe()
    if warning := machine.busy(about):
        console.print(f"[bold yellow]{warning}[/]")
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(1, arguments.seeds + 1):
            try:
                run = start_once(seed, Path(directory))
            except (RuntimeError, OSError) as e:
                console.print(f"[bold red]seed {seed}: {e}[/]")
                return 1
            runs.append(run)
            console.print(f"seed {seed}: {run.fill_s:.1f} s", highlight=False)
    if arguments.json:
        json.dump({"machine": about, "runs": [run.document() for run in runs]}, sys.stdout, indent=2)
        print()
    else:
        _print(runs, Console(width=None if sys.stdout.isatty() else 110))
    return 0


def _print(runs: Sequence[Run], console: Console) -> None:
    table = Table("seed", "load", *(name for name, _ in STAGES), title="seconds from the command")
    for run in runs:
        cells = [f"{run.stages_s[name]:.1f}" if name in run.stages_s else "" for name, _ in STAGES]
        table.add_row(str(run.seed), f"{run.load:.1f}", *cells)
    console.print(table)
    fills = [run.fill_s for run in runs]
    for name, value, aim in (("median", median(fills), MEDIAN_AIM_S), ("worst", max(fills), WORST_AIM_S)):
        met = "met" if value <= aim else "not met"
        console.print(f"{name} {value:.1f} s, aim ≤ {aim:.0f} s: {met}", highlight=False)
