"""The Data API's second version (since 2026-09): other words for the same rows, in a cursor envelope."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from sandbox.polymarket.data_api import DataApi
from sandbox.polymarket.doors import Call, DoorAnswer
from sandbox.polymarket.keys import PolymarketRefusal

LIMIT, LIMIT_MAX = 100, 1000
"""Items of a page, when not asked for and at most."""


class DataApiV2:
    """Handlers of the paths under ``/data-api/v2``, on what the first version gathers."""

    def __init__(self, data: DataApi) -> None:
        self._data = data

    async def positions(self, call: Call) -> DoorAnswer:
        wanted = {word for text in call.query.getall("condition_id", []) for word in text.split(",")}
        rows = [_position(row) for row in self._data.positions_of(call)]
        return _envelope([row for row in rows if not wanted or row["condition_id"] in wanted], call)

    async def trades(self, call: Call) -> DoorAnswer:
        wanted = {word for text in call.query.getall("condition_id", []) for word in text.split(",")}
        rows = [_trade(row) for row in self._data.trades_of(call)]
        return _envelope([row for row in rows if not wanted or row["condition_id"] in wanted], call)

    async def activity(self, call: Call) -> DoorAnswer:
        wanted = {word for text in call.query.getall("condition_id", []) for word in text.split(",")}
        rows = [_activity(row) for row in self._data.activity_of(call)]
        return _envelope([row for row in rows if not wanted or row["condition_id"] in wanted], call)

    async def open_interest(self, call: Call) -> DoorAnswer:
        wanted = {word for text in call.query.getall("condition_id", []) for word in text.split(",")}
        rows = self._data.interest_of(wanted)
        return DoorAnswer({"data": [{"condition_id": name, "value": value} for name, value in rows]})

    async def value(self, call: Call) -> DoorAnswer:
        user, value = self._data.value_of(call)
        return DoorAnswer({"data": {"proxy_wallet": user, "value": value}})


def _position(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "proxy_wallet": row["proxyWallet"],
        "token_id": row["asset"],
        "condition_id": row["conditionId"],
        "current_size": row["size"],
        "avg_price": row["avgPrice"],
        "entry_cost_usdc": row["initialValue"],
        "entry_fees_usdc": 0,
        "total_cost_usdc": row["initialValue"],
        "current_price": row["curPrice"],
        "current_value": row["currentValue"],
        "total_size": row["totalBought"],
        "realized_pnl": row["realizedPnl"],
        "unrealized_pnl": row["cashPnl"],
        "total_pnl": row["cashPnl"],
        "percent_pnl": row["percentPnl"],
        "percent_realized_pnl": row["percentRealizedPnl"],
        "status": "REDEEMABLE" if row["redeemable"] else "OPEN",
        "redeemable": row["redeemable"],
        "mergeable": row["mergeable"],
        "negative_risk": row["negativeRisk"],
        "archived": False,
        "verified": True,
        "title": row["title"],
        "slug": row["slug"],
        "event_slug": row["eventSlug"],
        "outcome": row["outcome"],
        "outcome_index": row["outcomeIndex"],
        "opposite_outcome": row["oppositeOutcome"],
        "opposite_token_id": row["oppositeAsset"],
        "end_date": row["endDate"][:10],
    }


def _trade(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "proxy_wallet": row["proxyWallet"],
        "token_id": row["asset"],
        "condition_id": row["conditionId"],
        "side": row["side"],
        "size": row["size"],
        "price": row["price"],
        "timestamp": row["timestamp"],
        "transaction_hash": row["transactionHash"],
        "title": row["title"],
        "slug": row["slug"],
        "event_slug": row["eventSlug"],
        "outcome": row["outcome"],
        "outcome_index": row["outcomeIndex"],
    }


def _activity(row: Mapping[str, Any]) -> dict[str, Any]:
    return _trade(row) | {"type": row["type"], "usdc_size": row["usdcSize"], "is_combo": False}


def _envelope(rows: list[dict[str, Any]], call: Call) -> DoorAnswer:
    """Return one page; the cursor is the offset in base64."""
    try:
        start = int(base64.b64decode(call.query.get("cursor", "") or "MA==", validate=True))
    except (binascii.Error, ValueError):
        raise PolymarketRefusal(400, "invalid cursor") from None
    text = call.query.get("limit", "")
    following = start + (min(int(text), LIMIT_MAX) if text.isdecimal() else LIMIT)
    more = following < len(rows)
    cursor = base64.b64encode(str(following).encode()).decode() if more else None
    return DoorAnswer(
        {"data": rows[start:following], "pagination": {"has_more": more, "next_cursor": cursor}}
    )
