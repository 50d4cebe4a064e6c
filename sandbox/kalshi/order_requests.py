"""REST of an account's orders: what there are, placing, canceling and changing them."""

from typing import Any

from aiohttp import web
from msgspec import Struct

from proto.units import ONE, UnitError, parse
from sandbox.accounts import ClientAccount
from sandbox.kalshi.bodies import count, dollars
from sandbox.kalshi.exchange import KalshiExchange
from sandbox.kalshi.ledger import OrderRecord
from sandbox.kalshi.market_data import PREFIX
from sandbox.kalshi.order_bodies import AmendBody, CancelItem, DecreaseBody, NewOrderBody, count_of, read_body
from sandbox.kalshi.pages import LIST_LIMIT, index_of, newest_first, number_of
from sandbox.kalshi.portfolio import AccountOf
from sandbox.kalshi.refusals import KalshiRefusal, answer, bad_request, not_found
from sandbox.venue import arrival_of
from sandbox.world.world import World

BATCH_MAX = 200
STATUSES = ("resting", "canceled", "executed")


class _Orders(Struct):
    orders: list[NewOrderBody]


class _Cancels(Struct):
    orders: list[CancelItem]


class OrderRequests:
    """Handlers of requests about orders."""

    def __init__(self, world: World, exchange: KalshiExchange, account_of: AccountOf) -> None:
        self._world = world
        self._exchange = exchange
        self._account_of = account_of

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: fixed paths before those with an id in them."""
        orders = f"{PREFIX}/portfolio/events/orders"
        return [
            web.get(f"{PREFIX}/portfolio/orders", self._list),
            web.post(f"{PREFIX}/portfolio/orders", self._legacy),
            web.get(f"{PREFIX}/portfolio/orders/queue_positions", self._queue_positions),
            web.get(f"{PREFIX}/portfolio/orders/{{order}}", self._one),
            web.get(f"{PREFIX}/portfolio/orders/{{order}}/queue_position", self._queue_position),
            web.post(orders, self._create),
            web.delete(orders, self._cancel_all),
            web.post(f"{orders}/batched", self._create_batch),
            web.delete(f"{orders}/batched", self._cancel_batch),
            web.delete(f"{orders}/{{order}}", self._cancel),
            web.post(f"{orders}/{{order}}/amend", self._amend),
            web.post(f"{orders}/{{order}}/decrease", self._decrease),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        ticker, status = request.query.get("ticker", ""), request.query.get("status", "")
        if status and status not in STATUSES:
            raise bad_request("invalid status filter")
        least = number_of(request, "min_ts", 0)
        page, cursor = newest_first(
            request,
            self._exchange.records,
            lambda record: (
                record.owner == account.owner
                and ticker in ("", record.market.id)
                and status in ("", record.status)
                and record.created_at // 10**9 >= least
            ),
            LIST_LIMIT,
        )
        return answer({"orders": [record.body() for record in page], "cursor": cursor})

    async def _one(self, request: web.Request) -> web.Response:
        record = self._exchange.get(self._account_of(request).owner, request.match_info["order"])
        return answer({"order": record.body()})

    async def _queue_position(self, request: web.Request) -> web.Response:
        record = self._exchange.get(self._account_of(request).owner, request.match_info["order"])
        if record.status != "resting":
            raise not_found("order")
        return answer({"queue_position_fp": count(record.ahead)})

    async def _queue_positions(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        tickers = {ticker for ticker in request.query.get("market_tickers", "").split(",") if ticker}
        event = request.query.get("event_ticker", "")
        if not tickers and not event:
            raise bad_request("expected market_tickers or event_ticker")
        found = [
            {
                "order_id": record.order_id,
                "market_ticker": record.market.id,
                "queue_position_fp": count(record.ahead),
            }
            for record in self._exchange.records
            if record.owner == account.owner
            and record.status == "resting"
            and (record.market.id in tickers or record.market.event_id == event)
        ]
        return answer({"queue_positions": found})

    async def _legacy(self, request: web.Request) -> web.Response:
        """Return the order endpoint of before May 2026: a success that places nothing."""
        self._account_of(request)
        error = {
            "code": "deprecated_v1_order_endpoint",
            "message": "Please switch to the V2 endpoints",
            "details": "create-order-v2",
        }
        return answer({"error": error})

    async def _create(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        new = read_body(await request.read(), NewOrderBody)
        arrival_of(request).keys.append(new.client_order_id)
        return answer(self._placed(account, new), 201)

    def _placed(self, account: ClientAccount, new: NewOrderBody) -> dict[str, Any]:
        record = self._exchange.place(account, new)
        remaining = record.remaining if record.status == "resting" else 0
        body: dict[str, Any] = {
            "order_id": record.order_id,
            "client_order_id": record.client_order_id,
            "fill_count": count(record.filled),
            "remaining_count": count(remaining),
            "ts_ms": self._world.now() // 1_000_000,
        }
        if record.filled:
            own = (record.taker_cost * ONE) // record.filled
            price = own if record.side == "bid" else ONE - own
            body["average_fill_price"] = dollars(price)
            body["average_fee_paid"] = dollars(record.taker_fees * ONE // record.filled)
        return body

    async def _create_batch(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        orders = read_body(await request.read(), _Orders).orders
        if not 1 <= len(orders) <= BATCH_MAX:
            raise bad_request("invalid batch size")
        items: list[dict[str, Any]] = []
        for new in orders:
            arrival_of(request).keys.append(new.client_order_id)
            try:
                items.append(self._placed(account, new))
            except KalshiRefusal as e:
                items.append({"client_order_id": new.client_order_id, "error": e.fields()})
        return answer({"orders": items}, 201)

    async def _cancel(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        record, reduced = self._exchange.cancel(
            self._exchange.on_shard(
                account.owner,
                request.match_info["order"],
                index_of(request),
                request.query.get("market_ticker"),
            )
        )
        arrival_of(request).keys.append(record.client_order_id)
        return answer(self._reduced(record, reduced))

    def _reduced(self, record: OrderRecord, reduced: int) -> dict[str, Any]:
        return {
            "order_id": record.order_id,
            "client_order_id": record.client_order_id,
            "reduced_by": count(reduced),
            "ts_ms": self._world.now() // 1_000_000,
        }

    async def _cancel_batch(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        orders = read_body(await request.read(), _Cancels).orders
        items: list[dict[str, Any]] = []
        for asked in orders[:BATCH_MAX]:
            try:
                found = self._exchange.on_shard(
                    account.owner, asked.order_id, asked.exchange_index, asked.market_ticker
                )
                record, reduced = self._exchange.cancel(found)
                items.append(self._reduced(record, reduced))
            except KalshiRefusal as e:
                item = {"order_id": asked.order_id, "reduced_by": "0.00", "ts_ms": None, "error": e.fields()}
                items.append(item)
        return answer({"orders": items})

    async def _cancel_all(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        self._exchange.cancel_where(r for r in self._exchange.records if r.owner == account.owner)
        return web.Response(status=204)

    async def _amend(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        change = read_body(await request.read(), AmendBody)
        found = self._exchange.on_shard(
            account.owner, request.match_info["order"], change.exchange_index, change.ticker
        )
        record = self._exchange.amend(account, found, change)
        return answer(
            {
                "order_id": record.order_id,
                "client_order_id": record.client_order_id,
                "fill_count": count(record.filled),
                "remaining_count": count(record.remaining),
                "ts_ms": self._world.now() // 1_000_000,
            }
        )

    async def _decrease(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        body = read_body(await request.read(), DecreaseBody)
        if (body.reduce_by is None) == (body.reduce_to is None):
            raise bad_request("expected reduce_by or reduce_to")
        by = count_of(body.reduce_by) if body.reduce_by is not None else None
        to = None if body.reduce_to is None else _count_or_none(body.reduce_to)
        found = self._exchange.on_shard(
            account.owner, request.match_info["order"], body.exchange_index, body.market_ticker
        )
        record, reduced = self._exchange.decrease(found, by, to)
        return answer({**self._reduced(record, reduced), "remaining_count": count(record.remaining)})


def _count_or_none(text: str) -> int:
    """Return a count of a request that may be zero."""
    try:
        value = parse(text)
    except UnitError:
        raise bad_request("invalid count") from None
    if value < 0:
        raise bad_request("invalid count")
    return value
