"""Tick at the feed's socket → claim won: the whole system beside a bare nats-py chain, in one run.

The claim is won when the ledger stores it. Its time is taken from the copy on the tape, which comes a
moment later: the figure is on the safe side.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import nats

from bench import venue
from bench.bare_chain import CLAIMS, EVERY_N, STREAM
from bench.result import Figure, Tell
from libs.tape.broker import binary, free_port
from libs.tape.record import TapeRecord
from proto.execution import Claim
from proto.feed import Quote
from proto.message import Message
from tools.system.composition import CONFIG_DIRECTORY, sections
from tools.system.options import Options
from tools.system.summary import percentile
from tools.system.system import System

RATE = 1_000
WARM_ORDERS = 50
ORDERS = 600
PATIENCE_S = 120.0
MEDIAN_TIMES_MAX, P99_TIMES_MAX = 1.5, 3.0
"""The plan: in terms of the bare chain's of the same run."""
HOPS = {
    "feed": "socket → feed.quote stored",
    "signal": "feed.quote → signal.proposal stored",
    "risk": "signal.proposal → risk.approval stored",
    "claim": "risk.approval → claim won, its copy on the tape",
}
STRATEGY = str(Path(__file__).with_name("strategy.py")) + ":EveryNth"

CHANGES = {
    "risk.sizing": "fixed",
    "risk.fixed_bet": "0.0001",
    "risk.cooldown_s": "0",
    "risk.repeat_s": "0",
    "risk.order_rate_max_count": "10000",
    "risk.order_rate_window_s": "1",
    "risk.one_position_per_market": "false",
    "risk.positions_max_count": "10000",
    "risk.quantity_min": "0.01",
    "risk.bet_max": "1.0",
    "risk.market_stake_max": "1.0",
    "risk.heat_max": "1.0",
    "risk.group_loss_max": "1.0",
    "risk.daily_loss_max": "1.0",
    "risk.drawdown_stop": "1.0",
    "risk.drawdown_reduce": "0.9",
    "signal.every_nth.every_n": str(EVERY_N),
}


class Waits:
    """Latencies of the system, hop by hop, from what the tape says."""

    def __init__(self) -> None:
        self.whole_ms: list[float] = []
        self.hops_ms: dict[str, list[float]] = {name: [] for name in HOPS}
        self._quotes: dict[int, int] = {}
        self._stored: dict[int, tuple[int, int]] = {}

    def take(self, record: TapeRecord, message: Message) -> None:
        """Take one message of the tape."""
        if type(message) is Quote:
            self._quotes[record.seq] = message.at
            self._stored[record.seq] = (record.stored_at_ns, 0)
        elif record.cause:
            self._stored[record.seq] = (record.stored_at_ns, record.cause)
        if isinstance(message, Claim) and record.root in self._quotes:
            self._claim(record)

    def _claim(self, record: TapeRecord) -> None:
        received = self._quotes[record.root]
        approval, proposal = record.cause, self._stored[record.cause][1]
        quote = self._stored[proposal][1]
        times = (
            received,
            *(self._stored[seq][0] for seq in (quote, proposal, approval)),
            record.stored_at_ns,
        )
        self.whole_ms.append((times[-1] - received) / 1e6)
        for name, before, after in zip(self.hops_ms, times, times[1:], strict=False):
            self.hops_ms[name].append((after - before) / 1e6)


async def measure_system(state: Path) -> Waits:
    """Run the real system on the bench's market until enough orders were claimed."""
    url, task = await venue.start(RATE)
    options = Options(state=state, sockets=[url], strategies=[STRATEGY])
    known = sections(strategies=[STRATEGY], directory=configuration(state), overrides=CHANGES)
    system = System(options, known)
    waits = Waits()
    system.observers.append(waits.take)
    try:
        await system.start()
        await _until(lambda: len(waits.whole_ms) >= WARM_ORDERS + ORDERS)
    finally:
        task.cancel()
        await system.stop()
    waits.whole_ms = waits.whole_ms[WARM_ORDERS:]
    waits.hops_ms = {name: values[WARM_ORDERS:] for name, values in waits.hops_ms.items()}
    return waits


def configuration(state: Path, strategy: str = "every_nth") -> Path:
    """The shipped configuration with an empty section for a strategy of the bench."""
    directory = state.parent / "config"
    shutil.copytree(CONFIG_DIRECTORY, directory, dirs_exist_ok=True)
    (directory / "signal" / f"{strategy}.yaml").write_text("{}\n")
    return directory


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.05)


async def measure_bare(directory: Path) -> list[float]:
    """Run the bare chain on its own broker, on the same market."""
    url, task = await venue.start(RATE)
    port = free_port()
    broker = await asyncio.create_subprocess_exec(
        binary(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(directory),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    address = f"nats://127.0.0.1:{port}"
    processes = [broker]
    waits: list[float] = []
    try:
        await _bare_streams(address)
        last = await _role("claim", address)
        processes.append(last)
        processes += [await _role("hop", address, str(number)) for number in (1, 0)]
        await asyncio.sleep(1.0)
        processes.append(await _role("source", address, url))
        assert last.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while len(waits) < WARM_ORDERS + ORDERS:
                waits.append(float(await last.stdout.readline()))
    finally:
        task.cancel()
        for process in reversed(processes):
            if process.returncode is None:
                process.kill()
                await process.wait()
    return waits[WARM_ORDERS:]


async def _role(name: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bare_chain", name, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def _bare_streams(address: str) -> None:
    client = await nats.connect(address)
    stream = client.jetstream()
    await stream.add_stream(name=STREAM, subjects=["bare.>"])
    await stream.add_stream(name=CLAIMS, subjects=["bareclaim.>"])
    await client.close()


def _pair(name: str, values: list[float], aims: tuple[float | None, float | None]) -> list[Figure]:
    """Median and 99th percentile of latencies in milliseconds."""
    return [
        Figure(f"{name}, p50", percentile(values, 0.5) or 0.0, "ms", aims[0]),
        Figure(f"{name}, p99", percentile(values, 0.99) or 0.0, "ms", aims[1]),
    ]


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """The bare chain, the system, the bare chain again: all in one run on one market."""
    with tempfile.TemporaryDirectory() as directory:
        tell("a bare nats-py chain")
        bare = await measure_bare(Path(directory) / "bare")
        tell("the system, every service its own process")
        waits = await measure_system(Path(directory) / "state")
        tell("the bare chain again")
        bare += await measure_bare(Path(directory) / "again")
    aims = (
        MEDIAN_TIMES_MAX * (percentile(bare, 0.5) or 0.0),
        P99_TIMES_MAX * (percentile(bare, 0.99) or 0.0),
    )
    figures = _pair("latency: bare chain, three tape hops and a claim", bare, (None, None))
    figures += _pair("latency: tick at the socket → claim won", waits.whole_ms, aims)
    for name, values in waits.hops_ms.items():
        figures += _pair(f"  {HOPS[name]}", values, (None, None))
    return figures
