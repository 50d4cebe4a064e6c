"""What ``python -m bench builds`` runs inside each build: one measurement, its figures as JSON on stdout.

The text of this file is handed to the build's own Python, in the build's folder. So it uses what the bench of every
build has, and takes what has moved between builds from the bench that imports it.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from bench import backtest, latency, replay, risk_decision
from bench.recorded import TapeMaker, synthetic
from libs.tape.record import TapeRecord

TAPE = "tape.jsonl"
PASSES = 3
"""Of a measurement of a second, in one process: the best counts, the first ones still warm up."""


def _part(module: Any, name: str) -> Any:
    return vars(module)[name]


def count_processor_time() -> None:
    """Let the bench's stop-watch for whole runs count this process's own time, whoever else uses the processor."""
    for module in (replay, backtest):
        vars(module)["perf_counter"] = process_time


def make_tape(folder: Path) -> dict[str, float]:
    """The tape that this build leaves of half an hour of the synthetic market, and the keys that signed it."""
    installation = _part(replay, "Installation")(folder / "state")
    signer, domain = _part(replay, "Signer"), _part(replay, "APPROVAL_DOMAIN")
    approvals = signer.load(domain, installation.layout.risk_key)
    records = TapeMaker(approvals, installation.operator_signer()).make(synthetic(folder))
    write_tape(folder / TAPE, records)
    return {"messages": len(records)}


def write_tape(path: Path, records: list[TapeRecord]) -> None:
    """Write a record a line."""
    with path.open("w") as file:
        for record in records:
            row = record._asdict() | {"payload": base64.b64encode(record.payload).decode()}
            file.write(json.dumps(row) + "\n")


def read_tape(path: Path) -> list[TapeRecord]:
    """Read what ``write_tape`` wrote."""
    rows = map(json.loads, path.read_text().splitlines())
    return [TapeRecord(**(row | {"payload": base64.b64decode(row["payload"])})) for row in rows]


def replay_tape(folder: Path) -> dict[str, float]:
    """Every machine over the tape, in memory; messages a second."""
    records = read_tape(folder / TAPE)
    installation = _part(replay, "Installation")(folder / "state")
    seconds = min(replay.in_memory(records, installation) for _ in range(PASSES))
    return {"replay": len(records) / seconds}


def from_frames(recording: Path) -> dict[str, float]:
    """A backtest from raw frames; frames a second."""
    frames, _, seconds = min((backtest.from_frames(recording) for _ in range(PASSES)), key=lambda run: run[2])
    return {"frames": frames / seconds}


def through_machines(recording: Path) -> dict[str, float]:
    """A backtest's messages, in memory, through the machines; messages a second."""
    messages, seconds = min((backtest.through_machines(recording) for _ in range(PASSES)), key=lambda r: r[1])
    return {"machines": messages / seconds}


def risk(_: Path) -> dict[str, float]:
    """Decisions of risk; the median, in microseconds."""
    figures = asyncio.run(risk_decision.measure(lambda _: None, []))
    return {"risk": next(figure.value for figure in figures if figure.name == "risk decision p50")}


def tick_to_claim(folder: Path) -> dict[str, float]:
    """From a tick at the feed's socket to the claim won, in the whole system; milliseconds."""
    waits = asyncio.run(latency.measure_system(folder / "state"))
    ranked = sorted(waits.whole_ms)
    return {f"claim_p{percent}": ranked[len(ranked) * percent // 100] for percent in (10, 50, 99)}


MEASUREMENTS: dict[str, Callable[[Path], dict[str, float]]] = {
    "tape": make_tape,
    "replay": replay_tape,
    "frames": from_frames,
    "machines": through_machines,
    "risk": risk,
    "claim": tick_to_claim,
}

if __name__ == "__main__":
    count_processor_time()
    print(json.dumps(MEASUREMENTS[sys.argv[1]](Path(sys.argv[2]))))
