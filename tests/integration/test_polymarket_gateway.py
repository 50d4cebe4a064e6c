"""The Polymarket gateway against the sandbox: its signatures, answers, channels and faults over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
import pytest_asyncio

from libs.venues.errors import OutcomeUnknown, RateLimited, Refused, Unavailable
from libs.venues.gateway import FillReport, NewOrder, OrderReport, Prepared, SentOrder, StreamState, UserEvent
from libs.venues.polymarket.auth import PolymarketCredentials
from libs.venues.polymarket.gateway import PolymarketGateway
from libs.venues.polymarket.normalise import PolymarketNormaliser
from libs.venues.transport.http import Timeouts
from libs.venues.transport.websocket import Connected, Received, VenueSocket
from proto.feed import Gap, Quote, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from proto.venue import AckStatus, TradeStatus
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind, SandboxMarket

pytestmark = pytest.mark.asyncio

WAIT_S = 15.0
TICK = 10_000


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=11, venues=["polymarket"]) as running:
        options = server(running).options
        options.mined_after_s = options.confirmed_after_s = 0.05
        yield running


def server(sandbox: Sandbox) -> PolymarketServer:
    found = sandbox.servers["polymarket"]
    assert isinstance(found, PolymarketServer)
    return found


def gateway_of(
    sandbox: Sandbox, row: dict[str, Any] | None = None, total_s: float = 5.0
) -> PolymarketGateway:
    row = row or sandbox.credentials["polymarket"]
    urls = sandbox.urls["polymarket"]
    credentials = PolymarketCredentials(
        private_key=bytes.fromhex(row["private_key"][2:]),
        signature_type=row["signature_type"],
        funder=row["funder"],
    )
    return PolymarketGateway(
        credentials,
        clob_url=urls["clob"],
        gamma_url=urls["gamma"],
        data_url=urls["data"],
        user_websocket_url=urls["user_websocket"],
        timeouts=Timeouts(total_s=total_s),
    )


@pytest_asyncio.fixture
async def gateway(sandbox: Sandbox) -> AsyncIterator[PolymarketGateway]:
    gateway = gateway_of(sandbox)
    await gateway.start()
    await gateway.learn(f"polymarket:{market_of(sandbox).id}")
    yield gateway
    await gateway.close()


def market_of(sandbox: Sandbox, kind: MarketKind = MarketKind.UPDOWN) -> SandboxMarket:
    """The market of a kind that trades longest."""
    found = [m for m in sandbox.world.markets("polymarket") if m.kind is kind and m.accepts_orders]
    return max(found, key=lambda market: market.close_ns)


def new(market: SandboxMarket, side: Side, price: int, quantity: int, **fields: Any) -> NewOrder:
    now = time.time_ns()
    base: dict[str, Any] = {
        "order": f"test-{now}-0",
        "market": f"polymarket:{market.id}",
        "instrument": f"polymarket:{market.id}:{market.outcomes[0].lower()}",
        "side": side,
        "price": price,
        "quantity": quantity,
        "time_in_force": TimeInForce.GTC,
        "expires_at": now + 200 * SECOND,
        "approved_at": now,
    }
    return NewOrder(**base | fields)


def sent(prepared: Prepared, instrument: str = "") -> SentOrder:
    return SentOrder(order=prepared.order, client_order_id=prepared.client_order_id, instrument=instrument)


async def until(condition: Callable[[], Awaitable[bool]], patience_s: float = WAIT_S) -> None:
    async with asyncio.timeout(patience_s):
        while not await condition():
            await asyncio.sleep(0.05)


def resting(market: SandboxMarket) -> NewOrder:
    """A purchase far below the market."""
    return new(market, Side.BUY, TICK, 10 * ONE)


def taking(market: SandboxMarket, quantity: int = 6 * ONE, **fields: Any) -> NewOrder:
    """A purchase that trades at once."""
    best = market.book.best(0)[1]
    assert best is not None
    return new(
        market, Side.BUY, min(99, best // TICK + 3) * TICK, quantity, time_in_force=TimeInForce.IOC, **fields
    )


async def test_every_kind_of_account_trades(sandbox: Sandbox):
    rows = [sandbox.credentials["polymarket"], *sandbox.credentials["polymarket"]["others"]][:4]
    kinds = set()
    for row in rows:
        gateway = gateway_of(sandbox, row)
        await gateway.start()
        market = market_of(sandbox)
        await gateway.learn(f"polymarket:{market.id}")
        prepared = gateway.prepare(resting(market))
        report = await gateway.submit(prepared)
        assert (report.status, report.venue_order_id) == (AckStatus.ACCEPTED, prepared.client_order_id)
        assert [order.client_order_id for order in await gateway.open_orders()] == [prepared.client_order_id]
        await gateway.cancel_all()
        assert await gateway.open_orders() == []
        await gateway.close()
        kinds.add(row["signature_type"])
    assert kinds == {0, 1, 2, 3}


async def test_neg_risk_and_poly_v2_markets_trade_under_their_own_domains(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    markets = [m for m in sandbox.world.markets("polymarket") if m.accepts_orders]
    wanted = {(m.neg_risk, m.version): m for m in markets}
    assert len(wanted) >= 2
    for market in wanted.values():
        await gateway.learn(f"polymarket:{market.id}")
        report = await gateway.submit(gateway.prepare(resting(market)))
        assert report.status is AckStatus.ACCEPTED


async def test_an_order_lives_and_dies(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    before = await gateway.balance()
    prepared = gateway.prepare(resting(market))
    assert await gateway.look_up(sent(prepared)) is None
    await gateway.submit(prepared)
    found = await gateway.look_up(sent(prepared))
    assert found is not None
    assert (found.status, found.remaining, found.instrument) == (
        AckStatus.ACCEPTED,
        10 * ONE,
        f"polymarket:{market.id}:{market.outcomes[0].lower()}",
    )
    assert (await gateway.balance()).available == before.available - 10 * TICK
    await gateway.cancel(sent(prepared))
    await gateway.cancel(sent(prepared))
    gone = await gateway.look_up(sent(prepared))
    assert gone is not None
    assert (gone.status, gone.remaining) == (AckStatus.CANCELED, 0)


async def test_a_second_submission_finds_the_first(sandbox: Sandbox, gateway: PolymarketGateway):
    prepared = gateway.prepare(resting(market_of(sandbox)))
    first = await gateway.submit(prepared)
    again = await gateway.submit(prepared)
    assert (again.client_order_id, again.status) == (first.client_order_id, AckStatus.ACCEPTED)
    assert len(await gateway.open_orders()) == 1


async def test_lifetimes(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    for time_in_force, reason in ((TimeInForce.FOK, "fok_not_filled"), (TimeInForce.IOC, "fak_not_filled")):
        killed = new(market, Side.BUY, TICK, 1_000 * ONE, time_in_force=time_in_force)
        report = await gateway.submit(gateway.prepare(killed))
        assert (report.status, report.filled, report.reason) == (AckStatus.CANCELED, 0, reason)
    gtd = new(market, Side.BUY, TICK, 10 * ONE, time_in_force=TimeInForce.GTD, post_only=True)
    assert (await gateway.submit(gateway.prepare(gtd))).status is AckStatus.ACCEPTED
    crossing = taking(market)
    crossing = new(market, Side.BUY, crossing.price, 10 * ONE, post_only=True)
    with pytest.raises(Refused) as raised:
        await gateway.submit(gateway.prepare(crossing))
    assert raised.value.code == "post_only_crosses"


async def test_what_rounding_took_off_is_told_as_gone(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    ask = market.book.best(0)[1]
    assert ask is not None
    # At the very price that is asked: no better one can make up for the cent that is cut off.
    odd = new(market, Side.BUY, ask, 6_010_000, time_in_force=TimeInForce.IOC)
    prepared = gateway.prepare(odd)
    report = await gateway.submit(prepared)
    found = await gateway.look_up(sent(prepared))
    assert found is not None
    if 0 < report.filled < odd.quantity:
        assert (report.status, found.status) == (AckStatus.CANCELED, AckStatus.CANCELED)
    assert report.filled == found.filled


async def test_a_purchase_at_once_never_costs_more_than_was_approved(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    """The venue spends the money that was named: at better prices it buys more than was asked for."""
    order = taking(market_of(sandbox), 12_340_000)
    await gateway.submit(gateway.prepare(order))
    fills = await gateway.fills(0)
    assert fills
    assert sum(fill.price * fill.quantity for fill in fills) <= order.price * order.quantity


async def test_pain_point_18_a_finer_tick_is_learned_after_the_first_refusal(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    market = market_of(sandbox)
    fine = new(market, Side.BUY, 15_000, 10 * ONE)
    sandbox.faults.set(FaultRule(kind=FaultKind.TICK_SIZE_CHANGE, tick="0.005", market=market.id, count=1))

    async def finer() -> bool:
        return market.tick == 5_000

    await until(finer)
    with pytest.raises(Refused) as raised:
        gateway.prepare(fine)
    assert raised.value.code == "price_off_grid"
    await gateway.learn(fine.market)
    assert (await gateway.submit(gateway.prepare(fine))).status is AckStatus.ACCEPTED


async def test_batches(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    good = [gateway.prepare(new(market, Side.BUY, n * TICK, 10 * ONE, order=f"b-{n}")) for n in (1, 2, 3)]
    bad = gateway.prepare(new(market, Side.SELL, 99 * TICK, 10_000 * ONE, order="b-4"))
    *placed, refused = await gateway.submit_many([*good, bad])
    assert [report.client_order_id for report in placed if isinstance(report, OrderReport)] == [
        one.client_order_id for one in good
    ]
    assert isinstance(refused, Refused)
    assert refused.code == "not_enough_balance"
    await gateway.cancel_many([sent(one) for one in good[:2]])
    assert [order.client_order_id for order in await gateway.open_orders()] == [good[2].client_order_id]
    await gateway.cancel_market(f"polymarket:{market.id}")
    assert await gateway.open_orders() == []


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


async def test_pain_point_07_both_sides_of_a_mint_are_told_in_their_own_outcome(sandbox: Sandbox):
    """We buy Down at 0.99 … the other account buys Up: each gets its own outcome, price and role."""
    main = sandbox.credentials["polymarket"]
    stranger = next(row for row in main["others"] if row["address"] != main["address"])
    one, other = gateway_of(sandbox), gateway_of(sandbox, stranger)
    market = market_of(sandbox)
    low, high = (name.lower() for name in market.outcomes)
    for gateway in (one, other):
        await gateway.start()
        await gateway.learn(f"polymarket:{market.id}")
    bid, ask = market.book.best(0)
    assert bid is not None
    assert ask is not None
    # A better bid than anybody's for the second outcome, met at once by a purchase of the first.
    down = f"polymarket:{market.id}:{high}"
    price = ONE - ask + TICK if ask - bid > TICK else ONE - ask
    await one.submit(one.prepare(new(market, Side.BUY, price, 8 * ONE, instrument=down)))
    await other.submit(other.prepare(new(market, Side.BUY, ONE - price, 8 * ONE)))

    async def filled() -> bool:
        return bool(await one.fills(0)) and bool(await other.fills(0))

    await until(filled)
    made = (await one.fills(0))[0]
    taken = (await other.fills(0))[0]
    assert (made.instrument, made.side, made.maker, made.fee) == (down, Side.BUY, True, 0)
    assert (taken.instrument, taken.side, taken.maker) == (f"polymarket:{market.id}:{low}", Side.BUY, False)
    assert made.price == price
    for gateway in (one, other):
        await gateway.close()


async def test_pain_point_04_what_was_just_bought_can_be_sold(sandbox: Sandbox, gateway: PolymarketGateway):
    server(sandbox).options.mined_after_s = 0.7
    server(sandbox).options.stale_balance_s = 60.0
    market = market_of(sandbox)
    await gateway.submit(gateway.prepare(taking(market)))
    sale = new(market, Side.SELL, TICK, 5 * ONE, time_in_force=TimeInForce.IOC)
    prepared = gateway.prepare(sale)
    report = await gateway.submit(prepared)
    assert (report.status, report.filled) == (AckStatus.ACCEPTED, 5 * ONE)
    # The sale alone may have come more than once, each time under the same id.
    sales = sandbox.arrivals.of("polymarket", "order")[1:]
    assert {key for arrival in sales for key in arrival.keys} == {prepared.client_order_id}
    assert [arrival.status for arrival in sales] == [400] * (len(sales) - 1) + [200]
    assert len(sales) > 1


async def test_a_sale_of_what_nobody_bought_is_refused_at_once(sandbox: Sandbox, gateway: PolymarketGateway):
    sale = gateway.prepare(new(market_of(sandbox), Side.SELL, 99 * TICK, 10 * ONE))
    began = time.monotonic()
    with pytest.raises(Refused) as raised:
        await gateway.submit(sale)
    assert raised.value.code == "not_enough_balance"
    assert time.monotonic() - began < 0.5


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
    await gateway.learn(f"polymarket:{market.id}")
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


async def test_what_a_resolved_market_pays_is_told_for_each_outcome():
    """A short window is bought, closes, is resolved and redeemed: winnings are in the balance."""
    async with (
        Sandbox(seed=11, venues=["polymarket"], time_scale=60) as sandbox,
        AsyncExitStack() as cleanup,
    ):
        options = server(sandbox).options
        options.mined_after_s = options.confirmed_after_s = 0.05
        options.redeem_after_s = 0.2
        gateway = gateway_of(sandbox)
        cleanup.push_async_callback(gateway.close)
        await gateway.start()
        now = time.time_ns()
        windows = [m for m in sandbox.world.markets("polymarket") if m.kind is MarketKind.UPDOWN]
        open_now = [
            m for m in windows if m.accepts_orders and m.close_ns > now + SECOND and m.book.best(0)[1]
        ]
        market = min(open_now, key=lambda m: m.close_ns)
        await gateway.learn(f"polymarket:{market.id}")
        # One of the two wins.
        await gateway.submit(gateway.prepare(taking(market)))
        best = market.book.best(1)[1]
        assert best is not None
        other = f"polymarket:{market.id}:{market.outcomes[1].lower()}"
        price = min(99, best // TICK + 3) * TICK
        more = new(market, Side.BUY, price, 6 * ONE, instrument=other, time_in_force=TimeInForce.IOC)
        await gateway.submit(gateway.prepare(more))

        async def paid() -> bool:
            # What lost is over at once, what won when it is redeemed.
            return any(report.price == ONE for report in await gateway.settlements(0))

        # The window lasts five seconds of a world that is sixty times as fast: hard work on a busy machine.
        await until(paid, 4 * WAIT_S)
        reports = await gateway.settlements(0)
        assert {report.instrument for report in reports} == {
            f"polymarket:{market.id}:{name.lower()}" for name in market.outcomes
        }
        assert sorted(report.price for report in reports) == [0, ONE]
        winner = next(report.instrument for report in reports if report.price == ONE)
        assert winner == f"polymarket:{market.id}:{market.result.lower()}"


async def test_the_dead_mans_switch(sandbox: Sandbox, gateway: PolymarketGateway):
    options = server(sandbox).options
    options.heartbeat_s, options.heartbeat_buffer_s = 0.6, 0.2
    await gateway.submit(gateway.prepare(resting(market_of(sandbox))))
    for _ in range(4):
        await gateway.heartbeat()
        await asyncio.sleep(0.3)
    assert len(await gateway.open_orders()) == 1
    # A restart forgets the id; the venue's correction is taken.
    gateway._heartbeat_id = ""
    await gateway.heartbeat()
    assert len(await gateway.open_orders()) == 1

    async def cancelled() -> bool:
        return not await gateway.open_orders()

    await until(cancelled)


async def test_keys_are_derived_once_and_made_when_there_are_none(sandbox: Sandbox):
    fresh = {"private_key": "0x" + "5e" * 32, "signature_type": 0, "funder": ""}
    first, second = gateway_of(sandbox, fresh), gateway_of(sandbox, fresh)
    await first.start()
    await second.start()
    assert first.client.api_key is not None
    assert first.client.api_key == second.client.api_key
    assert abs(await first.client.server_time_s() - time.time()) < 5
    await first.close()
    await second.close()


async def test_reads_survive_a_bad_moment(sandbox: Sandbox, gateway: PolymarketGateway):
    await gateway.submit(gateway.prepare(resting(market_of(sandbox))))
    sandbox.faults.set(FaultRule(kind=FaultKind.STATUS, status=502, body="html", operation="read", count=1))
    assert len(await gateway.open_orders()) == 1


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
        subscribe=lambda: [normaliser.subscription()],
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
        await self._gateway.client.server_time_s()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
