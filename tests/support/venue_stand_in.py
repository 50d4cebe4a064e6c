"""Small venues on loopback for the feed's tests: they say what a test tells them to, and can fall silent.

They speak just enough of Polymarket and Kalshi to be followed; the sandbox speaks all of it. What these can and the
sandbox cannot is to be deaf and dumb at a moment the test chooses.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import msgspec
from aiohttp import WSMsgType, web

TOKENS = ("111", "222")
CONDITION = "0x" + "ab" * 32
UP, DOWN = f"polymarket:{CONDITION}:up", f"polymarket:{CONDITION}:down"


def gamma_market(
    length_s: int = 3_600, condition: str = CONDITION, tokens: tuple[str, str] = TOKENS
) -> dict[str, Any]:
    """A market that runs now, as Gamma lists it."""
    now = int(time.time())

    def utc(at: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

    return {
        "id": "1",
        "slug": "some-market",
        "question": "Up or down?",
        "conditionId": condition,
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.5", "0.5"]',
        "clobTokenIds": msgspec.json.encode(tokens).decode(),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "negRisk": False,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "startDate": utc(now - 60),
        "endDate": utc(now + length_s),
        "volume": "1234.5",
        "category": "Crypto",
        "feesEnabled": False,
    }


def book(token: str, bid: str, ask: str, condition: str = CONDITION, levels: int = 0) -> dict[str, Any]:
    """A whole book of one level a side, without a hash; ``levels`` more stand behind each of them."""
    return {
        "event_type": "book",
        "asset_id": token,
        "market": condition,
        "bids": [*_rows(range(1, levels + 1)), {"price": bid, "size": "100"}],
        "asks": [*_rows(range(9_999, 9_999 - levels, -1)), {"price": ask, "size": "100"}],
        "timestamp": str(time.time_ns() // 1_000_000),
        "hash": "",
    }


def _rows(prices: Iterable[int]) -> list[dict[str, str]]:
    """A level at each price in ten-thousandths."""
    return [{"price": f"0.{price:04d}", "size": "1234567.12"} for price in prices]


class StandIn:
    """A server on loopback. ``connections`` sockets were opened; ``heard`` is what they were told."""

    def __init__(self) -> None:
        self.connections = 0
        self.heard: list[Any] = []
        self.asked: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/ws", self._on_socket)
        app.router.add_get("/{path:.*}", self._on_request)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        for socket in self.sockets:
            await socket.close()
        await self._runner.cleanup()

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        return self.answer(request)

    async def _on_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self.connections += 1
        self.sockets.append(socket)
        await self.on_open(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self.on_text(socket, message.data)
        return socket

    def answer(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def on_open(self, socket: web.WebSocketResponse) -> None:
        """A client came."""

    async def on_text(self, socket: web.WebSocketResponse, text: str) -> None:
        raise NotImplementedError


class PolymarketStandIn(StandIn):
    """One market (or those in ``markets``). While ``dumb(connection number)`` holds, only PINGs are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.markets = [gamma_market()]
        self.bid = 40
        self.levels = 0
        self.dumb: Callable[[int], bool] = lambda _: False
        self.refuse: Callable[[], web.Response | None] = lambda: None

    def answer(self, request: web.Request) -> web.StreamResponse:
        refused = self.refuse()
        if refused is not None:
            return refused
        if request.path.endswith("/keyset"):
            return web.json_response({"markets": self.markets, "next_cursor": ""})
        return web.json_response([])

    async def on_text(self, socket: web.WebSocketResponse, text: str) -> None:
        if text == "PING":
            await socket.send_str("PONG")
            return
        said = msgspec.json.decode(text)
        self.heard.append(said)
        if said.get("operation") != "unsubscribe" and not self.dumb(self.connections):
            conditions = {
                t: m["conditionId"] for m in self.markets for t in msgspec.json.decode(m["clobTokenIds"])
            }
            books = [
                book(token, f"0.{self.bid}", f"0.{self.bid + 2}", conditions[token], self.levels)
                for token in said["assets_ids"]
                if token in conditions
            ]
            await socket.send_str(msgspec.json.encode(books).decode())

    async def change(self, price: str, size: str, side: str = "BUY") -> None:
        """Tell the newest connection of a change of the first token's book."""
        row = {"asset_id": TOKENS[0], "price": price, "size": size, "side": side, "hash": ""}
        event = {"event_type": "price_change", "market": CONDITION, "price_changes": [row]}
        event["timestamp"] = str(time.time_ns() // 1_000_000)
        await self.sockets[-1].send_str(msgspec.json.encode(event).decode())
