"""What was: when each book last changed, the last trade of each token, and prices over time."""

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from libs.venues.polymarket import POLYMARKET
from proto.feed import Side
from proto.units import MILLISECOND, ONE, SECOND, show
from sandbox.polymarket.gamma import amount, outcome_prices
from sandbox.world.events import BookChanged, Traded, WorldEvent
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

SAMPLE_S = 10
"""Prices are kept at most this often …"""
SAMPLES_MAX = 2_000
"""… and so many of them: five and a half hours, longer than any market of the sandbox lives."""
TRADES_MAX = 5_000
"""Public trades remembered for the Data API, of all markets together."""
INTERVALS = {"1m": 30 * 86_400, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800}
"""Interval words in seconds; ``all`` and ``max`` have no limit."""


class PublicTrade(Struct, frozen=True):
    """A match as the public sees it, from the taker's side; ``owner`` is the taker's."""

    market: SandboxMarket
    outcome: int
    side: str
    price: int
    size: int
    at_ns: int
    owner: str


class PriceHistory:
    """Fed by the world; one for the whole venue."""

    def __init__(self, world: World) -> None:
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_MAX)
        self._last: dict[str, PublicTrade] = {}
        self._changed: dict[str, int] = {}
        self._samples: dict[str, deque[tuple[int, int]]] = {}
        world.subscribe(self._handle_event)

    def changed_ms(self, market: SandboxMarket) -> int:
        """Return when the market's book last changed."""
        return self._changed.get(market.id, market.listed_ns // MILLISECOND)

    def last_trade(self, market: SandboxMarket, outcome: int) -> dict[str, str]:
        """Return the body of /last-trade-price; empty words before the first trade."""
        trade = self._last.get(market.id)
        if trade is None:
            return {"price": "0.5", "side": ""}
        if trade.outcome == outcome:
            return {"price": show(trade.price), "side": trade.side}
        return {"price": show(ONE - trade.price), "side": "SELL" if trade.side == "BUY" else "BUY"}

    def prices(
        self, market: SandboxMarket, outcome: int, query: Mapping[str, str]
    ) -> list[dict[str, object]]:
        """Return the ``history`` of /prices-history: second and price, oldest first."""
        samples = self._samples.get(market.id, ())
        newest = samples[-1][0] if samples else 0
        start = newest - INTERVALS.get(query.get("interval", ""), 2**40)
        end = 2**40
        if query.get("startTs", "").isdecimal():
            start = int(query["startTs"])
        if query.get("endTs", "").isdecimal():
            end = int(query["endTs"])
        step = 60 * int(query["fidelity"]) if query.get("fidelity", "").isdecimal() else 0
        rows: list[dict[str, object]] = []
        previous = -step
        for at, price in samples:
            if start <= at <= end and at - previous >= step:
                previous = at
                rows.append({"t": at, "p": amount(price if outcome == 0 else ONE - price)})
        return rows

    def _handle_event(self, event: WorldEvent) -> None:
        if isinstance(event, Traded) and event.market.venue == POLYMARKET:
            taker = event.match.taker
            side = "BUY" if taker.side is Side.BUY else "SELL"
            trade = PublicTrade(
                event.market, taker.outcome, side, taker.price, taker.quantity, event.at, taker.owner
            )
            self._last[event.market.id] = trade
            self.trades.append(trade)
        elif isinstance(event, BookChanged) and event.market.venue == POLYMARKET:
            self._changed[event.market.id] = event.at // MILLISECOND
            self._sample(event.market, event.at // SECOND)

    def _sample(self, market: SandboxMarket, at_s: int) -> None:
        samples = self._samples.setdefault(market.id, deque(maxlen=SAMPLES_MAX))
        if not samples or at_s - samples[-1][0] >= SAMPLE_S:
            samples.append((at_s, outcome_prices(market)[0]))
