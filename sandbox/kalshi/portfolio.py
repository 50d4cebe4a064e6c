"""REST of an account's balance, positions, fills and settlements."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from proto.units import ONE, notional
from sandbox.accounts import ClientAccount, Payout
from sandbox.kalshi.bodies import count, dollars, fine_dollars, iso
from sandbox.kalshi.exchange import KalshiExchange
from sandbox.kalshi.market_data import PREFIX
from sandbox.kalshi.pages import LIST_LIMIT, index_of, newest_first, number_of
from sandbox.kalshi.refusals import answer
from sandbox.kalshi.shards import CRYPTO, SHARDS, routed, shard_of
from sandbox.world.world import World

CENT = 10_000

AccountOf = Callable[[web.Request], ClientAccount]


class PortfolioRequests:
    """Handlers of an account's requests; ``account_of`` returns the account of a request, or refuses it."""

    def __init__(self, world: World, exchange: KalshiExchange, account_of: AccountOf) -> None:
        self._world = world
        self._exchange = exchange
        self._account_of = account_of

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{PREFIX}/portfolio/balance", self._balance),
            web.get(f"{PREFIX}/portfolio/positions", self._positions),
            web.get(f"{PREFIX}/portfolio/fills", self._fills),
            web.get(f"{PREFIX}/portfolio/settlements", self._settlements),
            web.get(f"{PREFIX}/portfolio/summary/total_resting_order_value", self._resting_total),
        ]

    async def _balance(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        asked = index_of(request)
        # All money and all positions are on one shard; another one, when it is asked for, has nothing.
        has_all = asked is None or routed(asked, None, None) == CRYPTO
        available, worth = (account.available, self._worth(account)) if has_all else (0, 0)
        return answer(
            {
                "balance": available // CENT,
                "balance_dollars": fine_dollars(available),
                "balance_breakdown": _by_shard(account.available),
                "portfolio_value": worth // CENT,
                "updated_ts": self._world.now() // 10**9,
            }
        )

    async def _resting_total(self, request: web.Request) -> web.Response:
        total = self._account_of(request).reserved
        return answer(
            {"total_resting_order_value": total // CENT, "resting_order_value_breakdown": _by_shard(total)}
        )

    def _worth(self, account: ClientAccount) -> int:
        total = 0
        for (ticker, outcome), held in account.positions.items():
            market = self._world.market(account.venue, ticker)
            if market is not None:
                price = market.last_price or 0
                total += notional(price if outcome == 0 else ONE - price, held)
        return total

    async def _positions(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        held: dict[str, int] = {}
        for (ticker, outcome), quantity in account.positions.items():
            held[ticker] = held.get(ticker, 0) + (quantity if outcome == 0 else -quantity)
        if "position" not in request.query.get("count_filter", ""):
            traded = {f.record.market.id for f in self._exchange.fills if f.record.owner == account.owner}
            held = {**dict.fromkeys(traded, 0), **held}
        wanted = request.query.get("ticker", "")
        rows = sorted((t, q) for t, q in held.items() if wanted in ("", t))
        page, cursor = newest_first(request, rows, lambda _: True, LIST_LIMIT)
        positions = [self._position(account, ticker, quantity) for ticker, quantity in page]
        return answer({"market_positions": positions, "event_positions": [], "cursor": cursor})

    def _position(self, account: ClientAccount, ticker: str, held: int) -> dict[str, Any]:
        rows = [
            fill
            for fill in self._exchange.fills
            if fill.record.owner == account.owner and fill.record.market.id == ticker
        ]
        spent = sum(notional(row.price, row.quantity) for row in rows)
        return {
            "ticker": ticker,
            # The market may be one that the world has forgotten.
            "exchange_index": CRYPTO,
            "position_fp": count(held),
            "total_traded_dollars": dollars(spent),
            "market_exposure_dollars": dollars(spent if held else 0),
            "realized_pnl_dollars": "0.0000",
            "fees_paid_dollars": fine_dollars(sum(row.fee for row in rows)),
            "resting_orders_count": 0,
            "last_updated_ts": iso(rows[-1].at) if rows else iso(self._world.now()),
        }

    async def _fills(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        ticker, order_id = request.query.get("ticker", ""), request.query.get("order_id", "")
        least, most = number_of(request, "min_ts", 0), number_of(request, "max_ts", 2**40)
        page, cursor = newest_first(
            request,
            self._exchange.fills,
            lambda fill: (
                fill.record.owner == account.owner
                and ticker in ("", fill.record.market.id)
                and order_id in ("", fill.record.order_id)
                and least <= fill.at // 10**9 <= most
            ),
            LIST_LIMIT,
        )
        return answer({"fills": [fill.body() for fill in page], "cursor": cursor})

    async def _settlements(self, request: web.Request) -> web.Response:
        account = self._account_of(request)
        least = number_of(request, "min_ts", 0)
        page, cursor = newest_first(
            request, account.payouts, lambda payout: payout.at // 10**9 >= least, LIST_LIMIT
        )
        return answer({"settlements": [self._settlement(account, p) for p in page], "cursor": cursor})

    def _settlement(self, account: ClientAccount, payout: Payout) -> dict[str, Any]:
        market = payout.market
        rows = [
            fill
            for fill in self._exchange.fills
            if fill.record.owner == account.owner and fill.record.market is market
        ]
        costs = [
            sum(notional(row.price, row.quantity) for row in rows if row.record.outcome == outcome)
            for outcome in (0, 1)
        ]
        held = [payout.quantity if payout.outcome == outcome else 0 for outcome in (0, 1)]
        return {
            "ticker": market.id,
            "exchange_index": shard_of(market),
            "event_ticker": market.event_id,
            "market_result": market.result,
            "yes_count_fp": count(held[0]),
            "no_count_fp": count(held[1]),
            "yes_total_cost_dollars": fine_dollars(costs[0] if held[0] else 0),
            "no_total_cost_dollars": fine_dollars(costs[1] if held[1] else 0),
            "revenue": notional(payout.price, payout.quantity) // CENT,
            "value": market.payout(0) // CENT,
            "fee_cost": fine_dollars(sum(row.fee for row in rows)),
            "settled_time": iso(payout.at),
        }


def _by_shard(amount: int) -> list[dict[str, Any]]:
    """Return an amount, all of which is where crypto markets live, as it is told shard by shard."""
    return [
        {"exchange_index": index, "balance": fine_dollars(amount if index == CRYPTO else 0)}
        for index in SHARDS
    ]
