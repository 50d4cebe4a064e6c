"""REST of what is historical at the venue, and of money that moves: nothing here is so old, and no money moves.

The lists are there, and empty: a client that reads beyond the cutoff, or an account's transfers, gets an answer.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.kalshi.market_data import PREFIX
from sandbox.kalshi.refusals import KalshiRefusal, answer, not_found

HISTORICAL = {"markets": "markets", "trades": "trades"}
"""Path → name of its list. An account's own are with the account."""
OWN = {
    "historical/fills": "fills",
    "historical/orders": "orders",
    "portfolio/deposits": "deposits",
    "portfolio/withdrawals": "withdrawals",
    "portfolio/subaccounts/transfers": "transfers",
    "portfolio/intra_exchange_instance_transfers": "transfers",
}
TRANSFER = f"{PREFIX}/portfolio/intra_exchange_instance_transfer"


class HistoricalRequests:
    """Reads that need no key."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        lists = [
            web.get(f"{PREFIX}/historical/{path}", empty_list(name)) for path, name in HISTORICAL.items()
        ]
        one = f"{PREFIX}/historical/markets/{{ticker}}"
        return [*lists, web.get(one, _no_market), web.get(f"{one}/candlesticks", _no_market)]


class TransferRequests:
    """Reads and requests of an account."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            *(web.get(f"{PREFIX}/{path}", empty_list(name)) for path, name in OWN.items()),
            web.get(f"{PREFIX}/historical/positions", empty_list("market_positions", "event_positions")),
            web.get(f"{TRANSFER}s/{{transfer}}", _no_transfer),
            web.post(TRANSFER, _refuse_transfer),
        ]


def empty_list(*names: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of a list without a row."""

    async def handler(_request: web.Request) -> web.Response:
        return answer({**{name: [] for name in names}, "cursor": ""})

    return handler


async def _no_market(_request: web.Request) -> web.Response:
    raise not_found("market")


async def _no_transfer(_request: web.Request) -> web.Response:
    raise not_found("transfer")


async def _refuse_transfer(_request: web.Request) -> web.Response:
    # All money is where the markets are; the status says of every shard that transfers are off.
    raise KalshiRefusal(400, "transfers_inactive", "intra_exchange_transfers_active is false")
