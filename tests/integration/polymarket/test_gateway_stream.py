"""The channels of the Polymarket sandbox as the gateway and the normaliser hear them."""

import asyncio
import time
from contextlib import aclosing

import pytest

from libs.venues.gateway import FillReport, StreamState, UserEvent
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.transport.websocket import Connected, Received, VenueSocket
from proto.feed import Gap, Quote
from proto.venue import TradeStatus
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.server import Sandbox
from tests.integration.polymarket.rig import WAIT_S, market_of, resting, taking, until

pytestmark = pytest.mark.asyncio


class listening:  # noqa: N801 - reads as a word in `async with`
    """Collects a gateway's events; entered once the channel is up."""

    def __init__(self, gateway: PolymarketGateway, events: list[UserEvent]) -> None:
        self._gateway = gateway
        self._events = events
        self._up = asyncio.Event()

    async def _listen(self) -> None:
        async for event in self._gateway.events():
            self._events.append(event)
            self._up.set()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._listen())
        await asyncio.wait_for(self._up.wait(), WAIT_S)
        # The subscription is sent with the connection; a PONG-free round trip lets the server read it.
        await self._gateway.client.balance()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_fills_by_two_channels_are_the_same_and_go_through_their_steps(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    market = market_of(sandbox)
    events: list[UserEvent] = []
    async with listening(gateway, events):
        prepared = gateway.prepare(taking(market))
        report = await gateway.submit(prepared)
        assert report.remaining == 0

        async def confirmed() -> bool:
            fills = [event for event in events if isinstance(event, FillReport)]
            return any(fill.status is TradeStatus.CONFIRMED for fill in fills)

        await until(confirmed)
    fills = [event for event in events if isinstance(event, FillReport)]
    steps = [(fill.trade_id, fill.status) for fill in fills]
    assert len(steps) == len(set(steps))
    asked = await gateway.fills(0)
    final = {fill.trade_id: fill for fill in fills if fill.status is TradeStatus.CONFIRMED}
    assert {fill.trade_id: fill for fill in asked if fill.trade_id in final} == final
    assert all(fill.fee > 0 and not fill.maker for fill in asked)
    held = sum(fill.quantity for fill in asked)
    assert await gateway.positions() == {asked[0].instrument: held}


async def test_pain_point_02_a_matched_trade_that_fails_is_told(sandbox: Sandbox, gateway: PolymarketGateway):
    sandbox.faults.set(FaultRule(kind=FaultKind.FAIL_SETTLEMENT))
    events: list[UserEvent] = []
    async with listening(gateway, events):
        await gateway.submit(gateway.prepare(taking(market_of(sandbox))))

        async def failed() -> bool:
            return any(isinstance(e, FillReport) and e.status is TradeStatus.FAILED for e in events)

        await until(failed)
    assert {fill.status for fill in await gateway.fills(0)} == {TradeStatus.FAILED}
    assert await gateway.positions() == {}


async def test_a_lost_user_channel_says_so_and_comes_back(sandbox: Sandbox, gateway: PolymarketGateway):
    events: list[UserEvent] = []
    async with listening(gateway, events):
        sandbox.faults.set(FaultRule(kind=FaultKind.CLOSE_SOCKET, operation="user_socket", count=1))
        await gateway.submit(gateway.prepare(resting(market_of(sandbox))))

        async def back() -> bool:
            return [event for event in events if isinstance(event, StreamState)] == [
                StreamState.CONNECTED,
                StreamState.DISCONNECTED,
                StreamState.CONNECTED,
            ]

        await until(back)


async def test_books_of_the_sandbox_match_their_hashes(sandbox: Sandbox, gateway: PolymarketGateway):
    normaliser = PolymarketNormaliser()
    page = await gateway.client.gamma("/markets/keyset", [("limit", 50), ("closed", "false")])
    normaliser.normalise(b'{"_rest":"gamma_markets","body":%b}' % page, time.time_ns())
    socket = VenueSocket(
        "polymarket",
        sandbox.urls["polymarket"]["market_websocket"],
        subscribe=normaliser.subscriptions,
        keepalive=("PING", 10),
        silence_s=30,
    )
    out = []
    async with asyncio.timeout(WAIT_S), aclosing(socket.frames()) as frames:
        async for event in frames:
            if isinstance(event, Received):
                out += normaliser.normalise(event.data, event.at_ns)
            if isinstance(event, Connected):
                out += normaliser.normalise(b'{"type":"_ws_connected","msg":{}}', event.at_ns)
            if normaliser.checked > 300:
                break
    assert normaliser.checked == normaliser.matched
    assert not [message for message in out if isinstance(message, Gap)]
    assert {message.instrument for message in out if isinstance(message, Quote)}
