"""REST of an account: orders, fills, positions, balance, settlements, order groups."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from msgspec import Struct

from proto.units import ONE, UnitError, notional, parse
from sandbox.accounts import Account, Payout
from sandbox.kalshi.bodies import CRYPTO_SHARD, count, dollars, fine_dollars, iso
from sandbox.kalshi.exchange import Change, KalshiExchange, NewOrder, count_of, read_body
from sandbox.kalshi.ledger import Record
from sandbox.kalshi.market_data import PREFIX
from sandbox.kalshi.pages import newest_first, number_of
from sandbox.kalshi.refusals import Refusal, answer, bad_request
from sandbox.venue import arrival_of
from sandbox.world.world import World

LIST_LIMIT = 1_000
"""Most rows of a page; the documentation of 2026 says 200 for some lists, the venue takes more."""
BATCH_MAX = 200
CENT = 10_000
STATUSES = ("resting", "canceled", "executed")

AccountOf = Callable[[web.Request], Account]


class _Orders(Struct):
    orders: list[NewOrder]


class _CancelItem(Struct):
    order_id: str
    subaccount: int = 0
    exchange_index: int = 0


class _Cancels(Struct):
    orders: list[_CancelItem]


class _Decrease(Struct):
    reduce_by: str | None = None
    reduce_to: str | None = None


class _Limit(Struct):
    contracts_limit: int | None = None
    contracts_limit_fp: str | None = None


class Portfolio:
    """Handlers of an account's requests; ``account_of`` says whose request it is, or refuses."""

    def __init__(self, world: World, exchange: KalshiExchange, account_of: AccountOf) -> None:
        self._world = world
        self._exchange = exchange
        self._account_of = account_of
        self._group_count = 0

    def routes(self) -> list[web.RouteDef]:
        """Fixed paths before those with an id in them."""
        orders, groups = f"{PREFIX}/portfolio/events/orders", f"{PREFIX}/portfolio/order_groups"
        return [
            web.get(f"{PREFIX}/portfolio/balance", self._balance),
            web.get(f"{PREFIX}/portfolio/positions", self._positions),
            web.get(f"{PREFIX}/portfolio/fills", self._fills),
            web.get(f"{PREFIX}/portfolio/settlements", self._settlements),
            web.get(f"{PREFIX}/portfolio/orders", self._list),
            web.post(f"{PREFIX}/portfolio/orders", self._legacy),
            web.get(f"{PREFIX}/portfolio/orders/{{order}}", self._one),
            web.post(orders, self._create),
            web.delete(orders, self._cancel_all),
            web.post(f"{orders}/batched", self._create_batch),
            web.delete(f"{orders}/batched", self._cancel_batch),
            web.delete(f"{orders}/{{order}}", self._cancel),
            web.post(f"{orders}/{{order}}/amend", self._amend),
            web.post(f"{orders}/{{order}}/decrease", self._decrease),
            web.get(groups, self._groups),
            web.post(f"{groups}/create", self._create_group),
            web.get(f"{groups}/{{group}}", self._group),
            web.delete(f"{groups}/{{group}}", self._delete_group),
            web.put(f"{groups}/{{group}}/trigger", self._trigger_group),
            web.put(f"{groups}/{{group}}/reset", self._reset_group),
            web.put(f"{groups}/{{group}}/limit", self._limit_group),
        ]

    # ── money and positions ─────────────────────────────────────────────────────────────────────────

    async def _balance(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        available = account.available
        shards = [{"exchange_index": 0, "balance": "0.0000"}]
        shards.append({"exchange_index": CRYPTO_SHARD, "balance": fine_dollars(available)})
        return answer(
            {
                "balance": available // CENT,
                "balance_dollars": fine_dollars(available),
                "balance_breakdown": shards,
                "portfolio_value": self._worth(account) // CENT,
                "updated_ts": self._world.now() // 10**9,
            }
        )

    def _worth(self, account: Account) -> int:
        total = 0
        for (ticker, outcome), held in account.positions.items():
            market = self._world.market(account.venue, ticker)
            if market is not None:
                price = market.last_price or 0
                total += notional(price if outcome == 0 else ONE - price, held)
        return total

    async def _positions(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        held: dict[str, int] = {}
        for (ticker, outcome), quantity in account.positions.items():
            held[ticker] = held.get(ticker, 0) + (quantity if outcome == 0 else -quantity)
        if "position" not in request.query.get("count_filter", ""):
            traded = {f.record.market.id for f in self._exchange.fills if f.record.owner == account.owner}
            held = {**dict.fromkeys(traded, 0), **held}
        wanted = request.query.get("ticker", "")
        rows = sorted((t, q) for t, q in held.items() if wanted in ("", t))
        page, cursor = newest_first(request, rows, lambda _: True, LIST_LIMIT)
        positions = [self._position(account, ticker, quantity) for ticker, quantity in page]
        return answer({"market_positions": positions, "event_positions": [], "cursor": cursor})

    def _position(self, account: Account, ticker: str, held: int) -> dict[str, Any]:
        rows = [
            fill
            for fill in self._exchange.fills
            if fill.record.owner == account.owner and fill.record.market.id == ticker
        ]
        spent = sum(notional(row.price, row.quantity) for row in rows)
        return {
            "ticker": ticker,
            "position_fp": count(held),
            "total_traded_dollars": dollars(spent),
            "market_exposure_dollars": dollars(spent if held else 0),
            "realized_pnl_dollars": "0.0000",
            "fees_paid_dollars": fine_dollars(sum(row.fee for row in rows)),
            "resting_orders_count": 0,
            "last_updated_ts": iso(rows[-1].at) if rows else iso(self._world.now()),
        }

    async def _fills(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        ticker, order_id = request.query.get("ticker", ""), request.query.get("order_id", "")
        least, most = number_of(request, "min_ts", 0), number_of(request, "max_ts", 2**40)
        page, cursor = newest_first(
            request,
            self._exchange.fills,
            lambda fill: (
                fill.record.owner == account.owner
                and ticker in ("", fill.record.market.id)
                and order_id in ("", fill.record.order_id)
                and least <= fill.at // 10**9 <= most
            ),
            LIST_LIMIT,
        )
        return answer({"fills": [fill.body() for fill in page], "cursor": cursor})

    async def _settlements(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        least = number_of(request, "min_ts", 0)
        page, cursor = newest_first(
            request, account.payouts, lambda payout: payout.at // 10**9 >= least, LIST_LIMIT
        )
        return answer({"settlements": [self._settlement(account, p) for p in page], "cursor": cursor})

    def _settlement(self, account: Account, payout: Payout) -> dict[str, Any]:
        market = payout.market
        rows = [
            fill
            for fill in self._exchange.fills
            if fill.record.owner == account.owner and fill.record.market is market
        ]
        costs = [
            sum(notional(row.price, row.quantity) for row in rows if row.record.outcome == outcome)
            for outcome in (0, 1)
        ]
        held = [payout.quantity if payout.outcome == outcome else 0 for outcome in (0, 1)]
        return {
            "ticker": market.id,
            "event_ticker": market.event_id,
            "market_result": market.result,
            "yes_count_fp": count(held[0]),
            "no_count_fp": count(held[1]),
            "yes_total_cost_dollars": fine_dollars(costs[0] if held[0] else 0),
            "no_total_cost_dollars": fine_dollars(costs[1] if held[1] else 0),
            "revenue": notional(payout.price, payout.quantity) // CENT,
            "value": market.payout(0) // CENT,
            "fee_cost": fine_dollars(sum(row.fee for row in rows)),
            "settled_time": iso(payout.at),
        }

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

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

    async def _legacy(self, request: web.Request) -> web.Response:
        """The order endpoint of before May 2026: a success that places nothing."""
        self._account_of(request)
        error = {
            "code": "deprecated_v1_order_endpoint",
            "message": "Please switch to the V2 endpoints",
            "details": "create-order-v2",
        }
        return answer({"error": error})

    async def _create(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        new = read_body(await request.read(), NewOrder)
        arrival_of(request).keys.append(new.client_order_id)
        return answer(self._placed(account, new), 201)

    def _placed(self, account: Account, new: NewOrder) -> dict[str, Any]:
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
            except Refusal as e:
                items.append({"client_order_id": new.client_order_id, "error": e.fields()})
        return answer({"orders": items}, 201)

    async def _cancel(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        record, reduced = self._exchange.cancel(account.owner, request.match_info["order"])
        arrival_of(request).keys.append(record.client_order_id)
        return answer(self._reduced(record, reduced))

    def _reduced(self, record: Record, reduced: int) -> dict[str, Any]:
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
                record, reduced = self._exchange.cancel(account.owner, asked.order_id)
                items.append(self._reduced(record, reduced))
            except Refusal as e:
                item = {"order_id": asked.order_id, "reduced_by": "0.00", "ts_ms": None, "error": e.fields()}
                items.append(item)
        return answer({"orders": items})

    async def _cancel_all(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        self._exchange.cancel_where(r for r in self._exchange.records if r.owner == account.owner)
        return web.Response(status=204)

    async def _amend(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        change = read_body(await request.read(), Change)
        record = self._exchange.amend(account, request.match_info["order"], change)
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
        body = read_body(await request.read(), _Decrease)
        if (body.reduce_by is None) == (body.reduce_to is None):
            raise bad_request("expected reduce_by or reduce_to")
        by = count_of(body.reduce_by) if body.reduce_by is not None else None
        to = None if body.reduce_to is None else _count_or_none(body.reduce_to)
        record, reduced = self._exchange.decrease(account.owner, request.match_info["order"], by, to)
        return answer({**self._reduced(record, reduced), "remaining_count": count(record.remaining)})

    # ── order groups ────────────────────────────────────────────────────────────────────────────────

    async def _groups(self, request: web.Request) -> web.Response:
        groups = self._exchange.groups.of(self._account_of(request).owner)
        return answer({"order_groups": [group.summary() for group in groups]})

    async def _create_group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        limit = _limit(read_body(await request.read(), _Limit))
        self._group_count += 1
        group = self._exchange.groups.create(
            f"{account.owner}-group-{self._group_count}", account.owner, limit
        )
        return answer({"order_group_id": group.group_id}, 201)

    async def _group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        group = self._exchange.groups.get(request.match_info["group"], account.owner)
        orders = [
            record.order_id
            for record in self._exchange.records
            if record.group_id == group.group_id and record.status == "resting"
        ]
        body = {"is_auto_cancel_enabled": group.enabled, "orders": orders}
        return answer({**body, "contracts_limit_fp": count(group.limit)})

    async def _delete_group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        group = self._exchange.groups.get(request.match_info["group"], account.owner)
        self._exchange.trigger(group)
        self._exchange.groups.delete(group)
        return answer({})

    async def _trigger_group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        self._exchange.trigger(self._exchange.groups.get(request.match_info["group"], account.owner))
        return answer({})

    async def _reset_group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        group = self._exchange.groups.get(request.match_info["group"], account.owner)
        group.enabled = True
        group.fills.clear()
        return answer({})

    async def _limit_group(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        group = self._exchange.groups.get(request.match_info["group"], account.owner)
        group.limit = _limit(read_body(await request.read(), _Limit)) * ONE
        if group.exceeded(self._world.now()):
            self._exchange.trigger(group)
        return answer({})


def _limit(body: _Limit) -> int:
    if body.contracts_limit is not None:
        return body.contracts_limit
    if body.contracts_limit_fp is not None:
        return count_of(body.contracts_limit_fp) // ONE
    raise bad_request("expected contracts_limit")


def _count_or_none(text: str) -> int:
    """A count of a request that may be zero."""
    try:
        value = parse(text)
    except UnitError:
        raise bad_request("invalid count") from None
    if value < 0:
        raise bad_request("invalid count")
    return value
