"""Public REST: markets, books, trades, candles. No key needed."""

from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from libs.venues.kalshi import KALSHI
from proto.feed import Side
from proto.units import ONE
from sandbox.kalshi.bodies import (
    FILTER_STATUS,
    bids,
    count,
    dollars,
    iso,
    market_body,
    rows,
)
from sandbox.kalshi.exchange import trade_id
from sandbox.kalshi.pages import newest_first, number_of
from sandbox.kalshi.refusals import KalshiRefusal, answer, bad_request
from sandbox.world.events import BookChanged, Traded, WorldEvent
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

PREFIX = "/trade-api/v2"
TRADES_MAX = 50_000
"""Public trades kept, of all markets."""
CANDLES_MAX = 24 * 60
MARKETS_LIMIT = TRADES_LIMIT = 1_000
BOOKS_MAX = 100
"""Tickers in one question for several books."""
PERIODS = (1, 60, 1_440)
_EMPTY = {"open_dollars": None, "high_dollars": None, "low_dollars": None, "close_dollars": None}


class TradeCandle:
    """One minute of a market: prices of trades and of both sides of the YES book, in millionths."""

    __slots__ = ("asks", "bids", "interest", "trades", "volume")

    def __init__(self) -> None:
        self.trades: list[tuple[int, int]] = []
        self.bids: list[int] = []
        self.asks: list[int] = []
        self.volume = 0
        self.interest = 0


class KalshiMarketData:
    """Handlers of public reads, and the memory behind them: trades and candles."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._trades: deque[tuple[SandboxMarket, dict[str, Any], int]] = deque(maxlen=TRADES_MAX)
        self._candles: dict[str, dict[int, TradeCandle]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return all public reads; fixed paths before those with a ticker in them."""
        return [
            web.get(f"{PREFIX}/series/{{series}}/markets/{{ticker}}/candlesticks", self._candlesticks),
            web.get(f"{PREFIX}/markets", self._markets),
            web.get(f"{PREFIX}/markets/trades", self._public_trades),
            web.get(f"{PREFIX}/markets/orderbooks", self._orderbooks),
            web.get(f"{PREFIX}/markets/{{ticker}}", self._market),
            web.get(f"{PREFIX}/markets/{{ticker}}/orderbook", self._orderbook),
        ]

    # ── memory ──────────────────────────────────────────────────────────────────────────────────────

    def handle_event(self, event: WorldEvent) -> None:
        """Record trades and candles."""
        if isinstance(event, Traded):
            self._handle_trade(event)
        elif isinstance(event, BookChanged):
            candle = self._candle(event.market, event.at)
            bid, ask = event.market.book.best(0)
            candle.bids.append(bid or 0)
            candle.asks.append(ask or ONE)
            candle.bids[1:-1] = [min(candle.bids), max(candle.bids)]
            candle.asks[1:-1] = [min(candle.asks), max(candle.asks)]

    def _handle_trade(self, event: Traded) -> None:
        body = trade_body(event)
        self._trades.append((event.market, body, event.at // 10**9))
        candle = self._candle(event.market, event.at)
        candle.trades.append((event.market.last_price or 0, event.match.quantity))
        candle.volume += event.match.quantity

    def _candle(self, market: SandboxMarket, at: int) -> TradeCandle:
        candles = self._candles.setdefault(market.id, {})
        minute = at // 10**9 // 60
        candle = candles.get(minute)
        if candle is None:
            candle = candles[minute] = TradeCandle()
            if len(candles) > CANDLES_MAX:
                del candles[min(candles)]
        candle.interest = market.open_interest
        return candle

    # ── handlers ────────────────────────────────────────────────────────────────────────────────────

    async def _markets(self, request: web.Request) -> web.Response:
        wanted = market_filter(request)
        page, cursor = newest_first(request, self._world.markets(KALSHI), wanted, MARKETS_LIMIT)
        return answer({"markets": [market_body(market) for market in page], "cursor": cursor})

    async def _market(self, request: web.Request) -> web.Response:
        return answer({"market": market_body(self._market_of(request))})

    async def _orderbook(self, request: web.Request) -> web.Response:
        market = self._market_of(request)
        return answer({"orderbook_fp": _book(market, number_of(request, "depth", 0))})

    async def _orderbooks(self, request: web.Request) -> web.Response:
        tickers = request.query.get("tickers", "").split(",")
        if not 1 <= len(tickers) <= BOOKS_MAX:
            raise bad_request("invalid tickers")
        found = [self._world.market(KALSHI, ticker) for ticker in tickers]
        return answer({"orderbooks": [{"ticker": m.id, "orderbook_fp": _book(m)} for m in found if m]})

    async def _public_trades(self, request: web.Request) -> web.Response:
        ticker = request.query.get("ticker", "")
        least, most = number_of(request, "min_ts", 0), number_of(request, "max_ts", 2**40)
        page, cursor = newest_first(
            request,
            list(self._trades),
            lambda row: ticker in ("", row[0].id) and least <= row[2] <= most,
            TRADES_LIMIT,
        )
        return answer({"trades": [body for _, body, _ in page], "cursor": cursor})

    async def _candlesticks(self, request: web.Request) -> web.Response:
        market = self._market_of(request)
        if market.series != request.match_info["series"]:
            raise KalshiRefusal(404, "not_found", "series", shape="documented")
        start, end = number_of(request, "start_ts", 0), number_of(request, "end_ts", 2**40)
        period = number_of(request, "period_interval", 1)
        if period not in PERIODS:
            raise bad_request("invalid period_interval")
        grouped: dict[int, list[TradeCandle]] = {}
        for minute, candle in sorted(self._candles.get(market.id, {}).items()):
            end_s = (minute // period + 1) * period * 60
            if start <= end_s <= end:
                grouped.setdefault(end_s, []).append(candle)
        candles = [_candle_body(end_s, minutes) for end_s, minutes in grouped.items()]
        return answer({"ticker": market.id, "candlesticks": candles})

    def _market_of(self, request: web.Request) -> SandboxMarket:
        market = self._world.market(KALSHI, request.match_info["ticker"])
        if market is None:
            raise KalshiRefusal(404, "not_found", "market", shape="documented")
        return market


def market_filter(request: web.Request) -> Callable[[SandboxMarket], bool]:
    """Return which markets a request asks for."""
    query = request.query
    status = query.get("status", "")
    statuses = FILTER_STATUS.get(status)
    if status and statuses is None:
        raise bad_request("invalid status filter")
    tickers = frozenset(query["tickers"].split(",")) if query.get("tickers") else None
    series, event = query.get("series_ticker", ""), query.get("event_ticker", "")
    least, most = number_of(request, "min_close_ts", 0), number_of(request, "max_close_ts", 2**40)

    def wanted(market: SandboxMarket) -> bool:
        return (
            (statuses is None or market.status in statuses)
            and (tickers is None or market.id in tickers)
            and series in ("", market.series)
            and event in ("", market.event_id)
            and least <= market.close_ns // 10**9 <= most
        )

    return wanted


def trade_body(event: Traded) -> dict[str, Any]:
    """Return a public trade, as REST lists it."""
    taker = event.match.taker
    yes_price = taker.price if taker.outcome == 0 else ONE - taker.price
    side = "yes" if (taker.outcome == 0) == (taker.side is Side.BUY) else "no"
    return {
        "trade_id": trade_id(event.market, event.match.number),
        "ticker": event.market.id,
        "count_fp": count(event.match.quantity),
        "yes_price_dollars": dollars(yes_price),
        "no_price_dollars": dollars(ONE - yes_price),
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": "bid" if side == "yes" else "ask",
        "is_block_trade": False,
        "created_time": iso(event.at),
    }


def _book(market: SandboxMarket, depth: int = 0) -> dict[str, list[list[str]]]:
    yes, no = bids(market)
    return {"yes_dollars": rows(yes, depth), "no_dollars": rows(no, depth)}


def _span(prices: list[int]) -> dict[str, str | None]:
    if not prices:
        return dict(_EMPTY)
    return {
        "open_dollars": dollars(prices[0]),
        "high_dollars": dollars(max(prices)),
        "low_dollars": dollars(min(prices)),
        "close_dollars": dollars(prices[-1]),
    }


def _candle_body(end_s: int, minutes: list[TradeCandle]) -> dict[str, Any]:
    trades = [trade for candle in minutes for trade in candle.trades]
    volume = sum(quantity for _, quantity in trades)
    price: dict[str, str | None] = _span([p for p, _ in trades])
    price["mean_dollars"] = dollars(sum(p * q for p, q in trades) // volume) if volume else None
    price["previous_dollars"] = None
    return {
        "end_period_ts": end_s,
        "price": price,
        # A minute in which the book stood still has trades alone.
        "yes_bid": _span([p for candle in minutes for p in candle.bids] or [0]),
        "yes_ask": _span([p for candle in minutes for p in candle.asks] or [ONE]),
        "volume_fp": count(volume),
        "open_interest_fp": count(minutes[-1].interest),
    }
