"""What the Polymarket sandbox answers to orders: refusals, batches, moods of its engine, lost answers."""

import time

import httpx
import pytest
from eth_account import Account

from proto.units import ONE, SECOND
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.polymarket.contracts import EXCHANGES
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind
from tests.integration.polymarket.trader import START_NS, Trader, a_market, pass_s, server


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
