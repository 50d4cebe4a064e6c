"""Trades of the Polymarket sandbox after the match: mined, failed, told wrongly, paid out."""

import json

import pytest
from websockets.asyncio.client import connect

from proto.units import ONE, parse
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.world.markets import MarketKind
from tests.integration.polymarket.trader import a_market, frames, pass_s, server, standing_still, two_traders


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
    quiet.faults.set(FaultRule(kind=FaultKind.STALE_BALANCE, count=1, seconds=5))
    await taker.get("/time")
    for pause_s, believed in ((0, "0"), (6, "10000000")):
        await pass_s(quiet, pause_s)
        assert (await taker.send("GET", f"/balance-allowance/update?{query}")).status_code == 200
        assert (await taker.get(f"/balance-allowance?{query}"))["balance"] == believed
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
