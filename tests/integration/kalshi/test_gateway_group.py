"""Kalshi's own brake: the order group that cancels everything once too much fills."""

import pytest

from libs.venues.brake import HasBrake
from libs.venues.errors import Refused
from proto.venue import AckStatus
from tests.integration.kalshi.rig import forgetful, place, venue

pytestmark = pytest.mark.asyncio


async def test_order_group_cancels_everything_once_too_much_fills() -> None:
    async with venue(group_fill_max_contracts=5) as v:
        market = v.market
        v.empty(market)
        # Crypto trades on shard 2, and a group holds the orders of one shard alone.
        [(shard, group)] = v.gateway.groups.items()
        assert shard == 2
        await place(v, v.new_order(market, "yes", price=400_000))
        _, other = await place(v, v.new_order(market, "no", price=300_000))
        v.other_side(market, 1, 600_000, 5)
        await v.advance(0.1)
        assert len(await v.gateway.open_orders()) == 2
        v.other_side(market, 1, 600_000, 1)
        await v.advance(0.1)
        assert await v.gateway.open_orders() == []
        assert not (await v.gateway.client.group(group)).is_auto_cancel_enabled
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(market, "no", price=310_000))
        assert refused.value.code == "order_group_triggered"
        assert await v.gateway.brake() == "order group triggered"
        await v.gateway.release_brake()
        assert await v.gateway.brake() == ""
        await place(v, v.new_order(market, "no", price=320_000))
        gone = await v.gateway.look_up(other)
        assert gone is not None
        assert gone.status is AckStatus.CANCELED


async def test_group_is_triggered_by_hand_and_stays_so_over_a_restart() -> None:
    async with venue(group_fill_max_contracts=50) as v:
        await place(v, v.new_order(v.market, "yes", price=300_000))
        await v.gateway.trigger_group()
        assert await v.gateway.open_orders() == []
        again = forgetful(v, group_fill_max_contracts=50, series=("KXBTC15M",))
        await again.start()
        assert again.groups == v.gateway.groups
        assert len(await again.client.groups()) == 1
        assert isinstance(again, HasBrake)
        assert await again.brake() == "order group triggered"
        await again.close()


async def test_a_group_that_is_gone_is_a_brake_until_there_is_a_new_one() -> None:
    """Deleted at the venue: the books can still be compared, and a signed resume makes another one."""
    async with venue(group_fill_max_contracts=50) as v:
        groups = v.server.exchange.groups
        gone = groups.look_up(v.gateway.groups[2])
        assert gone is not None
        groups.delete(gone)
        assert await v.gateway.brake() == "order group gone"
        with pytest.raises(Refused):
            await place(v, v.new_order(v.market, "yes", price=300_000))
        await v.gateway.release_brake()
        assert v.gateway.groups[2] != gone.group_id
        assert await v.gateway.brake() == ""
        await place(v, v.new_order(v.market, "yes", price=310_000))
        # Another process of ours may have made it first.
        new = groups.look_up(v.gateway.groups[2])
        assert new is not None
        groups.delete(new)
        other = groups.create(new.owner, 50, 2)
        await v.gateway.release_brake()
        assert (v.gateway.groups[2], len(groups.of(new.owner))) == (other.group_id, 1)


async def test_maintenance_of_our_shard_is_told_and_ends_by_itself() -> None:
    """The top level of the status is the first shard, where crypto is not."""
    async with venue() as v:
        exchange = v.server.exchange
        assert await v.gateway.brake() == ""
        exchange.pause(0)
        assert await v.gateway.brake() == ""
        exchange.pause(2)
        assert await v.gateway.brake() == "trading paused on shards 2"
        exchange.paused_shards.clear()
        assert await v.gateway.brake() == ""
