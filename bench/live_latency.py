"""A tick leaves the sandbox's socket → the signed order arrives there: the system, live, beside an official bot.

Both trade at one and the same sandbox, in turns and in one run: the bot, the system, the bot again. The system
is what ``presage up --sandbox-live`` runs: every service a process of its own, risk and signatures, the claim in
the ledger before the order leaves, and the journal behind it all.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from bench import latency, official
from bench.result import Figure, Tell
from bench.strategy import MARK
from libs.runtime.layout import StateLayout
from libs.tape.record import TapeRecord
from proto.execution import Claim
from proto.feed import Quote
from proto.message import Message
from proto.units import ONE
from sandbox.world.world import UPDATES_PER_S
from tools.system.composition import sections, venue_sections
from tools.system.options import MarketSource, Options
from tools.system.sandbox_process import SandboxProcess, with_addresses
from tools.system.summary import percentile
from tools.system.system import KEYED_SERVICES, System

MARKS = 200
"""Orders of each measurement; of the bot half in each of its two turns."""
WARM_UP = 20
MISSED_MAX = 0.02
"""Marks without an order, or whose order came when the book had moved on. More than so many are no measurement."""
BUSY_PER_S = 20.0
"""Changes a second of each of some dozen books: a busy day at the venue. The other rate is the sandbox's own."""
FLOOD_PER_S = 210.0
"""… and about 5,000 frames a second in all, which the system alone is asked to stand."""
FLOOD_TIMES_MAX = 2.0
"""The plan: its median in the flood, in terms of its own at the busy rate."""
BOT_TIMES_MAX = 2.0
"""The plan: both figures in terms of the bot's."""
PATIENCE_S = 150.0
"""For a measurement: the venue's windows may just be rolling over."""
FOLLOW_S = 240.0
"""From the start until the first order came: on the full hour all windows end, and new ones settle first."""
CONFIGURATION = {"venues.polymarket.any_tag": "true", "venues.polymarket.discovery_interval_s": "5"}
STRATEGY = str(Path(__file__).with_name("strategy.py")) + ":OnMark"
CHANGES = {name: value for name, value in latency.CHANGES.items() if name.startswith("risk.")} | {
    "risk.fixed_bet": "0.002",
    "risk.time_to_close_min_s": "0",
    "risk.depth_min": "0.0",
    "risk.spread_max": "0.5",
}
HOPS = {
    "socket": "left the sandbox → received by the feed",
    **latency.HOPS,
    "sent": "claim's copy on the tape → order arrived",
}


class BenchSandbox(SandboxProcess):
    """The sandbox with the bench's own entrance."""

    @staticmethod
    def _command(layout: StateLayout, seed: int, faults: Path | None) -> list[str]:
        command = SandboxProcess._command(layout, seed, faults)
        command[command.index("sandbox")] = "bench.live_sandbox"
        return command


class BenchSystem(System):
    """The system at a sandbox that is running already."""

    def __init__(
        self, sandbox: BenchSandbox, urls: Mapping[str, Any], options: Options, config: Path
    ) -> None:
        found = venue_sections(["polymarket"], overrides=CONFIGURATION)
        known = sections(strategies=options.strategies, directory=config, overrides=CHANGES)
        super().__init__(options, known, {"polymarket": found["venues.polymarket"]})
        self._bench = sandbox
        self._urls = urls

    async def _prepare_venues(self) -> None:
        self.venues = with_addresses(self.venues, self._urls)
        for service in KEYED_SERVICES:
            self.supervisor.environment[service] = self._bench.environment()


class Turn(NamedTuple):
    """What one turn came to: latencies in milliseconds, and frames a second on the socket."""

    whole_ms: list[float]
    rows: list[Any]
    frames_per_s: float


class Trail:
    """Where the time went between, from what the tape says; found by the id the venue knows an order by."""

    def __init__(self) -> None:
        self._quotes: dict[int, int] = {}
        self._stored: dict[int, tuple[int, int]] = {}
        self._times: dict[str, tuple[int, ...]] = {}

    def take(self, record: TapeRecord, message: Message) -> None:
        """Take one message of the tape."""
        if type(message) is Quote:
            self._quotes[record.seq] = message.at
        if type(message) is Quote or record.cause:
            self._stored[record.seq] = (record.stored_at_ns, record.cause)
        if isinstance(message, Claim) and record.root in self._quotes:
            proposal = self._stored[record.cause][1]
            places = (record.root, proposal, record.cause)
            times = [self._stored[place][0] for place in places]
            self._times[message.client_order_id] = (self._quotes[record.root], *times, record.stored_at_ns)

    def hops(self, rows: Sequence[Any]) -> dict[str, list[float]]:
        """Milliseconds of each hop."""
        found: dict[str, list[float]] = {name: [] for name in HOPS}
        for left, arrived, keys in rows:
            times = next((self._times[key] for key in keys if key in self._times), None)
            if times is not None and arrived is not None:
                whole = (left, *times, arrived)
                for name, before, after in zip(found, whole, whole[1:], strict=False):
                    found[name].append((after - before) / 1e6)
        return found


async def mark(urls: Mapping[str, Any], count: int, updates_per_s: float) -> Turn:
    """Have ``count`` ticks marked.

    Raises:
        RuntimeError: when orders are missing.
    """
    asked = {"count": count, "updates_per_s": updates_per_s}
    async with httpx.AsyncClient(timeout=PATIENCE_S + latency.PATIENCE_S, trust_env=False) as client:
        answer = await client.post(f"{urls['bench']['rest']}/marks", json=asked)
        answer.raise_for_status()
    found = answer.json()
    rows = [row for row in found["rows"] if row[1] is not None]
    if len(rows) < count * (1 - MISSED_MAX):
        raise RuntimeError(f"expected an order for each of {count} marks, was {len(rows)}")
    whole = [(arrived - left) / 1e6 for left, arrived, _ in rows]
    return Turn(whole, rows, found["frames"] / found["seconds"])


async def bot_turn(directory: Path, urls: Mapping[str, Any], rates: Sequence[float]) -> list[Turn]:
    """One run of the bot: a turn at each rate."""
    async with httpx.AsyncClient(trust_env=False) as client:
        markets = directory / "markets.json"
        markets.write_bytes((await client.get(f"{urls['bench']['rest']}/markets")).content)
    addresses = urls["polymarket"]
    process = await asyncio.create_subprocess_exec(
        official.python(), "-m", "bench.official_bot", str(directory / "sandbox" / "polymarket.json"),
        addresses["clob"], addresses["market_websocket"], str(markets), str(MARK // ONE),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(FOLLOW_S):
            if not await process.stdout.readline():
                raise RuntimeError("expected the bot to follow the market, had ended")
        await mark(urls, WARM_UP, UPDATES_PER_S)
        return [await mark(urls, MARKS // 2, rate) for rate in rates]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def system_turn(
    system: System, urls: Mapping[str, Any], rates: Sequence[float], tell: Tell
) -> tuple[list[Turn], Turn | None]:
    """One run of the system: a turn at each rate, and one in a flood; ``None`` if too many of its marks were missed."""
    await system.start()
    if not await system.all_live():
        raise RuntimeError(f"expected every service to be live: {system.not_live()}")
    async with asyncio.timeout(FOLLOW_S):
        # The gate opens once the books of the venue are reconciled and its markets are found.
        while True:
            with contextlib.suppress(RuntimeError):
                await mark(urls, 1, UPDATES_PER_S)
                break
    await mark(urls, WARM_UP, UPDATES_PER_S)
    turns = [await mark(urls, MARKS, rate) for rate in rates]
    try:
        return turns, await mark(urls, MARKS, FLOOD_PER_S)
    except (RuntimeError, httpx.HTTPError) as e:
        tell(f"not measured in the flood: {type(e).__name__}: {e}")
        return turns, None


def _figures(title: str, mine: Turn, bot: Sequence[float], hops: Mapping[str, list[float]]) -> list[Figure]:
    """The system's two figures with the bot's beside them, and the hops."""
    found: list[Figure] = []
    for percent in (0.5, 0.99):
        theirs = percentile(list(bot), percent) or 0.0
        aim = BOT_TIMES_MAX * theirs
        value = percentile(mine.whole_ms, percent) or 0.0
        found.append(Figure(f"live, {title}: tick → signed order, p{percent * 100:g}", value, "ms", aim))
        found.append(Figure(f"  official client's bot, p{percent * 100:g}", theirs, "ms"))
    for name, values in hops.items():
        found += [
            Figure(f"  {HOPS[name]}, p{percent * 100:g}", percentile(values, percent) or 0.0, "ms")
            for percent in (0.5, 0.99)
        ]
    return found


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """The bot, the system, the bot again, at the sandbox's own rate and at a busy one; the system also in a flood."""
    rates = (UPDATES_PER_S, BUSY_PER_S)
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        (directory / "logs").mkdir()
        sandbox = BenchSandbox(StateLayout(directory), 7)
        urls = await sandbox.start()
        watching = asyncio.create_task(sandbox.watch())
        try:
            tell("a bot on the official client")
            bot = await bot_turn(directory, urls, rates)
            tell("the system, every service its own process")
            config = latency.configuration(directory / "state", "on_mark")
            options = Options(
                state=directory / "state",
                strategies=[STRATEGY],
                market=MarketSource.SANDBOX,
                live=["polymarket"],
            )
            system = BenchSystem(sandbox, urls, options, config)
            trail = Trail()
            system.observers.append(trail.take)
            try:
                mine, flood = await system_turn(system, urls, rates, tell)
            finally:
                await system.stop()
            tell("the bot again")
            again = await bot_turn(directory, urls, rates)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await sandbox.stop()
    figures: list[Figure] = []
    for turn, first, second in zip(mine, bot, again, strict=True):
        title = f"{turn.frames_per_s:.0f} frames/s"
        figures += _figures(title, turn, first.whole_ms + second.whole_ms, trail.hops(turn.rows))
    if flood is not None:
        busy, value = (percentile(turn.whole_ms, 0.5) or 0.0 for turn in (mine[-1], flood))
        title = f"live, {flood.frames_per_s:,.0f} frames/s: tick → signed order"
        figures.append(Figure(f"{title}, p50", value, "ms", FLOOD_TIMES_MAX * busy))
        figures.append(Figure(f"{title}, p99", percentile(flood.whole_ms, 0.99) or 0.0, "ms"))
    return figures
