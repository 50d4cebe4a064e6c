"""A loopback websocket that sends Kalshi frames at a steady rate: the bench's market."""

import asyncio
import json
import time

from websockets import ConnectionClosed
from websockets.asyncio.server import ServerConnection, serve

TICKER = "KXBTC5M-BENCH"


class FrameServer:
    """Sends one book update every ``1 / rate`` seconds to whoever connects, after a snapshot."""

    def __init__(self, rate: int) -> None:
        self.sent = 0
        self._rate = rate
        self._seq = 0
        self._close_at = int(time.time()) + 3 * 3600

    def _frame(self, kind: str, message: dict[str, object]) -> str:
        self._seq += 1
        return json.dumps(
            {"type": kind, "sid": 1, "seq": self._seq, "msg": {"market_ticker": TICKER, **message}}
        )

    def opening(self) -> list[str]:
        """Lifecycle and snapshot: an open market with a deep book around 0.50."""
        created = {
            "type": "market_lifecycle_v2",
            "sid": 2,
            "msg": {
                "market_ticker": TICKER,
                "event_type": "created",
                "open_ts": int(time.time()) - 60,
                "close_ts": self._close_at,
                "price_level_structure": "linear_cent",
                "additional_metadata": {
                    "strike_type": "greater",
                    "floor_strike": 80000,
                    "event_ticker": "KXBTC5M",
                },
            },
        }
        ladder = [[f"0.{cents:02d}00", "5000.00"] for cents in range(38, 50)]
        self._seq = 0
        subscribed = {"id": 1, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}}
        snapshot = self._frame("orderbook_snapshot", {"yes_dollars_fp": ladder, "no_dollars_fp": ladder})
        return [json.dumps(subscribed), json.dumps(created), snapshot]

    def update(self) -> str:
        """The best YES bid comes and goes: every update changes the top of the book."""
        self.sent += 1
        size = "900.00" if self.sent % 2 else "-900.00"
        return self._frame("orderbook_delta", {"price_dollars": "0.5000", "delta_fp": size, "side": "yes"})

    async def handle(self, connection: ServerConnection) -> None:
        """One connection: snapshot, then updates at the rate."""
        for frame in self.opening():
            await connection.send(frame)
        began = time.perf_counter()
        count = 0
        while True:
            due = began + count / self._rate
            delay = due - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            try:
                await connection.send(self.update())
            except ConnectionClosed:
                return
            count += 1


async def start(rate: int) -> tuple[str, asyncio.Future[None]]:
    """Start a server on a free port; its address, and a future to cancel."""
    frames = FrameServer(rate)
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with serve(frames.handle, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            started.set_result(f"ws://127.0.0.1:{port}")
            await asyncio.Future()

    task = asyncio.ensure_future(run())
    return await started, task
