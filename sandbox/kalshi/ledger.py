"""Orders and fills of the sandbox's accounts, and their bodies on the wire."""

from dataclasses import dataclass, field
from typing import Any

from libs.exchange.fees import Charged, FeeAccumulator
from libs.exchange.matching import leg_of
from libs.exchange.matching_types import Execution, LimitOrder, SelfTrade
from libs.venues.kalshi.fees import DIRECT_PRECISION
from proto.feed import FeeSchedule, Side
from proto.risk import TimeInForce
from proto.units import ONE, notional
from sandbox.accounts import ClientAccount
from sandbox.kalshi.bodies import count, dollars, fine_dollars, iso
from sandbox.kalshi.shards import shard_of
from sandbox.world.markets import SandboxMarket

YES, NO = "yes", "no"
SELF_TRADES = {"taker_at_cross": SelfTrade.CANCEL_TAKER, "maker": SelfTrade.CANCEL_MAKER}


@dataclass(slots=True)
class OrderRecord:
    """One order of a client, for ever. ``price`` is for YES; a bid buys YES, an ask buys NO."""

    order_id: str
    client_order_id: str
    owner: str
    market: SandboxMarket
    side: str
    price: int
    quantity: int
    time_in_force: TimeInForce
    created_at: int
    post_only: bool = False
    expiration_s: int | None = None
    self_trade: str = "taker_at_cross"
    group_id: str | None = None
    cancel_on_pause: bool = False
    subaccount: int = 0
    engine_id: str = ""
    versions: int = 0
    status: str = "resting"
    filled: int = 0
    updated_at: int = 0
    taker_cost: int = 0
    maker_cost: int = 0
    taker_fees: int = 0
    maker_fees: int = 0
    rounding: FeeAccumulator = field(default_factory=FeeAccumulator)

    @property
    def outcome(self) -> int:
        """Index of the outcome it is positioned for."""
        return 0 if self.side == "bid" else 1

    @property
    def remaining(self) -> int:
        """What rests; nothing of a canceled order does."""
        return max(0, self.quantity - self.filled) if self.status == "resting" else 0

    @property
    def ahead(self) -> int:
        """Contracts that are taken before it is: at better prices, and at its own those that came first."""
        total, came_first = 0, True
        for order in self.market.book.orders():
            side, price = leg_of(order.outcome, order.side, order.price)
            if order.order_id == self.engine_id:
                came_first = False
            elif (side is Side.BUY) == (self.side == "bid"):
                better = price > self.price if side is Side.BUY else price < self.price
                if better or (price == self.price and came_first):
                    total += order.remaining
        return total

    def engine_order(self, quantity: int) -> LimitOrder:
        """Return the order for the book: always a buy, of YES or of NO. Each one has an id of its own."""
        self.versions += 1
        self.engine_id = f"{self.order_id}/{self.versions}"
        return LimitOrder(
            order_id=self.engine_id,
            owner=self.owner,
            outcome=self.outcome,
            side=Side.BUY,
            price=self.price if self.side == "bid" else ONE - self.price,
            quantity=quantity,
            time_in_force=self.time_in_force,
            post_only=self.post_only,
            expires_at=(self.expiration_s or 0) * 10**9,
        )

    def charge(self, execution: Execution, fees: FeeSchedule) -> int:
        """Return the whole fee of one more fill, rounding included."""
        fill = Charged(execution.price, execution.quantity, buy=True, maker=execution.maker)
        return self.rounding.charge(fees, fill, DIRECT_PRECISION)

    def fill(self, price: int, quantity: int, fee: int, maker: bool) -> None:
        """Count a fill; ``price`` in its own outcome's space."""
        self.filled += quantity
        cost = notional(price, quantity)
        if maker:
            self.maker_cost += cost
            self.maker_fees += fee
        else:
            self.taker_cost += cost
            self.taker_fees += fee

    def body(self) -> dict[str, Any]:
        """Return the order object of REST."""
        outcome = YES if self.side == "bid" else NO
        return {
            "order_id": self.order_id,
            "user_id": self.owner,
            "client_order_id": self.client_order_id,
            "ticker": self.market.id,
            # The pair that the two after it replaced: always a purchase of what it is positioned for.
            "side": outcome,
            "action": "buy",
            "outcome_side": outcome,
            "book_side": self.side,
            "type": "limit",
            "status": self.status,
            "yes_price_dollars": dollars(self.price),
            "no_price_dollars": dollars(ONE - self.price),
            "initial_count_fp": count(self.quantity),
            "fill_count_fp": count(self.filled),
            "remaining_count_fp": count(self.remaining),
            "taker_fees_dollars": fine_dollars(self.taker_fees),
            "maker_fees_dollars": fine_dollars(self.maker_fees),
            "taker_fill_cost_dollars": fine_dollars(self.taker_cost),
            "maker_fill_cost_dollars": fine_dollars(self.maker_cost),
            "created_time": iso(self.created_at),
            "last_update_time": iso(self.updated_at or self.created_at),
            "expiration_time": iso(self.expiration_s * 10**9, fraction=False) if self.expiration_s else None,
            "self_trade_prevention_type": self.self_trade,
            "order_group_id": self.group_id,
            "cancel_order_on_pause": self.cancel_on_pause,
            "subaccount_number": self.subaccount,
            "exchange_index": shard_of(self.market),
        }

    def frame(self) -> dict[str, Any]:
        """Return the body of a ``user_order`` frame."""
        outcome = YES if self.side == "bid" else NO
        updated_at = self.updated_at or self.created_at
        expiration_ms = (self.expiration_s or 0) * 1_000
        return {
            "order_id": self.order_id,
            "user_id": self.owner,
            "ticker": self.market.id,
            "status": self.status,
            "side": outcome,
            "is_yes": self.side == "bid",
            "outcome_side": outcome,
            "book_side": self.side,
            "exchange_index": shard_of(self.market),
            "order_group_id": self.group_id,
            "yes_price_dollars": dollars(self.price),
            "initial_count_fp": count(self.quantity),
            "fill_count_fp": count(self.filled),
            "remaining_count_fp": count(self.remaining),
            "taker_fill_cost_dollars": dollars(self.taker_cost),
            "maker_fill_cost_dollars": dollars(self.maker_cost),
            "taker_fees_dollars": fine_dollars(self.taker_fees),
            "maker_fees_dollars": fine_dollars(self.maker_fees),
            "client_order_id": self.client_order_id,
            "self_trade_prevention_type": self.self_trade,
            "created_time": iso(self.created_at),
            "created_ts_ms": self.created_at // 1_000_000,
            "last_update_time": iso(updated_at),
            "last_updated_ts_ms": updated_at // 1_000_000,
            "expiration_time": iso(expiration_ms * 1_000_000, fraction=False) if expiration_ms else None,
            "expiration_ts_ms": expiration_ms,
            "subaccount_number": self.subaccount,
        }


@dataclass(slots=True)
class FillRow:
    """One fill of one order. ``price`` in the space of the order's own outcome."""

    trade_id: str
    record: OrderRecord
    price: int
    quantity: int
    fee: int
    maker: bool
    at: int
    position_after: int

    @property
    def yes_price(self) -> int:
        return self.price if self.record.side == "bid" else ONE - self.price

    def body(self) -> dict[str, Any]:
        """Return the fill object of REST."""
        outcome = YES if self.record.side == "bid" else NO
        return {
            "fill_id": self.trade_id,
            "exchange_index": shard_of(self.record.market),
            "trade_id": self.trade_id,
            "order_id": self.record.order_id,
            "ticker": self.record.market.id,
            "market_ticker": self.record.market.id,
            "side": outcome,
            "action": "buy",
            "outcome_side": outcome,
            "book_side": self.record.side,
            "count_fp": count(self.quantity),
            "yes_price_dollars": dollars(self.yes_price),
            "no_price_dollars": dollars(ONE - self.yes_price),
            "fee_cost": fine_dollars(self.fee),
            "is_taker": not self.maker,
            "created_time": iso(self.at),
            "ts": self.at // 10**9,
            "subaccount_number": self.record.subaccount,
        }

    def frame(self) -> dict[str, Any]:
        """Return the body of a ``fill`` frame."""
        outcome = YES if self.record.side == "bid" else NO
        return {
            "trade_id": self.trade_id,
            "order_id": self.record.order_id,
            "market_ticker": self.record.market.id,
            "exchange_index": shard_of(self.record.market),
            "is_taker": not self.maker,
            "side": outcome,
            "action": "buy",
            "outcome_side": outcome,
            "book_side": self.record.side,
            "client_order_id": self.record.client_order_id,
            "fee_cost": fine_dollars(self.fee),
            "yes_price_dollars": dollars(self.yes_price),
            "count_fp": count(self.quantity),
            "post_position_fp": count(self.position_after),
            "purchased_side": outcome,
            "subaccount": self.record.subaccount,
            "ts": self.at // 10**9,
            "ts_ms": self.at // 1_000_000,
        }


def position_frame(account: ClientAccount, market: SandboxMarket, rows: list[FillRow]) -> dict[str, object]:
    """Return the body of a ``market_position`` frame."""
    held = account.held(market, 0) - account.held(market, 1)
    spent = sum(notional(row.price, row.quantity) for row in rows)
    fees = sum(row.fee for row in rows)
    return {
        "user_id": account.owner,
        "market_ticker": market.id,
        "position_fp": count(held),
        "position_cost_dollars": dollars(spent),
        "realized_pnl_dollars": "0.0000",
        "fees_paid_dollars": dollars(fees),
        "position_fee_cost_dollars": dollars(fees),
        "volume_fp": count(sum(row.quantity for row in rows)),
    }
