"""Public trades: each is shown in both outcomes' own prices, and counted once."""

from libs.bounded import cut, keep_newest
from libs.venues.polymarket.market_data.market import PolymarketMarket
from libs.venues.polymarket.schemas.wire import LastTrade
from proto.feed import Side, Trade
from proto.units import AMOUNT_MAX, ONE

REMEMBERED_MAX = 2_000
"""Trades kept to recognise the other outcome's report of the same one, which comes within a second."""


class TradePairs:
    """A trade takes from both outcomes' books, which mirror one another: each gets its own message."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, int], str] = {}

    def messages_of(
        self, frame: LastTrade, market: PolymarketMarket, price: int, size: int, at: int
    ) -> list[Trade]:
        """Return the messages of one trade; none where the other outcome reported it before."""
        first = market.tokens[0] == frame.asset_id
        origin = frame.transaction_hash or frame.timestamp
        key = (origin, price if first else ONE - price, size)
        if self._seen.setdefault(key, frame.asset_id) != frame.asset_id:
            return []
        keep_newest(self._seen, REMEMBERED_MAX)
        taker = Side(frame.side.lower()) if frame.side else None
        return [
            Trade(
                instrument=market.instrument(index),
                at=at,
                trade_id=cut(f"{origin}:{frame.price}:{frame.size}", 120),
                price=price if token == frame.asset_id else ONE - price,
                quantity=min(size, AMOUNT_MAX),
                aggressor=taker if token == frame.asset_id or taker is None else _other(taker),
            )
            for index, token in enumerate(market.tokens)
            if token == frame.asset_id or len(market.tokens) == 2
        ]


def _other(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY
