"""Orders into the books of the world, and the events that they cause."""

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from libs.exchange.matching_types import (
    Execution,
    LevelChange,
    LimitOrder,
    Match,
    OrderState,
    Placement,
    Reason,
    Removal,
    SelfTrade,
)
from proto.feed import Side
from proto.risk import TimeInForce
from sandbox.world.events import BookChanged, FillEvent, OrderChange, OrderEvent, Traded, WorldEvent
from sandbox.world.markets import SandboxMarket
from sandbox.world.scheduler import Scheduler

FeeOf = Callable[[SandboxMarket, Execution], int]
"""A venue's fee of one execution, in money."""


class MarketClosed(ValueError):
    """The market takes no orders now."""


def is_internal(owner: str) -> bool:
    """Whether an owner is part of the world, not a client."""
    return owner.startswith("~")


class OrderEntry:
    """Places and cancels, and emits fills, orders, trades and book changes in that order."""

    def __init__(self, scheduler: Scheduler, emit: Callable[[WorldEvent], None]) -> None:
        self.fees: dict[str, FeeOf] = {}
        self._scheduler = scheduler
        self._emit = emit

    # ── clients ─────────────────────────────────────────────────────────────────────────────────────

    def place(
        self, market: SandboxMarket, order: LimitOrder, self_trade: SelfTrade = SelfTrade.ALLOW
    ) -> Placement:
        """Place an order of a client. Grid, sizes and money are the caller's to check first.

        Raises:
            MarketClosed: when the market takes no orders now.
            ValueError: for a price, quantity or outcome that no market has.
        """
        if not market.accepts_orders:
            raise MarketClosed(f"expected an open market, {market.id} was {market.status}")
        as_sent = replace(order)
        placement = market.book.place(order, self_trade)
        if placement.state is OrderState.REJECTED:
            self._order(market, order, OrderChange.REJECTED, placement.reason)
            return placement
        self._order(market, as_sent, OrderChange.PLACED)
        self._emit_placement(market, placement)
        if placement.matches:
            self._order(market, order, OrderChange.MATCHED)
        if placement.state is OrderState.CANCELLED:
            self._order(market, order, OrderChange.CANCELLED, placement.reason)
        self._levels(market, placement.changes)
        if placement.state is OrderState.RESTING:
            self._schedule_expiry(market, order)
        return placement

    def resume(self, market: SandboxMarket, orders: Sequence[LimitOrder], matches: int) -> None:
        """Put back what rested in a market before a restart, without an event."""
        market.book.resume(orders, matches)
        for order in orders:
            self._schedule_expiry(market, order)

    def _schedule_expiry(self, market: SandboxMarket, order: LimitOrder) -> None:
        if order.time_in_force is TimeInForce.GTD:
            self._scheduler.schedule(order.expires_at, lambda: self._expire(market))

    def cancel(
        self, market: SandboxMarket, order_id: str, reason: str = Reason.REQUESTED
    ) -> LimitOrder | None:
        """Cancel a resting order; ``None`` when it is not there."""
        removal = market.book.cancel(order_id)
        self._removed(market, removal, reason)
        return removal.orders[0] if removal.orders else None

    def cancel_of(
        self, market: SandboxMarket, owner: str, reason: str = Reason.REQUESTED
    ) -> tuple[LimitOrder, ...]:
        """Cancel what an owner has resting in a market."""
        removal = market.book.cancel_of(owner)
        self._removed(market, removal, reason)
        return removal.orders

    def reduce(self, market: SandboxMarket, order_id: str, quantity: int) -> LimitOrder | None:
        """Lower an order's total quantity; it keeps its place. ``None`` when it is not there."""
        removal = market.book.reduce(order_id, quantity)
        if not removal.orders:
            return None
        order = removal.orders[0]
        if market.book.order(order_id) is None:
            self._removed(market, removal, Reason.REQUESTED)
        else:
            self._order(market, order, OrderChange.REDUCED)
            self._levels(market, removal.changes)
        return order

    def clear(self, market: SandboxMarket, reason: str) -> None:
        """Cancel everything: the market ended."""
        self._removed(market, market.book.clear(), reason)

    # ── the world's own ─────────────────────────────────────────────────────────────────────────────

    def requote(self, market: SandboxMarket, old: Iterable[str], fresh: Iterable[LimitOrder]) -> None:
        """Cancel and place orders of the world's own as one change of the book."""
        changes: list[LevelChange] = []
        for order_id in old:
            changes += market.book.cancel(order_id).changes
        for order in fresh:
            placement = market.book.place(order, SelfTrade.CANCEL_MAKER)
            self._emit_placement(market, placement)
            changes += placement.changes
        self._levels(market, changes)

    def withdraw(self, market: SandboxMarket, owner: str) -> None:
        """Cancel everything of one of the world's own."""
        self._levels(market, market.book.cancel_of(owner).changes)

    # ── events ──────────────────────────────────────────────────────────────────────────────────────

    def _emit_placement(self, market: SandboxMarket, placement: Placement) -> None:
        completed = {order.order_id: order for order in placement.completed}
        for match in placement.matches:
            self._match(market, match)
            maker = match.maker.order_id
            order = completed.get(maker) or market.book.order(maker)
            if order is not None:
                self._order(market, order, OrderChange.MATCHED)
        for order in placement.removed:
            self._order(market, order, OrderChange.CANCELLED, Reason.SELF_TRADE)

    def _match(self, market: SandboxMarket, match: Match) -> None:
        at = self._scheduler.now()
        market.volume += match.quantity
        market.open_interest += _interest(match)
        market.last_price = _leg_price(match)
        for execution in (match.taker, match.maker):
            if not is_internal(execution.owner):
                fee_of = self.fees.get(market.venue)
                fee = fee_of(market, execution) if fee_of else 0
                self._emit(FillEvent(market, at, execution.owner, execution, match, fee))
        self._emit(Traded(market, at, match))

    def _removed(self, market: SandboxMarket, removal: Removal, reason: str) -> None:
        for order in removal.orders:
            self._order(market, order, OrderChange.CANCELLED, reason)
        self._levels(market, removal.changes)

    def _expire(self, market: SandboxMarket) -> None:
        self._removed(market, market.book.expire(self._scheduler.now()), Reason.EXPIRED)

    def _order(self, market: SandboxMarket, order: LimitOrder, change: OrderChange, reason: str = "") -> None:
        if not is_internal(order.owner):
            at = self._scheduler.now()
            self._emit(OrderEvent(market, at, order.owner, replace(order), change, reason))

    def _levels(self, market: SandboxMarket, changes: Sequence[LevelChange]) -> None:
        if changes:
            newest: dict[tuple[Side, int], LevelChange] = {(c.side, c.price): c for c in changes}
            self._emit(BookChanged(market, self._scheduler.now(), tuple(newest.values())))


def _interest(match: Match) -> int:
    """How many contracts more (or fewer) exist. The world's own may sell what they never had: a mint."""
    if is_internal(match.taker.owner) or is_internal(match.maker.owner):
        return match.quantity if match.taker.side is Side.BUY else 0
    return {"mint": match.quantity, "merge": -match.quantity}.get(match.kind, 0)


def _leg_price(match: Match) -> int:
    """Return the price of the first outcome."""
    execution = match.taker if match.taker.outcome == 0 else match.maker
    return execution.price if execution.outcome == 0 else 1_000_000 - execution.price
