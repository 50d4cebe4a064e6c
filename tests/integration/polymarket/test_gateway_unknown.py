"""What the gateway makes of the Polymarket sandbox's lost and wrong answers."""

import pytest

from libs.venues.errors import OutcomeUnknown, RateLimited, Unavailable
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from proto.venue import AckStatus
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.server import Sandbox
from tests.integration.polymarket.rig import gateway_of, market_of, resting, sent

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (FaultRule(kind=FaultKind.STATUS, status=500, operation="order"), OutcomeUnknown),
        (FaultRule(kind=FaultKind.STATUS, status=502, body="html", operation="order"), OutcomeUnknown),
        (FaultRule(kind=FaultKind.STATUS, status=503, operation="order"), OutcomeUnknown),
        (FaultRule(kind=FaultKind.STATUS, status=500, body="empty", operation="order"), OutcomeUnknown),
        (FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order"), OutcomeUnknown),
        (FaultRule(kind=FaultKind.RATE_LIMIT, operation="order"), RateLimited),
        (FaultRule(kind=FaultKind.RESTART_WINDOW, operation="order"), Unavailable),
        (FaultRule(kind=FaultKind.POST_ONLY, operation="order", seconds=30), Unavailable),
    ],
)
async def test_what_became_of_an_order_is_told_apart(
    sandbox: Sandbox, gateway: PolymarketGateway, rule: FaultRule, error: type[Exception]
):
    sandbox.faults.set(rule)
    prepared = gateway.prepare(resting(market_of(sandbox)))
    with pytest.raises(error) as raised:
        await gateway.submit(prepared)
    assert type(raised.value) is error
    sandbox.faults.clear()
    assert await gateway.look_up(sent(prepared)) is None


async def test_pain_point_01_a_timeout_is_not_a_refusal(sandbox: Sandbox):
    gateway = gateway_of(sandbox, total_s=0.8)
    await gateway.start()
    market = market_of(sandbox)
    await gateway.load_market(f"polymarket:{market.id}")
    sandbox.faults.set(FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, operation="order"))
    prepared = gateway.prepare(resting(market))
    with pytest.raises(OutcomeUnknown):
        await gateway.submit(prepared)
    sandbox.faults.clear()
    found = await gateway.look_up(sent(prepared))
    assert found is not None
    assert found.status is AckStatus.ACCEPTED
    assert len(await gateway.open_orders()) == 1
    await gateway.close()


async def test_reads_survive_a_bad_moment(sandbox: Sandbox, gateway: PolymarketGateway):
    await gateway.submit(gateway.prepare(resting(market_of(sandbox))))
    sandbox.faults.set(FaultRule(kind=FaultKind.STATUS, status=502, body="html", operation="read", count=1))
    assert len(await gateway.open_orders()) == 1
