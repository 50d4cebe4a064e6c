"""Clients that others made from Kalshi's schema of October 2026 read everything the sandbox answers and sends.

Their models refuse a body without a field that the schema requires. What each of them does stands in tests/official.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proto.feed import Side
from proto.units import ONE
from tests.integration.kalshi.rig import Venue, place, venue

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def traded() -> AsyncIterator[tuple[Venue, str]]:
    """A venue at which one market of ours has settled and another one holds a position and a resting order."""
    async with venue(group_fill_max_contracts=50) as v:
        first = v.market
        await _buy(v)
        await v.advance(100)
        assert first is not v.market
        await _buy(v)
        resting, _ = await place(v, v.new_order(v.market, "yes", price=50_000))
        yield v, resting.venue_order_id


async def _buy(v: Venue) -> None:
    v.empty(v.market)
    v.other_side(v.market, 1, 600_000, 4)
    await place(v, v.new_order(v.market, "yes", price=400_000, quantity=4 * ONE, side=Side.BUY))


def told(v: Venue) -> dict[str, Any]:
    """The venue's addresses and an account, as a client is given them."""
    return {"urls": v.sandbox.urls["kalshi"], "account": v.sandbox.credentials["kalshi"]}


async def test_the_generated_client_reads_every_endpoint(newer_official) -> None:
    async with traded() as (v, order):
        v.server.change_event_fees(v.market.event_id, "quadratic", 0.5)
        v.server.change_event_fees(v.market.event_id, None, None, in_s=60.0)
        found = await newer_official.act("kalshi_sync.read", **told(v), series="KXBTC15M", order=order)
        assert found["refused"] == {}
        assert found["market"]["market"]["settlement_bounds_type"] == "default"
        assert found["series"]["series"]["categories"] == ["Crypto"]
        for rows in (
            found["fills"]["fills"],
            found["positions"]["market_positions"],
            found["settlements"]["settlements"],
            found["orders"]["orders"],
            found["groups"]["order_groups"],
        ):
            assert rows
            assert {row["exchange_index"] for row in rows} == {2}
        shards = {row["exchange_index"]: row for row in found["status"]["exchange_index_statuses"]}
        assert shards[2]["trading_active"]
        (change,) = found["event fee changes"]["event_fee_changes"]
        assert (change["series_ticker"], change["fee_type_override"]) == ("KXBTC15M", None)
        assert found["transfers"]["transfers"] == found["historical markets"]["markets"] == []
        assert found["account limits"]["usage_tier"] == "premier"
        costs = {
            (row["method"], row["path"]): row["cost"] for row in found["endpoint costs"]["endpoint_costs"]
        }
        assert set(costs.values()) == {2}
        assert found["resting total"]["total_resting_order_value"] == 50
        assert found["queue position"] == {"queue_position_fp": "0.00"}
        assert [row["order_id"] for row in found["queue positions"]["queue_positions"]] == [order]
        assert found["balance of a shard"]["balance"] == found["balance"]["balance"]


async def test_the_other_client_reads_every_endpoint(newer_official) -> None:
    async with traded() as (v, order):
        found = await newer_official.act("kalshi_sdk.read", **told(v), series="KXBTC15M", order=order)
        assert found["refused"] == {}


async def test_every_channel_of_the_websocket_is_read(newer_official) -> None:
    async with venue() as v:
        going_on = asyncio.create_task(_go_on(v))
        try:
            found = await newer_official.act(
                "kalshi_sdk.listen", **told(v), ticker=v.market.id, price="0.9900"
            )
        finally:
            going_on.cancel()
        placed, fill, order = found["placed"], found["fill"], found["user_order"]
        assert placed["fill_count"] == "5.00"
        assert (fill["outcome_side"], fill["book_side"], fill["exchange_index"]) == ("yes", "bid", 2)
        assert fill["client_order_id"] == order["client_order_id"] == "typed-1"
        assert float(fill["fee_cost"]) > 0
        assert order["exchange_index"] == 2
        assert found["order_group_updates"]["event_type"] == "created"
        assert found["cfbenchmarks_value"]["index_id"] == "ETHUSD_RTI"
        fees = found["event_fee_update"]
        assert (fees["fee_type_override"], float(fees["fee_multiplier_override"])) == ("quadratic", 0.5)


async def _go_on(v: Venue) -> None:
    """Let the world go on while the client listens, and change the fees of its event over and over."""
    while True:
        await v.advance(0.25)
        v.server.change_event_fees(v.market.event_id, "quadratic", 0.5)
        await asyncio.sleep(0.05)
