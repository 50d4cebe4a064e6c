"""``python -m bench.peers``: a backtest here and in two other engines, over one recording, in turns.

Processor seconds of this process or of a child, so a busy machine says nearly the same. What each engine does for an
event is not the same, and the table says so; nobody's checks are switched off.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.backtest import feed_all, runner_for
from bench.machine import describe
from bench.recorded import captures, messages_of, synthetic
from proto.execution import Claim
from proto.feed import Quote
from proto.message import Message
from proto.venue import Fill
from services.feed.recording.recording import FRAMES_FILE

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
HERE = Path(__file__).parent
ROUNDS = 5
PATIENCE_S = 600.0

WORK = {
    "Presage": "best prices, books of ten levels, trades and markets; signal, risk with all its checks, paper exchange, "
    "exits, monitor, advisor; approvals signed and verified, orders claimed",
    "NautilusTrader": "best prices alone (from a raw capture: every change of the books); data engine, a strategy in "
    "Python, risk engine, matching, portfolio; no exits, nothing signed, nothing stored",
    "pm-hftbacktest": "the best prices of one instrument; book and queue in compiled code; no orders, risk, portfolio",
}
"""What each does for an event: it is not the same."""


class Decided(NamedTuple):
    """What Presage made of a recording."""

    messages: list[Message]
    quotes: int
    orders: int
    fills: int


def decide(recording: Path) -> Decided:
    """Run once to see how many orders and fills come of it."""
    messages = messages_of(recording)
    runner, seen = runner_for(recording), {Claim: 0, Fill: 0}

    def count(_seq: int, _producer: str, _id: str, message: Message) -> None:
        if type(message) in seen:
            seen[type(message)] += 1

    runner.observers.append(count)
    for message in messages:
        runner.feed(message)
    quotes = sum(type(message) is Quote for message in messages)
    return Decided(messages, quotes, seen[Claim], seen[Fill])


def through_machines(recording: Path, messages: Sequence[Message]) -> float:
    """Processor seconds of all machines over messages in memory."""
    return feed_all(runner_for(recording), messages, process_time)


def write_quotes(messages: Sequence[Message], path: Path) -> int:
    """The quotes with both sides of contracts, one a line, for the others; how many there are."""
    rows = [
        f"{m.instrument},{m.at},{m.bid},{m.bid_size},{m.ask},{m.ask_size}\n"
        for m in messages
        if type(m) is Quote and m.instrument.startswith("kalshi:") and m.bid and m.ask and m.bid < m.ask
    ]
    path.write_text("".join(rows))
    return len(rows)


def child(command: Sequence[str]) -> tuple[str, float]:
    """Run a program to its end: what it printed, and its processor seconds, imports and all.

    Raises:
        RuntimeError: it failed; the end of what it said is in it.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=dict(os.environ),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"expected {command[1]} to end well, was {done.stderr[-400:]}")
    return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def peer(program: str, *arguments: str) -> dict[str, Any]:
    """A program of the peers' own Python: its figures, and ``child_s``, its whole processor time."""
    out, seconds = child([str(PYTHON), str(HERE / f"{program}_program.py"), *arguments])
    return {**json.loads(out.splitlines()[-1]), "child_s": seconds}


def whole_command(recording: Path) -> float:
    """``presage backtest`` from the raw capture to its summary."""
    command = [sys.executable, "-m", "tools.cli", "backtest", str(recording), "--json"]
    return child(command)[1]


def measure(recording: Path, rounds: int, tell: Callable[[str], None]) -> list[tuple[str, ...]]:
    """All engines over one recording, in turns; a row of texts a measurement. The best round counts."""
    decided = decide(recording)
    capture = recording / FRAMES_FILE
    ours, theirs, ceiling, whole, their_whole = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        quotes = Path(folder) / "quotes.csv"
        count = write_quotes(decided.messages, quotes)
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            ours.append(through_machines(recording, decided.messages))
            theirs.append(peer("nautilus", "quotes", str(quotes), str(decided.orders)))
            ceiling.append(peer("hftbacktest", str(quotes)))
            whole.append(whole_command(recording))
            their_whole.append(peer("nautilus", "capture", str(capture), str(decided.orders)))
    us, them = min(ours), min(run["run_s"] for run in theirs)
    fast = min(run["run_s"] / run["events"] for run in ceiling)
    us_whole, them_whole = min(whole), min(run["child_s"] for run in their_whole)
    orders = f"{decided.orders} orders, {decided.fills} fills"
    their_orders = f"{theirs[0]['orders']} orders, {theirs[0]['fills']} fills"
    ratio = f"Presage to it: {them / us:.2f} for the recording, {them / count / (us / len(decided.messages)):.2f} an event"
    return [
        (f"in memory, Presage: {len(decided.messages):,} messages, {decided.quotes:,} of them quotes; {orders}",
         f"{us:.3f} s, {us / len(decided.messages) * 1e6:.2f} µs an event", ""),
        (f"in memory, NautilusTrader: {count:,} quotes; {their_orders}",
         f"{them:.3f} s, {them / count * 1e6:.2f} µs an event", ratio),
        ("in memory, pm-hftbacktest: quotes of one instrument", f"{fast * 1e6:.2f} µs an event",
         f"Presage to it: {fast / (us / len(decided.messages)):.3f} an event"),
        ("raw capture to summary, whole command, Presage", f"{us_whole:.2f} s", ""),
        (f"raw capture to result, whole command, NautilusTrader: {their_whole[0]['events']:,} changes of books",
         f"{them_whole:.2f} s", f"Presage to it: {them_whole / us_whole:.2f}"),
    ]  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--recording", type=Path, help="a raw Kalshi capture; default: the first one there is"
    )
    options = parser.parse_args()
    if not PYTHON.is_file():
        print("expected the peers in .venv-peers; run: make peers", file=sys.stderr)
        return 1
    console, about = Console(), describe()
    with tempfile.TemporaryDirectory() as folder:
        recording = options.recording or next(iter(captures()), None) or synthetic(Path(folder))
        rows = measure(recording, options.rounds, lambda text: print(text, file=sys.stderr))
    table = Table(
        "measurement",
        "processor time",
        "ratio",
        title=f"{about['processor']}, load average {about['load_average']}, {about['date']}",
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for name, work in WORK.items():
        console.print(f"{name}: {work}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
