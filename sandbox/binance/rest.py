"""Binance's REST endpoints for market data, with the weight that each request costs."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from proto.units import MILLISECOND
from sandbox.binance import wire
from sandbox.binance.streams import BinanceStreams
from sandbox.texts import fixed
from sandbox.world.candles import SpotCandle, join_candles, second_candles
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

WEIGHT_PER_MINUTE = 6_000
BAN_AFTER = 20
"""Requests after a 429 that are still answered so; the next ones are answered 418."""
BAN_S = 120
LIMIT_MAX = 1_000
PRICE_WINDOW_MINUTES = 5
"""The average price is that of so many minutes."""

Handler = Callable[[web.Request], Awaitable[web.Response]]


class _BadRequest(Exception):
    """A request that Binance refuses, with its code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def error(status: int, code: int, text: str) -> web.Response:
    """Make Binance's error body."""
    return _json({"code": code, "msg": text}, status)


class RestHandlers:
    """The endpoints. ``weight_limit`` may be lowered by a test."""

    def __init__(self, world: World, streams: BinanceStreams) -> None:
        self.weight_limit = WEIGHT_PER_MINUTE
        self.weight_used = 0
        self._world = world
        self._streams = streams
        self._exchange = world.spot[PriceSource.BINANCE]
        self._minute = 0
        self._refused = 0
        self._banned_until_s = 0.0

    def routes(self) -> list[web.RouteDef]:
        """Return the paths with their weights."""
        table: dict[str, tuple[int, Handler]] = {
            "ping": (1, self._ping),
            "time": (1, self._time),
            "exchangeInfo": (20, self._exchange_info),
            "klines": (2, self._klines),
            "uiKlines": (2, self._klines),
            "trades": (25, self._trades),
            "aggTrades": (4, self._aggregate_trades),
            "depth": (5, self._depth),
            "avgPrice": (2, self._average_price),
            "ticker/24hr": (2, self._day_ticker),
            "ticker/price": (2, self._ticker_price),
            "ticker/bookTicker": (2, self._book_ticker),
        }
        return [
            web.get(f"/api/v3/{path}", self._weighed(weight, handler))
            for path, (weight, handler) in table.items()
        ]

    def _weighed(self, weight: int, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            response = self._refused_for_weight(request, weight)
            if response is None:
                try:
                    response = await handler(request)
                except _BadRequest as e:
                    response = error(400, e.code, e.text)
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(self.weight_used)
            response.headers["X-MBX-USED-WEIGHT"] = str(self.weight_used)
            return response

        return handle

    def _refused_for_weight(self, request: web.Request, weight: int) -> web.Response | None:
        """Count a request; 429 beyond the minute's weight, 418 for a client that does not stop."""
        now_s = time.time()
        if int(now_s // 60) != self._minute:
            self._minute, self.weight_used, self._refused = int(now_s // 60), 0, 0
        if request.path.endswith("/depth"):
            weight = depth_weight(_limit(request, 100, 5_000))
        self.weight_used += weight
        if now_s < self._banned_until_s:
            return _limited(418, self._banned_until_s - now_s)
        if self.weight_used <= self.weight_limit:
            return None
        self._refused += 1
        if self._refused > BAN_AFTER:
            self._banned_until_s = now_s + BAN_S
            return _limited(418, BAN_S)
        return _limited(429, 60 - now_s % 60)

    # ── endpoints ───────────────────────────────────────────────────────────────────────────────────

    async def _ping(self, _request: web.Request) -> web.Response:
        return _json({})

    async def _time(self, _request: web.Request) -> web.Response:
        return _json({"serverTime": self._world.now() // MILLISECOND})

    async def _exchange_info(self, _request: web.Request) -> web.Response:
        return _json(
            {
                "timezone": "UTC",
                "serverTime": self._world.now() // MILLISECOND,
                "rateLimits": [
                    {
                        "rateLimitType": "REQUEST_WEIGHT",
                        "interval": "MINUTE",
                        "intervalNum": 1,
                        "limit": self.weight_limit,
                    }
                ],
                "exchangeFilters": [],
                "symbols": [_SYMBOL],
            }
        )

    async def _klines(self, request: web.Request) -> web.Response:
        _check_symbol(request)
        interval = request.query.get("interval")
        if interval is None:
            raise _BadRequest(-1102, "Mandatory parameter 'interval' was not sent, was empty/null.")
        if interval not in wire.LENGTHS_NS:
            raise _BadRequest(-1120, "Invalid interval.")
        limit = _limit(request, 500, LIMIT_MAX)
        start, end = _moment(request, "startTime"), _moment(request, "endTime")
        found = [
            c
            for c in self._candles(interval)
            if (start is None or c.open_ns >= start) and (end is None or c.open_ns <= end)
        ]
        # With a start the oldest are meant, without one the newest.
        chosen = found[:limit] if start is not None else found[-limit:]
        return _json([wire.kline_row(c, wire.LENGTHS_NS[interval]) for c in chosen])

    def _candles(self, interval: str) -> list[SpotCandle]:
        if interval == wire.ONE_SECOND:
            return second_candles(self._exchange.known_trades(), self._world.now())
        self._exchange.candle(self._world.at)
        return join_candles(self._exchange.candles, wire.MINUTES[interval])

    async def _trades(self, request: web.Request) -> web.Response:
        _check_symbol(request)
        newest = self._exchange.known_trades()[-_limit(request, 500, LIMIT_MAX) :]
        return _json([wire.trade_row(t) for t in newest])

    async def _aggregate_trades(self, request: web.Request) -> web.Response:
        _check_symbol(request)
        limit = _limit(request, 500, LIMIT_MAX)
        start, end = _moment(request, "startTime"), _moment(request, "endTime")
        first = _number(request, "fromId")
        if first is None and start is None:
            return _json([wire.aggregate_row(t) for t in self._exchange.known_trades()[-limit:]])
        found = [
            t
            for t in self._exchange.known_trades()
            if (first is None or t.trade_id >= first)
            and (start is None or t.at >= start)
            and (end is None or t.at <= end)
        ]
        return _json([wire.aggregate_row(t) for t in found[:limit]])

    async def _depth(self, request: web.Request) -> web.Response:
        _check_symbol(request)
        return _json(self._streams.snapshot(_limit(request, 100, 5_000)))

    async def _average_price(self, request: web.Request) -> web.Response:
        _check_symbol(request)
        newest = self._exchange.candles[-PRICE_WINDOW_MINUTES:]
        volume = sum(c.volume for c in newest)
        price = sum(c.value for c in newest) * 1_000_000 // volume if volume else self._exchange.price()
        return _json(
            {
                "mins": PRICE_WINDOW_MINUTES,
                "price": fixed(price, 8),
                "closeTime": self._world.now() // MILLISECOND,
            }
        )

    async def _day_ticker(self, request: web.Request) -> web.Response:
        """Tell of the last 24 hours; without a symbol, of all that are traded, which is one."""
        if "symbol" in request.query:
            _check_symbol(request)
        body = self._streams.day(self._world.now())
        return _json(body if "symbol" in request.query else [body])

    async def _ticker_price(self, request: web.Request) -> web.Response:
        if "symbol" in request.query:
            _check_symbol(request)
        body = {"symbol": wire.SYMBOL, "price": fixed(self._exchange.price(), 8)}
        return _json(body if "symbol" in request.query else [body])

    async def _book_ticker(self, request: web.Request) -> web.Response:
        _check_symbol(request)
        top = self._streams.snapshot(1)
        (bid,), (ask,) = top["bids"], top["asks"]
        return _json(
            {
                "symbol": wire.SYMBOL,
                "bidPrice": bid[0],
                "bidQty": bid[1],
                "askPrice": ask[0],
                "askQty": ask[1],
            }
        )


def depth_weight(limit: int) -> int:
    """Return what a snapshot costs, by its depth."""
    return next(weight for most, weight in ((100, 5), (500, 25), (1_000, 50), (5_000, 250)) if limit <= most)


def _check_symbol(request: web.Request) -> None:
    symbol = request.query.get("symbol")
    if symbol is None:
        raise _BadRequest(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    if symbol != wire.SYMBOL:
        raise _BadRequest(-1121, "Invalid symbol.")


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 19:
        raise _BadRequest(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _moment(request: web.Request, name: str) -> int | None:
    """Return a time in ns from one in ms."""
    value = _number(request, name)
    return None if value is None else value * MILLISECOND


def _limit(request: web.Request, usual: int, most: int) -> int:
    """Binance takes the largest allowed for a larger limit."""
    try:
        return min(max(1, _number(request, "limit") or usual), most)
    except _BadRequest:
        return usual


def _limited(status: int, seconds: float) -> web.Response:
    text = (
        "Way too much request weight used; IP banned." if status == 418 else "Too much request weight used."
    )
    response = error(status, -1003, text)
    response.headers["Retry-After"] = str(int(seconds) + 1)
    return response


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json", status=status)


_SYMBOL = {
    "symbol": wire.SYMBOL,
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
    "icebergAllowed": True,
    "ocoAllowed": True,
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": "0.00001000",
            "maxQty": "9000.00000000",
            "stepSize": "0.00001000",
        },
    ],
    "permissions": [],
}
