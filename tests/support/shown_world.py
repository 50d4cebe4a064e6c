"""The sandbox's world played to every machine in one process, in the world's own time: no socket, no process, no wait.

What the feed tells of venues is made from the world's events here. Polymarket's windows of 5 and 15 minutes and
Kalshi's of 15 are followed, as ``config/venues`` has it.
"""

import asyncio

from libs.machine.inprocess import InProcess
from libs.operator.desk import opening
from libs.venues.kalshi import KALSHI
from libs.venues.polymarket import POLYMARKET
from proto.feed import (
    Book,
    Candle,
    FeedClock,
    FeeSchedule,
    Market,
    MarketStatus,
    Outcome,
    Payoff,
    Trade,
    to_levels,
)
from proto.message import Message
from proto.operator import ClockOwner, Mode, Prices
from proto.units import ONE, SECOND
from proto.venue import Fill
from sandbox.world.candles import SpotCandle, join_candles, second_candles
from sandbox.world.events import BookChanged, MarketMoved, SpotTraded, WorldEvent
from sandbox.world.markets import SandboxMarket
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World
from services.execution.claims import claims_of
from tools.system.composition import factories, sections

FOLLOWED = ("btc-updown-5m", "btc-updown-15m", "KXBTC15M")
UNDERLYING = {POLYMARKET: "binance:BTCUSDT", KALSHI: "coinbase:BTC-USD"}
INSTRUMENTS = {PriceSource.BINANCE: "binance:BTCUSDT", PriceSource.COINBASE: "coinbase:BTC-USD"}
FEES = {
    POLYMARKET: FeeSchedule(model="polymarket", taker_rate=70_000),
    KALSHI: FeeSchedule(model="kalshi_quadratic", taker_rate=70_000),
}
PAST_S = 900
FIVE_MINUTES = 5


class ShownWorld:
    """A world that begins at ``start_ns``; the machines see it from ``seen_after_s`` on, and its past then."""

    def __init__(
        self, seed: int, start_ns: int, seen_after_s: float, *, history: bool = True, lively: bool = True
    ) -> None:
        self.begun_ns = start_ns
        self.world = World(seed, start_ns, venues=[POLYMARKET, KALSHI], lively=lively)
        self.fills: list[tuple[float, Fill]] = []
        self._seen_from_ns = start_ns + round(seen_after_s * SECOND)
        self._history = history
        self._counters: dict[str, int] = {}
        self._runner = InProcess([make() for make in factories().values()], "shown", claims_of)
        self._runner.observers.append(self._observe)

    def first_fill_s(self, within_s: int) -> float:
        """Seconds from the world's beginning to the first fill; infinity when none came in time."""
        asyncio.run(self._play(within_s))
        return self.fills[0][0] if self.fills else float("inf")

    async def _play(self, within_s: int) -> None:
        await self.world.advance(self._seen_from_ns)
        self._begin()
        self.world.subscribe(self._handle)
        second = self._seen_from_ns // SECOND * SECOND
        while not self.fills and second < self.begun_ns + within_s * SECOND:
            second += SECOND
            await self.world.advance(second)
            self._feed(FeedClock(at=second))

    def _begin(self) -> None:
        """Open the session; then what a feed tells when it starts: the past, the markets, whole books."""
        now = self.world.at
        messages = opening(
            "shown",
            mode=Mode.PLAYBACK,
            clock_owner=ClockOwner.FEED,
            started_at_ns=now,
            sections=sections(),
            prices=Prices.SANDBOX,
        )
        self._runner.feed_together(messages, "operator")
        if self._history:
            for source, instrument in INSTRUMENTS.items():
                self._tell_past(source, instrument)
        for venue in UNDERLYING:
            for market in self.world.markets(venue):
                self._tell_market(market)
                self._tell_book(market)

    def _tell_past(self, source: PriceSource, instrument: str) -> None:
        exchange, now = self.world.spot[source], self.world.at
        seconds = second_candles(exchange.known_trades(), now)[-PAST_S - 1 : -1]
        if source is PriceSource.COINBASE:
            # It has no candle of a second without a trade.
            seconds = [candle for candle in seconds if candle.trades]
        else:
            for candle in join_candles(exchange.candles, FIVE_MINUTES)[-200:-1]:
                self._feed(_candle(instrument, candle, FIVE_MINUTES * 60, now))
        for candle in seconds:
            self._feed(_candle(instrument, candle, 1, now))

    def _handle(self, event: WorldEvent) -> None:
        if isinstance(event, SpotTraded):
            trade = Trade(
                instrument=INSTRUMENTS[event.source],
                at=event.at,
                trade_id=str(event.trade_id),
                price=event.price,
                quantity=event.quantity,
                aggressor=event.side,
            )
            self._feed(trade)
        elif isinstance(event, BookChanged):
            self._tell_book(event.market)
        elif isinstance(event, MarketMoved):
            self._tell_market(event.market)

    def _tell_market(self, market: SandboxMarket) -> None:
        if market.series not in FOLLOWED:
            return
        told = Market(
            market=f"{market.venue}:{market.id}",
            venue=market.venue,
            at=self.world.at,
            status=market.status,
            outcomes=tuple(Outcome(name, _instrument(market, i)) for i, name in enumerate(market.outcomes)),
            title=market.title,
            underlying=UNDERLYING[market.venue],
            payoff=Payoff.ABOVE,
            strike=market.strike,
            floor=market.strike,
            open_at=market.open_ns,
            close_at=market.close_ns,
            settlement_average_s=60,
            price_steps=market.price_steps,
            quantity_step=ONE // 100,
            quantity_min=ONE if market.venue == KALSHI else 5 * ONE,
            taker_notional_min=0 if market.venue == KALSHI else ONE,
            fees=FEES[market.venue],
        )
        self._feed(told)

    def _tell_book(self, market: SandboxMarket) -> None:
        if market.series not in FOLLOWED or market.status is not MarketStatus.OPEN:
            return
        for outcome in range(2):
            instrument = _instrument(market, outcome)
            counter = self._counters[instrument] = self._counters.get(instrument, 0) + 1
            bids, asks = market.book.levels(outcome)
            book = Book(
                instrument=instrument,
                at=self.world.at,
                counter=counter,
                bids=to_levels(bids[:10]),
                asks=to_levels(asks[:10]),
                # Each heals its readers: that a book is kept up without holes is for others to test.
                snapshot=True,
            )
            self._feed(book)

    def _feed(self, message: Message) -> None:
        self._runner.feed(message)

    def _observe(self, _seq: int, _producer: str, _message_id: str, message: Message) -> None:
        if isinstance(message, Fill):
            self.fills.append(((self.world.at - self.begun_ns) / SECOND, message))


def _instrument(market: SandboxMarket, outcome: int) -> str:
    return f"{market.venue}:{market.id}:{market.outcomes[outcome]}"


def _candle(instrument: str, candle: SpotCandle, interval_s: int, at: int) -> Candle:
    return Candle(
        instrument=instrument,
        at=at,
        start_at=candle.open_ns,
        interval_s=interval_s,
        first=candle.open,
        high=candle.high,
        low=candle.low,
        last=candle.close,
        volume=candle.volume,
    )
