"""What the Kalshi sandbox answers to requests: who may ask, the shapes of errors, batches, pauses, pages."""

import itertools
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from libs.venues.kalshi.auth import RequestSigner
from libs.venues.kalshi.client import KalshiClient
from proto.feed import Level
from proto.units import ONE, SECOND
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.kalshi.groups import OrderGroups
from sandbox.world.markets import SandboxMarket
from tests.integration.kalshi.plain_client import http, socket
from tests.integration.kalshi.rig import START_NS, venue

pytestmark = pytest.mark.asyncio
ORDERS = "/portfolio/events/orders"


def order_in(market: SandboxMarket) -> dict[str, Any]:
    """The body of an order that rests far from the book."""
    return {
        "ticker": market.id,
        "side": "bid",
        "count": "1.00",
        "price": "0.3000",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "maker",
    }


TIMES = ("fill_or_kill", "good_till_canceled", "immediate_or_cancel")


async def test_account_needs_a_signature_and_market_data_does_not() -> None:
    async with venue() as v, http(v) as request:
        assert (await request("GET", "/exchange/status")).json()["trading_active"] is True
        for method, path in (
            ("GET", "/portfolio/balance"), ("GET", "/portfolio/orders"), ("POST", "/portfolio/events/orders"),
            ("DELETE", "/portfolio/events/orders/x"), ("GET", "/portfolio/order_groups"),
        ):  # fmt: skip
            refused = await request(method, path)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "authentication_error"
        assert (await request("GET", "/portfolio/balance", signed=True)).status_code == 200


async def test_websocket_needs_a_signature_of_its_own_path() -> None:
    async with venue() as v:
        rest = v.sandbox.urls["kalshi"]["rest"]
        for headers in (
            {"KALSHI-ACCESS-KEY": "x"},
            RequestSigner(v.credentials).headers("GET", f"{rest}/portfolio/balance"),
            RequestSigner(v.credentials, lambda: 1).headers("GET", v.sandbox.urls["kalshi"]["websocket"]),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(v, **headers):
                    pass
            assert refused.value.response.status_code == 401


async def test_three_shapes_of_errors() -> None:
    async with venue() as v, http(v) as request:
        wrong = await request("GET", "/markets?status=finalized")
        assert wrong.status_code == 400
        assert wrong.json() == {
            "error": {"code": "bad_request", "message": "bad request", "details": "invalid status filter"}
        }
        missing = await request("GET", "/markets/NO-SUCH-MARKET")
        assert missing.status_code == 404
        assert set(missing.json()) == {"code", "message", "details"}
        v.sandbox.faults.set(FaultRule(kind=FaultKind.RATE_LIMIT, operation="read"))
        limited = await request("GET", "/markets")
        assert (limited.status_code, limited.json()) == (429, {"error": "too many requests"})


async def test_batch_is_billed_by_item_and_answers_item_by_item() -> None:
    async with venue() as v, http(v) as request:
        good = order_in(v.market)
        path = "/portfolio/events/orders/batched"
        answer = await request(
            "POST", path, signed=True, json={"orders": [good, {**good, "price": "0.3050"}]}
        )
        first, second = answer.json()["orders"]
        assert first["remaining_count"] == "1.00"
        assert second["error"]["code"] == "bad_request"
        cancelled = await request(
            "DELETE",
            path,
            signed=True,
            json={"orders": [{"order_id": first["order_id"], "exchange_index": 2}, {"order_id": "x"}]},
        )
        one, other = cancelled.json()["orders"]
        assert one["reduced_by"] == "1.00"
        assert other["error"]["code"] == "not_found"
        # A batch must fit whole: one second of the basic tier's writes are ten orders, or fifty cancels.
        for method, most, item in (("POST", 10, {**good, "price": "bad"}), ("DELETE", 50, {"order_id": "x"})):
            for items, status in ((most + 1, 429), (most, 201 if method == "POST" else 200)):
                v.server.budgets.tier = "basic"
                many = await request(method, path, signed=True, json={"orders": [item] * items})
                assert many.status_code == status


async def test_flags_that_do_not_go_together_are_refused() -> None:
    """Every combination, beside the venue's rule: what rests may be post-only and have an end, what does not
    may be reduce-only if it is immediate-or-cancel."""
    combinations = itertools.product(TIMES, (False, True), (False, True), (False, True))
    async with venue() as v, http(v) as request:
        v.empty(v.market)
        v.other_side(v.market, 0, 400_000, 1)
        await v.gateway.submit(
            v.gateway.prepare(v.new_order(v.market, "no", price=600_000, quantity=ONE))
        )  # one NO held, which a bid reduces
        for time_in_force, post_only, reduce_only, ends in combinations:
            body = {
                "ticker": v.market.id, "side": "bid", "count": "1.00", "price": "0.3000",
                "time_in_force": time_in_force, "self_trade_prevention_type": "taker_at_cross",
                "post_only": post_only, "reduce_only": reduce_only,
            }  # fmt: skip
            if ends:
                body["expiration_time"] = v.sandbox.world.now() // SECOND + 600
            answer = await request("POST", ORDERS, signed=True, json=body)
            rests = time_in_force == "good_till_canceled"
            allowed = rests or not (post_only or ends)
            allowed = allowed and (time_in_force == "immediate_or_cancel" or not reduce_only)
            # A fill-or-kill finds nothing to trade with here: 409.
            expected = 400 if not allowed else 409 if time_in_force == "fill_or_kill" else 201
            assert answer.status_code == expected, (body, answer.text)
            await request("DELETE", "/portfolio/events/orders", signed=True)


async def test_amend_and_decrease() -> None:
    async with venue() as v, http(v) as request:
        v.empty(v.market)
        client = v.gateway.client
        report = await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=300_000)))
        order_id = report.venue_order_id
        amended = await client.amend_order(
            order_id, {"ticker": v.market.id, "side": "bid", "price": "0.3100", "count": "8.00"}
        )
        assert amended.remaining_count == "8.00"
        assert v.market.book.levels(0)[0] == (Level(310_000, 8 * ONE),)
        assert (await client.decrease_order(order_id, v.market.id, "3.00")).reduced_by == "3.00"
        assert v.market.book.levels(0)[0] == (Level(310_000, 5 * ONE),)
        order = await client.order(order_id)
        assert (order.yes_price_dollars, order.remaining_count_fp, order.status) == (
            "0.3100",
            "5.00",
            "resting",
        )
        v.other_side(v.market, 1, 690_000, 5)
        assert (await client.order(order_id)).status == "executed"
        refused = await request(
            "POST",
            f"/portfolio/events/orders/{order_id}/decrease",
            signed=True,
            json={"reduce_by": "1.00", "exchange_index": 2},
        )
        assert refused.status_code == 404


async def test_pause_refuses_orders_and_cancels_those_that_asked_for_it() -> None:
    async with venue(cancel_on_pause=True) as v, http(v) as request:
        await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=300_000)))
        v.server.exchange.pause()
        assert (await v.gateway.client.exchange_status()).trading_active is False
        assert await v.gateway.open_orders() == []
        refused = await request("POST", ORDERS, signed=True, json=order_in(v.market))
        assert refused.json()["error"]["code"] == "trading_is_paused"


async def test_a_pause_of_one_shard_leaves_the_others_alone() -> None:
    async with venue() as v, http(v) as request:
        order = order_in(v.market)
        for shard, status in ((0, 201), (2, 400)):
            v.server.exchange.pause(shard)
            told = (await request("GET", "/exchange/status")).json()
            trading = {
                row["exchange_index"]: row["trading_active"] for row in told["exchange_index_statuses"]
            }
            assert trading == {index: index not in v.server.exchange.paused_shards for index in range(4)}
            # The top level is the default shard's.
            assert told["trading_active"] is False
            placed = await request("POST", ORDERS, signed=True, json=order)
            assert placed.status_code == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),  # to shard 0, where it is not
        ("?exchange_index=0", 404),
        ("?exchange_index=-1", 400),  # by the market, and names none
        ("?exchange_index=9", 400),
        ("?exchange_index=2", 200),
        ("?market_ticker={ticker}", 200),
        ("?exchange_index=-1&market_ticker={ticker}", 200),
        ("?exchange_index=0&market_ticker={ticker}", 404),  # a shard that is named is taken at its word
    ],
)
async def test_a_cancel_goes_to_the_shard_that_it_names(query: str, status: int) -> None:
    async with venue() as v, http(v) as request:
        placed = await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=300_000)))
        path = f"/portfolio/events/orders/{placed.venue_order_id}" + query.format(ticker=v.market.id)
        assert (await request("DELETE", path, signed=True)).status_code == status
        assert len(await v.gateway.open_orders()) == (status != 200)


async def test_a_group_holds_the_orders_of_its_own_shard_alone() -> None:
    async with venue() as v, http(v) as request:
        groups = "/portfolio/order_groups"
        order = order_in(v.market)
        made = []
        for shard, status in (({}, 404), ({"exchange_index": 2}, 201)):
            body = {"contracts_limit": 10, **shard}
            group = (await request("POST", f"{groups}/create", signed=True, json=body)).json()
            made.append(group["order_group_id"])
            joined = {**order, "order_group_id": group["order_group_id"]}
            placed = await request("POST", ORDERS, signed=True, json=joined)
            assert placed.status_code == status
        # Reading needs no shard; a change without one goes to shard 0.
        listed = (await request("GET", groups, signed=True)).json()["order_groups"]
        assert [(row["id"], row["exchange_index"]) for row in listed] == list(zip(made, (0, 2), strict=True))
        assert (await request("GET", f"{groups}/{made[1]}", signed=True)).json()["exchange_index"] == 2
        for query, status in (("", 404), ("?exchange_index=2", 200)):
            trigger = f"{groups}/{made[1]}/trigger{query}"
            assert (await request("PUT", trigger, signed=True)).status_code == status


async def test_pages_go_on_where_they_stopped_while_rows_are_added() -> None:
    async with venue() as v, http(v) as request:
        for i in range(4):
            new = v.new_order(v.market, "yes", price=200_000 + 10_000 * i)
            await v.gateway.submit(v.gateway.prepare(new))
        first = (await request("GET", "/portfolio/orders?limit=2", signed=True)).json()
        await v.gateway.submit(v.gateway.prepare(v.new_order(v.market, "yes", price=250_000)))
        second = (
            await request("GET", f"/portfolio/orders?limit=2&cursor={first['cursor']}", signed=True)
        ).json()
        prices = [o["yes_price_dollars"] for o in first["orders"] + second["orders"]]
        assert prices == ["0.2300", "0.2200", "0.2100", "0.2000"]
        assert second["cursor"] == ""
        wrong = await request("GET", "/portfolio/orders?cursor=x", signed=True)
        assert wrong.status_code == 400


async def test_public_reads_of_the_client() -> None:
    async with venue() as v:
        market = v.market
        await v.advance(20)
        client = KalshiClient(v.sandbox.urls["kalshi"]["rest"])
        assert (await client.series("KXBTC15M")).fee_type == "quadratic"
        assert (await client.market(market.id)).ticker == market.id
        [event] = await client.events(
            {"series_ticker": "KXBTC15M", "status": "open", "with_nested_markets": "true"}
        )
        assert [json.loads(bytes(row))["ticker"] for row in event.markets] == [market.id]
        book = await client.orderbook(market.id, depth=2)
        assert book.yes_dollars is not None
        assert len(book.yes_dollars) == 2
        assert book.yes_dollars[-1][0] == f"{(market.book.best(0)[0] or 0) / ONE:.4f}"
        trades = await client.trades({"ticker": market.id})
        assert trades
        start = START_NS // SECOND
        candles = await client.candles("KXBTC15M", market.id, start - 3600, start + 3600)
        assert sum(float(candle.volume_fp) for candle in candles) == sum(float(t.count_fp) for t in trades)
        await client.close()


async def test_a_new_group_takes_no_id_of_a_group_from_before_a_restart() -> None:
    before, after = OrderGroups(), OrderGroups()
    kept = before.create("trader", 10)
    after.add(kept)
    assert after.create("trader", 20).group_id != kept.group_id
    assert after.of("trader")[0] is kept
