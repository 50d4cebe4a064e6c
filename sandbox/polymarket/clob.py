"""Market data of the CLOB: books, prices, grids and markets.

Source: docs/reference/venue-facts.md, Polymarket market data.
"""

from libs.venues.polymarket import POLYMARKET
from proto.units import ONE, show
from sandbox.polymarket import bodies
from sandbox.polymarket.books import book_body
from sandbox.polymarket.doors import Call, DoorAnswer, decode, page
from sandbox.polymarket.exchange import UNKNOWN_BOOK, OutcomeToken, PolymarketExchange
from sandbox.polymarket.gamma import BASE_FEE, amount, has_fees
from sandbox.polymarket.history import PriceHistory
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.wire import TokenQuery
from sandbox.world.markets import SandboxMarket

TOKENS_MAX = 500
"""Tokens of one plural request (documented)."""


class ClobMarketData:
    """Handlers of the paths that need no key."""

    def __init__(self, exchange: PolymarketExchange, history: PriceHistory) -> None:
        self.exchange = exchange
        self.history = history

    def _token(self, asset: str) -> OutcomeToken:
        token = self.exchange.token(asset)
        if token is None or not token.market.accepts_orders:
            raise PolymarketRefusal(404, UNKNOWN_BOOK)
        return token

    def book_of(self, asset: str) -> dict[str, object]:
        """Return the body of GET /book."""
        token = self._token(asset)
        at_ms = self.history.changed_ms(token.market)
        facts = bodies.facts_of(token.market, token.outcome, at_ms)
        return book_body(bodies.book_of(token.market, token.outcome), facts)

    async def time(self, _call: Call) -> DoorAnswer:
        return DoorAnswer(int(self.exchange.now_s()))

    async def version(self, _call: Call) -> DoorAnswer:
        return DoorAnswer({"version": 2})

    async def ok(self, _call: Call) -> DoorAnswer:
        return DoorAnswer("OK")

    async def book(self, call: Call) -> DoorAnswer:
        return DoorAnswer(self.book_of(call.query.get("token_id", "")))

    async def books(self, call: Call) -> DoorAnswer:
        wanted = decode(call.body, list[TokenQuery], TOKENS_MAX)
        known = [query.token_id for query in wanted if self._has_book(query.token_id)]
        return DoorAnswer([self.book_of(asset) for asset in known])

    def _has_book(self, asset: str) -> bool:
        token = self.exchange.token(asset)
        return token is not None and token.market.accepts_orders

    def _price(self, asset: str, side: str) -> str:
        token = self._token(asset)
        bid, ask = token.market.book.best(token.outcome)
        if side not in ("BUY", "SELL"):
            raise PolymarketRefusal(400, "Invalid side")
        # "The price to BUY" is what buyers bid: the venue answers with the side of the book it names.
        return show((bid or 0) if side == "BUY" else (ask or 0))

    def _middle(self, asset: str) -> str:
        token = self._token(asset)
        bid, ask = token.market.book.best(token.outcome)
        if bid is None or ask is None:
            return show(bid or ask or 0)
        return show((bid + ask) // 2)

    def _spread(self, asset: str) -> str:
        token = self._token(asset)
        bid, ask = token.market.book.best(token.outcome)
        return show((ONE if ask is None else ask) - (bid or 0))

    async def price(self, call: Call) -> DoorAnswer:
        side = call.query.get("side", "")
        return DoorAnswer({"price": self._price(call.query.get("token_id", ""), side.upper())})

    async def prices(self, call: Call) -> DoorAnswer:
        found: dict[str, dict[str, str]] = {}
        for query in decode(call.body, list[TokenQuery], TOKENS_MAX):
            sides = [query.side] if query.side else ["BUY", "SELL"]
            found.setdefault(query.token_id, {}).update(
                {side: self._price(query.token_id, side) for side in sides}
            )
        return DoorAnswer(found)

    async def midpoint(self, call: Call) -> DoorAnswer:
        return DoorAnswer({"mid": self._middle(call.query.get("token_id", ""))})

    async def midpoints(self, call: Call) -> DoorAnswer:
        wanted = decode(call.body, list[TokenQuery], TOKENS_MAX)
        return DoorAnswer({query.token_id: self._middle(query.token_id) for query in wanted})

    async def spread(self, call: Call) -> DoorAnswer:
        return DoorAnswer({"spread": self._spread(call.query.get("token_id", ""))})

    async def spreads(self, call: Call) -> DoorAnswer:
        wanted = decode(call.body, list[TokenQuery], TOKENS_MAX)
        return DoorAnswer({query.token_id: self._spread(query.token_id) for query in wanted})

    async def last_trade(self, call: Call) -> DoorAnswer:
        return DoorAnswer(self._last_trade(call.query.get("token_id", "")))

    async def last_trades(self, call: Call) -> DoorAnswer:
        wanted = decode(call.body, list[TokenQuery], TOKENS_MAX)
        trades = [{"token_id": query.token_id, **self._last_trade(query.token_id)} for query in wanted]
        return DoorAnswer([trade for trade in trades if trade["side"]])

    def _last_trade(self, asset: str) -> dict[str, str]:
        token = self._token(asset)
        return self.history.last_trade(token.market, token.outcome)

    async def tick_size(self, call: Call) -> DoorAnswer:
        return DoorAnswer({"minimum_tick_size": amount(self._asked(call).market.tick)})

    async def negative_risk(self, call: Call) -> DoorAnswer:
        return DoorAnswer({"neg_risk": self._asked(call).market.neg_risk})

    async def fee_rate(self, call: Call) -> DoorAnswer:
        return DoorAnswer({"base_fee": BASE_FEE if has_fees(self._asked(call).market) else 0})

    def _asked(self, call: Call) -> OutcomeToken:
        asset = call.parts.get("token_id") or call.query.get("token_id", "")
        token = self.exchange.token(asset)
        if token is None:
            raise PolymarketRefusal(404, UNKNOWN_BOOK)
        return token

    async def prices_history(self, call: Call) -> DoorAnswer:
        token = self.exchange.token(call.query.get("market", ""))
        if token is None:
            raise PolymarketRefusal(404, UNKNOWN_BOOK)
        return DoorAnswer({"history": self.history.prices(token.market, token.outcome, call.query)})

    def _market(self, market_id: str) -> SandboxMarket:
        market = self.exchange.world.market(POLYMARKET, market_id)
        if market is None:
            raise PolymarketRefusal(404, "market not found")
        return market

    async def market(self, call: Call) -> DoorAnswer:
        return DoorAnswer(bodies.market_body(self._market(call.parts["market"])))

    async def markets(self, call: Call) -> DoorAnswer:
        every = self.exchange.world.markets(POLYMARKET)
        return DoorAnswer(page([bodies.market_body(market) for market in every], call))

    async def simplified_markets(self, call: Call) -> DoorAnswer:
        every = self.exchange.world.markets(POLYMARKET)
        return DoorAnswer(page([bodies.simplified_market(market) for market in every], call))

    async def sampling_markets(self, call: Call) -> DoorAnswer:
        """List markets in which orders earn rewards: here every one that takes orders."""
        return DoorAnswer(page([bodies.market_body(market) for market in self._rewarded()], call))

    async def sampling_simplified_markets(self, call: Call) -> DoorAnswer:
        return DoorAnswer(page([bodies.simplified_market(market) for market in self._rewarded()], call))

    def _rewarded(self) -> list[SandboxMarket]:
        return [market for market in self.exchange.world.markets(POLYMARKET) if market.accepts_orders]

    async def short_market(self, call: Call) -> DoorAnswer:
        return DoorAnswer(bodies.short_market(self._market(call.parts["market"])))

    async def market_by_token(self, call: Call) -> DoorAnswer:
        token = self.exchange.token(call.parts["token_id"])
        if token is None:
            raise PolymarketRefusal(404, "market not found")
        first, second = token.market.tokens
        return DoorAnswer(
            {"condition_id": token.market.id, "primary_token_id": first, "secondary_token_id": second}
        )

    async def builder_fees(self, _call: Call) -> DoorAnswer:
        raise PolymarketRefusal(404, "builder not found")
