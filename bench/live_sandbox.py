"""The sandbox as the live bench wants it: it marks ticks, and stamps what leaves and what arrives.

``python -m bench.live_sandbox --state DIR …`` takes the arguments of ``python -m sandbox`` that the supervisor
gives it. A mark is an order of the world's own inside the spread, of a size that nobody else quotes: a new best
bid, for the book and for whoever looks for it. The next one comes when the answer to it has arrived.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.strategy import MARK, MARKS
from libs.exchange.matching_types import LimitOrder
from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from sandbox.arrivals import Arrival
from sandbox.main import PARENT_CHECK_S, write_files
from sandbox.server import HOST, Sandbox
from sandbox.sockets import ClientSocket
from sandbox.world.makers import NOISE
from sandbox.world.markets import SandboxMarket

PAUSE_S = (0.03, 0.09)
"""Between an answer and the next mark, drawn: marks keep no step with anybody's timers."""
ANSWER_S = 2.0
"""An answer that takes longer is none; the marks of which there are more than a few fail the bench."""
ROOM_S = 60
"""A market is marked only if it stays open for so long: none ends during a measurement."""
SETTLED_S = 20
"""… and has been open for so long, that everybody has found it."""
PRICES = (150_000, 850_000)
"""Outside of them the book is thin, and risk's collar narrow."""
MARKET_PATIENCE_S = 200.0
SIZE = re.compile(rf'"size":"{MARK // ONE}\.(\d\d)"')


class Marker:
    """Marks ticks in a running sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._draw = random.Random(f"bench/{sandbox.seed}")
        self._left: dict[int, int] = {}
        self._arrived = asyncio.Event()
        self._arrival: Arrival | None = None
        self._number = 0
        self._frames = 0
        ClientSocket.on_sent = self._on_sent
        self._record = sandbox.arrivals.record
        sandbox.arrivals.record = self._on_arrival  # type: ignore[method-assign]

    def _on_sent(self, venue: str, text: str, at_ns: int) -> None:
        self._frames += venue == POLYMARKET
        found = SIZE.search(text)
        if found is not None:
            self._left.setdefault(int(found[1]), at_ns)

    def _on_arrival(self, venue: str, operation: str) -> Arrival:
        arrival = self._record(venue, operation)
        if operation == "order" and self._arrival is None:
            self._arrival = arrival
            self._arrived.set()
        return arrival

    # ── what the bench asks ──

    async def markets(self, _request: web.Request) -> web.Response:
        """Every market that takes orders, as a bot needs it."""
        found = [m for m in self._sandbox.world.markets(POLYMARKET) if m.accepts_orders]
        return web.json_response(
            [
                {"tokens": m.tokens, "tick": m.tick / ONE, "neg_risk": m.neg_risk, "version": m.version}
                for m in found
            ]
        )

    async def marks(self, request: web.Request) -> web.Response:
        """Mark ``count`` ticks at so many updates a second of each book; one row for each mark.

        Rows: when its frame had left, when the first order after it arrived (both wall-clock ns), the keys of
        that order. Of a mark without an answer the last two are missing.
        """
        asked = await request.json()
        self._sandbox.world.settings.updates_per_s = asked["updates_per_s"]
        markets = await self._candidates()
        self._frames, began = 0, time.monotonic()
        rows = [await self._mark(markets) for _ in range(asked["count"])]
        return web.json_response({"rows": rows, "frames": self._frames, "seconds": time.monotonic() - began})

    async def _candidates(self) -> list[SandboxMarket]:
        deadline = time.monotonic() + MARKET_PATIENCE_S
        while not (found := [m for m in self._sandbox.world.markets(POLYMARKET) if _is_fit(m)]):
            if time.monotonic() > deadline:
                raise web.HTTPServiceUnavailable(text="no market that stays open long enough")
            await asyncio.sleep(1.0)
        return found

    async def _mark(self, markets: list[SandboxMarket]) -> list[Any]:
        await asyncio.sleep(self._draw.uniform(*PAUSE_S))
        while (place := _place(market := self._draw.choice(markets))) is None:
            await asyncio.sleep(0.01)
        self._number = (self._number + 1) % MARKS
        self._arrival = None
        self._arrived.clear()
        # Two digits that never end in nought, or they would be written with one.
        mark = self._number + 1 + self._number // 9
        self._left.pop(mark, None)
        name = f"{NOISE}-mark-{time.monotonic_ns()}"
        order = LimitOrder(
            order_id=name,
            owner=NOISE,
            outcome=0,
            side=Side.BUY,
            price=place,
            quantity=MARK + mark * ONE // 100,
            time_in_force=TimeInForce.GTC,
        )
        self._sandbox.world.order_entry.requote(market, [], [order])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._arrived.wait()
        self._sandbox.world.order_entry.requote(market, [name], [])
        return self._row(mark)

    def _row(self, mark: int) -> list[Any]:
        # Wall-clock times are what the other processes know; both clocks run alike for as long as this takes.
        offset = time.time_ns() - time.monotonic_ns()
        left = self._left.pop(mark, None)
        if left is None or self._arrival is None:
            return [left and left + offset, None, []]
        return [left + offset, self._arrival.at_ns + offset, self._arrival.keys]


def _is_fit(market: SandboxMarket) -> bool:
    now = time.time_ns()
    settled = market.open_ns + SETTLED_S * SECOND < now < market.close_ns - ROOM_S * SECOND
    return settled and market.status is MarketStatus.OPEN


def _place(market: SandboxMarket) -> int | None:
    """A price between best bid and ask where nothing is quoted."""
    bid, ask = market.book.best()
    if bid is None or ask is None or not PRICES[0] <= bid <= PRICES[1]:
        return None
    step = market.step_at(bid)
    return bid + step if ask - bid > step else None


async def main() -> None:
    """Serve until the process that started this one is gone."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_sandbox")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--port-base", type=int, default=0)
    parser.add_argument("--ports-reserved", action="store_true")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--with-parent", action="store_true")
    # What else the supervisor gives the sandbox is of no use to a bench.
    given, _ = parser.parse_known_args()
    parent = os.getppid()
    sandbox = Sandbox(
        given.seed, [POLYMARKET], port_base=given.port_base, ports_reserved=given.ports_reserved
    )
    marker = Marker(sandbox)
    app = web.Application()
    app.add_routes([web.get("/markets", marker.markets), web.post("/marks", marker.marks)])
    runner = web.AppRunner(app, access_log=None)
    async with sandbox:
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        sandbox.urls["bench"] = {"rest": f"http://{HOST}:{runner.addresses[0][1]}"}
        write_files(sandbox, given.state)
        while os.getppid() == parent:
            await asyncio.sleep(PARENT_CHECK_S)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
