"""Kalshi's public trades, of the socket and of REST, as messages of both instruments of a market."""

from collections import OrderedDict

from libs.bounded import clip
from libs.venues.frame import FrameError
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.schemas import amounts, wire
from libs.venues.kalshi.schemas import answers as rest
from proto.feed import Side, Trade
from proto.units import AMOUNT_MAX, ONE

POLLED_TRADES_MAX = 5_000
"""Ids of trades remembered, so that a trade polled twice is told once: a page of REST has at most 1,000."""


class Trades:
    """Reads trades; of those that come by REST it remembers which it has read."""

    def __init__(self, numbers: amounts.AmountReader) -> None:
        self._numbers = numbers
        self._polled: OrderedDict[str, None] = OrderedDict()

    def read(self, body: wire.TradeBody | rest.Trade, ticker: str, at: int) -> list[Trade]:
        """Read a trade: it takes from one side of the book, which both instruments show, and each gets its own.

        Raises:
            FrameError: for a price or a count that cannot be.
        """
        price = self._numbers.price(body.yes_price_dollars)
        quantity = self._numbers.quantity(body.count_fp)
        if not 0 < quantity <= AMOUNT_MAX:
            raise FrameError(f"expected a positive count, was {clip(body.count_fp, 40)!r}")
        # A block was agreed off the book: nobody took anything from it.
        taker = None if body.is_block_trade else body.taker_outcome_side or body.taker_side
        return [
            Trade(
                instrument=f"{KALSHI}:{ticker}:{outcome}",
                at=at,
                trade_id=body.trade_id,
                price=own_price,
                quantity=quantity,
                aggressor=None if taker is None else Side.BUY if taker == outcome else Side.SELL,
            )
            for outcome, own_price in (("yes", price), ("no", ONE - price))
        ]

    def read_page(self, body: rest.Trades, at: int) -> list[Trade]:
        """Read the trades of a page (newest first there) once each, oldest first.

        Raises:
            FrameError: for a trade that cannot be; none of the page counts as read then.
        """
        fresh = [trade for trade in reversed(body.trades) if trade.trade_id not in self._polled]
        found = [message for trade in fresh for message in self.read(trade, trade.ticker, at)]
        for trade in fresh:
            self._polled[trade.trade_id] = None
            if len(self._polled) > POLLED_TRADES_MAX:
                self._polled.popitem(last=False)
        return found
