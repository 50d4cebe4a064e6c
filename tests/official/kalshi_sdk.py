"""What kalshi-sdk reads at the sandbox, and what it hears on the websocket."""

import asyncio
from collections.abc import Callable
from decimal import Decimal  # noqa: TID251 - the client speaks it
from typing import Any

import kalshi
from kalshi.models.orders import CreateOrderV2Request
from kalshi.ws.client import KalshiWebSocket

FRAME_S_MAX = 10.0
HEARD = (
    "fill",
    "user_order",
    "market_position",
    "ticker",
    "trade",
    "cfbenchmarks_value",
    "order_group_updates",
    "event_fee_update",
)


def _parts(urls: dict[str, str], account: dict[str, str]) -> tuple[kalshi.KalshiAuth, kalshi.KalshiConfig]:
    config = kalshi.KalshiConfig(base_url=urls["rest"], ws_base_url=urls["websocket"], max_retries=0)
    return kalshi.KalshiAuth.from_pem(account["key_id"], account["private_key_pem"]), config


def read(urls: dict[str, str], account: dict[str, str], series: str, order: str) -> dict[str, Any]:
    """Call every endpoint that reads; what each kind of answer was, and what the client refused."""
    auth, config = _parts(urls, account)
    with kalshi.KalshiClient(auth=auth, config=config) as client:
        raw = client.events.list(series_ticker=series, status="open", limit=1)
        event = raw.items[0].event_ticker
        asked: dict[str, Callable[[], Any]] = {
            "status": client.exchange.status,
            "schedule": client.exchange.schedule,
            "user data timestamp": client.exchange.user_data_timestamp,
            "series": lambda: client.series.get(series),
            "all series": client.series.list,
            "series fee changes": client.series.fee_changes,
            "markets": lambda: client.markets.list(limit=20),
            "trades": lambda: client.markets.list_trades(limit=20),
            "events": lambda: client.events.list(with_nested_markets=True, limit=20),
            "event": lambda: client.events.get(event),
            "event metadata": lambda: client.events.metadata(event),
            "event fee changes": client.events.fee_changes,
            "cutoff": client.historical.cutoff,
            "balance": client.portfolio.balance,
            "positions": client.portfolio.positions,
            "fills": client.portfolio.fills,
            "settlements": client.portfolio.settlements,
            "resting total": client.portfolio.total_resting_order_value,
            "orders": client.orders.list,
            "order": lambda: client.orders.get(order),
            "queue position": lambda: client.orders.queue_position(order),
            "groups": client.order_groups.list,
            "account limits": client.account.limits,
            "endpoint costs": client.account.endpoint_costs,
        }
        told: dict[str, Any] = {"refused": {}}
        for name, ask in asked.items():
            try:
                told[name] = str(ask())[:300]
            except (kalshi.KalshiError, ValueError) as e:
                told["refused"][name] = str(e)[:400]
    return told


async def listen(urls: dict[str, str], account: dict[str, str], ticker: str, price: str) -> dict[str, Any]:
    """Subscribe to every channel, buy at a price, and return the first frame of each as the client understood it."""
    auth, config = _parts(urls, account)
    socket = KalshiWebSocket(auth=auth, config=config)
    told: dict[str, Any] = {}
    async with socket.connect() as session, kalshi.AsyncKalshiClient(auth=auth, config=config) as client:
        streams = {
            "fill": await session.subscribe_fill(),
            "user_order": await session.subscribe_user_orders(),
            "market_position": await session.subscribe_market_positions(),
            "ticker": await session.subscribe_ticker(tickers=[ticker]),
            "trade": await session.subscribe_trade(tickers=[ticker]),
            "order_group_updates": await session.subscribe_order_group(),
            "cfbenchmarks_value": await session.subscribe_cfbenchmarks_value(index_ids=["ETHUSD_RTI"]),
            "event_fee_update": await session.subscribe_market_lifecycle(),
        }
        group = await client.order_groups.create(contracts_limit=1_000, exchange_index=2)
        placed = await client.orders.create_v2(
            request=CreateOrderV2Request(
                ticker=ticker,
                client_order_id="typed-1",
                side="bid",
                count=Decimal(5),
                price=Decimal(price),
                time_in_force="good_till_canceled",
                self_trade_prevention_type="taker_at_cross",
                order_group_id=group.order_group_id,
            )
        )
        told["placed"] = placed.model_dump(mode="json")
        for name, stream in streams.items():
            frame = await asyncio.wait_for(anext(aiter(stream)), FRAME_S_MAX)
            told[name] = frame.model_dump(mode="json")["msg"]
    return told
