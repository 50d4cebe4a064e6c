"""Polymarket's own clients, unchanged, against the sandbox: whatever they can do at the venue they can do here."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from polymarket import AsyncPublicClient, AsyncSecureClient
from polymarket.environments import PRODUCTION, Environment, _create_environment
from polymarket.errors import RequestRejectedError
from polymarket.models.clob import AssetType
from polymarket.streams import MarketSpec, UserSpec
from py_clob_client_v2 import ClobClient
from py_clob_client_v2.clob_types import (
    MarketOrderArgsV2,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    OrderType,
    PostOrdersV2Args,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.http_helpers import helpers

from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox

WAIT_S = 10.0


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=11, venues=["polymarket"]) as running:
        options = server(running).options
        options.mined_after_s = options.confirmed_after_s = options.stale_balance_s = 0.05
        yield running


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    """py-clob-client-v2 keeps one pool for the process; its connections end with the sandbox they are to."""
    yield
    helpers._http_client.close()
    helpers._http_client = httpx.Client(http2=True)


def server(sandbox: Sandbox) -> PolymarketServer:
    found = sandbox.servers["polymarket"]
    assert isinstance(found, PolymarketServer)
    return found


def accounts(sandbox: Sandbox) -> list[dict[str, Any]]:
    main = sandbox.credentials["polymarket"]
    return [main, *main["others"]]


def by_type(sandbox: Sandbox, signature_type: int) -> dict[str, Any]:
    return next(row for row in accounts(sandbox) if row["signature_type"] == signature_type)


def environment(sandbox: Sandbox) -> Environment:
    urls = sandbox.urls["polymarket"]
    config = replace(
        PRODUCTION._config,
        clob_url=urls["clob"],
        gamma_url=urls["gamma"],
        data_url=urls["data"],
        relayer_url=urls["relayer"],
        clob_market_ws_url=urls["market_websocket"],
        clob_user_ws_url=urls["user_websocket"],
    )
    return _create_environment(name="sandbox", config=config)


async def first(stream: Any, wanted: Callable[[Any], bool]) -> Any:
    """The first event that is wanted."""
    async with asyncio.timeout(WAIT_S):
        async for event in stream:
            if wanted(event):
                return event
    raise AssertionError("the stream ended")


async def markets_of(client: Any, word: str) -> list[Any]:
    found = [market async for market in client.list_markets(closed=False).iter_items()]
    return [market for market in found if word in (market.slug or "")]


async def running_asset(client: Any, word: str = "updown-15m") -> tuple[Any, str]:
    """The market of a series that closes last, and the asset of its first outcome."""
    market = max(await markets_of(client, word), key=lambda m: m.state.end_date)
    yes = market.outcomes.yes
    return market, yes.position_id or yes.token_id


# ── polymarket-client ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_the_new_client_discovers_markets_events_and_books(sandbox):
    async with AsyncPublicClient(environment=environment(sandbox)) as client:
        markets = await markets_of(client, "")
        assert {market.version for market in markets} == {"v1", "v2"}
        assert any(market.trading.fee_schedule for market in markets)
        events = [event async for event in client.list_events(closed=False).iter_items()]
        ranges = next(event for event in events if "bitcoin-range" in (event.slug or ""))
        assert len(ranges.markets) >= 3
        assert all(market.state.neg_risk for market in ranges.markets)
        one = markets[0]
        assert (await client.get_market(slug=one.slug)).condition_id == one.condition_id
        for market in markets:
            yes = market.outcomes.yes
            book = await client.get_order_book(asset_id=yes.position_id or yes.token_id)
            assert book.bids[-1].price == max(level.price for level in book.bids)
            assert book.asks[-1].price == min(level.price for level in book.asks)
            assert book.neg_risk == market.state.neg_risk
        found = await client.search(q="bitcoin range").first_page()
        assert found.items


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("word", "signature_type"),
    [
        ("updown-15m", 0),
        ("bitcoin-range", 1),
        ("updown-1h", 2),
        ("updown-15m", 3),
        ("bitcoin-range", 3),
        ("updown-1h", 3),
    ],
)
async def test_the_new_client_trades_with_every_wallet_on_every_exchange(sandbox, signature_type, word):
    account = by_type(sandbox, signature_type)
    client = await AsyncSecureClient.create(
        private_key=account["private_key"], wallet=account["funder"], environment=environment(sandbox)
    )
    async with client:
        market, asset = await running_asset(client, word)
        user = await client.subscribe(UserSpec())
        resting = await client.place_limit_order(asset_id=asset, price="0.02", size="10", side="BUY")
        assert (resting.ok, resting.status) == (True, "live")
        assert (await client.get_order(order_id=resting.order_id)).status == "LIVE"
        assert [order.id async for order in client.list_open_orders().iter_items()] == [resting.order_id]
        canceled = await client.cancel_order(order_id=resting.order_id)
        assert canceled.canceled == (resting.order_id,)

        taken = await client.place_market_order(asset_id=asset, side="BUY", amount="20", order_type="FOK")
        assert (taken.ok, taken.status) == (True, "matched")
        assert await client.wait_for_order_fill_settlement(taken)
        statuses: dict[str, list[str]] = {}
        async with asyncio.timeout(WAIT_S):
            async for event in user:
                if event.type == "trade":
                    statuses.setdefault(event.payload.id, []).append(event.payload.status)
                if statuses and all(seen[-1] == "CONFIRMED" for seen in statuses.values()):
                    break
        assert set(statuses) == set(taken.trade_ids)
        assert all(seen == ["MATCHED", "MINED", "CONFIRMED"] for seen in statuses.values())

        kind: AssetType = "CONDITIONAL-V2" if market.version == "v2" else "CONDITIONAL"
        await client._ctx.secure_clob.get_bytes(
            "/balance-allowance/update",
            params={"asset_type": kind, "token_id": asset, "signature_type": signature_type},
        )
        held = await client.get_balance_allowance(asset_type=kind, asset_id=asset)
        assert held.balance == round(taken.taking_amount * 1_000_000)
        (position,) = [row async for row in client.list_positions().iter_items()]
        assert (position.asset_id, position.current_size) == (asset, taken.taking_amount)
        assert (await client.get_portfolio_value()).value > 0
        told = [row async for row in client.list_trades(user=str(client.wallet)).iter_items()]
        assert sum(row.size for row in told) == taken.taking_amount
        sold = await client.place_market_order(asset_id=asset, side="SELL", shares="10", order_type="FAK")
        assert sold.status == "matched"


@pytest.mark.asyncio
async def test_the_new_client_places_every_kind_and_reads_every_refusal(sandbox):
    account = by_type(sandbox, 3)
    client = await AsyncSecureClient.create(
        private_key=account["private_key"], environment=environment(sandbox)
    )
    async with client:
        assert str(client.wallet) == account["funder"]
        _, asset = await running_asset(client)
        ends = int(time.time()) + 300
        good = await client.place_limit_order(
            asset_id=asset, price="0.03", size="10", side="BUY", expiration=ends, post_only=True
        )
        assert good.status == "live"
        with pytest.raises(RequestRejectedError, match="crosses book"):
            await client.place_limit_order(
                asset_id=asset, price="0.99", size="10", side="BUY", post_only=True
            )
        with pytest.raises(RequestRejectedError, match="lower than the minimum: 5"):
            await client.place_limit_order(asset_id=asset, price="0.03", size="1", side="BUY")
        with pytest.raises(RequestRejectedError, match="balance is not enough"):
            await client.place_limit_order(asset_id=asset, price="0.5", size="100000", side="BUY")
        with pytest.raises(RequestRejectedError, match="FAK orders are partially filled or killed"):
            await client.place_market_order(
                asset_id=asset, side="BUY", amount="5", max_price="0.01", order_type="FAK"
            )
        signed = await client.create_market_order(
            asset_id=asset, side="BUY", amount="9000", max_price="0.6", order_type="FOK"
        )
        with pytest.raises(RequestRejectedError, match="FOK orders are fully filled or killed"):
            await client.post_order(signed)
        signed = await client.create_limit_order(asset_id=asset, price="0.04", size="10", side="BUY")
        assert (await client.post_order(signed)).status == "live"
        with pytest.raises(RequestRejectedError, match="Duplicated"):
            await client.post_order(signed)
        batch = [
            await client.create_limit_order(asset_id=asset, price=price, size=size, side="BUY")
            for price, size in (("0.05", "10"), ("0.06", "1"))
        ]
        placed, refused = await client.post_orders(batch)
        assert (placed.ok, refused.ok) == (True, False)
        assert "lower than the minimum" in refused.message
        canceled = await client.cancel_all()
        assert len(canceled.canceled) == 3


@pytest.mark.asyncio
async def test_the_new_clients_book_follows_the_market_channel(sandbox):
    account = by_type(sandbox, 3)
    client = await AsyncSecureClient.create(
        private_key=account["private_key"], environment=environment(sandbox)
    )
    async with client:
        market, asset = await running_asset(client)
        stream = await client.subscribe(MarketSpec(token_ids=[asset], custom_feature_enabled=True))
        book = (await first(stream, lambda event: event.type == "book")).payload
        assert book.asset_id == asset
        between = book.bids[-1].price + book.tick_size
        await client.place_limit_order(asset_id=asset, price=between, size="7", side="BUY", post_only=True)
        change = await first(
            stream,
            lambda event: event.type == "price_change" and event.payload.price_changes[0].price == between,
        )
        mine, mirror = change.payload.price_changes
        assert (mine.asset_id, mine.side, mine.size) == (asset, "BUY", 7)
        assert (mirror.asset_id, mirror.side) == (market.outcomes.no.token_id, "SELL")
        assert mirror.price == 1 - between
        best = await first(
            stream, lambda event: event.type == "best_bid_ask" and event.payload.best_bid == between
        )
        assert best.payload.asset_id == asset


@pytest.mark.asyncio
async def test_the_new_clients_heartbeats_keep_orders_alive(sandbox):
    options = server(sandbox).options
    options.heartbeat_s, options.heartbeat_buffer_s = 0.5, 0.1
    account = by_type(sandbox, 3)
    client = await AsyncSecureClient.create(
        private_key=account["private_key"], environment=environment(sandbox)
    )
    async with client:
        _, asset = await running_asset(client)
        user = await client.subscribe(UserSpec())
        order = await client.place_limit_order(asset_id=asset, price="0.02", size="10", side="BUY")
        beat = await client.send_order_heartbeat()
        beat = await client.send_order_heartbeat(heartbeat_id=beat.heartbeat_id)
        assert (await client.get_order(order_id=order.order_id)).status == "LIVE"
        gone = await first(
            user,
            lambda event: (
                event.payload.id == order.order_id and event.payload.order_event_type == "CANCELLATION"
            ),
        )
        assert gone.payload.status == "CANCELED"


# ── py-clob-client-v2 ───────────────────────────────────────────────────────────────────────────────


def clob_client(sandbox: Sandbox, account: dict[str, Any]) -> ClobClient:
    client = ClobClient(
        sandbox.urls["polymarket"]["clob"],
        137,
        key=account["private_key"],
        signature_type=account["signature_type"],
        funder=account["funder"],
    )
    client.set_api_creds(client.derive_api_key())
    return client


def gamma_token(sandbox: Sandbox, word: str = "updown-15m") -> str:
    rows = httpx.get(sandbox.urls["polymarket"]["gamma"] + "/markets", params={"closed": "false"}).json()
    found = max((row for row in rows if word in row["slug"]), key=lambda row: row["endDate"])
    return str(json.loads(found["positionIds" if found["version"] == "v2" else "clobTokenIds"])[0])


async def in_thread(work: Callable[[], None]) -> None:
    """The old client blocks, and the sandbox lives in this loop."""
    await asyncio.wait_for(asyncio.to_thread(work), 4 * WAIT_S)


@pytest.mark.asyncio
@pytest.mark.parametrize("signature_type", [0, 3])
async def test_the_old_client_trades_too(sandbox, signature_type):
    def work() -> None:
        client = clob_client(sandbox, by_type(sandbox, signature_type))
        assert client.get_ok() == "OK"
        token = gamma_token(sandbox)
        book = client.get_order_book(token)
        assert book["hash"] == client.get_order_book_hash(dict(book))
        resting = client.create_and_post_order(OrderArgsV2(token_id=token, price=0.03, size=10, side="BUY"))
        assert resting["status"] == "live"
        assert [order["id"] for order in client.get_open_orders()] == [resting["orderID"]]
        assert client.cancel_order(OrderPayload(orderID=resting["orderID"]))["canceled"]
        taken = client.create_and_post_market_order(
            MarketOrderArgsV2(token_id=token, amount=20, side="BUY", order_type=OrderType.FAK),
            order_type=OrderType.FAK,
        )
        assert taken["status"] == "matched"
        assert len(taken["transactionsHashes"]) == len(taken["tradeIDs"])
        assert {trade["id"] for trade in client.get_trades()} == set(taken["tradeIDs"])
        with pytest.raises(PolyApiException, match="crosses book"):
            client.create_and_post_order(
                OrderArgsV2(token_id=token, price=0.99, size=10, side="BUY"), post_only=True
            )

    await in_thread(work)


@pytest.mark.asyncio
async def test_the_old_client_sends_batches_and_cancels_by_market(sandbox):
    def work() -> None:
        client = clob_client(sandbox, by_type(sandbox, 3))
        token = gamma_token(sandbox)
        orders = [
            PostOrdersV2Args(
                order=client.create_order(OrderArgsV2(token_id=token, price=price, size=10, side="BUY")),
                orderType=OrderType.GTC,
            )
            for price in (0.02, 0.03, 0.04)
        ]
        answers = client.post_orders(orders)
        assert [answer["status"] for answer in answers] == ["live"] * 3
        market = client.get_open_orders()[0]["market"]
        assert len(client.cancel_market_orders(OrderMarketCancelParams(market=market))["canceled"]) == 3
        assert client.cancel_all() == {"canceled": [], "not_canceled": {}}
        beat = client.post_heartbeat("")
        assert client.post_heartbeat(beat["heartbeat_id"])["heartbeat_id"] != beat["heartbeat_id"]
        with pytest.raises(PolyApiException, match="Invalid Heartbeat ID"):
            client.post_heartbeat("not-this-one")

    await in_thread(work)


@pytest.mark.asyncio
async def test_the_clients_agree_about_what_they_ask_for(sandbox):
    """One client's order is known to the other one by the same id: the digest both would compute."""
    account = by_type(sandbox, 3)

    def place() -> str:
        client = clob_client(sandbox, account)
        answer = client.create_and_post_order(
            OrderArgsV2(token_id=gamma_token(sandbox), price=0.02, size=7, side="BUY")
        )
        return str(answer["orderID"])

    order_id = await asyncio.to_thread(place)
    client = await AsyncSecureClient.create(
        private_key=account["private_key"], environment=environment(sandbox)
    )
    async with client:
        assert (await client.get_order(order_id=order_id)).original_size == 7
