"""What polymarket-client does at the sandbox. Each function is told the venue's addresses and mostly an account."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from polymarket import AsyncPublicClient, AsyncSecureClient
from polymarket.environments import PRODUCTION, Environment, _create_environment
from polymarket.errors import RequestRejectedError
from polymarket.streams import CryptoPriceSpec, CryptoTwapPriceSpec, MarketSpec, UserSpec

WAIT_S = 10.0


def _environment(urls: dict[str, str]) -> Environment:
    config = replace(
        PRODUCTION._config,
        clob_url=urls["clob"],
        gamma_url=urls["gamma"],
        data_url=urls["data"],
        relayer_url=urls["relayer"],
        clob_market_ws_url=urls["market_websocket"],
        clob_user_ws_url=urls["user_websocket"],
        realtime_ws_url=urls["realtime_websocket"],
    )
    return _create_environment(name="sandbox", config=config)


@asynccontextmanager
async def _client(
    urls: dict[str, str], account: dict[str, Any], wallet: str | None = None
) -> AsyncIterator[Any]:
    """A client of the wallet, by default the one that it finds for the key."""
    made = await AsyncSecureClient.create(
        private_key=account["private_key"],
        environment=_environment(urls),
        **({"wallet": wallet} if wallet else {}),
    )
    async with made as client:
        yield client


async def _first(stream: Any, wanted: Callable[[Any], bool]) -> Any:
    """The first event that is wanted."""
    async with asyncio.timeout(WAIT_S):
        async for event in stream:
            if wanted(event):
                return event
    raise AssertionError("expected an event, the stream ended")


async def _markets(client: Any, word: str = "") -> list[Any]:
    found = [market async for market in client.list_markets(closed=False).iter_items()]
    return [market for market in found if word in (market.slug or "")]


def _asset(outcome: Any) -> str:
    return str(outcome.position_id or outcome.token_id)


async def _running(client: Any, word: str = "updown-15m") -> tuple[Any, str]:
    """The market of a series that closes last, and the asset of its first outcome."""
    market = max(await _markets(client, word), key=lambda found: found.state.end_date)
    return market, _asset(market.outcomes.yes)


async def _refusal(call: Awaitable[Any]) -> str:
    """Why a request is refused; empty when it is not."""
    try:
        await call
    except RequestRejectedError as e:
        return str(e)
    return ""


def _levels(levels: Any) -> list[str]:
    return [str(level.price) for level in levels]


async def look(urls: dict[str, str]) -> dict[str, Any]:
    """Discover markets, events and books."""
    async with AsyncPublicClient(environment=_environment(urls)) as client:
        markets = await _markets(client)
        books = [await client.get_order_book(asset_id=_asset(market.outcomes.yes)) for market in markets]
        events = [event async for event in client.list_events(closed=False).iter_items()]
        ranges = next(event for event in events if "bitcoin-range" in (event.slug or ""))
        return {
            "versions": [market.version for market in markets],
            "fee_schedules": sum(bool(market.trading.fee_schedule) for market in markets),
            "neg_risk": [market.state.neg_risk for market in markets],
            "range": [market.state.neg_risk for market in ranges.markets],
            "condition": markets[0].condition_id,
            "condition_by_slug": (await client.get_market(slug=markets[0].slug)).condition_id,
            "books": [
                {"bids": _levels(book.bids), "asks": _levels(book.asks), "neg_risk": book.neg_risk}
                for book in books
            ],
            "found": len((await client.search(q="bitcoin range").first_page()).items),
        }


async def _statuses(user: Any) -> dict[str, list[str]]:
    """What the user's channel tells of each trade, until all are confirmed."""
    seen: dict[str, list[str]] = {}
    async with asyncio.timeout(WAIT_S):
        async for event in user:
            if event.type == "trade":
                seen.setdefault(event.payload.id, []).append(event.payload.status)
            if seen and all(statuses[-1] == "CONFIRMED" for statuses in seen.values()):
                break
    return seen


async def trade(urls: dict[str, str], account: dict[str, Any], word: str) -> dict[str, Any]:
    """Let an order rest and cancel it; buy, wait for the settlement, look at what is held, sell some."""
    async with _client(urls, account, account["funder"]) as client:
        market, asset = await _running(client, word)
        user = await client.subscribe(UserSpec())
        resting = await client.place_limit_order(asset_id=asset, price="0.02", size="10", side="BUY")
        told: dict[str, Any] = {
            "resting": [resting.ok, resting.status, resting.order_id],
            "resting_status": (await client.get_order(order_id=resting.order_id)).status,
            "open": [order.id async for order in client.list_open_orders().iter_items()],
            "canceled": list((await client.cancel_order(order_id=resting.order_id)).canceled),
        }
        taken = await client.place_market_order(asset_id=asset, side="BUY", amount="20", order_type="FOK")
        told |= {
            "taken": [taken.ok, taken.status],
            "taken_trades": list(taken.trade_ids),
            "shares": str(taken.taking_amount),
            "settled": bool(await client.wait_for_order_fill_settlement(taken)),
            "statuses": await _statuses(user),
        }
        kind = "CONDITIONAL-V2" if market.version == "v2" else "CONDITIONAL"
        await client._ctx.secure_clob.get_bytes(
            "/balance-allowance/update",
            params={"asset_type": kind, "token_id": asset, "signature_type": account["signature_type"]},
        )
        trades = [row async for row in client.list_trades(user=str(client.wallet)).iter_items()]
        told |= {
            "asset": asset,
            "balance": (await client.get_balance_allowance(asset_type=kind, asset_id=asset)).balance,
            "positions": [
                [row.asset_id, str(row.current_size)] async for row in client.list_positions().iter_items()
            ],
            "value": str((await client.get_portfolio_value()).value),
            "traded": str(sum(row.size for row in trades)),
        }
        # After everything was looked at: it may be mined in the next moment.
        sold = await client.place_market_order(asset_id=asset, side="SELL", shares="10", order_type="FAK")
        return told | {"sold": sold.status}


async def place_every_kind(urls: dict[str, str], account: dict[str, Any]) -> dict[str, Any]:
    """Place what is taken and what is refused, alone and in a batch, and cancel all."""
    async with _client(urls, account) as client:
        _, asset = await _running(client)
        buy = {"asset_id": asset, "side": "BUY"}

        async def limit(price: str, size: str, **more: Any) -> Any:
            return await client.place_limit_order(price=price, size=size, **buy, **more)

        good = await limit("0.03", "10", expiration=int(time.time()) + 300, post_only=True)
        told: dict[str, Any] = {
            "wallet": str(client.wallet),
            "good": good.status,
            "crossing": await _refusal(limit("0.99", "10", post_only=True)),
            "small": await _refusal(limit("0.03", "1")),
            "dear": await _refusal(limit("0.5", "100000")),
            "nothing_there": await _refusal(
                client.place_market_order(amount="5", max_price="0.01", order_type="FAK", **buy)
            ),
        }
        large = await client.create_market_order(amount="9000", max_price="0.6", order_type="FOK", **buy)
        told["not_whole"] = await _refusal(client.post_order(large))
        signed = await client.create_limit_order(price="0.04", size="10", **buy)
        told["signed"] = (await client.post_order(signed)).status
        told["again"] = await _refusal(client.post_order(signed))
        placed, refused = await client.post_orders(
            [
                await client.create_limit_order(price=price, size=size, **buy)
                for price, size in (("0.05", "10"), ("0.06", "1"))
            ]
        )
        told["batch"] = [placed.ok, refused.ok, refused.message]
        told["canceled"] = len((await client.cancel_all()).canceled)
        return told


async def follow(urls: dict[str, str], account: dict[str, Any]) -> dict[str, Any]:
    """Follow a book, place the best bid, and hear of it."""
    async with _client(urls, account) as client:
        market, asset = await _running(client)
        stream = await client.subscribe(MarketSpec(token_ids=[asset], custom_feature_enabled=True))
        book = (await _first(stream, lambda event: event.type == "book")).payload
        between = book.bids[-1].price + book.tick_size
        await client.place_limit_order(asset_id=asset, price=between, size="7", side="BUY", post_only=True)
        change = await _first(
            stream,
            lambda event: event.type == "price_change" and event.payload.price_changes[0].price == between,
        )
        best = await _first(
            stream, lambda event: event.type == "best_bid_ask" and event.payload.best_bid == between
        )
        return {
            "asset": asset,
            "other": market.outcomes.no.token_id,
            "book": book.asset_id,
            "price": str(between),
            "changes": [
                [row.asset_id, row.side, str(row.price), str(row.size)]
                for row in change.payload.price_changes
            ],
            "best": best.payload.asset_id,
        }


async def beat_and_stop(urls: dict[str, str], account: dict[str, Any]) -> dict[str, Any]:
    """Place an order, send two heartbeats, and hear how it ends when no more come."""
    async with _client(urls, account) as client:
        _, asset = await _running(client)
        user = await client.subscribe(UserSpec())
        order = await client.place_limit_order(asset_id=asset, price="0.02", size="10", side="BUY")
        beat = await client.send_order_heartbeat()
        await client.send_order_heartbeat(heartbeat_id=beat.heartbeat_id)
        kept = (await client.get_order(order_id=order.order_id)).status

        def is_end(event: Any) -> bool:
            told = event.payload
            return bool(told.id == order.order_id and told.order_event_type == "CANCELLATION")

        return {"kept": kept, "gone": (await _first(user, is_end)).payload.status}


async def size_of(urls: dict[str, str], account: dict[str, Any], order_id: str) -> str:
    """What an order was placed for."""
    async with _client(urls, account) as client:
        return str((await client.get_order(order_id=order_id)).original_size)


async def look_around(urls: dict[str, str], account: dict[str, Any]) -> dict[str, Any]:
    """Trade once, and read what else the venue tells: series, activity, interest, scoring, notifications, prices."""
    async with _client(urls, account, account["funder"]) as client:
        market, asset = await _running(client, "updown-15m")
        prices = await client.subscribe(
            [CryptoPriceSpec(symbols=["btcusd"]), CryptoTwapPriceSpec(symbols=["btcusd"])]
        )
        taken = await client.place_market_order(asset_id=asset, side="BUY", amount="20", order_type="FOK")
        await client.wait_for_order_fill_settlement(taken)
        resting = await client.place_limit_order(asset_id=asset, price="0.02", size="10", side="BUY")
        told: dict[str, Any] = {
            "scoring": await client.get_order_scoring(order_id=resting.order_id),
            "all_scoring": await client.get_orders_scoring(order_ids=[resting.order_id]),
        }
        await client.cancel_order(order_id=resting.order_id)
        notifications = await client.get_notifications()
        told["notified"] = [int(row.type) for row in notifications]
        await client.drop_notifications(ids=[row.id for row in notifications])
        told["dropped"] = len(await client.get_notifications())
        told["series"] = [row.slug async for row in client.list_series().iter_items()]
        told["activity"] = [
            row.type async for row in client.list_activity(user=str(client.wallet)).iter_items()
        ]
        interest = await client.get_open_interests(condition_ids=[market.condition_id])
        told["interest"] = [[row.condition_id == market.condition_id, str(row.value)] for row in interest]
        seen: set[str] = set()
        async with asyncio.timeout(WAIT_S):
            async for event in prices:
                seen.add(f"{event.topic} {event.type}")
                if len(seen) == 4:
                    break
        return told | {"prices": sorted(seen)}
