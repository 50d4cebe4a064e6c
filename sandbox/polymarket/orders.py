"""Orders and trades as the CLOB keeps them, and their bodies in REST answers and on the user channel."""

import hashlib
from enum import StrEnum

from msgspec import Struct, field

from proto.units import MILLISECOND, SECOND, show
from sandbox.polymarket.gamma import outcome_word
from sandbox.world.markets import SandboxMarket

STRANGER = "00000000-0000-0000-0000-000000000000"
"""The API key shown for traders who are part of the world and have none."""


class ClobOrderStatus(StrEnum):
    """Where an order stands; a reason sentence may follow ``CANCELED_`` on the user channel."""

    LIVE = "LIVE"
    MATCHED = "MATCHED"
    DELAYED = "DELAYED"
    CANCELED = "CANCELED"
    RESOLVED = "CANCELED_MARKET_RESOLVED"
    EXPIRED = "CANCELED_EXPIRED_ORDER"
    UNFUNDED = "CANCELED_NOT_ENOUGH_BALANCE"


class Stage(StrEnum):
    """Where a trade stands between match and final settlement."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    RETRYING = "RETRYING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


class ClientOrder(Struct, kw_only=True):
    """One order. ``owner`` is an API key, ``wallet`` the maker address; amounts in millionths, times in ns."""

    id: str
    owner: str
    wallet: str
    market: SandboxMarket
    outcome: int
    side: str
    price: int
    size: int
    order_type: str
    expiration_s: int
    post_only: bool
    created_ns: int
    matched: int = 0
    status: str = ClobOrderStatus.LIVE
    trades: list[str] = field(default_factory=list)

    @property
    def token(self) -> str:
        return self.market.tokens[self.outcome]

    @property
    def buy(self) -> bool:
        return self.side == "BUY"

    @property
    def remaining(self) -> int:
        return self.size - self.matched

    @property
    def is_working(self) -> bool:
        return self.status in (ClobOrderStatus.LIVE, ClobOrderStatus.DELAYED)


class MakerPart(Struct, frozen=True, kw_only=True):
    """A resting order's part in a trade, price in its own outcome's space."""

    order_id: str
    owner: str
    wallet: str
    outcome: int
    side: str
    price: int
    size: int


class ClientTrade(Struct, kw_only=True):
    """One taker order against the makers of one price level."""

    id: str
    market: SandboxMarket
    taker_order_id: str
    owner: str
    wallet: str
    outcome: int
    side: str
    price: int
    size: int
    fee: int
    fee_rate_bps: int
    matched_ns: int
    updated_ns: int
    stage: Stage = Stage.MATCHED
    makers: list[MakerPart] = field(default_factory=list)
    transaction: str = ""
    bucket: int = 0
    error: str = ""

    @property
    def token(self) -> str:
        return self.market.tokens[self.outcome]

    @property
    def tokens(self) -> set[str]:
        """Asset ids of all its parts."""
        return {self.token, *(self.market.tokens[part.outcome] for part in self.makers)}

    @property
    def wallets(self) -> set[str]:
        return {self.wallet, *(part.wallet for part in self.makers)}

    def has_party(self, owner: str) -> bool:
        return self.owner == owner or any(part.owner == owner for part in self.makers)


def wallet_of_stranger(name: str) -> str:
    """Return an address for a trader of the world, from its name."""
    return "0x" + hashlib.sha256(f"stranger:{name}".encode()).hexdigest()[:40]


def _order_common(order: ClientOrder) -> dict[str, object]:
    return {
        "id": order.id,
        "owner": order.owner,
        "maker_address": order.wallet,
        "market": order.market.id,
        "asset_id": order.token,
        "side": order.side,
        "original_size": show(order.size),
        "size_matched": show(order.matched),
        "price": show(order.price),
        "outcome": outcome_word(order.market, order.outcome),
        "expiration": str(order.expiration_s),
        "order_type": order.order_type,
        "associate_trades": list(order.trades),
    }


def order_body(order: ClientOrder) -> dict[str, object]:
    """Return an element of /data/orders, and the body of /data/order/{id}."""
    return {**_order_common(order), "status": order.status, "created_at": order.created_ns // SECOND}


def order_event(order: ClientOrder, kind: str, at_ns: int, reason: str = "") -> dict[str, object]:
    """Return a frame of the user channel; ``kind`` is PLACEMENT, UPDATE or CANCELLATION."""
    return {
        **_order_common(order),
        "event_type": "order",
        "type": kind,
        "order_owner": order.owner,
        "status": f"CANCELED_{reason}" if reason else order.status,
        "created_at": str(order.created_ns // SECOND),
        "timestamp": str(at_ns // MILLISECOND),
    }


def _maker_body(trade: ClientTrade, part: MakerPart) -> dict[str, object]:
    return {
        "order_id": part.order_id,
        "owner": part.owner,
        "maker_address": part.wallet,
        "matched_amount": show(part.size),
        "price": show(part.price),
        "fee_rate_bps": "0",
        "asset_id": trade.market.tokens[part.outcome],
        "outcome": outcome_word(trade.market, part.outcome),
        "side": part.side,
    }


def trade_body(trade: ClientTrade, viewer: str) -> dict[str, object]:
    """Return an element of /data/trades as the holder of the API key ``viewer`` sees it.

    The top level is the taker's side for every viewer; a maker's own fill is its element of ``maker_orders``.
    """
    return {
        "id": trade.id,
        "taker_order_id": trade.taker_order_id,
        "market": trade.market.id,
        "asset_id": trade.token,
        "side": trade.side,
        "size": show(trade.size),
        "fee_rate_bps": str(trade.fee_rate_bps),
        "price": show(trade.price),
        "status": trade.stage,
        "match_time": str(trade.matched_ns // SECOND),
        "match_time_nano": str(trade.matched_ns),
        "last_update": str(trade.updated_ns // SECOND),
        "outcome": outcome_word(trade.market, trade.outcome),
        "bucket_index": trade.bucket,
        "owner": trade.owner,
        "maker_address": trade.wallet,
        "transaction_hash": trade.transaction,
        "err_msg": trade.error,
        "maker_orders": [_maker_body(trade, part) for part in trade.makers],
        "trader_side": "TAKER" if trade.owner == viewer else "MAKER",
    }


def trade_event(trade: ClientTrade, viewer: str, at_ns: int) -> dict[str, object]:
    """Return a frame of the user channel, sent again with every new status."""
    body = trade_body(trade, viewer)
    del body["match_time_nano"], body["err_msg"]
    return {
        **body,
        "event_type": "trade",
        "type": "TRADE",
        "trade_owner": viewer,
        "timestamp": str(at_ns // MILLISECOND),
    }
