"""Backtest: events a second, by two definitions that are not the same.

From frames: raw frames and trades of a recording, unpacked, normalised, run through all machines; an
event is a frame. Through the machines: normalised messages already in memory, run through all machines in
one process; an event is a message on the tape, inputs and outputs.
"""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from bench.recorded import captures, messages_of, session_of
from bench.result import Figure, Tell, rate
from libs.machine.inprocess import InProcess
from proto.message import Message
from services.execution.claims import claims_of
from tools.offline.backtest import Backtest
from tools.system.composition import factories, sections

RATE_AIM = 200_000
ROUNDS = 3


def from_frames(recording: Path) -> tuple[int, int, float]:
    """One run as ``presage backtest`` does it: frames, messages on the tape, seconds."""
    backtest = Backtest(sections())
    began = perf_counter()
    backtest.run([recording])
    return backtest.summary.frames, backtest.summary.events, perf_counter() - began


def runner_for(recording: Path) -> InProcess:
    """All machines, with their session opened."""
    runner = InProcess([make() for make in factories().values()], "bench", claims_of)
    runner.feed_together(session_of(recording), "operator")
    return runner


def through_machines(recording: Path) -> tuple[int, float]:
    """All machines over messages in memory, nothing else: messages on the tape, seconds."""
    messages = messages_of(recording)
    runner = runner_for(recording)
    seconds = feed_all(runner, messages, perf_counter)
    return runner.seq, seconds


def feed_all(runner: InProcess, messages: Sequence[Message], clock: Callable[[], float]) -> float:
    """Seconds by ``clock`` that all machines take over messages in memory."""
    # What was made beforehand is not the machines' garbage to look through.
    gc.collect()
    gc.freeze()
    began = clock()
    for message in messages:
        runner.feed(message)
    seconds = clock() - began
    gc.unfreeze()
    return seconds


async def measure(tell: Tell, recordings: Sequence[Path]) -> list[Figure]:
    """Both definitions over the synthetic recording and, where there is one, a real capture; best of a few."""
    chosen = [("synthetic", path) for path in recordings]
    chosen += [("real capture", path) for path in captures()[:1]]
    figures: list[Figure] = []
    for kind, recording in chosen:
        tell(f"{kind}: {recording.name}")
        frames, events, whole_s = min((from_frames(recording) for _ in range(ROUNDS)), key=lambda r: r[2])
        inside, inside_s = min((through_machines(recording) for _ in range(ROUNDS)), key=lambda r: r[1])
        figures += [
            rate(f"backtest through the machines, {kind}", inside, inside_s, "messages", RATE_AIM),
            rate(f"backtest from raw frames, {kind}", frames, whole_s, "frames"),
            rate("  the same run, messages on the tape", events, whole_s, "messages"),
        ]
    return figures
