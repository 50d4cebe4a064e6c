"""What kalshi-python-sync, made from Kalshi's schema, reads at the sandbox. Its models refuse what the schema refuses."""

import json
from collections.abc import Callable
from typing import Any

import kalshi_python_sync as kalshi
from kalshi_python_sync.exceptions import ApiException, NotFoundException

CALL_S_MAX = 10.0


def _client(urls: dict[str, str], account: dict[str, str]) -> kalshi.ApiClient:
    client = kalshi.ApiClient(kalshi.Configuration(host=urls["rest"]))
    # Its own way to set them names a class that it does not import.
    client.kalshi_auth = kalshi.KalshiAuth(account["key_id"], account["private_key_pem"])
    return client


def read(urls: dict[str, str], account: dict[str, str], series: str, order: str) -> dict[str, Any]:
    """Call every endpoint that reads; the bodies as the client understood them, and what it refused."""
    client = _client(urls, account)
    market, events, exchange = kalshi.MarketApi(client), kalshi.EventsApi(client), kalshi.ExchangeApi(client)
    orders, portfolio = kalshi.OrdersApi(client), kalshi.PortfolioApi(client)
    groups, own = kalshi.OrderGroupsApi(client), kalshi.AccountApi(client)
    history = kalshi.HistoricalApi(client)
    some = market.get_markets_without_preload_content(series_ticker=series, status="open")
    first = json.loads(some.data)["markets"][0]
    ticker, event = first["ticker"], first["event_ticker"]
    group = json.loads(groups.get_order_groups_without_preload_content().data)["order_groups"][0]["id"]
    asked: dict[str, Callable[[], Any]] = {
        "status": exchange.get_exchange_status,
        "schedule": exchange.get_exchange_schedule,
        "series fee changes": exchange.get_series_fee_changes,
        "user data timestamp": exchange.get_user_data_timestamp,
        "series": lambda: market.get_series(series),
        "all series": market.get_series_list,
        "markets": lambda: market.get_markets(limit=20),
        "market": lambda: market.get_market(ticker),
        "book": lambda: market.get_market_orderbook(ticker),
        "books": lambda: market.get_market_orderbooks([ticker]),
        "trades": lambda: market.get_trades(limit=20),
        "candles": lambda: market.get_market_candlesticks(series, ticker, 0, 2**31, 1),
        "events": lambda: events.get_events(with_nested_markets=True, limit=20),
        "event": lambda: events.get_event(event),
        "event metadata": lambda: events.get_event_metadata(event),
        "event fee changes": events.get_event_fee_changes,
        "cutoff": history.get_historical_cutoff,
        "historical markets": history.get_historical_markets,
        "historical trades": history.get_trades_historical,
        "historical fills": history.get_fills_historical,
        "historical orders": history.get_historical_orders,
        "historical positions": lambda: history.get_historical_positions(ticker=ticker),
        "transfers": portfolio.get_intra_exchange_instance_transfers,
        "subaccounts' transfers": portfolio.get_subaccount_transfers,
        "deposits": portfolio.get_deposits,
        "withdrawals": portfolio.get_withdrawals,
        "balance": portfolio.get_balance,
        "balance of a shard": lambda: portfolio.get_balance(exchange_index=first["exchange_index"]),
        "positions": portfolio.get_positions,
        "fills": portfolio.get_fills,
        "settlements": portfolio.get_settlements,
        "resting total": portfolio.get_portfolio_resting_order_total_value,
        "orders": orders.get_orders,
        "order": lambda: orders.get_order(order),
        "queue position": lambda: orders.get_order_queue_position(order),
        "queue positions": lambda: orders.get_order_queue_positions(market_tickers=ticker),
        "groups": groups.get_order_groups,
        "group": lambda: groups.get_order_group(group),
        "account limits": own.get_account_api_limits,
        "endpoint costs": own.get_account_endpoint_costs,
    }
    told: dict[str, Any] = {"refused": {}}
    for name, ask in asked.items():
        try:
            told[name] = json.loads(ask().model_dump_json())
        except (ApiException, NotFoundException, ValueError) as e:
            told["refused"][name] = str(e)[:400]
    return told
