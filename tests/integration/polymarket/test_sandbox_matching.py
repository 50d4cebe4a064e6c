"""Orders that meet at the Polymarket sandbox: across outcomes, at several levels, at market, held, in time."""

import pytest

from proto.units import ONE, SECOND
from tests.integration.polymarket.trader import a_market, frames, pass_s, server


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
