"""The Polymarket sandbox's channels: books to the hash, ticks, the user's own orders, prices."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from proto.units import ONE, parse, show
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.polymarket.books import book_hash
from tests.integration.polymarket.trader import WAIT_S, a_market, frames, pass_s


@pytest.mark.asyncio
async def test_the_market_channels_books_follow_every_change_to_the_hash(quiet, traders):
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    await maker.order(up, "BUY", "0.3", "10")
    async with connect(maker.urls["market_websocket"]) as socket:
        ask = {"type": "market", "assets_ids": [up, down], "custom_feature_enabled": True}
        await socket.send(json.dumps(ask))
        first = json.loads(await socket.recv())
        assert [book["event_type"] for book in first] == ["book", "book"]
        books = {book["asset_id"]: book for book in first}
        await maker.order(down, "BUY", "0.6", "20")
        await maker.order(up, "BUY", "0.35", "15")
        await taker.order(up, "BUY", "0.4", "8")
        await maker.send("DELETE", "/cancel-all")
        seen = await frames(socket, lambda rows: sum(r["event_type"] == "price_change" for r in rows) == 6)
    changes = [row for row in seen if row["event_type"] == "price_change"]
    for change in changes:
        pair = change["price_changes"]
        assert {row["asset_id"] for row in pair} == {up, down}
        assert parse(pair[0]["price"]) + parse(pair[1]["price"]) == ONE
        assert pair[0]["size"] == pair[1]["size"]
        for row in pair:
            book = books[row["asset_id"]]
            _apply(book, row)
            trades = [t for t in seen[: seen.index(change)] if t["event_type"] == "last_trade_price"]
            if trades:
                price = parse(trades[-1]["price"])
                same = trades[-1]["asset_id"] == row["asset_id"]
                book["last_trade_price"] = show(price if same else ONE - price)
            body = {
                "market": book["market"],
                "asset_id": book["asset_id"],
                "timestamp": change["timestamp"],
                "hash": "",
                "bids": book["bids"],
                "asks": book["asks"],
                "min_order_size": "5",
                "tick_size": book["tick_size"],
                "neg_risk": False,
                "last_trade_price": book["last_trade_price"],
            }
            assert book_hash(body) == row["hash"]
            assert row["best_bid"] == (book["bids"][-1]["price"] if book["bids"] else "0")
            assert row["best_ask"] == (book["asks"][-1]["price"] if book["asks"] else "1")
    trade = next(row for row in seen if row["event_type"] == "last_trade_price")
    assert (trade["asset_id"], trade["price"], trade["size"], trade["side"]) == (up, "0.4", "8", "BUY")
    assert any(row["event_type"] == "best_bid_ask" for row in seen)


def _apply(book: dict[str, Any], row: dict[str, Any]) -> None:
    """A level's new total, in the order the venue lists levels: bids rise, asks fall."""
    side = "bids" if row["side"] == "BUY" else "asks"
    levels = {level["price"]: level["size"] for level in book[side]}
    levels[row["price"]] = row["size"]
    ordered = sorted(levels, key=parse, reverse=side == "asks")
    book[side] = [{"price": price, "size": levels[price]} for price in ordered if levels[price] != "0"]


@pytest.mark.asyncio
async def test_a_tick_change_is_told_and_holds(quiet, traders):
    trader, _ = traders
    market = a_market(quiet)
    up, _ = market.tokens
    async with connect(trader.urls["market_websocket"]) as socket:
        await socket.send(json.dumps({"type": "market", "assets_ids": [up]}))
        await socket.recv()
        await trader.order(up, "BUY", "0.97", "10")
        seen = await frames(socket, lambda rows: any(r["event_type"] == "tick_size_change" for r in rows))
    change = seen[-1]
    assert (change["old_tick_size"], change["new_tick_size"]) == ("0.01", "0.001")
    assert (await trader.order(up, "BUY", "0.971", "10"))["status"] == "live"
    answer = await trader.http.get(trader.urls["clob"] + "/tick-size", params={"token_id": up})
    assert answer.json() == {"minimum_tick_size": 0.001}


@pytest.mark.asyncio
async def test_the_user_channel_wants_its_secret_and_tells_its_own(quiet, traders):
    mine, other = traders
    market = a_market(quiet)
    socket = await connect(mine.urls["user_websocket"])
    auth = {
        "apiKey": mine.row["api_key"],
        "secret": other.row["secret"],
        "passphrase": mine.row["passphrase"],
    }
    await socket.send(json.dumps({"type": "user", "auth": auth}))
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), WAIT_S)
    socket = await mine.user_socket()
    await other.order(market.tokens[0], "BUY", "0.2", "10")
    placed = await mine.order(market.tokens[0], "BUY", "0.2", "10")
    (event,) = await frames(socket, bool)
    assert (event["id"], event["type"], event["status"]) == (placed["orderID"], "PLACEMENT", "LIVE")
    await socket.close()


@pytest.mark.asyncio
async def test_prices_are_streamed_and_use_up_no_fault_of_the_market_channel(quiet, traders):
    quiet.faults.set(FaultRule(kind=FaultKind.SEQUENCE_GAP, operation="market_socket"))
    async with connect(traders[0].urls["prices_websocket"]) as socket:
        topics = [("crypto_prices", "btcusdt"), ("crypto_prices_chainlink", '{"symbol":"btc/usd"}')]
        subscriptions = [{"topic": t, "type": "update", "filters": f} for t, f in topics]
        await socket.send(json.dumps({"action": "subscribe", "subscriptions": subscriptions}))
        first = await frames(socket, lambda seen: len(seen) == 2)
        assert [frame["type"] for frame in first] == ["subscribe", "subscribe"]
        await pass_s(quiet, 2)
        updates = await frames(socket, lambda seen: len(seen) >= 4)
    assert {frame["topic"] for frame in updates} == {topic for topic, _ in topics}
    assert all(abs(frame["payload"]["value"] - 80_000) < 8_000 for frame in updates)
    assert quiet.faults.count(FaultKind.SEQUENCE_GAP) == 0
