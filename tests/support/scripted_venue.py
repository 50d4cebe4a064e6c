"""A venue in memory, deterministic, behind the gateway port; its answers fail as a script says.

The exchange itself never lies. What is scripted is what reaches us of it: answers that get lost after the
order was taken, orders that arrive late, events that come twice, out of order or never.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence

import msgspec
from msgspec import Struct

from libs.venues.errors import BadAnswer, NotSent, OutcomeUnknown, Refused, Unavailable
from libs.venues.gateway import (
    Balance,
    FillReport,
    NewOrder,
    OrderReport,
    Prepared,
    SentOrder,
    SettlementReport,
    StreamState,
    UserEvent,
)
from proto.feed import Side
from proto.units import ONE, notional
from proto.venue import AckStatus, TradeStatus

CASH = 1_000 * ONE


class Resting(Struct):
    """An order at the exchange."""

    new: NewOrder
    client_order_id: str
    venue_order_id: str
    filled: int = 0
    status: AckStatus = AckStatus.ACCEPTED

    @property
    def remaining(self) -> int:
        return self.new.quantity - self.filled if self.status is AckStatus.ACCEPTED else 0


class Exchange:
    """Orders, trades and the account. ``events`` is what the user stream would say, oldest first."""

    def __init__(self) -> None:
        self.now = 0
        self.orders: dict[str, Resting] = {}
        self.trades: list[FillReport] = []
        self.events: deque[UserEvent] = deque()
        self.settled: list[SettlementReport] = []
        self.foreign: list[OrderReport] = []
        self.extra: dict[str, int] = {}
        self.cash = CASH

    def place(self, new: NewOrder, client_order_id: str) -> OrderReport:
        order = Resting(new, client_order_id, f"v-{len(self.orders) + 1}")
        assert client_order_id not in self.orders, "sent twice"
        self.orders[client_order_id] = order
        report = self.report(order)
        self.events.append(report)
        return report

    def fill(self, client_order_id: str, quantity: int, status: TradeStatus = TradeStatus.CONFIRMED) -> bool:
        """Trade at the order's own price; whether there was anything to trade."""
        order = self.orders.get(client_order_id)
        if order is None or order.status is not AckStatus.ACCEPTED:
            return False
        quantity = min(quantity, order.remaining)
        if quantity <= 0:
            return False
        self.trade(order, quantity, status)
        return True

    def trade(self, order: Resting, quantity: int, status: TradeStatus = TradeStatus.CONFIRMED) -> None:
        order.filled += quantity
        report = FillReport(
            trade_id=f"t-{len(self.trades) + 1}",
            client_order_id="",
            venue_order_id=order.venue_order_id,
            instrument=order.new.instrument,
            side=order.new.side,
            price=order.new.price,
            quantity=quantity,
            fee=0,
            maker=True,
            status=status,
            at=self.now,
        )
        self.trades.append(report)
        if status is not TradeStatus.FAILED:
            self._pay(report, 1)
        self.events.append(report)

    def settle_trade(self, index: int, status: TradeStatus) -> None:
        """A matched trade becomes final, one way or the other."""
        report = self.trades[index]
        if report.status in (TradeStatus.CONFIRMED, TradeStatus.FAILED):
            return
        self.trades[index] = after = _with_status(report, status)
        if status is TradeStatus.FAILED:
            self._pay(report, -1)
        self.events.append(after)

    def _pay(self, report: FillReport, sign: int) -> None:
        value = notional(report.price, report.quantity)
        self.cash -= sign * (value if report.side is Side.BUY else -value)

    def cancel(self, client_order_id: str) -> None:
        order = self.orders.get(client_order_id)
        if order is not None and order.status is AckStatus.ACCEPTED and order.remaining:
            order.status = AckStatus.CANCELED
            self.events.append(self.report(order))

    def settle(self, market: str, instrument: str, price: int) -> None:
        held = self.positions().get(instrument, 0)
        self.cash += notional(price, held)
        self.settled.append(SettlementReport(market=market, instrument=instrument, price=price, at=self.now))

    def positions(self) -> dict[str, int]:
        held: dict[str, int] = dict(self.extra)
        for report in self.trades:
            if report.status is not TradeStatus.FAILED:
                signed = report.quantity if report.side is Side.BUY else -report.quantity
                held[report.instrument] = held.get(report.instrument, 0) + signed
        for payout in self.settled:
            held.pop(payout.instrument, None)
        return {instrument: quantity for instrument, quantity in held.items() if quantity}

    def report(self, order: Resting) -> OrderReport:
        return OrderReport(
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            instrument=order.new.instrument,
            status=order.status,
            filled=order.filled,
            remaining=max(order.remaining, 0),
            at=self.now,
        )


def _with_status(report: FillReport, status: TradeStatus) -> FillReport:
    return msgspec.structs.replace(report, status=status)


class ScriptedGateway:
    """The port over an exchange. ``script``: how the next submits go, "ok" when it is empty.

    ``late``: requests under way that will arrive when ``arrive`` is called. ``failing``: reads fail.
    """

    heartbeat_every_s = 5.0

    def __init__(self, exchange: Exchange, venue: str = "kalshi") -> None:
        self.venue = venue
        self.exchange = exchange
        self.script: deque[str] = deque()
        self.submits: Counter[str] = Counter()
        self.late: list[Prepared] = []
        self.failing = False
        self.prepared: dict[str, NewOrder] = {}
        self.cancel_alls = 0
        self.beats = 0
        self.beat_fails = False
        self.tripped = False
        self.hidden_fills = 0
        self.stream: deque[UserEvent] = deque()

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def prepare(self, order: NewOrder) -> Prepared:
        if order.quantity % (ONE // 100):
            raise Refused(self.venue, "expected whole hundredths of a contract", code="quantity")
        self.prepared[f"c-{order.order}"] = order
        return Prepared(order=order.order, client_order_id=f"c-{order.order}", body=b"{}")

    async def submit(self, prepared: Prepared) -> OrderReport:
        self.submits[prepared.client_order_id] += 1
        how = self.script.popleft() if self.script else "ok"
        if how == "refused":
            raise Refused(self.venue, "expected enough money", 400, "balance")
        if how == "unavailable":
            raise Unavailable(self.venue, "restarting", 425, retry_after_s=1.0)
        if how == "not_sent":
            raise NotSent(self.venue, "expected a connection")
        if how == "late":
            self.late.append(prepared)
        if how in ("lost", "late"):
            raise OutcomeUnknown(self.venue, "expected an answer, was a timeout")
        if how == "broken":
            raise ValueError("an adapter's own error")
        report = self.exchange.place(self.prepared[prepared.client_order_id], prepared.client_order_id)
        if how == "accepted_silently":
            raise OutcomeUnknown(self.venue, "expected an answer, was a reset")
        if how == "filled_at_once":
            self.exchange.fill(prepared.client_order_id, self.prepared[prepared.client_order_id].quantity)
            return self.exchange.report(self.exchange.orders[prepared.client_order_id])
        return report

    def arrive(self) -> None:
        """What was under way reaches the exchange."""
        for prepared in self.late:
            self.exchange.place(self.prepared[prepared.client_order_id], prepared.client_order_id)
        self.late.clear()

    def _check(self) -> None:
        if self.failing:
            raise BadAnswer(self.venue, "expected JSON, was HTML")

    async def cancel(self, sent: SentOrder) -> None:
        self._check()
        self.exchange.cancel(sent.client_order_id)

    async def cancel_all(self) -> None:
        self._check()
        self.cancel_alls += 1
        for client_order_id in list(self.exchange.orders):
            self.exchange.cancel(client_order_id)

    async def look_up(self, sent: SentOrder) -> OrderReport | None:
        self._check()
        order = self.exchange.orders.get(sent.client_order_id)
        return None if order is None else self.exchange.report(order)

    async def open_orders(self) -> Sequence[OrderReport]:
        self._check()
        resting = [
            o for o in self.exchange.orders.values() if o.status is AckStatus.ACCEPTED and o.remaining > 0
        ]
        return [*map(self.exchange.report, resting), *self.exchange.foreign]

    async def fills(self, since: int) -> Sequence[FillReport]:
        self._check()
        if self.hidden_fills:
            self.hidden_fills -= 1
            return []
        return [report for report in self.exchange.trades if report.at >= since]

    async def positions(self) -> dict[str, int]:
        self._check()
        return self.exchange.positions()

    async def balance(self) -> Balance:
        self._check()
        return Balance(total=self.exchange.cash, available=self.exchange.cash)

    async def settlements(self, since: int) -> Sequence[SettlementReport]:
        self._check()
        return [report for report in self.exchange.settled if report.at >= since]

    async def heartbeat(self) -> None:
        self.beats += 1
        if self.beat_fails:
            raise NotSent(self.venue, "expected a connection")

    async def brake(self) -> str:
        self._check()
        return "order group triggered" if self.tripped else ""

    async def release_brake(self) -> None:
        self._check()
        self.tripped = False

    async def events(self) -> AsyncIterator[UserEvent]:
        yield StreamState.CONNECTED
        while self.stream:
            yield self.stream.popleft()
