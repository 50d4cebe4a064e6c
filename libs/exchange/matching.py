"""A central limit order book of a market with two outcomes, one of which pays 1.

Both outcomes trade in one book, on the leg of the first: buying the second at p is selling the first at
1 − p. So Up BUY p meets Down BUY 1 − p (a pair is minted), SELL meets SELL (a pair is merged), and each
outcome's book is the mirror of the other's. Priority is price, then time; a match is at the maker's
price. Deterministic: no clock, no chance. The paper venue's ``libs/exchange/exchange.py`` differs: there
the market is observed and does not feel our orders; here every order is in the book.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from libs.exchange.matching_types import (
    Execution,
    LevelChange,
    LimitOrder,
    Match,
    MatchKind,
    OrderState,
    Placement,
    Reason,
    Removal,
    SelfTrade,
)
from proto.feed import Level, Side
from proto.risk import TimeInForce
from proto.units import ONE

_OTHER = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def leg_of(outcome: int, side: Side, price: int) -> tuple[Side, int]:
    """Side and price on the first outcome's leg."""
    return (side, price) if outcome == 0 else (_OTHER[side], ONE - price)


class _Queue:
    """The orders at one price, oldest first, and their total."""

    __slots__ = ("orders", "total")

    def __init__(self) -> None:
        self.orders: dict[str, LimitOrder] = {}
        self.total = 0


class _Ladder:
    """One side of the leg: queues by price, best price first in ``best()``."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.queues: dict[int, _Queue] = {}
        self._prices: list[int] = []

    def best(self) -> int | None:
        if not self._prices:
            return None
        return self._prices[-1] if self.side is Side.BUY else self._prices[0]

    def prices(self) -> list[int]:
        """Best first."""
        return self._prices[::-1] if self.side is Side.BUY else self._prices[:]

    def add(self, price: int, order: LimitOrder) -> None:
        queue = self.queues.get(price)
        if queue is None:
            queue = self.queues[price] = _Queue()
            insort(self._prices, price)
        queue.orders[order.order_id] = order
        queue.total += order.remaining

    def reduce_level(self, price: int, order: LimitOrder, quantity: int) -> int:
        """Lower the level's total; drop the order when it is filled. Returns the new total."""
        queue = self.queues[price]
        queue.total -= quantity
        if not order.remaining:
            del queue.orders[order.order_id]
        return self._swept(price, queue)

    def remove(self, price: int, order: LimitOrder) -> int:
        """Take an order out. Returns the level's new total."""
        queue = self.queues[price]
        del queue.orders[order.order_id]
        queue.total -= order.remaining
        return self._swept(price, queue)

    def _swept(self, price: int, queue: _Queue) -> int:
        if not queue.orders:
            del self.queues[price]
            del self._prices[bisect_left(self._prices, price)]
        return queue.total


class LimitOrderBook:
    """The book. Prices are between 0 and 1 exclusive; a grid and a smallest size are the venue's to check."""

    def __init__(self) -> None:
        self._ladders = {side: _Ladder(side) for side in Side}
        self._orders: dict[str, LimitOrder] = {}
        self._matches = 0

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    def order(self, order_id: str) -> LimitOrder | None:
        """A resting order, or ``None``."""
        return self._orders.get(order_id)

    def orders(self, owner: str | None = None) -> Iterator[LimitOrder]:
        """Resting orders, oldest first; of one owner when named."""
        return (o for o in self._orders.values() if owner is None or o.owner == owner)

    def best(self, outcome: int = 0) -> tuple[int | None, int | None]:
        """Best bid and ask in the outcome's own space."""
        bid, ask = self._ladders[Side.BUY].best(), self._ladders[Side.SELL].best()
        if outcome == 0:
            return bid, ask
        return (None if ask is None else ONE - ask), (None if bid is None else ONE - bid)

    def levels(self, outcome: int = 0) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks of an outcome, best first, prices in its own space."""
        bids = tuple(self._leg_levels(Side.BUY, outcome))
        asks = tuple(self._leg_levels(Side.SELL, outcome))
        return (bids, asks) if outcome == 0 else (asks, bids)

    def total(self, side: Side, price: int, outcome: int = 0) -> int:
        """The quantity resting at one price."""
        leg, leg_price = leg_of(outcome, side, price)
        queue = self._ladders[leg].queues.get(leg_price)
        return queue.total if queue else 0

    def _leg_levels(self, side: Side, outcome: int) -> Iterator[Level]:
        ladder = self._ladders[side]
        for price in ladder.prices():
            yield Level(price if outcome == 0 else ONE - price, ladder.queues[price].total)

    # ── changing ────────────────────────────────────────────────────────────────────────────────────

    def place(self, order: LimitOrder, self_trade: SelfTrade = SelfTrade.ALLOW) -> Placement:
        """Match an order and rest what remains, as its time in force says.

        Raises:
            ValueError: for an outcome, price or quantity that no market has, or a used order.
        """
        _check(order)
        side, price = leg_of(order.outcome, order.side, order.price)
        reason = self._refusal(order, side, price, self_trade)
        if reason:
            return Placement(order=order, state=OrderState.REJECTED, reason=reason)
        turn = _Turn(self, order, side, price, self_trade)
        turn.run()
        if not order.remaining:
            state, reason = OrderState.FILLED, ""
        elif turn.stopped:
            state, reason = OrderState.CANCELLED, Reason.SELF_TRADE
        elif order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            state, reason = OrderState.CANCELLED, Reason.IOC_UNFILLED
        else:
            state, reason = OrderState.RESTING, ""
            self._rest(order, side, price, turn.changes)
        return Placement(
            order=order,
            state=state,
            reason=reason,
            matches=tuple(turn.matches),
            completed=tuple(turn.completed),
            removed=tuple(turn.removed),
            changes=_last_of_each(turn.changes),
        )

    def cancel(self, order_id: str) -> Removal:
        """Take an order out; an empty removal when it is not there."""
        order = self._orders.get(order_id)
        return self._remove([order] if order else [])

    def cancel_of(self, owner: str) -> Removal:
        """Take out every order of an owner."""
        return self._remove(list(self.orders(owner)))

    def clear(self) -> Removal:
        """Take out every order: the market closed."""
        return self._remove(list(self._orders.values()))

    def expire(self, now: int) -> Removal:
        """Take out good-till-date orders whose moment is at or before ``now`` (ns)."""
        return self._remove(
            [o for o in self._orders.values() if o.time_in_force is TimeInForce.GTD and o.expires_at <= now]
        )

    def reduce(self, order_id: str, quantity: int) -> Removal:
        """Lower an order's total quantity, keeping its place in the queue; down to what is filled: gone.

        Raises:
            ValueError: when it would grow.
        """
        order = self._orders.get(order_id)
        if order is None:
            return Removal()
        if quantity > order.quantity:
            raise ValueError(f"expected at most {order.quantity}, was {quantity}")
        if quantity <= order.filled:
            return self.cancel(order_id)
        side, price = leg_of(order.outcome, order.side, order.price)
        cut = order.quantity - quantity
        order.quantity = quantity
        left = self._ladders[side].reduce_level(price, order, cut)
        return Removal(orders=(order,), changes=(LevelChange(side, price, left),))

    # ── kept across a restart of its venue ──────────────────────────────────────────────────────────

    @property
    def matches(self) -> int:
        """How many matches there were; the next one's number follows."""
        return self._matches

    def resume(self, orders: Iterable[LimitOrder], matches: int) -> None:
        """Take over what rested, oldest first, and go on counting: for a book that is empty."""
        if self._orders:
            raise ValueError(f"expected an empty book, was one with {len(self._orders)} orders")
        for order in orders:
            side, price = leg_of(order.outcome, order.side, order.price)
            self._rest(order, side, price, [])
        self._matches = matches

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _refusal(self, order: LimitOrder, side: Side, price: int, self_trade: SelfTrade) -> str:
        if order.order_id in self._orders:
            return Reason.DUPLICATE
        best = self._ladders[_OTHER[side]].best()
        if order.post_only and best is not None and _crosses(side, price, best):
            return Reason.CROSSES
        if order.time_in_force is TimeInForce.FOK and self._fillable(order, side, price, self_trade) < (
            order.quantity
        ):
            return Reason.FOK_UNFILLED
        if order.time_in_force is TimeInForce.IOC and (best is None or not _crosses(side, price, best)):
            return Reason.IOC_UNFILLED
        return ""

    def _fillable(self, order: LimitOrder, side: Side, price: int, self_trade: SelfTrade) -> int:
        """How much of an order would be filled, no more than it wants."""
        ladder = self._ladders[_OTHER[side]]
        found = 0
        for level in ladder.prices():
            if found >= order.quantity or not _crosses(side, price, level):
                break
            for maker in ladder.queues[level].orders.values():
                if maker.owner == order.owner and self_trade is SelfTrade.CANCEL_TAKER:
                    return found
                if maker.owner != order.owner or self_trade is SelfTrade.ALLOW:
                    found += maker.remaining
        return found

    def _rest(self, order: LimitOrder, side: Side, price: int, changes: list[LevelChange]) -> None:
        self._ladders[side].add(price, order)
        self._orders[order.order_id] = order
        changes.append(LevelChange(side, price, self._ladders[side].queues[price].total))

    def _remove(self, orders: list[LimitOrder]) -> Removal:
        changes: list[LevelChange] = []
        for order in orders:
            side, price = leg_of(order.outcome, order.side, order.price)
            changes.append(LevelChange(side, price, self._ladders[side].remove(price, order)))
            del self._orders[order.order_id]
        return Removal(orders=tuple(orders), changes=_last_of_each(changes))


class _Turn:
    """One order's walk through the other side."""

    def __init__(
        self, book: LimitOrderBook, order: LimitOrder, side: Side, price: int, self_trade: SelfTrade
    ) -> None:
        self.matches: list[Match] = []
        self.completed: list[LimitOrder] = []
        self.removed: list[LimitOrder] = []
        self.changes: list[LevelChange] = []
        self.stopped = False
        self._book = book
        self._order = order
        self._side = side
        self._price = price
        self._self_trade = self_trade
        self._ladder = book._ladders[_OTHER[side]]

    def run(self) -> None:
        while self._order.remaining and not self.stopped:
            best = self._ladder.best()
            if best is None or not _crosses(self._side, self._price, best):
                return
            maker = next(iter(self._ladder.queues[best].orders.values()))
            if maker.owner == self._order.owner and self._self_trade is not SelfTrade.ALLOW:
                self._meet_oneself(maker, best)
            else:
                self._match(maker, best)

    def _meet_oneself(self, maker: LimitOrder, price: int) -> None:
        if self._self_trade is SelfTrade.CANCEL_TAKER:
            self.stopped = True
            return
        left = self._ladder.remove(price, maker)
        del self._book._orders[maker.order_id]
        self.removed.append(maker)
        self.changes.append(LevelChange(self._ladder.side, price, left))

    def _match(self, maker: LimitOrder, price: int) -> None:
        quantity = min(maker.remaining, self._order.remaining)
        maker.filled += quantity
        self._order.filled += quantity
        left = self._ladder.reduce_level(price, maker, quantity)
        if not maker.remaining:
            del self._book._orders[maker.order_id]
            self.completed.append(maker)
        self.changes.append(LevelChange(self._ladder.side, price, left))
        self._book._matches += 1
        self.matches.append(
            Match(
                number=self._book._matches,
                kind=_kind(self._order, maker),
                quantity=quantity,
                taker=_execution(self._order, price, quantity, maker=False),
                maker=_execution(maker, price, quantity, maker=True),
            )
        )


def _execution(order: LimitOrder, leg_price: int, quantity: int, *, maker: bool) -> Execution:
    return Execution(
        order_id=order.order_id,
        owner=order.owner,
        outcome=order.outcome,
        side=order.side,
        price=leg_price if order.outcome == 0 else ONE - leg_price,
        quantity=quantity,
        remaining=order.remaining,
        maker=maker,
    )


def _kind(taker: LimitOrder, maker: LimitOrder) -> MatchKind:
    if taker.outcome == maker.outcome:
        return MatchKind.COMPLEMENTARY
    return MatchKind.MINT if taker.side is Side.BUY else MatchKind.MERGE


def _crosses(side: Side, price: int, other: int) -> bool:
    return price >= other if side is Side.BUY else price <= other


def _check(order: LimitOrder) -> None:
    if order.outcome not in (0, 1):
        raise ValueError(f"expected outcome 0 or 1, was {order.outcome}")
    if not 0 < order.price < ONE:
        raise ValueError(f"expected a price between 0 and {ONE}, was {order.price}")
    if order.quantity <= 0 or order.filled:
        raise ValueError(f"expected a new order, was {order.quantity} with {order.filled} filled")


def _last_of_each(changes: list[LevelChange]) -> tuple[LevelChange, ...]:
    """The newest total of each level, in the order in which the levels were first touched."""
    newest: dict[tuple[Side, int], LevelChange] = {}
    for change in changes:
        newest[change.side, change.price] = change
    return tuple(newest.values())
