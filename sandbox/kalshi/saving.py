"""Kalshi's orders, fills and groups as they are saved for a restart: markets and orders by their ids."""

from typing import Any

import msgspec
from msgspec import Struct

from libs.exchange.fees import FeeAccumulator
from libs.venues.kalshi import KALSHI
from proto.risk import TimeInForce
from sandbox.kalshi.event_fees import FeeChange
from sandbox.kalshi.exchange import KalshiExchange
from sandbox.kalshi.groups import OrderGroup
from sandbox.kalshi.ledger import FillRow, OrderRecord
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

_RECORD = [name for name in OrderRecord.__dataclass_fields__ if name != "market"]
_FILL = [name for name in FillRow.__dataclass_fields__ if name != "record"]


class SavedKalshi(Struct):
    """Rows by field names; an order with its market's id, a fill with its order's."""

    records: list[tuple[str, dict[str, Any]]]
    fills: list[tuple[str, dict[str, Any]]]
    groups: list[OrderGroup]
    paused_shards: set[int] = msgspec.field(default_factory=set)
    fee_changes: list[FeeChange] = msgspec.field(default_factory=list)


def save(exchange: KalshiExchange, world: World) -> SavedKalshi:
    """Return everything that clients did in markets that the world has not forgotten."""

    def is_listed(market: SandboxMarket) -> bool:
        return world.market(KALSHI, market.id) is not None

    records = [record for record in exchange.records if is_listed(record.market)]
    fills = [fill for fill in exchange.fills if is_listed(fill.record.market)]
    return SavedKalshi(
        [(record.market.id, _plain(record, _RECORD)) for record in records],
        [(fill.record.order_id, _plain(fill, _FILL)) for fill in fills],
        list(exchange.groups),
        exchange.paused_shards,
        exchange.event_fees.changes,
    )


def resume(exchange: KalshiExchange, world: World, document: Any) -> None:
    """Take it over. What happened in markets that the world has forgotten is left out.

    Raises:
        msgspec.ValidationError: for a document of another shape.
    """
    saved = msgspec.convert(document, SavedKalshi)
    records: dict[str, OrderRecord] = {}
    for market_id, row in saved.records:
        market = world.market(KALSHI, market_id)
        if market is not None:
            record = _record(market, row)
            records[record.order_id] = record
    fills = [FillRow(record=records[order_id], **row) for order_id, row in saved.fills if order_id in records]
    exchange.resume(records.values(), fills, saved.groups)
    exchange.paused_shards = saved.paused_shards
    exchange.event_fees.resume(saved.fee_changes)


def _plain(thing: OrderRecord | FillRow, names: list[str]) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(thing, name)) for name in names}


def _record(market: SandboxMarket, row: dict[str, Any]) -> OrderRecord:
    typed = {
        "time_in_force": TimeInForce(row["time_in_force"]),
        "rounding": msgspec.convert(row["rounding"], FeeAccumulator),
    }
    return OrderRecord(market=market, **(row | typed))
