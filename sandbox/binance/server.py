"""Binance spot, market data only: REST and websocket streams for BTCUSDT."""

import re
import time
from collections import deque
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from libs.bounded import clip
from proto.units import MILLISECOND
from sandbox.accounts import Accounts
from sandbox.arrivals import Arrivals
from sandbox.binance.depth import DepthBook
from sandbox.binance.rest import RestHandlers, error
from sandbox.binance.streams import STREAMS_MAX, BinanceStreams, Connection
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.sockets import ClientSocket
from sandbox.venue import VenueServer
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

PING_EVERY_S = 20.0
MAX_AGE_S = 24 * 3600.0
MESSAGES_PER_S = 5
"""What a connection may send; one that sends more is cut off."""
NAME = re.compile(r"^!?[A-Za-z0-9]{1,20}(@[A-Za-z0-9_]{1,24}){0,2}\Z")
"""The form of a stream's name; a well-formed one that does not exist is accepted and stays silent."""


class BinanceServer(VenueServer):
    """See the README. ``max_age_s`` and ``ping_every_s`` may be changed before clients connect."""

    venue = "binance"

    def __init__(
        self, world: World, accounts: Accounts, faults: Faults, *, arrivals: Arrivals, seed: int
    ) -> None:
        super().__init__(world, accounts, faults, arrivals=arrivals, seed=seed)
        self.max_age_s = MAX_AGE_S
        self.ping_every_s = PING_EVERY_S
        self.book = DepthBook(world.spot[PriceSource.BINANCE])
        self.streams = BinanceStreams(world, self.book)
        self._rest = RestHandlers(world, self.streams)

    def routes(self) -> list[web.RouteDef]:
        return [
            *self._rest.routes(),
            web.get("/stream", self._combined),
            web.get("/ws", self._raw),
            web.get("/ws/{streams:.+}", self._raw),
        ]

    def urls(self, base: str) -> dict[str, str]:
        return {"rest": base, "websocket": base.replace("http", "ws", 1)}

    def refusal(self, action: FaultAction) -> web.Response:
        rule = action.rule
        if action.kind is FaultKind.RATE_LIMIT:
            text = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."
            return error(429, -1003, text)
        status = rule.status if rule is not None else 500
        return error(status, -1000, "An unknown error occurred while processing the request.")

    def state(self) -> dict[str, Any]:
        return {"connections": len(self.streams.connections), "weight_used": self._rest.weight_used}

    async def stop(self) -> None:
        """Say that the server goes down, as Binance does before maintenance, and close."""
        self.streams.close()
        shutdown = {"e": "serverShutdown", "E": self.world.now() // MILLISECOND}
        for connection in tuple(self.streams.connections):
            whole: dict[str, Any] = shutdown
            if connection.combined:
                whole = {"stream": "!serverShutdown", "data": shutdown}
            connection.socket.reply(msgspec.json.encode(whole).decode())
            await connection.socket.drain()
            await connection.socket.close()

    # ── websocket ───────────────────────────────────────────────────────────────────────────────────

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        names = [n for n in request.query.get("streams", "").split("/") if n]
        return await self._serve(request, names, combined=True)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        names = [n for n in request.match_info.get("streams", "").split("/") if n]
        return await self._serve(request, names, combined=False)

    async def _serve(self, request: web.Request, names: list[str], *, combined: bool) -> web.StreamResponse:
        if len(names) > STREAMS_MAX or not all(NAME.match(n) for n in names):
            return web.Response(status=400, text="invalid stream names")
        socket = ClientSocket(
            self.faults,
            self.venue,
            "market_socket",
            ping_every_s=self.ping_every_s,
            ping_body=str(time.time_ns() // MILLISECOND).encode(),
            max_age_s=self.max_age_s,
        )
        micro = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        connection = Connection(socket, combined=combined, unit_ns=1_000 if micro else MILLISECOND)
        connection.streams = dict.fromkeys(names)
        await socket.open(request)
        self.streams.connections.append(connection)
        sent: deque[float] = deque(maxlen=MESSAGES_PER_S + 1)
        try:
            async for message in socket.socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                sent.append(time.monotonic())
                if len(sent) > MESSAGES_PER_S and sent[-1] - sent[0] < 1.0:
                    break
                socket.reply(msgspec.json.encode(answer(connection, message.data)).decode())
        finally:
            self.streams.connections.remove(connection)
            await socket.close()
        return socket.socket


class _Command(msgspec.Struct):
    method: str
    params: list[Any] = []
    id: int | str | None = None


def answer(connection: Connection, text: str) -> dict[str, Any]:
    """Carry out a live command: SUBSCRIBE, UNSUBSCRIBE or LIST_SUBSCRIPTIONS."""
    try:
        command = msgspec.json.decode(text, type=_Command)
    except msgspec.ValidationError as e:
        return {"code": 2, "msg": f"Invalid request: {e}"}
    except msgspec.DecodeError as e:
        return {"code": 3, "msg": f"Invalid JSON: {e}"}
    if command.method == "LIST_SUBSCRIPTIONS":
        return {"result": list(connection.streams), "id": command.id}
    if command.method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return {"code": 2, "msg": f"Invalid request: unknown variant `{clip(command.method, 40)}`"}
    names = command.params
    if not names or not all(isinstance(n, str) and NAME.match(n) for n in names):
        return {"code": 2, "msg": "Invalid request: expected stream names"}
    if command.method == "UNSUBSCRIBE":
        for name in names:
            connection.streams.pop(name, None)
    elif len(connection.streams.keys() | set(names)) > STREAMS_MAX:
        return {"code": 2, "msg": f"Invalid request: expected at most {STREAMS_MAX} streams"}
    else:
        connection.streams |= dict.fromkeys(names)
    return {"result": None, "id": command.id}
