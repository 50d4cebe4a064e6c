"""Coinbase Exchange, public market data of BTC-USD: REST, and the channels matches, ticker, heartbeat."""

import asyncio
import time
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from libs.bounded import clip
from libs.synthetic.price_path import STEPS_PER_SECOND
from proto.feed import Side
from proto.units import SECOND
from sandbox.accounts import Accounts
from sandbox.arrivals import Arrivals
from sandbox.coinbase import wire
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import FaultAction, Faults
from sandbox.sockets import ClientSocket
from sandbox.texts import fixed, iso
from sandbox.venue import VenueServer
from sandbox.world.candles import join_candles
from sandbox.world.events import PriceMoved, SpotTraded, WorldEvent
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

CHANNELS = ("matches", "ticker", "heartbeat")
SUBSCRIBE_WITHIN_S = 5.0
"""A connection that subscribes to nothing is closed."""
REQUESTS_PER_S, BURST = 10.0, 15.0
"""Public REST requests of one address."""
GRANULARITIES = (60, 300, 900, 3600, 21600, 86400)
CANDLES_MAX = 300
TRADES_MAX = 1_000
DAY_MINUTES = 1_440
DAY_RENEWED_STEPS = 60 * STEPS_PER_SECOND


class CoinbaseServer(VenueServer):
    """See the README. ``requests_per_s`` may be raised by a test."""

    venue = "coinbase"

    def __init__(
        self, world: World, accounts: Accounts, faults: Faults, *, arrivals: Arrivals, seed: int
    ) -> None:
        super().__init__(world, accounts, faults, arrivals=arrivals, seed=seed)
        self.requests_per_s = REQUESTS_PER_S
        self.subscribe_within_s = SUBSCRIBE_WITHIN_S
        self._exchange = world.spot[PriceSource.COINBASE]
        self._clients: dict[ClientSocket, dict[str, None]] = {}
        self._sequence = 50_000_000_000
        self._steps = 0
        self._tokens, self._tokens_at_s = BURST, time.monotonic()
        self._day: wire.Day | None = None
        self._end = world.subscribe(self._handle_event)

    def routes(self) -> list[web.RouteDef]:
        product = f"/products/{{product:{wire.PRODUCT}}}"
        return [
            web.get("/", self._websocket),
            web.get("/time", self._limited(self._time)),
            web.get("/currencies", self._limited(self._currencies)),
            web.get("/products", self._limited(self._products)),
            web.get("/products/spark-lines", self._limited(self._spark_lines)),
            web.get(product, self._limited(self._product)),
            web.get(f"{product}/stats", self._limited(self._stats)),
            web.get(f"{product}/candles", self._limited(self._candles)),
            web.get(f"{product}/trades", self._limited(self._trades)),
            web.get(f"{product}/ticker", self._limited(self._ticker)),
            web.get(f"{product}/book", self._limited(self._book)),
            web.get("/products/{rest:.*}", self._not_found),
        ]

    def urls(self, base: str) -> dict[str, str]:
        return {"rest": base, "websocket": base.replace("http", "ws", 1)}

    def refusal(self, action: FaultAction) -> web.Response:
        if action.kind is FaultKind.RATE_LIMIT:
            return _error(429, "Public rate limit exceeded")
        return _error(action.rule.status if action.rule else 500, "Internal server error")

    def state(self) -> dict[str, Any]:
        return {"connections": len(self._clients)}

    async def stop(self) -> None:
        self._end()
        for client in tuple(self._clients):
            await client.close()

    # ── websocket ───────────────────────────────────────────────────────────────────────────────────

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        client = ClientSocket(self.faults, self.venue, "market_socket")
        await client.open(request)
        self._clients[client] = {}
        reminder = asyncio.get_running_loop().call_later(self.subscribe_within_s, self._remind, client)
        try:
            async for message in client.socket:
                if message.type is WSMsgType.TEXT:
                    self._command(client, message.data)
        finally:
            reminder.cancel()
            del self._clients[client]
            await client.close()
        return client.socket

    def _remind(self, client: ClientSocket) -> None:
        if not self._clients.get(client):
            client.end(1000, "no subscription")

    def _command(self, client: ClientSocket, text: str) -> None:
        try:
            names = _channels(msgspec.json.decode(text, type=_Command))
        except (msgspec.DecodeError, ValueError) as e:
            client.reply(_encode({"type": "error", "message": "Failed to subscribe", "reason": str(e)}))
            return
        subscribed = self._clients[client]
        if names.subscribe:
            new = [c for c in names.channels if c not in subscribed]
            subscribed.update(dict.fromkeys(new))
        else:
            new = []
            for channel in names.channels:
                subscribed.pop(channel, None)
        rows = [{"name": c, "product_ids": [wire.PRODUCT], "account_ids": None} for c in subscribed]
        client.reply(_encode({"type": "subscriptions", "channels": rows}))
        if "matches" in new and self._exchange.trades:
            last = self._exchange.trades[-1]
            client.send(_encode(wire.match(last, self._sequence, "last_match")))

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, SpotTraded) and event.source is PriceSource.COINBASE:
            self._sequence += 3
            self._push("matches", lambda: wire.match(event, self._sequence))
            self._push("ticker", lambda: wire.ticker(event, self._sequence, self._best(), self._last_day()))
        elif isinstance(event, PriceMoved):
            self._steps += 1
            if self._steps % DAY_RENEWED_STEPS == 0:
                self._day = None
            if self._steps % STEPS_PER_SECOND == 0 and self._exchange.trades:
                last = self._exchange.trades[-1].trade_id
                self._push("heartbeat", lambda: wire.heartbeat(last, self._sequence, event.at))

    def _push(self, channel: str, make: Any) -> None:
        listeners = [client for client, channels in self._clients.items() if channel in channels]
        if listeners:
            frame = _encode(make())
            for client in listeners:
                client.send(frame, {"channel": channel})

    def _best(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return self._exchange.sizes(Side.BUY)[0], self._exchange.sizes(Side.SELL)[0]

    def _last_day(self) -> wire.Day:
        """Return the figures of the last 24 hours, computed once a minute."""
        if self._day is None:
            self._day = wire.day_of(self._exchange.candles[-DAY_MINUTES:])
        return self._day

    # ── REST ────────────────────────────────────────────────────────────────────────────────────────

    def _limited(self, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            now_s = time.monotonic()
            self._tokens = min(BURST, self._tokens + (now_s - self._tokens_at_s) * self.requests_per_s)
            self._tokens_at_s = now_s
            if self._tokens < 1:
                return _error(429, "Public rate limit exceeded")
            self._tokens -= 1
            try:
                response: web.StreamResponse = await handler(request)
            except ValueError as e:
                return _error(400, str(e))
            return response

        return handle

    async def _time(self, _request: web.Request) -> web.Response:
        now = self.world.now()
        return _json({"iso": iso(now, 3), "epoch": now // (SECOND // 1000) / 1000})

    async def _product(self, _request: web.Request) -> web.Response:
        return _json(wire.PRODUCT_BODY)

    async def _products(self, _request: web.Request) -> web.Response:
        return _json([wire.PRODUCT_BODY])

    async def _currencies(self, _request: web.Request) -> web.Response:
        return _json(wire.CURRENCIES)

    async def _stats(self, _request: web.Request) -> web.Response:
        day = self._last_day()
        return _json(
            {
                "open": fixed(day.open, 2),
                "high": fixed(day.high, 2),
                "low": fixed(day.low, 2),
                "last": fixed(self._exchange.price(), 2),
                "volume": fixed(day.volume, 8),
                "volume_30day": fixed(30 * day.volume, 8),
            }
        )

    async def _spark_lines(self, _request: web.Request) -> web.Response:
        """List prices of the last day, one every ten minutes, newest first."""
        candles = join_candles(self._exchange.candles[-DAY_MINUTES:], 10)
        points = [[candle.open_ns // SECOND, candle.close / 1_000_000] for candle in reversed(candles)]
        return _json({wire.PRODUCT: points})

    async def _candles(self, request: web.Request) -> web.Response:
        granularity = int(request.query.get("granularity", "60"))
        if granularity not in GRANULARITIES:
            raise ValueError("Unsupported granularity")
        start, end = _moment(request, "start"), _moment(request, "end")
        if start is not None and end is not None and (end - start) // SECOND > CANDLES_MAX * granularity:
            raise ValueError(
                f"granularity too small for the requested time range. Count of aggregations requested exceeds {CANDLES_MAX}"
            )
        candles = join_candles(self._exchange.candles, granularity // 60)
        found = [
            c
            for c in candles
            if c.trades and (start is None or c.open_ns >= start) and (end is None or c.open_ns <= end)
        ]
        return _json([wire.candle_row(c) for c in reversed(found[-CANDLES_MAX:])])

    async def _trades(self, request: web.Request) -> web.Response:
        """List trades, newest first. ``after`` pages to older trades, ``before`` asks for newer ones."""
        limit = min(max(1, int(request.query.get("limit", "1000"))), TRADES_MAX)
        after, before = request.query.get("after"), request.query.get("before")
        found = [
            t
            for t in self._exchange.known_trades()
            if (after is None or t.trade_id < int(after)) and (before is None or t.trade_id > int(before))
        ]
        rows = [wire.trade_row(t) for t in reversed(found[-limit:])]
        response = _json(rows)
        if rows:
            response.headers["CB-BEFORE"] = str(rows[0]["trade_id"])
            response.headers["CB-AFTER"] = str(rows[-1]["trade_id"])
        return response

    async def _ticker(self, _request: web.Request) -> web.Response:
        if not self._exchange.trades:
            return _error(404, "NotFound")
        last = self._exchange.trades[-1]
        (bid, _), (ask, _) = self._best()
        return _json(
            {
                "trade_id": last.trade_id,
                "price": fixed(last.price, 2),
                "size": fixed(last.quantity, 8),
                "time": iso(last.at),
                "bid": fixed(bid, 2),
                "ask": fixed(ask, 2),
                "volume": fixed(self._last_day().volume, 8),
            }
        )

    async def _book(self, request: web.Request) -> web.Response:
        count = 1 if request.query.get("level", "1") == "1" else 50
        sides = {
            name: [[fixed(p, 2), fixed(s, 8), 1] for p, s in self._exchange.sizes(side)[:count]]
            for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
        }
        return _json({**sides, "sequence": self._sequence, "time": iso(self.world.now())})

    async def _not_found(self, _request: web.Request) -> web.Response:
        return _error(404, "NotFound")


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Command(msgspec.Struct):
    type: str
    product_ids: list[str] = []
    channels: list[_Channel | str] = []


class _Channels(msgspec.Struct):
    subscribe: bool
    channels: list[str]


def _channels(command: _Command) -> _Channels:
    """Return the channels of a command, products checked.

    Raises:
        ValueError: with Coinbase's reason.
    """
    if command.type not in ("subscribe", "unsubscribe"):
        raise ValueError(f"Type has to be either subscribe or unsubscribe, was {clip(command.type, 40)}")
    if not command.channels:
        raise ValueError("channels is required")
    names = []
    for channel in command.channels:
        name = channel if isinstance(channel, str) else channel.name
        products = command.product_ids if isinstance(channel, str) else channel.product_ids
        if name not in CHANNELS:
            raise ValueError(f"{clip(name, 40)} is not a valid channel")
        for product in products or command.product_ids or ["no product"]:
            if product != wire.PRODUCT:
                raise ValueError(f"{clip(product, 40)} is not a valid product")
        names.append(name)
    return _Channels(command.type == "subscribe", names)


def _moment(request: web.Request, name: str) -> int | None:
    """Read ISO 8601 or Unix seconds, in ns."""
    text = request.query.get(name)
    if text is None:
        return None
    if text.isdecimal():
        return int(text) * SECOND
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return round(moment.timestamp()) * SECOND


def _encode(document: Any) -> str:
    return msgspec.json.encode(document).decode()


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json", status=status)


def _error(status: int, text: str) -> web.Response:
    return _json({"message": text}, status)
