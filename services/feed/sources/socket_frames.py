"""Frames from venue sockets: each text message is one frame in the venue's own protocol.

One task a URL connects, subscribes, stamps and hands on, and connects again with growing pauses. Each
Kalshi connection begins and ends with the recorder's own frames, so a broken connection breaks the books
in the same way live as in a recording. Frames wait in one bounded queue; a full queue holds the sockets
back, nothing is dropped here.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Sequence

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidHandshake, WebSocketException
from websockets.frames import CloseCode

from libs.bounded import clip
from libs.tasks import cancel_all
from libs.venues.coinbase import COINBASE
from libs.venues.frame import FRAME_BYTES_MAX, RawFrame
from libs.venues.kalshi import KALSHI
from services.feed.normalise import DeadFrame, Normalisers, source_of

RECONNECT_MIN_S, RECONNECT_MAX_S = 0.1, 5.0
"""Pause before connecting again: at once after a blip, never a hammer."""
STABLE_S = 5.0
"""A connection that held so long starts the pauses from the beginning."""
OPEN_TIMEOUT_S = 5.0
MESSAGE_BYTES_MAX = 4 * FRAME_BYTES_MAX
"""A message above the frame limit is dead; one above this ends the connection before it fills memory."""
QUEUE_FRAMES_MAX = 10_000
"""A few seconds of the busiest market; beyond it the socket's own flow control takes over."""
COMMANDS_EVERY_S = 0.05
"""How soon a broken book is asked for again."""
CHANNELS = ("orderbook_delta", "ticker", "trade", "market_lifecycle_v2")

log = logging.getLogger("presage.feed.socket")

_CONNECTED = msgspec.json.encode({"type": "_ws_connected", "msg": {}})
_DISCONNECTED = msgspec.json.encode({"type": "_ws_disconnected", "msg": {}})
_COINBASE_SUBSCRIBE = msgspec.json.encode(
    {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["matches"]}
)


def subscribe_command(tickers: Sequence[str] = ()) -> bytes:
    """Kalshi's subscription to all channels used here; no ticker means every market.

    ``use_yes_price`` is said although false is still the default: the venue means to change it.
    """
    params: dict[str, object] = {
        "channels": list(CHANNELS),
        "send_initial_snapshot": True,
        "use_yes_price": False,
    }
    if tickers:
        params["market_tickers"] = list(tickers)
    return msgspec.json.encode({"id": 1, "cmd": "subscribe", "params": params})


class SocketFrames:
    """Frames of all URLs, in order of arrival.

    A socket may carry Kalshi's frames, Coinbase's, or both: the form of a frame says whose it is, unless
    the URL ends in ``#kalshi`` or ``#coinbase``. With ``normalisers`` given, the snapshots they want are
    asked for. ``connects`` counts the connections made.
    """

    def __init__(
        self, urls: Sequence[str], normalisers: Normalisers | None = None, tickers: Sequence[str] = ()
    ) -> None:
        self._urls = tuple(urls)
        self._normalisers = normalisers
        self._subscribe = subscribe_command(tickers)
        self._queue: asyncio.Queue[RawFrame | DeadFrame] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._at = 0
        # The connection that Kalshi's frames come from, which takes the commands.
        self._kalshi: ClientConnection | None = None
        self.connects = 0

    async def frames(self) -> AsyncGenerator[RawFrame | DeadFrame]:
        """Yield frames for ever; close the iterator (or cancel) to close the sockets."""
        tasks = [asyncio.create_task(self._follow(url)) for url in self._urls]
        tasks.append(asyncio.create_task(self._command_loop()))
        try:
            while True:
                yield await self._queue.get()
        finally:
            await cancel_all(tasks)

    def _now(self) -> int:
        """Wall clock in nanoseconds that never goes backwards."""
        self._at = max(self._at, time.time_ns())
        return self._at

    async def _follow(self, url: str) -> None:
        """Keep one URL connected."""
        address, _, source = url.partition("#")
        pause_s = RECONNECT_MIN_S
        while True:
            began = time.monotonic()
            connection = None
            try:
                async with connect(
                    address,
                    max_size=MESSAGE_BYTES_MAX,
                    open_timeout=OPEN_TIMEOUT_S,
                    compression=None,
                    proxy=None,
                ) as connection:
                    await self._read(connection, source)
            except (OSError, InvalidHandshake, WebSocketException) as e:
                log.warning("socket lost, connecting again: %s: %s", type(e).__name__, clip(str(e), 200))
            if connection is not None and self._kalshi is connection:
                self._kalshi = None
                await self._queue.put(RawFrame(self._now(), KALSHI, _DISCONNECTED))
            if time.monotonic() - began >= STABLE_S:
                pause_s = RECONNECT_MIN_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RECONNECT_MAX_S)

    async def _read(self, connection: ClientConnection, source: str) -> None:
        """Subscribe, then hand on every message until the connection ends."""
        self.connects += 1
        subscribe = _COINBASE_SUBSCRIBE if source == COINBASE else self._subscribe
        await connection.send(subscribe.decode())
        try:
            while True:
                data = bytes(await connection.recv(decode=False))
                of = source or source_of(data)
                if of == KALSHI and self._kalshi is not connection:
                    self._kalshi = connection
                    await self._queue.put(RawFrame(self._now(), KALSHI, _CONNECTED))
                await self._queue.put(RawFrame(self._now(), of or KALSHI, data))
        except ConnectionClosedError as e:
            if e.sent is not None and e.sent.code == CloseCode.MESSAGE_TOO_BIG:
                reason = f"expected a message of at most {MESSAGE_BYTES_MAX} bytes"
                await self._queue.put(DeadFrame(self._now(), source or KALSHI, reason, b""))
            raise

    async def _command_loop(self) -> None:
        """Send what the normalisers ask for."""
        while self._normalisers is not None:
            await asyncio.sleep(COMMANDS_EVERY_S)
            connection = self._kalshi
            if connection is None:
                continue
            for _, command in self._normalisers.commands(self._now()):
                with contextlib.suppress(WebSocketException, OSError):
                    await connection.send(command.decode())
