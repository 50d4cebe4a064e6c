"""The Data API's paths: positions, trades, activity and value of a wallet, and markets' open interest.

Source: docs/reference/venue-facts.md, Polymarket data API.
"""

from collections.abc import Collection, Sequence

from libs.venues.polymarket import POLYMARKET
from proto.units import SECOND
from sandbox.polymarket.doors import Call, DoorAnswer
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.gamma import amount, outcome_word
from sandbox.polymarket.history import PriceHistory, PublicTrade
from sandbox.polymarket.holdings import Holdings, entry_body
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.orders import wallet_of_stranger

OFFSET_MAX = 3500
"""Beyond it the venue answers 400."""
LIMIT, LIMIT_MAX = 100, 500
"""Items of a page, when not asked for and at most."""
Rows = Sequence[dict[str, object]]


class DataApi:
    """Handlers of the paths under ``/data-api``."""

    def __init__(self, exchange: PolymarketExchange, holdings: Holdings, history: PriceHistory) -> None:
        self._exchange = exchange
        self._holdings = holdings
        self._history = history

    async def positions(self, call: Call) -> DoorAnswer:
        return DoorAnswer(_page(self.positions_of(call), call))

    def positions_of(self, call: Call) -> list[dict[str, object]]:
        """Return rows of /positions, of every page."""
        rows = self._holdings.positions(_user(call))
        wanted = {word for text in call.query.getall("market", []) for word in text.split(",")}
        return [row for row in rows if not wanted or row["conditionId"] in wanted]

    async def value(self, call: Call) -> DoorAnswer:
        user, value = self.value_of(call)
        return DoorAnswer([{"user": user, "value": value}])

    def value_of(self, call: Call) -> tuple[str, int | float]:
        """Return a wallet and what it would fetch."""
        user = _user(call)
        return user, amount(self._holdings.value(user))

    async def activity(self, call: Call) -> DoorAnswer:
        return DoorAnswer(_page(self.activity_of(call), call))

    def activity_of(self, call: Call) -> list[dict[str, object]]:
        """Return rows of /activity, of every page."""
        user = _user(call).lower()
        kinds = {word.upper() for text in call.query.getall("type", []) for word in text.split(",")} - {""}
        return [
            entry_body(entry)
            for entry in reversed(self._holdings.activity)
            if entry.wallet == user and (not kinds or entry.kind in kinds)
        ]

    async def trades(self, call: Call) -> DoorAnswer:
        return DoorAnswer(_page(self.trades_of(call), call))

    def trades_of(self, call: Call) -> list[dict[str, object]]:
        """Return a wallet's own trades, or all trades by the taker's side."""
        user = call.query.get("user", "").lower()
        if user:
            return [
                entry_body(entry)
                for entry in reversed(self._holdings.activity)
                if entry.wallet == user and entry.kind == "TRADE"
            ]
        wanted = {word for text in call.query.getall("market", []) for word in text.split(",")}
        return [
            self._public(trade)
            for trade in reversed(self._history.trades)
            if not wanted or trade.market.id in wanted
        ]

    def _public(self, trade: PublicTrade) -> dict[str, object]:
        return {
            "proxyWallet": wallet_of_stranger(trade.owner),
            "side": trade.side,
            "asset": trade.market.tokens[trade.outcome],
            "conditionId": trade.market.id,
            "size": amount(trade.size),
            "price": amount(trade.price),
            "timestamp": trade.at_ns // SECOND,
            "title": trade.market.title,
            "slug": trade.market.slug,
            "icon": "",
            "eventSlug": trade.market.slug,
            "outcome": outcome_word(trade.market, trade.outcome),
            "outcomeIndex": trade.outcome,
            "transactionHash": "",
        }

    async def open_interest(self, call: Call) -> DoorAnswer:
        wanted = {word for text in call.query.getall("market", []) for word in text.split(",")}
        return DoorAnswer([{"market": name, "value": value} for name, value in self.interest_of(wanted)])

    def interest_of(self, wanted: Collection[str]) -> list[tuple[str, int | float]]:
        """Return the open interest of markets, in dollars; of all together, as ``GLOBAL``, when none is named."""
        markets = self._exchange.world.markets(POLYMARKET)
        if not wanted:
            return [("GLOBAL", amount(sum(market.open_interest for market in markets)))]
        return [(market.id, amount(market.open_interest)) for market in markets if market.id in wanted]

    async def closed_positions(self, call: Call) -> DoorAnswer:
        user = _user(call).lower()
        rows = [
            entry_body(entry)
            for entry in reversed(self._holdings.activity)
            if entry.wallet == user and entry.kind == "REDEEM"
        ]
        return DoorAnswer(_page(rows, call))


def _user(call: Call) -> str:
    user = call.query.get("user", "")
    if not user:
        raise PolymarketRefusal(400, "required query param 'user' not provided")
    return user


def _page(rows: Rows, call: Call) -> Rows:
    query = call.query
    offset = int(query["offset"]) if query.get("offset", "").isdecimal() else 0
    if offset > OFFSET_MAX:
        raise PolymarketRefusal(400, f"max historical activity offset of {OFFSET_MAX} exceeded")
    limit = min(int(query["limit"]), LIMIT_MAX) if query.get("limit", "").isdecimal() else LIMIT
    return rows[offset : offset + limit]
