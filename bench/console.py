"""What the console costs the chain of a decision, how late a browser is, and how long a page takes.

The whole system on the bench's market, by turns with a console that twenty sockets watch and without one: the medians
from the tick to the claim stand side by side. Beside them how long an order's row takes from the tape to a socket, the
console's own memory, and the first pages of a console whose journal has a million rows.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any

import asyncpg
import httpx
import psutil
import websockets
from websockets.typing import Origin

from bench import venue
from bench.latency import CHANGES, RATE, STRATEGY, Waits, configuration
from bench.result import Figure, Tell
from libs.database.embedded import EmbeddedPostgres
from libs.operator.watch import Reports
from libs.runtime.layout import RunFile, StateLayout
from libs.tape.connection import Link
from services.console.accounts import FIRST_PASSWORD, FIRST_USER
from services.console.fold import ConsoleFold
from services.console.pages import OVERVIEW
from services.console.service import Console
from services.console.surroundings import Surroundings
from services.console.web import app_of
from services.journal.schema import migrate
from tools.system.composition import sections
from tools.system.options import Options
from tools.system.summary import percentile
from tools.system.system import System

BROWSERS = 20
WARM_ORDERS = 50
ORDERS = 400
TURNS = 2
ORDERS_MIN = 20
"""Below this a turn says nothing."""
TURN_S = 25.0
"""A turn ends with its orders, or after this with those that came: two of each kind, and the pages, take four minutes."""
PATIENCE_S = 60.0
"""For a start, a console that is live, the first orders, a million rows."""
ROWS = 1_000_000
PAGES = ("/", "/orders", "/decisions", "/journal", "/journal?kind=execution.order")
REQUESTS = 15
PAGE_AIM_S = 0.3
SCREEN_AIM_S = 0.5
HOST = "127.0.0.1:8700"
_FILL = """
INSERT INTO journal.entry (epoch, seq, day, n, stored_at, stored_ns, at, kind, subject, message_id, producer, build,
                           signature, key_id, order_id, market, strategy, payload, body, prev_seq, prev_hash, hash)
SELECT 1, n, '2026-05-13', n, now(), n, now(), CASE n % 4 WHEN 0 THEN 'execution.order' ELSE 'feed.trade' END,
       'execution.order.bench-' || n, 'bench:' || n, 'execution', 'bench', '', '',
       CASE n % 4 WHEN 0 THEN 'bench-' || n || '-0' END, 'kalshi:BENCH', 'momentum', ''::bytea,
       '{"status": "accepted", "quantity": 1000000}'::jsonb, n - 1, ''::bytea, ''::bytea
FROM generate_series(1, $1) AS n
"""


class Turn:
    """One run: latencies of the chain, of rows on their way to sockets, and the console's memory."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.late_s: list[float] = []
        self.pss_mib = 0.0


@asynccontextmanager
async def _watched(system: System, turn: Turn) -> AsyncIterator[None]:
    """Twenty sockets that want what the overview and the list of orders want."""
    base = system.console_url
    folder = system.installation.layout.console
    async with asyncio.timeout(PATIENCE_S):
        while system.reports.latest.get("console", {}).get("state") != "live":
            await asyncio.sleep(0.1)
    password = (folder / FIRST_PASSWORD).read_text().strip()
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        await client.post("/api/v1/login", json={"user": FIRST_USER, "password": password})
        cookie = client.cookies["presage"]
    # A process of their own: what twenty browsers do with what they get is no cost of ours.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.console", base, cookie, stdout=asyncio.subprocess.PIPE
    )
    reading = asyncio.create_task(_read(process, turn))
    try:
        yield
        turn.pss_mib = _pss_mib(system.supervisor.children["console"].pid)
    finally:
        process.kill()
        await process.wait()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(process: asyncio.subprocess.Process, turn: Turn) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        turn.late_s.append(float(line))


async def _browse(base: str, cookie: str) -> None:
    """Twenty browsers; one of them says how late the rows are that it gets."""
    await asyncio.gather(*(_watch(base, cookie, first=number == 0) for number in range(BROWSERS)))


async def _watch(base: str, cookie: str, *, first: bool) -> None:
    url = base.replace("http", "ws") + "/api/v1/live"
    async with websockets.connect(
        url,
        origin=Origin(base),
        additional_headers={"Cookie": f"presage={cookie}"},
        proxy=None,
        max_size=None,
    ) as socket:
        await socket.send(json.dumps({"tables": [*OVERVIEW, "orders"]}))
        async for frame in socket:
            if first:
                _say_how_late(json.loads(frame))


def _say_how_late(frame: dict[str, Any]) -> None:
    """Of the orders that are new in a change; a snapshot's rows are old by nature."""
    if frame["type"] == "snapshot":
        return
    now = time_ns()
    for shown in frame["tables"].get("orders", {}).get("rows", {}).values():
        if shown["row"]["status"] == "approved":
            print((now - int(shown["row"]["at"])) / 1e9, flush=True)


def _pss_mib(pid: int) -> float:
    with suppress(psutil.Error):
        return float(psutil.Process(pid).memory_full_info().pss) / 2**20
    return 0.0


async def _turn(state: Path, *, with_console: bool) -> Turn:
    url, task = await venue.start(RATE)
    options = Options(state=state, sockets=[url], strategies=[STRATEGY], console=with_console)
    known = sections(strategies=[STRATEGY], directory=configuration(state), overrides=CHANGES)
    system, turn = System(options, known), Turn()
    system.observers.append(turn.waits.take)
    try:
        await system.start()
        if with_console:
            async with _watched(system, turn):
                await _enough(turn)
        else:
            await _enough(turn)
    finally:
        task.cancel()
        await system.stop()
    return turn


async def _enough(turn: Turn) -> None:
    """Wait until the system is warm, then for its orders, as many as come in a turn's time.

    Raises:
        TimeoutError: too few came.
    """
    async with asyncio.timeout(PATIENCE_S):
        while len(turn.waits.whole_ms) < WARM_ORDERS:
            await asyncio.sleep(0.05)
    turn.waits.whole_ms.clear()
    turn.late_s.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(TURN_S):
            while len(turn.waits.whole_ms) < ORDERS:
                await asyncio.sleep(0.05)
    if len(turn.waits.whole_ms) < ORDERS_MIN:
        raise TimeoutError(f"expected {ORDERS_MIN} orders in {TURN_S:.0f} s, was {len(turn.waits.whole_ms)}")


async def _pages(directory: Path, tell: Tell) -> dict[str, float]:
    """Page → seconds of server time, the slowest of several requests, with a million rows in the journal."""
    database = EmbeddedPostgres(directory / "postgres")
    dsn = await asyncio.to_thread(database.start)
    try:
        connection = await asyncpg.connect(dsn)
        await migrate(connection)
        await connection.execute(
            "INSERT INTO journal.epoch (epoch, run, tape, from_seq, position, genesis, reason)"
            " VALUES (1, 1, 'bench', 1, $1, ''::bytea, 'bench')", ROWS
        )  # fmt: skip
        tell(f"{ROWS:,} rows into the journal")
        await connection.execute(_FILL, ROWS, timeout=PATIENCE_S)
        await connection.execute("ANALYZE journal.entry")
        await connection.close()
        return await _ask(directory, dsn)
    finally:
        await asyncio.to_thread(database.stop)


async def _ask(directory: Path, dsn: str) -> dict[str, float]:
    layout = StateLayout(directory / "state")
    layout.prepare()
    run = RunFile(broker_url="", tape="bench", database_url=dsn)
    now = Surroundings(layout, run, Link("bench"), Reports(), ConsoleFold("paper"), "bench")
    console = Console(now, is_secure=False)
    transport = httpx.ASGITransport(app=app_of(console, [HOST], is_secure=False))
    found: dict[str, float] = {}
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
        password = (layout.console / FIRST_PASSWORD).read_text().strip()
        await client.post("/api/v1/login", json={"user": FIRST_USER, "password": password})
        for page in PAGES:
            for _ in range(REQUESTS):
                began = perf_counter()
                answer = await client.get(page)
                found[page] = max(found.get(page, 0.0), perf_counter() - began)
                if answer.status_code != 200 or (page.startswith("/journal") and "bench-" not in answer.text):
                    raise RuntimeError(f"expected {page}, was {answer.status_code}")
    await console.journal.close()
    return found


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """By turns without and with a watched console; then pages over a large journal."""
    os.environ["PRESAGE_CONSOLE_ADDRESS"] = "127.0.0.1:0"
    without: list[float] = []
    watched = Turn()
    with tempfile.TemporaryDirectory() as directory:
        for turn in range(TURNS):
            tell(f"the system without a console, {turn + 1} of {TURNS}")
            without += (await _turn(Path(directory) / f"without-{turn}", with_console=False)).waits.whole_ms
            tell(f"the same with a console and {BROWSERS} browsers")
            found = await _turn(Path(directory) / f"with-{turn}", with_console=True)
            watched.waits.whole_ms += found.waits.whole_ms
            watched.late_s += found.late_s
            watched.pss_mib = max(watched.pss_mib, found.pss_mib)
        pages = await _pages(Path(directory) / "pages", tell)
    figures = []
    for name, values in (
        ("no console", without),
        (f"a console and {BROWSERS} browsers", watched.waits.whole_ms),
    ):
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            value = percentile(values, share) or 0.0
            figures.append(Figure(f"console: tick at the socket → claim won, {name}, {word}", value, "ms"))
    late = percentile(watched.late_s, 0.99) or 0.0
    figures.append(
        Figure("console: order on the tape → its row at a browser's socket, p99", late, "s", SCREEN_AIM_S)
    )
    figures.append(Figure("console: memory of its process (PSS), 20 browsers", watched.pss_mib, "MiB", 80))
    figures += [
        Figure(
            f"console: server time of {page}, journal of {ROWS:,} rows, slowest of {REQUESTS}",
            seconds,
            "s",
            PAGE_AIM_S,
        )
        for page, seconds in pages.items()
    ]
    return figures


if __name__ == "__main__":
    asyncio.run(_browse(*sys.argv[1:3]))
