"""What the gateway makes of the Kalshi sandbox's lost, late and wrong answers, and of its budget."""

import asyncio

import httpx
import pytest

from libs.venues.errors import NotSent, OutcomeUnknown, RateLimited, Refused
from libs.venues.kalshi import limits
from libs.venues.kalshi.auth import RequestSigner
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.schemas.answers import Created
from sandbox.faults.rules import FaultKind, FaultRule
from tests.integration.kalshi.rig import sent, venue
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("rule", "error", "there"),
    [
        (FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, operation="order", seconds=0.2), OutcomeUnknown, True),
        (
            FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order", carried_out=True),
            OutcomeUnknown,
            True,
        ),
        (FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order"), OutcomeUnknown, False),
        (FaultRule(kind=FaultKind.STATUS, operation="order", status=502, body="html"), OutcomeUnknown, False),
        (
            FaultRule(kind=FaultKind.STATUS, operation="order", status=500, carried_out=True),
            OutcomeUnknown,
            True,
        ),
        (FaultRule(kind=FaultKind.STATUS, operation="order", status=503), OutcomeUnknown, False),
        (
            FaultRule(kind=FaultKind.STATUS, operation="order", status=400, body="empty"),
            OutcomeUnknown,
            False,
        ),
        (FaultRule(kind=FaultKind.STATUS, operation="order", status=400), Refused, False),
        (FaultRule(kind=FaultKind.RATE_LIMIT, operation="order"), RateLimited, False),
        (FaultRule(kind=FaultKind.RESTART_WINDOW, operation="order"), OutcomeUnknown, False),
    ],
)
async def test_what_an_order_without_an_answer_means(rule, error, there) -> None:
    async with venue() as v:
        v.sandbox.faults.set(rule)
        new = v.new_order(v.market, "yes", price=300_000)
        prepared = v.gateway.prepare(new)
        with pytest.raises(error):
            await v.gateway.submit(prepared)
        # Never sent again by itself.
        assert len(v.sandbox.arrivals.of("kalshi", "order")) == 1
        v.sandbox.faults.clear()
        found = await v.gateway.look_up(sent(prepared, new))
        assert (found is not None) == there


async def test_order_that_appears_late_is_found_then() -> None:
    async with venue() as v:
        v.sandbox.faults.set(FaultRule(kind=FaultKind.APPEAR_LATE, operation="order", seconds=0.3))
        new = v.new_order(v.market, "no", price=300_000)
        prepared = v.gateway.prepare(new)
        submitting = asyncio.create_task(v.gateway.submit(prepared))
        await until(lambda: len(v.sandbox.arrivals.of("kalshi", "order")) == 1)
        assert await v.gateway.look_up(sent(prepared, new)) is None
        await until(lambda: bool(v.server.exchange.records))
        found = await v.gateway.look_up(sent(prepared, new))
        assert found is not None
        assert found.instrument == new.instrument
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)


async def test_retired_endpoint_that_answers_200_proves_nothing() -> None:
    """Pain point 17: the old order endpoint answers 200 and places nothing."""
    async with venue() as v:
        with pytest.raises(OutcomeUnknown):
            await v.gateway.client._effect("POST", "/portfolio/orders", b"{}", Created)


async def test_venue_that_is_not_there() -> None:
    async with venue() as v:
        new = v.new_order(v.market, "yes")
        await v.sandbox.stop()
        with pytest.raises(NotSent):
            await v.gateway.submit(v.gateway.prepare(new))


async def test_budget_of_the_venue_is_enforced_and_ours_keeps_below_it() -> None:
    async with venue() as v:
        v.server.budgets.tier = "basic"
        # The venue says no, with no word on when to come again.
        async with httpx.AsyncClient(trust_env=False) as http:
            url = v.sandbox.urls["kalshi"]["rest"] + "/portfolio/balance"
            signer = RequestSigner(v.credentials)
            await http.get(url, headers=signer.headers("GET", url))
            for bucket in v.server.budgets._buckets.values():
                bucket.rate_per_s = 0.001  # a busy machine asks no faster than the budget fills up
            answers = [await http.get(url, headers=signer.headers("GET", url)) for _ in range(45)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].json() == {"error": "too many requests"}
        assert "retry-after" not in refused[0].headers
        v.server.budgets.tier = "basic"
        careful = KalshiClient(v.sandbox.urls["kalshi"]["rest"], signer, buckets=limits.buckets("basic"))
        for _ in range(36):
            await careful.balance()
        assert careful._http.retries == 0
        await careful.close()
