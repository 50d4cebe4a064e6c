"""Whose a row of an account's lists is. What cannot be asked about others' rows is an odd item, about ours an error.

An account may be used by hand as well. A trade in some market that the venue describes in words nobody knows must not
cost the list in which our own fills are; and none of ours is ever left out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeVar

from libs.bounded import keep_newest
from libs.venues.errors import VenueError
from libs.venues.gateway import SentOrder
from libs.venues.odd_items import OddItems

ORDERS_MAX = 20_000
"""Orders and markets remembered, the newest: days of trading, and fills are asked for ten minutes back."""
FAILED_MAX = 2_000
ASK_AGAIN_S = 600.0
"""A question about others' rows that failed is asked again after so long: a list is asked for every half minute."""
PATIENCE_S = 2.0
"""For one question about others' rows: the whole reconciliation has 25 s."""

Answer = TypeVar("Answer")


class Ownership:
    """What is known to be ours at one venue: orders, their markets, and markets in which our books hold something."""

    def __init__(self, odd_items: OddItems, now_s: Callable[[], float] = time.monotonic) -> None:
        self._odd_items = odd_items
        self._now_s = now_s
        self._orders: dict[str, None] = {}
        self._markets: dict[str, None] = {}
        self._held: frozenset[str] | None = None
        self._failed_at_s: dict[str, float] = {}

    def remember_order(self, sent: SentOrder) -> None:
        """An order of ours, by each id that it has."""
        for name in (sent.client_order_id, sent.venue_order_id):
            if name:
                self._orders[name] = None
        self._markets[market_name(sent.instrument)] = None
        keep_newest(self._orders, ORDERS_MAX)
        keep_newest(self._markets, ORDERS_MAX)

    def set_held_markets(self, markets: Collection[str]) -> None:
        """The markets in which our books hold something."""
        self._held = frozenset(markets)

    def is_ours(self, market: str, orders: Iterable[str] = ()) -> bool:
        """Whether a row may be ours: by its market, or by an order. All are, until it is known what is held."""
        if self._held is None or market in self._held or market in self._markets:
            return True
        return any(order in self._orders for order in orders)

    async def ask(
        self,
        question: Callable[[], Awaitable[Answer]],
        kind: str,
        name: str,
        market: str,
        orders: Iterable[str] = (),
    ) -> Answer | None:
        """Answer a question about a row; ``None`` where it fails and the row is not ours: that is recorded.

        Raises:
            VenueError: the question failed, and the row may be ours.
        """
        if self.is_ours(market, orders):
            return await question()
        failed_at_s = self._failed_at_s.get(market)
        if failed_at_s is not None and self._now_s() - failed_at_s < ASK_AGAIN_S:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await question()
        except (VenueError, TimeoutError) as e:
            self._failed_at_s.pop(market, None)
            self._failed_at_s[market] = self._now_s()
            keep_newest(self._failed_at_s, FAILED_MAX)
            self._odd_items.record(
                kind, name, f"not ours: {str(e) or f'no answer within {PATIENCE_S:.0f} s'}"
            )
            return None


def market_name(instrument: str) -> str:
    """The market of an instrument, ``venue:market:outcome``."""
    return ":".join(instrument.split(":")[:2])
