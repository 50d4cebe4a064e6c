"""One odd row in a list of the account costs that row alone, at every venue, and is counted and told once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libs.venues.errors import BadAnswer, Refused, VenueError
from libs.venues.gateway import SentOrder, VenueGateway
from libs.venues.kalshi.auth import KalshiCredentials
from libs.venues.kalshi.trading.gateway import KalshiGateway
from libs.venues.kalshi.trading.options import KalshiOptions
from libs.venues.manifold.trading.auth import ManifoldCredentials
from libs.venues.manifold.trading.gateway import ManifoldGateway
from libs.venues.odd_items import KeepsOddItems
from libs.venues.polymarket.trading.auth import PolymarketCredentials, WalletApiKey
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.polymarket.trading.user_stream import UserEvents
from proto.units import ONE
from proto.venue import AckStatus, TradeStatus

pytestmark = pytest.mark.asyncio

CONDITION = "0x" + "ab" * 32
OWNER = "00000000-0000-0000-0000-000000000001"
AT_S = 1_785_000_000


@asynccontextmanager
async def serving(answers: dict[str, Any]) -> AsyncIterator[str]:
    """A venue that gives each path one answer, whatever the query."""

    async def answer(request: web.Request) -> web.Response:
        if request.query.get("ticker") == "HAND":
            return web.json_response({"error": {"code": "unheard_of"}}, status=400)
        return web.json_response(answers[request.path])

    app = web.Application()
    for path in answers:
        app.router.add_route("*", path, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kinds(gateway: VenueGateway) -> list[str]:
    assert isinstance(gateway, KeepsOddItems)
    return [item.kind for item in gateway.odd_items.latest(20)]


def sent(client_order_id: str, venue_order_id: str, instrument: str = "kalshi:KXBTC15M-X:yes") -> SentOrder:
    return SentOrder(
        order="t-1-0", client_order_id=client_order_id, instrument=instrument, venue_order_id=venue_order_id
    )


def polymarket_trade(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name, "taker_order_id": f"0x{name}", "market": CONDITION, "asset_id": "1", "side": "BUY",
        "size": "10", "price": "0.40", "status": "CONFIRMED", "match_time": str(AT_S), "owner": OWNER,
        "maker_address": None, "trader_side": "TAKER", "maker_orders": None,
    } | changes  # fmt: skip


def polymarket_order(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name, "status": "LIVE", "market": CONDITION, "asset_id": "1", "side": "BUY", "owner": None,
        "original_size": "10", "size_matched": "0", "price": "0.40",
    } | changes  # fmt: skip


async def test_polymarket() -> None:
    def pages(rows: list[Any]) -> dict[str, Any]:
        return {"data": rows, "next_cursor": "LTE="}

    position = {"asset": "1", "conditionId": CONDITION, "size": 5.0, "outcome": "Up", "curPrice": 0.5}
    answers = {
        "/data/trades": pages(
            [
                polymarket_trade("a"),
                polymarket_trade("b", status="TRADE_STATUS_MATCHED_NOT_BROADCASTED"),
                polymarket_trade("c", status="POSTPONED"),
                polymarket_trade("d", price="many"),
                polymarket_trade("e", side=None),
            ]
        ),
        "/data/orders": pages(
            [polymarket_order("a"), polymarket_order("b", status="ASLEEP"), polymarket_order("c", price=[])]
        ),
        "/positions": [position, position | {"size": {}}, position | {"outcome": "☃" * 300}, 7],
        f"/clob-markets/{CONDITION}": {
            "t": [{"t": "1", "o": "Up"}, {"t": "2", "o": "Down"}],
            "mts": 0.01,
            "nr": False,
        },
    }
    async with serving(answers) as url:
        credentials = PolymarketCredentials(private_key=bytes(range(1, 33)))
        gateway = PolymarketGateway(credentials, clob_url=url, gamma_url=url, data_url=url)
        gateway.client.api_key = WalletApiKey(api_key=OWNER, secret="c2VjcmV0", passphrase="p")
        try:
            for _ in range(2):
                fills = await gateway.fills(0)
                assert {(fill.trade_id, fill.status) for fill in fills} == {
                    ("a", TradeStatus.CONFIRMED), ("b", TradeStatus.MATCHED), ("c", TradeStatus.MATCHED),
                }  # fmt: skip
                orders = {order.venue_order_id: order.status for order in await gateway.open_orders()}
                assert orders == {"a": AckStatus.ACCEPTED, "b": AckStatus.UNKNOWN, "c": AckStatus.ACCEPTED}
                assert await gateway.positions() == {f"polymarket:{CONDITION}:up": 5 * ONE}
        finally:
            await gateway.close()
    # Each once, however often it is asked for.
    assert sorted(kinds(gateway)) == ["order"] + ["position"] * 2 + ["positions"] + ["trade"] * 3
    assert gateway.odd_items.count == 7


async def test_kalshi() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    fill = {
        "trade_id": "a", "order_id": "o", "ticker": "KXBTC15M-X", "count_fp": "1.00", "is_taker": True,
        "yes_price_dollars": "0.4000", "fee_cost": "0.0100", "book_side": "bid", "client_order_id": None, "ts": AT_S,
    }  # fmt: skip
    order = {
        "order_id": "o", "ticker": "KXBTC15M-X", "status": "resting", "yes_price_dollars": "0.4000",
        "initial_count_fp": "1.00", "fill_count_fp": "0.00", "remaining_count_fp": "1.00", "book_side": "bid",
        "client_order_id": "mine",
    }  # fmt: skip
    settled = {"ticker": "A", "market_result": "scalar", "settled_time": "2026-08-18T09:00:00Z", "value": 33}
    root = "/trade-api/v2"
    answers = {
        f"{root}/portfolio/fills": {
            "fills": [
                fill,
                fill | {"trade_id": "b", "book_side": "middle"},
                # The words before May 2026 alone: sources disagree on their meaning.
                {k: v for k, v in fill.items() if k != "book_side"} | {"trade_id": "c", "side": "yes", "action": "sell"},
                fill | {"trade_id": "d", "is_taker": "perhaps"},
                # By hand, in a market whose orders cannot be asked for.
                fill | {"trade_id": "e", "order_id": "h", "ticker": "HAND"},
            ]
        },
        f"{root}/portfolio/orders": {
            "orders": [order, order | {"order_id": "p", "status": "asleep"}, order | {"order_id": "q", "ticker": 7}]
        },
        f"{root}/portfolio/positions": {
            "market_positions": [
                {"ticker": "A", "position_fp": "2.00"}, {"ticker": "B", "position_fp": "two"}, {"ticker": "C"},
            ]
        },
        f"{root}/portfolio/settlements": {
            "settlements": [settled, settled | {"ticker": "B"}, settled | {"ticker": "C", "market_result": None}, settled | {"ticker": "HAND"}]
        },
        f"{root}/portfolio/orders/o": {"order": order},
        f"{root}/portfolio/events/orders/batched": {"orders": [{"order_id": "o", "error": {"code": "not_found"}}] * 2},
        f"{root}/markets/KXBTC15M-X": {"market": {"ticker": "KXBTC15M-X"}},
        f"{root}/markets/A": {"market": {"ticker": "A", "settlement_value_dollars": "0.3333"}},
        f"{root}/markets/B": {"market": {"ticker": "B"}},
        f"{root}/markets/HAND": {"market": "nothing of the kind"},
    }  # fmt: skip
    async with serving(answers) as url:
        options = KalshiOptions(
            rest_url=url + root, websocket_url=url.replace("http", "ws"), tier="basic", series=()
        )
        gateway = KalshiGateway(KalshiCredentials("key", pem), options)
        gateway.set_held_markets(["kalshi:A", "kalshi:B", "kalshi:KXBTC15M-X"])
        try:
            for _ in range(2):
                assert [fill.trade_id for fill in await gateway.fills(0)] == ["a", "e"]
                orders = {order.venue_order_id: order.status for order in await gateway.open_orders()}
                assert orders == {"o": AckStatus.ACCEPTED, "p": AckStatus.UNKNOWN}
                assert await gateway.positions() == {"kalshi:A:yes": 2 * ONE}
                assert await gateway.look_up(sent("mine", "o")) is not None
                with pytest.raises(BadAnswer):  # it may be the one that cannot be read
                    await gateway.look_up(sent("another", ""))
                with pytest.raises(Refused):
                    await gateway.cancel_all()
                paid = {report.instrument: report.price for report in await gateway.settlements(0)}
                assert paid == {"kalshi:A:yes": 333_300, "kalshi:A:no": 666_700}
            gateway.set_held_markets(["kalshi:HAND"])
            for question in (gateway.fills(0), gateway.settlements(0)):
                with pytest.raises(VenueError):
                    await question
        finally:
            await gateway.close()
    expected = {"fill": 3, "order": 2, "orders": 1, "position": 2, "settlement": 2}
    assert {kind: kinds(gateway).count(kind) for kind in expected} == expected


async def test_manifold() -> None:
    bet = {
        "id": "a", "contractId": "C", "userId": "me", "outcome": "YES", "amount": 4.0, "shares": 10.0,
        "isFilled": True, "createdTime": AT_S * 1_000,
        "fills": [{"amount": 4.0, "shares": 10.0, "timestamp": AT_S * 1_000, "matchedBetId": None}],
    }  # fmt: skip
    infinite = [{"amount": 1e300, "shares": 1e300, "timestamp": AT_S * 1_000}]
    answers = {
        "/v0/me": {"id": "me", "balance": 100.0},
        "/v0/bets": [bet, bet | {"id": "b", "shares": "some"}, bet | {"id": "c", "fills": infinite}],
        "/v0/market/C": {
            "id": "C",
            "isResolved": True,
            "resolution": "UNHEARD",
            "resolutionTime": AT_S * 1_000,
        },
    }
    async with serving(answers) as url:
        gateway = ManifoldGateway(ManifoldCredentials("key"), f"{url}/v0", url.replace("http", "ws"))
        try:
            await gateway.start()
            for _ in range(2):
                assert [fill.trade_id for fill in await gateway.fills(0)] == ["a-0"]
                assert await gateway.settlements(0) == []
                with pytest.raises(BadAnswer):
                    await gateway.look_up(sent("C-YES-40-1785000000000", "", "manifold:C:yes"))
        finally:
            await gateway.close()
    assert sorted(kinds(gateway)) == ["bet", "fills", "settlement"]


BY_HAND = "0x" + "cd" * 32
"""A market that is described in words nobody knows."""


async def test_polymarket_by_hand_in_a_market_that_cannot_be_read() -> None:
    """It costs its own rows, unless they may be ours: an order of ours, or a market in which we hold something."""

    def pages(rows: list[Any]) -> dict[str, Any]:
        return {"data": rows, "next_cursor": "LTE="}

    answers = {
        "/data/trades": pages([polymarket_trade("a"), polymarket_trade("z", market=BY_HAND, asset_id="9")]),
        "/data/orders": pages([polymarket_order("a"), polymarket_order("0xz", market=BY_HAND, asset_id="9")]),
        f"/clob-markets/{CONDITION}": {"t": [{"t": "1", "o": "Up"}, {"t": "2", "o": "Down"}], "mts": 0.01, "nr": False},
        f"/clob-markets/{BY_HAND}": {"t": "nothing of the kind"},
    }  # fmt: skip

    def gateway_at(url: str) -> PolymarketGateway:
        credentials = PolymarketCredentials(private_key=bytes(range(1, 33)))
        made = PolymarketGateway(credentials, clob_url=url, gamma_url=url, data_url=url)
        made.client.api_key = WalletApiKey(api_key=OWNER, secret="c2VjcmV0", passphrase="p")
        return made

    async with serving(answers) as url:
        gateway = gateway_at(url)
        try:
            gateway.set_held_markets([f"polymarket:{CONDITION}"])
            for _ in range(2):
                assert [fill.trade_id for fill in await gateway.fills(0)] == ["a"]
                assert [order.venue_order_id for order in await gateway.open_orders()] == ["a"]
            assert kinds(gateway) == ["trade"]
            row = polymarket_trade("z", event_type="trade", market=BY_HAND, asset_id="9")
            assert await gateway._events_of(UserEvents(), msgspec.json.encode([row])) == []
        finally:
            await gateway.close()
        for ours in ("nothing known yet", "held", "by id", "by market"):
            gateway = gateway_at(url)
            try:
                if ours != "nothing known yet":
                    gateway.set_held_markets([f"polymarket:{BY_HAND}"] if ours == "held" else [])
                if ours.startswith("by"):
                    market = BY_HAND if ours == "by market" else CONDITION
                    order_id = "0xz" if ours == "by id" else "0xother"
                    gateway.remember_order(sent(order_id, "", f"polymarket:{market}:up"))
                for question in (gateway.fills(0), gateway.open_orders()):
                    with pytest.raises(BadAnswer):
                        await question
            finally:
                await gateway.close()


async def test_manifold_by_hand_in_a_market_that_cannot_be_read() -> None:
    bet = {
        "id": "a", "contractId": "C", "userId": "me", "outcome": "YES", "amount": 4.0, "shares": 10.0,
        "isFilled": True, "createdTime": AT_S * 1_000,
    }  # fmt: skip
    position = [{"userId": "me", "totalShares": {"YES": 10.0}}]
    answers = {
        "/v0/me": {"id": "me", "balance": 100.0},
        "/v0/bets": [bet, bet | {"id": "b", "contractId": "HAND"}],
        "/v0/market/C": {"id": "C", "isResolved": False},
        "/v0/market/C/positions": position,
        "/v0/market/HAND": "nothing of the kind",
        "/v0/market/HAND/positions": position,
    }
    async with serving(answers) as url:
        for held in (["manifold:C"], ["manifold:C", "manifold:HAND"]):
            gateway = ManifoldGateway(ManifoldCredentials("key"), f"{url}/v0", url.replace("http", "ws"))
            try:
                await gateway.start()
                gateway.set_held_markets(held)
                if len(held) == 2:
                    with pytest.raises(BadAnswer):
                        await gateway.positions()
                    continue
                assert await gateway.positions() == {"manifold:C:yes": 10 * ONE}
                assert await gateway.settlements(0) == []
                assert kinds(gateway) == ["market"]
            finally:
                await gateway.close()
