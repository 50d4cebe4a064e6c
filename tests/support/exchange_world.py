"""An exchange with one market on it, told of in cents, contracts and milliseconds."""

from typing import Any

from libs.exchange.exchange import PaperExchange
from libs.exchange.orders import Ended, EndReason, ExchangeOrder, Executed, Report
from proto.feed import Book, FeeSchedule, Level, Market, MarketStatus, Outcome, PriceStep, Quote, Side, Trade
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND

YES, NO, MARKET = "kalshi:T:yes", "kalshi:T:no", "kalshi:T"
START = 1_000 * SECOND
LATENCY = 100 * MILLISECOND
CLOSE = START + 900 * SECOND
CENT = 10_000


def listing(status: MarketStatus = MarketStatus.OPEN, **changes: Any) -> Market:
    market = Market(
        market=MARKET,
        venue="kalshi",
        at=START,
        status=status,
        outcomes=(Outcome("yes", YES), Outcome("no", NO)),
        close_at=CLOSE,
        price_steps=(PriceStep(0, CENT),),
        quantity_step=CENT,
        fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000, maker_rate=0),
    )
    return market.replace(**changes)


def levels(rows: dict[int, int]) -> tuple[Level, ...]:
    return tuple(Level(price * CENT, quantity * ONE) for price, quantity in rows.items())


class Venue:
    """An exchange with a market on it; prices in cents, quantities in contracts, times in milliseconds."""

    def __init__(self, latency: int = 0) -> None:
        self.exchange = PaperExchange(latency=latency)
        self.now = START
        self.sent: dict[str, ExchangeOrder] = {}
        self.trades = 0
        self.exchange.market(listing(), self.now)

    def wait(self, milliseconds: int) -> list[Report]:
        self.now += milliseconds * MILLISECOND
        return list(self.exchange.advance(self.now))

    def book(self, bids: dict[int, int], asks: dict[int, int], instrument: str = YES) -> list[Report]:
        event = Book(instrument=instrument, at=self.now, counter=1, bids=levels(bids), asks=levels(asks))
        return list(self.exchange.book(event, self.now))

    def quote(self, bid: tuple[int, int] | None, ask: tuple[int, int] | None) -> list[Report]:
        event = Quote(
            instrument=YES,
            at=self.now,
            counter=1,
            bid=None if bid is None else bid[0] * CENT,
            bid_size=0 if bid is None else bid[1] * ONE,
            ask=None if ask is None else ask[0] * CENT,
            ask_size=0 if ask is None else ask[1] * ONE,
        )
        return list(self.exchange.quote(event, self.now))

    def trade(
        self, price: int, quantity: int, aggressor: Side | None = None, instrument: str = YES, name: str = ""
    ) -> list[Report]:
        self.trades += 1
        event = Trade(
            instrument=instrument,
            at=self.now,
            trade_id=name or f"t{self.trades}",
            price=price * CENT,
            quantity=quantity * ONE,
            aggressor=aggressor,
        )
        return list(self.exchange.trade(event, self.now))

    def send(
        self,
        order: str,
        price: int,
        quantity: int,
        *,
        buy: bool = True,
        instrument: str = YES,
        tif: TimeInForce = TimeInForce.GTC,
        expires_ms: int = 60_000,
        post_only: bool = False,
    ) -> list[Report]:
        new = ExchangeOrder(
            order=order,
            market=MARKET,
            instrument=instrument,
            buy=buy,
            price=price * CENT,
            quantity=quantity * ONE,
            time_in_force=tif,
            expires_at=self.now + expires_ms * MILLISECOND,
            post_only=post_only,
        )
        self.sent[order] = new
        return list(self.exchange.submit(new, self.now))


def got(reports: list[Report]) -> list[tuple[str, int, int, bool]]:
    """(order, cents, contracts, maker) of the executions among reports."""
    return [
        (r.order, r.price // CENT, r.quantity // ONE, r.maker) for r in reports if isinstance(r, Executed)
    ]


def ends(reports: list[Report]) -> list[tuple[str, EndReason, str]]:
    return [(r.order, r.reason, r.detail) for r in reports if isinstance(r, Ended)]
