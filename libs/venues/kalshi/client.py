"""Kalshi's REST interface: market data without a key, the account with one. Bodies in, structs out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from libs.bounded import clip
from libs.venues.errors import BadAnswer, OutcomeUnknown
from libs.venues.frame import DECODE_ERRORS
from libs.venues.kalshi import KALSHI, limits
from libs.venues.kalshi.auth import RequestSigner
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.schemas.errors import read_error
from libs.venues.odd_items import OddItems
from libs.venues.transport.answer import HttpAnswer
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket

PAGES_MAX = 200
"""Most pages of one list; a longer one counts as endless."""
PAGE_ROWS = 1_000
"""Rows asked for of market lists; the venue's most."""
ACCOUNT_PAGE_ROWS = 200
"""Rows asked for of an account's lists, and of events; the venue gives up to 1,000 of the former."""
STATUSES_UNAVAILABLE: frozenset[int] = frozenset()
"""No status is documented to mean that an order was not accepted: after a 503 the outcome is unknown."""

Body = TypeVar("Body")
Query = Mapping[str, str | int]


class KalshiClient:
    """One account, or none: without ``signer`` only market data can be asked for.

    ``rest_url`` ends in ``/trade-api/v2``. All coroutines raise the kinds of ``libs.venues.errors``.
    Lists come whole: every page, or ``BadAnswer``; rows that cannot be read are ``odd_items``.
    """

    def __init__(
        self,
        rest_url: str,
        signer: RequestSigner | None = None,
        *,
        buckets: Mapping[str, TokenBucket] | None = None,
        http: VenueHttp | None = None,
    ) -> None:
        self._http = http or VenueHttp(
            KALSHI,
            rest_url,
            limits.buckets() if buckets is None else buckets,
            unavailable=STATUSES_UNAVAILABLE,
        )
        self._signer = signer
        self.odd_items = OddItems(KALSHI)

    async def close(self) -> None:
        await self._http.close()

    # ── market data ─────────────────────────────────────────────────────────────────────────────────

    async def exchange_status(self) -> rest.ExchangeStatus:
        return await self._get("/exchange/status", rest.ExchangeStatus)

    async def series(self, ticker: str) -> rest.Series:
        return (await self._get(f"/series/{ticker}", rest.OneSeries)).series

    async def market(self, ticker: str) -> rest.Market:
        return (await self._get(f"/markets/{ticker}", rest.OneMarket)).market

    async def markets(self, query: Query) -> list[rest.Market]:
        """All markets of a query (``series_ticker``, ``status``, ``tickers`` …) that can be read."""
        return await self._all("/markets", query, rest.Markets, self._rows("market", rest.Market, "markets"))

    async def events(self, query: Query) -> list[rest.Event]:
        """All events of a query that can be read."""
        return await self._all("/events", query, rest.Events, self._rows("event", rest.Event, "events"), 200)

    async def orderbook(self, ticker: str, depth: int = 0) -> rest.BookBody:
        """Bids of both outcomes; ``depth`` 0 is all of them."""
        body = await self._get(
            f"/markets/{ticker}/orderbook", rest.OneBook, {"depth": depth} if depth else {}
        )
        return body.orderbook_fp

    async def trades(self, query: Query) -> list[rest.Trade]:
        """Public trades of a query (``ticker``, ``min_ts``, ``max_ts``), newest first."""
        return await self._all("/markets/trades", query, rest.Trades, lambda page: page.trades)

    async def candles(
        self, series: str, ticker: str, start_s: int, end_s: int, period_minutes: int = 1
    ) -> list[rest.CandleBody]:
        """Candles of a market; a period is 1, 60 or 1,440 minutes."""
        query = {"start_ts": start_s, "end_ts": end_s, "period_interval": period_minutes}
        path = f"/series/{series}/markets/{ticker}/candlesticks"
        return (await self._get(path, rest.Candles, query)).candlesticks

    async def raw(self, path: str, query: Query | None = None, *, cache_s: float = 0.0) -> bytes:
        """The body of a public read as it came, to be recorded; it is JSON, and not older than ``cache_s``."""
        return (await self._read(path, query or {}, cache_s)).body

    # ── the account ─────────────────────────────────────────────────────────────────────────────────

    async def balance(self) -> rest.BalanceBody:
        return await self._get("/portfolio/balance", rest.BalanceBody)

    async def positions(self) -> list[rest.MarketPosition]:
        """Markets with a position."""
        query = {"count_filter": "position"}
        return await self._all(
            "/portfolio/positions",
            query,
            rest.Positions,
            self._rows("position", rest.MarketPosition, "market_positions"),
        )

    async def fills(self, query: Query) -> list[rest.Fill]:
        """Fills of a query (``ticker``, ``order_id``, ``min_ts`` in seconds), newest first."""
        return await self._all(
            "/portfolio/fills", query, rest.Fills, self._rows("fill", rest.Fill, "fills"), ACCOUNT_PAGE_ROWS
        )

    async def settlements(self, query: Query) -> list[rest.SettlementBody]:
        return await self._all(
            "/portfolio/settlements",
            query,
            rest.Settlements,
            self._rows("settlement", rest.SettlementBody, "settlements"),
            ACCOUNT_PAGE_ROWS,
        )

    async def orders(self, query: Query, left_out: list[str] | None = None) -> list[rest.Order]:
        """Orders of a query (``ticker``, ``status``, ``min_ts``); what cannot be read is named in ``left_out``."""
        return await self._all(
            "/portfolio/orders",
            query,
            rest.Orders,
            self._rows("order", rest.Order, "orders", left_out),
            ACCOUNT_PAGE_ROWS,
        )

    async def order(self, order_id: str) -> rest.Order:
        """One order. Raises ``Refused`` with status 404 when the venue does not know it."""
        return (await self._get(f"/portfolio/orders/{order_id}", rest.OneOrder)).order

    # ── effects: never sent twice ───────────────────────────────────────────────────────────────────

    async def create_order(self, body: bytes) -> rest.Created:
        """Place an order; ``body`` are the exact bytes of an ``OrderBody``."""
        return await self._effect("POST", "/portfolio/events/orders", body, rest.Created)

    async def create_orders(self, bodies: Sequence[bytes]) -> list[rest.BatchItem]:
        """Place several, each in the bytes of ``create_order``; answers in their order, each by itself."""
        body = b'{"orders":[' + b",".join(bodies) + b"]}"
        return await self._batch("POST", body, limits.COST * len(bodies), len(bodies))

    async def cancel_order(self, order_id: str, ticker: str) -> rest.Reduced:
        """Cancel an order; its market's ticker leads the cancel to the right shard."""
        path, query = f"/portfolio/events/orders/{order_id}", {"market_ticker": ticker}
        return await self._effect("DELETE", path, None, rest.Reduced, cost=limits.CANCEL_COST, query=query)

    async def cancel_orders(self, tickers: Mapping[str, str]) -> list[rest.BatchItem]:
        """Cancel several, given with the tickers of their markets; each succeeds or fails by itself."""
        orders = [{"order_id": order_id, "market_ticker": ticker} for order_id, ticker in tickers.items()]
        body = msgspec.json.encode({"orders": orders})
        return await self._batch("DELETE", body, limits.CANCEL_COST * len(orders), len(orders))

    async def _batch(self, method: str, body: bytes, cost: int, items: int) -> list[rest.BatchItem]:
        path = "/portfolio/events/orders/batched"
        answers = (await self._effect(method, path, body, rest.Batch, cost=cost)).orders
        if len(answers) != items:
            raise OutcomeUnknown(KALSHI, f"{method} {path}: expected {items} answers, was {len(answers)}")
        return answers

    async def amend_order(self, order_id: str, body: Mapping[str, object]) -> rest.Amended:
        """Change price or total count: ``{"ticker", "side", "price", "count"}``."""
        path = f"/portfolio/events/orders/{order_id}/amend"
        return await self._effect("POST", path, msgspec.json.encode(body), rest.Amended)

    async def decrease_order(self, order_id: str, market_ticker: str, reduce_by: str) -> rest.Reduced:
        """Take contracts off an order, found by its market; it keeps its place in the queue."""
        path = f"/portfolio/events/orders/{order_id}/decrease"
        body = msgspec.json.encode({"market_ticker": market_ticker, "reduce_by": reduce_by})
        return await self._effect("POST", path, body, rest.Reduced)

    # ── order groups ────────────────────────────────────────────────────────────────────────────────

    async def groups(self) -> list[rest.GroupSummary]:
        return (await self._get("/portfolio/order_groups", rest.Groups)).order_groups

    async def group(self, group_id: str) -> rest.Group:
        return await self._get(f"/portfolio/order_groups/{group_id}", rest.Group)

    async def create_group(self, contracts_limit: int, exchange_index: int) -> str:
        """A group on a shard, whose orders are all canceled once so many contracts fill within 15 seconds."""
        body = msgspec.json.encode({"contracts_limit": contracts_limit, "exchange_index": exchange_index})
        made = await self._effect("POST", "/portfolio/order_groups/create", body, rest.NewGroup)
        return made.order_group_id

    async def trigger_group(self, group_id: str, exchange_index: int) -> None:
        """Cancel all orders of a group; it takes none until it is reset."""
        await self._act_on_group(group_id, exchange_index, "trigger")

    async def reset_group(self, group_id: str, exchange_index: int) -> None:
        """Let a triggered group take orders again."""
        await self._act_on_group(group_id, exchange_index, "reset")

    async def _act_on_group(self, group_id: str, exchange_index: int, action: str) -> None:
        path, query = f"/portfolio/order_groups/{group_id}/{action}", {"exchange_index": exchange_index}
        await self._effect("PUT", path, b"{}", dict[str, Any], query=query)

    # ── how it is asked ─────────────────────────────────────────────────────────────────────────────

    def _headers(self, method: str, path: str) -> Callable[[], Mapping[str, str]] | None:
        """Signed anew for each attempt: the signature carries the time."""
        signer = self._signer
        if signer is None:
            return None
        return lambda: signer.headers(method, self._http.base_url + path)

    async def _read(self, path: str, query: Query, cache_s: float = 0.0) -> HttpAnswer:
        return await self._http.request(
            "GET",
            path,
            effect=False,
            query=query or None,
            headers=self._headers("GET", path),
            bucket=limits.READ,
            cost=limits.COST,
            read_error=read_error,
            cache_s=cache_s,
        )

    async def _get(self, path: str, kind: type[Body], query: Query | None = None) -> Body:
        answer = await self._read(path, query or {})
        return _decode(f"GET {path}", answer.body, kind)

    def _rows(
        self, kind: str, row_type: type[Body], name: str, left_out: list[str] | None = None
    ) -> Callable[[Any], list[Body]]:
        """What reads the rows of a page, odd ones left out."""
        return lambda page: self.odd_items.readable(kind, getattr(page, name), row_type, left_out)

    async def _all(
        self,
        path: str,
        query: Query,
        kind: type[Any],
        rows_of: Callable[[Any], list[Body]],
        limit: int = PAGE_ROWS,
    ) -> list[Body]:
        """Every page; a cursor that comes again or a list without an end is not taken for complete."""
        rows: list[Body] = []
        asked: set[str] = set()
        cursor = ""
        for _ in range(PAGES_MAX):
            page = await self._get(
                path, kind, {**query, "limit": limit, **({"cursor": cursor} if cursor else {})}
            )
            rows += rows_of(page)
            cursor = page.cursor
            if not cursor:
                return rows
            if cursor in asked:
                raise BadAnswer(KALSHI, f"GET {path}: expected a new cursor, was one seen before")
            asked.add(cursor)
        raise BadAnswer(KALSHI, f"GET {path}: expected at most {PAGES_MAX} pages")

    async def _effect(
        self,
        method: str,
        path: str,
        body: bytes | None,
        kind: type[Body],
        *,
        cost: int = limits.COST,
        query: Query | None = None,
    ) -> Body:
        answer = await self._http.request(
            method,
            path,
            effect=True,
            query=query,
            body=body,
            headers=self._headers(method, path),
            bucket=limits.WRITE,
            cost=cost,
            read_error=read_error,
        )
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except DECODE_ERRORS as e:
            # A success that says something else (retired endpoints do) proves nothing about the order.
            raise OutcomeUnknown(KALSHI, f"{method} {path}: {clip(str(e), 200)}") from e


def _decode(what: str, body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except DECODE_ERRORS as e:
        raise BadAnswer(KALSHI, f"{what}: {clip(str(e), 200)}") from e
