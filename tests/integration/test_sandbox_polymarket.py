"""Polymarket's protocol as the sandbox speaks it, beyond what the official clients ask of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from eth_account import Account
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from proto.units import ONE, SECOND, parse, show
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.polymarket.books import book_hash
from sandbox.polymarket.contracts import EXCHANGES
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind
from tests.polymarket_trader import (
    START_NS,
    WAIT_S,
    Trader,
    a_market,
    frames,
    pass_s,
    server,
    standing_still,
    two_traders,
)


@pytest_asyncio.fixture
async def quiet() -> AsyncIterator[Sandbox]:
    async with standing_still() as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def traders(quiet: Sandbox) -> AsyncIterator[list[Trader]]:
    async with two_traders(quiet) as made:
        yield made


# ── matching ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_up_at_p_meets_down_at_one_less_p_and_a_pair_is_made(quiet, traders):
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    resting = await maker.order(up, "BUY", "0.37", "20", post_only=True)
    book = (await maker.http.get(maker.urls["clob"] + "/book", params={"token_id": down})).json()
    assert book["asks"] == [{"price": "0.63", "size": "20"}]
    matched = await taker.order(down, "BUY", "0.65", "12")
    # Price improvement is the taker's: 0.63, not 0.65.
    assert (matched["status"], matched["makingAmount"], matched["takingAmount"]) == ("matched", "7.56", "12")
    await pass_s(quiet, 1.5)
    fee = 70_000 * 12 * 63 * 37 // 10_000
    fee = (fee + 5) // 10 * 10
    assert taker.wallet.on_chain(down) == maker.wallet.on_chain(up) == 12 * ONE
    assert taker.wallet.on_chain("collateral") == 10_000 * ONE - 7_560_000 - fee
    assert maker.wallet.on_chain("collateral") == 10_000 * ONE - 12 * 370_000
    trade = (await maker.get(f"/data/trades?id={matched['tradeIDs'][0]}"))["data"][0]
    assert (trade["trader_side"], trade["asset_id"], trade["price"]) == ("MAKER", down, "0.63")
    mine = trade["maker_orders"][0]
    assert (mine["order_id"], mine["asset_id"], mine["price"]) == (resting["orderID"], up, "0.37")
    # And back: both sell, the pair is dissolved.
    await pass_s(quiet, 5)
    await maker.order(up, "SELL", "0.45", "12")
    sold = await taker.order(down, "SELL", "0.55", "12", "FOK")
    assert sold["takingAmount"] == "6.6"
    await pass_s(quiet, 1.5)
    assert taker.wallet.on_chain(down) == maker.wallet.on_chain(up) == 0


@pytest.mark.asyncio
async def test_a_buy_at_market_spends_its_money_and_gets_more_at_a_better_price(quiet, traders):
    """As at the venue, where 5 at 0.99 became 5.051 at 0.98."""
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    await maker.order(down, "BUY", "0.02", "50")
    answer = await taker.order(up, "BUY", "0.99", "5", "FAK")
    assert (answer["makingAmount"], answer["takingAmount"]) == ("4.95", "5.05102")
    order = await taker.get(f"/data/order/{answer['orderID']}")
    assert (order["status"], order["original_size"], order["size_matched"]) == ("MATCHED", "5", "5.05102")
    # What rests has a size: it takes no more than that.
    rest = await taker.order(up, "BUY", "0.99", "5", "GTC")
    assert rest["takingAmount"] == "5"


@pytest.mark.asyncio
async def test_a_taker_of_several_levels_makes_a_trade_of_each(quiet, traders):
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    for price in ("0.60", "0.59"):
        await maker.order(down, "BUY", price, "10")
    answer = await taker.order(up, "BUY", "0.41", "25", "GTC")
    assert len(answer["tradeIDs"]) == 2
    rows = (await taker.get("/data/trades"))["data"]
    assert sorted((row["price"], row["size"]) for row in rows) == [("0.4", "10"), ("0.41", "10")]
    order = await taker.get(f"/data/order/{answer['orderID']}")
    assert (order["status"], order["size_matched"]) == ("LIVE", "20")
    assert order["associate_trades"] == answer["tradeIDs"]


@pytest.mark.asyncio
async def test_killed_orders_are_told_on_the_user_channel_by_a_sentence(quiet, traders):
    taker, maker = traders
    market = a_market(quiet)
    await maker.order(market.tokens[0], "SELL", "0.5", "5") if maker.wallet.on_chain(
        market.tokens[0]
    ) else None
    socket = await taker.user_socket()
    body = taker.signed(market.tokens[0], "BUY", "0.5", "10", "FOK")
    status, text = await taker.refused(body)
    assert (status, text) == (400, "order couldn't be fully filled. FOK orders are fully filled or killed.")
    (event,) = await frames(socket, bool)
    assert (event["type"], event["status"], event["size_matched"]) == ("CANCELLATION", f"CANCELED_{text}", "")
    assert event["order_type"] == "FOK"
    await socket.close()


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_every_order_is_checked_for_real(quiet, traders):
    mine, other = traders
    market = a_market(quiet)
    token = market.tokens[0]
    ranges = a_market(quiet, MarketKind.NEG_RISK)
    good = mine.signed(token, "BUY", "0.5", "10")
    order = good["order"]
    # Signed well, but for a wallet that this key does not own.
    stranger = Trader(quiet, mine.row | {"signature_type": 1, "funder": other.row["funder"]})
    cases = {
        "invalid signature": [
            good | {"order": order | {"salt": order["salt"] + 1}},
            good | {"order": order | {"makerAmount": "4900000"}},
            good | {"order": order | {"signature": order["signature"][:-2] + "00"}},
            good | {"order": order | {"maker": other.row["funder"]}},
            mine.signed(token, "BUY", "0.5", "10", version="3"),
            stranger.signed(token, "BUY", "0.5", "10"),
            mine.signed(ranges.tokens[0], "BUY", "0.5", "10", contract=next(iter(EXCHANGES))),
        ],
        "the order owner has to be the owner of the API KEY": [good | {"owner": other.row["api_key"]}],
        "the order signer address has to be the address of the API KEY": [
            good | {"order": order | {"signer": other.row["funder"], "maker": other.row["funder"]}}
        ],
        "Invalid order payload": [
            good | {"orderType": "IOC"},
            good | {"order": order | {"side": "HOLD"}},
            good | {"order": {name: order[name] for name in order if name != "signature"}},
            mine.signed(token, "BUY", "0.5", "10", "FAK", post_only=True),
        ],
        "order_version_mismatch": [
            good
            | {
                "order": {n: v for n, v in order.items() if n != "timestamp"}
                | {"nonce": "0", "feeRateBps": "0"}
            }
        ],
        "invalid expiration": [
            mine.signed(token, "BUY", "0.5", "10", "GTD", expiration=START_NS // SECOND + 59),
            mine.signed(token, "BUY", "0.5", "10", "GTC", expiration=START_NS // SECOND + 500),
        ],
        "the orderbook 77 does not exist": [mine.signed("77", "BUY", "0.5", "10")],
    }
    for text, bodies in cases.items():
        for body in bodies:
            assert await mine.refused(body) == (400, text)
    await stranger.http.aclose()
    exchange = server(quiet).exchange
    assert not exchange.orders
    placed = await mine.send("POST", "/order", good)
    assert placed.status_code == 200
    assert await mine.refused(good) == (400, f"order {placed.json()['orderID']} is invalid. Duplicated.")
    stale = await mine.send("GET", "/data/orders", at_s=int(time.time()) - 61)
    assert (stale.status_code, stale.json()) == (401, {"error": "Unauthorized/Invalid api key"})
    theirs = await other.send("GET", f"/data/order/{placed.json()['orderID']}")
    assert theirs.status_code == 404
    hands_off = await other.send("DELETE", "/order", {"orderID": placed.json()["orderID"]})
    assert hands_off.json()["canceled"] == []


@pytest.mark.asyncio
async def test_money_is_spendable_once(quiet, traders):
    trader, _ = traders
    market = a_market(quiet)
    up, down = market.tokens
    await trader.order(up, "BUY", "0.5", "19000")
    text = "not enough balance / allowance: the balance is not enough -> balance: 500000000, order amount: "
    assert await trader.refused(trader.signed(down, "BUY", "0.4", "2000")) == (400, text + "800000000")
    assert (await trader.refused(trader.signed(up, "SELL", "0.6", "10")))[1].startswith("not enough balance")
    await trader.send("DELETE", "/cancel-all")
    await trader.order(down, "BUY", "0.4", "2000")
    balance = await trader.get("/balance-allowance?asset_type=COLLATERAL&signature_type=3")
    assert balance["balance"] == str(10_000 * ONE)
    assert set(balance["allowances"]) == set(EXCHANGES)


@pytest.mark.asyncio
async def test_the_engines_moods_and_the_buckets(quiet, traders):
    trader, _ = traders
    market = a_market(quiet)
    exchange = server(quiet).exchange
    exchange.modes.restart(restart_s=90, post_only_s=120)
    assert (await trader.refused(trader.signed(market.tokens[0], "BUY", "0.5", "10")))[0] == 425
    await pass_s(quiet, 91)
    answer = await trader.send("POST", "/order", trader.signed(market.tokens[0], "BUY", "0.5", "10"))
    assert answer.status_code == 503
    assert answer.json()["code"] == "post_only_mode"
    assert int(answer.headers["Retry-After"]) == answer.json()["retry_after_seconds"]
    market = a_market(quiet)
    resting = await trader.order(market.tokens[0], "BUY", "0.02", "10", post_only=True)
    await pass_s(quiet, 130)
    exchange.modes.cancel_only = True
    market = a_market(quiet)
    body = trader.signed(market.tokens[0], "BUY", "0.03", "10")
    assert (await trader.refused(body))[1].startswith("Trading is currently cancel-only")
    assert (await trader.send("DELETE", "/order", {"orderID": resting["orderID"]})).json()["canceled"]
    exchange.modes.cancel_only = False
    server(quiet).options.orders_burst = 0.0
    exchange.limits._orders.clear()
    limited = await trader.send("POST", "/order", body)
    assert (limited.status_code, limited.json()) == (429, {"error": "Too Many Requests"})
    assert int(limited.headers["Retry-After"]) >= 1


@pytest.mark.asyncio
async def test_a_batch_tells_of_each_leg(quiet, traders):
    trader, _ = traders
    market = a_market(quiet)
    legs = [trader.signed(market.tokens[0], "BUY", price, "10") for price in ("0.3", "0.31")]
    legs.append(trader.signed(market.tokens[0], "BUY", "0.3", "1"))
    answers = (await trader.send("POST", "/orders", legs)).json()
    assert [answer["success"] for answer in answers] == [True, True, True]
    assert [bool(answer["orderID"]) for answer in answers] == [True, True, False]
    assert "lower than the minimum" in answers[2]["errorMsg"]
    many = await trader.send("POST", "/orders", legs * 6)
    assert (many.status_code, many.json()["error"]) == (
        400,
        "Too many orders in payload: 18, max allowed: 15",
    )
    gone = (await trader.send("DELETE", "/orders", [answers[0]["orderID"], "0xnot"])).json()
    assert gone["canceled"] == [answers[0]["orderID"]]
    assert gone["not_canceled"] == {"0xnot": "Order not found or already canceled"}
    left = await trader.send("DELETE", "/cancel-market-orders", {"asset_id": market.tokens[0]})
    assert left.json()["canceled"] == [answers[1]["orderID"]]


@pytest.mark.asyncio
async def test_a_held_order_cannot_be_cancelled_and_is_checked_again(quiet, traders):
    maker, taker = traders
    options = server(quiet).options
    options.taker_delay_ms = 3_000
    market = a_market(quiet)
    up, down = market.tokens
    resting = await maker.order(down, "BUY", "0.6", "10")
    held = await taker.order(up, "BUY", "0.4", "10")
    assert held["status"] == "delayed"
    refused = (await taker.send("DELETE", "/order", {"orderID": held["orderID"]})).json()
    assert refused["not_canceled"] == {held["orderID"]: "order is delayed and can't be canceled yet"}
    await maker.send("DELETE", "/order", {"orderID": resting["orderID"]})
    await pass_s(quiet, 3.1)
    assert (await taker.get(f"/data/order/{held['orderID']}"))["status"] == "LIVE"


@pytest.mark.asyncio
async def test_gtd_orders_leave_a_minute_before_they_say(quiet, traders):
    trader, _ = traders
    market = a_market(quiet)
    ends = int(quiet.world.now() / SECOND) + 100
    socket = await trader.user_socket()
    placed = await trader.order(market.tokens[0], "BUY", "0.02", "10", "GTD", expiration=ends)
    await pass_s(quiet, 35)
    assert (await trader.get(f"/data/order/{placed['orderID']}"))["status"] == "LIVE"
    await pass_s(quiet, 10)
    events = await frames(socket, lambda seen: len(seen) == 2)
    assert [event["status"] for event in events] == ["LIVE", "CANCELED_EXPIRED_ORDER"]
    await socket.close()


# ── settlement ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_a_failed_trade_gives_everything_back(quiet, traders):
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    await maker.order(down, "BUY", "0.6", "10")
    quiet.faults.set(FaultRule(kind=FaultKind.FAIL_SETTLEMENT, venue="polymarket"))
    socket = await taker.user_socket()
    await taker.order(up, "BUY", "0.4", "10", "FOK")
    assert taker.wallet.free("collateral") < 10_000 * ONE
    await pass_s(quiet, 5)
    seen = await frames(socket, lambda rows: any(row.get("status") == "FAILED" for row in rows))
    assert [row["status"] for row in seen if row["event_type"] == "trade"] == [
        "MATCHED",
        "RETRYING",
        "FAILED",
    ]
    for trader in traders:
        assert trader.wallet.free("collateral") == 10_000 * ONE
        assert trader.wallet.on_chain(up) == trader.wallet.on_chain(down) == 0
    positions = await taker.http.get(taker.urls["data"] + "/positions", params={"user": taker.row["funder"]})
    assert positions.json() == []
    await socket.close()


@pytest.mark.asyncio
async def test_faults_of_fills_are_told_as_they_are_booked(quiet, traders):
    maker, taker = traders
    market = a_market(quiet)
    up, down = market.tokens
    await maker.order(down, "BUY", "0.6", "10")
    quiet.faults.set(
        FaultRule(kind=FaultKind.OVER_FILL, amount="0.5", count=1),
        FaultRule(kind=FaultKind.DUPLICATE_FILL, count=1),
    )
    socket = await taker.user_socket()
    answer = await taker.order(up, "BUY", "0.4", "10", "GTC")
    await pass_s(quiet, 3)
    seen = await frames(socket, lambda rows: any(row.get("status") == "CONFIRMED" for row in rows))
    trades = [row for row in seen if row["event_type"] == "trade"]
    assert [row["status"] for row in trades] == ["MATCHED", "MINED", "MINED", "CONFIRMED"]
    assert {row["size"] for row in trades} == {"10.5"}
    assert taker.wallet.on_chain(up) == 10_500_000
    assert (await taker.get(f"/data/order/{answer['orderID']}"))["size_matched"] == "10.5"
    await socket.close()


@pytest.mark.asyncio
async def test_the_clob_believes_an_old_balance_after_a_buy(quiet, traders):
    maker, taker = traders
    options = server(quiet).options
    options.stale_balance_s = 30.0
    market = a_market(quiet)
    up, down = market.tokens
    await maker.order(down, "BUY", "0.6", "10")
    await taker.order(up, "BUY", "0.4", "10", "FOK")
    await pass_s(quiet, 3)
    query = f"asset_type=CONDITIONAL&token_id={up}&signature_type=3"
    assert (await taker.get(f"/balance-allowance?{query}"))["balance"] == "0"
    sale = ("SELL", "0.9", "10")
    assert (await taker.refused(taker.signed(up, *sale)))[1].startswith("not enough balance / allowance")
    assert (await taker.send("GET", f"/balance-allowance/update?{query}")).status_code == 200
    assert (await taker.get(f"/balance-allowance?{query}"))["balance"] == "10000000"
    assert (await taker.order(up, *sale))["status"] in ("live", "matched")


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [MarketKind.UPDOWN, MarketKind.VOID])
async def test_a_market_ends_is_resolved_and_pays(kind):
    async with standing_still(time_scale=30) as sandbox, two_traders(sandbox) as (maker, taker):
        market = a_market(sandbox, kind)
        up, down = market.tokens
        await maker.order(down, "BUY", "0.6", "10")
        await taker.order(up, "BUY", "0.4", "10", "FOK")
        left = await taker.order(up, "BUY", "0.01", "10")
        async with connect(taker.urls["market_websocket"]) as socket:
            ask = {"type": "market", "assets_ids": [up], "custom_feature_enabled": True}
            await socket.send(json.dumps(ask))
            await frames(socket, bool)
            statuses: list[tuple[bool, bool, str]] = []
            gamma = f"{taker.urls['gamma']}/markets/{market.number}"
            for _ in range(80):
                row = (await taker.http.get(gamma)).json()
                word = (row["closed"], row["acceptingOrders"], row.get("umaResolutionStatus", ""))
                if not statuses or statuses[-1] != word:
                    statuses.append(word)
                if row["closed"]:
                    break
                await pass_s(sandbox, 1)
            await pass_s(sandbox, 6)
            told = await frames(
                socket,
                lambda seen: any(
                    f["event_type"] == "market_resolved" and f["market"] == market.id for f in seen
                ),
            )
        resolved = next(f for f in told if f["event_type"] == "market_resolved" and f["market"] == market.id)
        disputed = [(False, False, "disputed")] if kind is MarketKind.VOID else []
        assert statuses == [
            (False, True, ""),
            (False, False, ""),
            (False, False, "proposed"),
            *disputed,
            (True, False, "resolved"),
        ]
        row = (await taker.http.get(gamma)).json()
        paid = [parse(price) for price in json.loads(row["outcomePrices"])]
        assert sum(paid) == ONE
        if kind is MarketKind.VOID:
            assert paid == [ONE // 2, ONE // 2]
            assert (resolved["winning_asset_id"], resolved["winning_outcome"]) == ("", "")
        else:
            assert resolved["winning_asset_id"] == market.tokens[paid.index(ONE)]
        assert (await taker.get(f"/data/order/{left['orderID']}"))["status"] == "CANCELED_MARKET_RESOLVED"
        fees = server(sandbox).exchange.trades.by_id
        fee = sum(trade.fee for trade in fees.values())
        assert (fee > 0) is (kind is MarketKind.UPDOWN)
        assert taker.wallet.on_chain("collateral") == 10_000 * ONE - 4 * ONE - fee + 10 * paid[0]
        assert maker.wallet.on_chain("collateral") == 10_000 * ONE - 6 * ONE + 10 * paid[1]
        activity = await taker.http.get(
            taker.urls["data"] + "/activity", params={"user": taker.row["funder"], "type": "REDEEM"}
        )
        assert [entry["size"] for entry in activity.json()] == [10]


# ── channels ────────────────────────────────────────────────────────────────────────────────────────


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
async def test_prices_are_streamed(quiet, traders):
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


# ── faults of requests ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_an_order_whose_answer_is_lost_is_there_and_was_counted_once(quiet, traders):
    trader, _ = traders
    market = a_market(quiet)
    quiet.faults.set(FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order", carried_out=True, count=1))
    body = trader.signed(market.tokens[0], "BUY", "0.2", "10")
    with pytest.raises(httpx.TransportError):
        await trader.send("POST", "/order", body)
    rows = (await trader.get("/data/orders"))["data"]
    arrivals = quiet.arrivals.of("polymarket", "order")
    assert [arrival.keys for arrival in arrivals] == [[rows[0]["id"]]]
    duplicate = await trader.refused(body)
    assert duplicate == (400, f"order {rows[0]['id']} is invalid. Duplicated.")
    quiet.faults.set(
        FaultRule(kind=FaultKind.STATUS, operation="order", status=502, body="html", count=1),
        FaultRule(kind=FaultKind.RESTART_WINDOW, operation="cancel", seconds=60.0),
    )
    page = await trader.send("POST", "/order", body)
    assert (page.status_code, page.headers["Content-Type"].startswith("text/html")) == (502, True)
    assert (await trader.send("DELETE", "/cancel-all")).status_code == 425


def test_the_ready_made_keys_are_those_of_their_addresses():
    first = Sandbox(seed=9, venues=["polymarket"]).credentials["polymarket"]
    again = Sandbox(seed=9, venues=["polymarket"]).credentials["polymarket"]
    assert first == again
    assert Account.from_key(first["private_key"]).address == first["address"]
    assert Sandbox(seed=10, venues=["polymarket"]).credentials["polymarket"] != first
