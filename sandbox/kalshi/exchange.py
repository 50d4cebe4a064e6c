"""Kalshi's order entry: what it checks, what it refuses, and what becomes of an order."""

import random
import re
from collections.abc import Callable, Iterable
from functools import partial

from libs.exchange.matching_types import Execution, LimitOrder, OrderState, Reason
from libs.venues.kalshi import KALSHI
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional, parse
from sandbox.accounts import Accounts, ClientAccount, InsufficientFunds
from sandbox.faults.rules import FILL, FaultKind
from sandbox.faults.script import Faults
from sandbox.kalshi.event_fees import EventFees
from sandbox.kalshi.groups import OrderGroup, OrderGroups
from sandbox.kalshi.ledger import SELF_TRADES, FillRow, OrderRecord, position_frame
from sandbox.kalshi.order_bodies import AmendBody, NewOrderBody, count_of, price_of
from sandbox.kalshi.refusals import KalshiRefusal, bad_request, not_found
from sandbox.kalshi.shards import SHARDS, routed, shard_of
from sandbox.world.events import FillEvent, OrderChange, OrderEvent
from sandbox.world.ids import digest
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

ORDERS_MAX = 200_000
"""Orders kept for ever; a soak of a day stays far below."""
_TIMES = {
    "good_till_canceled": TimeInForce.GTC,
    "immediate_or_cancel": TimeInForce.IOC,
    "fill_or_kill": TimeInForce.FOK,
}
_CLIENT_ID = re.compile(r"[-\w:+=/]{1,64}\Z")
PublishFrame = Callable[[str, str, dict[str, object]], None]
"""Called with owner, channel and the body of a frame."""


class KalshiExchange:
    """Orders of all clients. ``publish`` gets the frames for their sockets, in order."""

    def __init__(self, world: World, accounts: Accounts, faults: Faults, draw: random.Random) -> None:
        self.paused_shards: set[int] = set()
        self.records: list[OrderRecord] = []
        self.fills: list[FillRow] = []
        self.groups = OrderGroups()
        self.publish: PublishFrame = lambda *_: None
        self.event_fees = EventFees(world)
        self._world = world
        self._accounts = accounts
        self._faults = faults
        self._draw = draw
        self._by_id: dict[str, OrderRecord] = {}
        self._by_client_id: dict[tuple[str, str], OrderRecord] = {}
        self._by_engine_id: dict[str, OrderRecord] = {}
        world.order_entry.fees[KALSHI] = self._fee
        # Whoever asks for his orders and fills may ask about their markets.
        world.keep_markets(lambda market: any(record.market is market for record in self.records))

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    def place(self, account: ClientAccount, new: NewOrderBody) -> OrderRecord:
        """Place an order, or raise ``Refusal``."""
        if new.client_order_id and not _CLIENT_ID.match(new.client_order_id):
            raise bad_request("invalid client_order_id")
        known = self._by_client_id.get((account.owner, new.client_order_id))
        if known is not None and new.client_order_id:
            raise KalshiRefusal(409, "order_already_exists", known.order_id)
        market = self._market(new.ticker)
        if routed(new.exchange_index, market, new.ticker) != shard_of(market):
            raise KalshiRefusal(404, "market_not_found", new.ticker)
        record = self._record(account, market, new)
        if new.reduce_only:
            record.quantity = self._reducing(account, record)
        self._check_money(account, record, record.quantity)
        if len(self.records) >= ORDERS_MAX:
            raise KalshiRefusal(503, "service_unavailable", "the sandbox is full")
        return self._enter(record)

    def _record(self, account: ClientAccount, market: SandboxMarket, new: NewOrderBody) -> OrderRecord:
        if new.side not in ("bid", "ask"):
            raise bad_request("invalid side")
        time_in_force = _TIMES.get(new.time_in_force)
        if time_in_force is None or new.self_trade_prevention_type not in SELF_TRADES:
            raise bad_request("invalid time_in_force or self_trade_prevention_type")
        resting = time_in_force is TimeInForce.GTC
        if (new.expiration_time is not None or new.post_only) and not resting:
            raise bad_request("expiration_time and post_only need good_till_canceled")
        if new.reduce_only and time_in_force is not TimeInForce.IOC:
            raise bad_request("reduce_only needs immediate_or_cancel")
        if new.expiration_time is not None:
            if new.expiration_time <= self._world.now() // SECOND:
                raise bad_request("expiration_time is in the past")
            time_in_force = TimeInForce.GTD
        group = None
        if new.order_group_id:
            # A group of another shard is not there.
            group = self.groups.get(new.order_group_id, account.owner, shard_of(market))
            if not group.enabled:
                raise KalshiRefusal(400, "order_group_triggered", group.group_id)
        return OrderRecord(
            order_id=self._new_id(),
            client_order_id=new.client_order_id,
            owner=account.owner,
            market=market,
            side=new.side,
            price=price_of(market, new.price),
            quantity=count_of(new.count),
            time_in_force=time_in_force,
            created_at=self._world.now(),
            post_only=new.post_only,
            expiration_s=new.expiration_time,
            self_trade=new.self_trade_prevention_type,
            group_id=group.group_id if group else None,
            cancel_on_pause=new.cancel_order_on_pause,
            subaccount=new.subaccount,
        )

    def _enter(self, record: OrderRecord) -> OrderRecord:
        """Put an order into the book; refused ones leave no trace."""
        order = record.engine_order(record.quantity)
        self._by_engine_id[order.order_id] = record
        placement = self._world.place(record.market, order, SELF_TRADES[record.self_trade])
        if placement.state is OrderState.REJECTED and placement.reason != Reason.IOC_UNFILLED:
            del self._by_engine_id[order.order_id]
            if placement.reason == Reason.CROSSES:
                raise KalshiRefusal(400, "post_only_cross", "the order would have crossed the book")
            raise KalshiRefusal(409, "fill_or_kill_insufficient_resting_volume")
        if record.order_id not in self._by_id:
            self._keep(record)
        if placement.state is OrderState.REJECTED:
            self._cancel_unfilled(record)
        return record

    def _keep(self, record: OrderRecord) -> None:
        self.records.append(record)
        self._by_id[record.order_id] = record
        if record.client_order_id:
            self._by_client_id[record.owner, record.client_order_id] = record

    def cancel(self, record: OrderRecord) -> tuple[OrderRecord, int]:
        """Cancel an order; how many contracts it still had."""
        self._check_working(record)
        remaining = record.remaining
        self._world.cancel(record.market, record.engine_id)
        return record, remaining

    def decrease(self, record: OrderRecord, by: int | None, to: int | None) -> tuple[OrderRecord, int]:
        """Take contracts off an order; by how many it shrank."""
        self._check_working(record)
        remaining = record.remaining
        left = max(0, remaining - by) if by is not None else (to or 0)
        if left > remaining:
            raise bad_request("an order can only be decreased")
        if not left:
            return self.cancel(record)
        order = record.market.book.order(record.engine_id)
        assert order is not None
        self._world.order_entry.reduce(record.market, record.engine_id, order.filled + left)
        record.quantity = record.filled + left
        return record, remaining - left

    def amend(self, account: ClientAccount, record: OrderRecord, change: AmendBody) -> OrderRecord:
        """Change price and total count: the order is placed again, at the end of its queue."""
        self._check_working(record)
        if change.ticker != record.market.id or change.side != record.side:
            raise bad_request("ticker and side of an order cannot change")
        price, total = price_of(record.market, change.price), count_of(change.count)
        if total <= record.filled:
            raise bad_request("count must exceed what is filled")
        old_price, old_total = record.price, record.quantity
        self._by_engine_id.pop(record.engine_id, None)
        self._world.cancel(record.market, record.engine_id)
        record.price, record.quantity = price, total
        try:
            self._check_money(account, record, total - record.filled)
            self._reenter(record)
        except KalshiRefusal:
            record.price, record.quantity = old_price, old_total
            self._reenter(record)
            raise
        return record

    def _reenter(self, record: OrderRecord) -> None:
        order = record.engine_order(record.quantity - record.filled)
        self._by_engine_id[order.order_id] = record
        placement = self._world.place(record.market, order, SELF_TRADES[record.self_trade])
        if placement.state is OrderState.REJECTED:
            raise KalshiRefusal(400, "post_only_cross", "the order would have crossed the book")

    def cancel_where(self, records: Iterable[OrderRecord]) -> None:
        """Cancel all of them that rest."""
        for record in list(records):
            if record.status == "resting":
                self._world.cancel(record.market, record.engine_id)

    def pause(self, *shards: int) -> None:
        """Stop trading on these shards, or on all; cancel orders that were placed with that option."""
        self.paused_shards |= set(shards or SHARDS)
        self.cancel_where(
            record
            for record in self.records
            if record.cancel_on_pause and shard_of(record.market) in self.paused_shards
        )

    def trigger(self, group: OrderGroup) -> None:
        """Cancel all orders of a group and let it take no more."""
        group.enabled = False
        self.tell_group(group, "triggered")
        self.cancel_where(record for record in self.records if record.group_id == group.group_id)

    def tell_group(self, group: OrderGroup, event: str) -> None:
        """Tell what happened to a group on the account's sockets."""
        self.publish(group.owner, "order_group_updates", group.frame(event, self._world.now()))

    # ── a restart ───────────────────────────────────────────────────────────────────────────────────

    def resume(
        self, records: Iterable[OrderRecord], fills: Iterable[FillRow], groups: Iterable[OrderGroup]
    ) -> None:
        """Restore orders, fills and groups; what rests is in the books already."""
        for record in records:
            self._keep(record)
            self._by_engine_id[record.engine_id] = record
        self.fills.extend(fills)
        for group in groups:
            self.groups.add(group)

    # ── what is there ───────────────────────────────────────────────────────────────────────────────

    def get(self, owner: str, order_id: str) -> OrderRecord:
        record = self._by_id.get(order_id)
        if record is None or record.owner != owner:
            raise not_found("order")
        return record

    def on_shard(self, owner: str, order_id: str, index: int | None, ticker: str | None) -> OrderRecord:
        """Return an order, if it is on the shard that a request names, by itself or by a market."""
        record = self.get(owner, order_id)
        named = self._world.market(KALSHI, ticker) if ticker else None
        if routed(index, named, ticker) != shard_of(record.market):
            raise not_found("order")
        return record

    def _check_working(self, record: OrderRecord) -> None:
        """Refuse what cannot be done: an order that does not rest, a market that is over."""
        if record.status != "resting":
            raise not_found("order")
        if record.market.status is not MarketStatus.OPEN:
            raise KalshiRefusal(400, "MARKET_INACTIVE", record.market.id)

    def _market(self, ticker: str) -> SandboxMarket:
        market = self._world.market(KALSHI, ticker)
        if market is None:
            raise KalshiRefusal(404, "market_not_found", ticker)
        if shard_of(market) in self.paused_shards:
            raise KalshiRefusal(400, "trading_is_paused")
        if not market.accepts_orders:
            raise KalshiRefusal(400, "MARKET_INACTIVE", ticker)
        return market

    def _reducing(self, account: ClientAccount, record: OrderRecord) -> int:
        """Return the count of a reduce-only order: no more than the position it closes."""
        held = account.held(record.market, 1 - record.outcome)
        resting = sum(
            other.remaining
            for other in self.records
            if other.owner == record.owner and other.market is record.market and other.side == record.side
        )
        closing = min(record.quantity, held - resting)
        if closing <= 0:
            raise KalshiRefusal(400, "reduce_only_no_position", record.market.id)
        return closing

    def _check_money(self, account: ClientAccount, record: OrderRecord, quantity: int) -> None:
        price = record.price if record.side == "bid" else ONE - record.price
        rate = self.event_fees.schedule_of(record.market.event_id).taker_rate
        fee = -(-rate * quantity * price * (ONE - price) // ONE**3)
        order = LimitOrder(
            order_id="",
            owner=record.owner,
            outcome=record.outcome,
            side=Side.BUY,
            price=price,
            quantity=quantity,
        )
        try:
            account.check(record.market, order, fee)
        except InsufficientFunds as e:
            raise KalshiRefusal(400, "insufficient_balance", str(e)) from e

    def _new_id(self) -> str:
        text = f"{self._draw.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"

    # ── what happens in the world ───────────────────────────────────────────────────────────────────

    def _fee(self, market: SandboxMarket, execution: Execution) -> int:
        record = self._by_engine_id.get(execution.order_id)
        if record is None:
            return 0
        return record.charge(execution, self.event_fees.schedule_of(market.event_id))

    def handle_order(self, event: OrderEvent) -> None:
        """Handle a change of a client's order."""
        record = self._by_engine_id.get(event.order.order_id)
        if record is None or event.change is OrderChange.REJECTED:
            return
        if event.change is OrderChange.PLACED and record.order_id not in self._by_id:
            self._keep(record)
        record.updated_at = event.at
        if event.change is OrderChange.CANCELLED:
            record.status = "canceled"
        elif not event.order.remaining:
            record.status = "executed"
        self.publish(record.owner, "user_orders", record.frame())

    def _cancel_unfilled(self, record: OrderRecord) -> None:
        """Cancel an order that matched nothing: it existed, and is canceled."""
        record.status = "canceled"
        record.updated_at = self._world.now()
        self.publish(record.owner, "user_orders", record.frame())

    def handle_fill(self, event: FillEvent) -> None:
        """Handle a fill of a client's order; its account has been updated already."""
        record = self._by_engine_id.get(event.execution.order_id)
        account = self._accounts.get(KALSHI, event.owner)
        if record is None or account is None:
            return
        execution = event.execution
        extra = self._over_fill(account, record, execution)
        quantity = execution.quantity + extra
        record.fill(execution.price, quantity, event.fee, execution.maker)
        row = FillRow(
            trade_id=trade_id(event.market, event.match.number),
            record=record,
            price=execution.price,
            quantity=quantity,
            fee=event.fee,
            maker=execution.maker,
            at=event.at,
            position_after=account.held(event.market, 0) - account.held(event.market, 1),
        )
        self.fills.append(row)
        for _ in range(2 if self._is_struck(FaultKind.DUPLICATE_FILL) else 1):
            self.publish(event.owner, "fill", row.frame())
        self.publish(event.owner, "market_positions", self._position(account, row))
        group = self.groups.look_up(record.group_id)
        if group is not None and group.enabled and group.record_fill(event.at, quantity):
            # Not while the book is in the middle of a match.
            self._world.schedule(self._world.at, partial(self.trigger, group))

    def _over_fill(self, account: ClientAccount, record: OrderRecord, execution: Execution) -> int:
        action = self._faults.pick_kind(FaultKind.OVER_FILL, KALSHI, FILL)
        if not action or action.rule is None:
            return 0
        extra = parse(action.rule.amount)
        account.move(record.market, record.outcome, extra, -notional(execution.price, extra))
        return extra

    def _is_struck(self, kind: FaultKind) -> bool:
        return bool(self._faults.pick_kind(kind, KALSHI, FILL))

    def _position(self, account: ClientAccount, row: FillRow) -> dict[str, object]:
        market = row.record.market
        rows = [r for r in self.fills if r.record.owner == account.owner and r.record.market is market]
        return position_frame(account, market, rows)


def trade_id(market: SandboxMarket, number: int) -> str:
    """Return the id of a match, the same for the public and for both sides."""
    text = digest(number, KALSHI, market.id).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"
