"""Book bodies and their hash: the best price is the last element of each side.

Source: docs/reference/venue-facts.md, Polymarket market data.
"""

import hashlib
import json
from collections.abc import Sequence

from msgspec import Struct

from proto.units import show


class OutcomeLevel(Struct, frozen=True):
    """Price and total size at it, in millionths."""

    price: int
    size: int


class OutcomeBook(Struct, frozen=True):
    """One outcome's book, best first, as the matching engine gives it."""

    bids: tuple[OutcomeLevel, ...] = ()
    asks: tuple[OutcomeLevel, ...] = ()

    @property
    def bid(self) -> int | None:
        return self.bids[0].price if self.bids else None

    @property
    def ask(self) -> int | None:
        return self.asks[0].price if self.asks else None


class BookFacts(Struct, frozen=True):
    """The fields of a book's body besides its levels; ``last_price`` is "" before the first trade."""

    market: str
    token: str
    at_ms: int
    minimum: int
    tick: int
    negative_risk: bool
    last_price: str = ""


def _levels(levels: Sequence[OutcomeLevel]) -> list[dict[str, str]]:
    return [{"price": show(level.price), "size": show(level.size)} for level in reversed(levels)]


def book_body(book: OutcomeBook, facts: BookFacts) -> dict[str, object]:
    """Return the body of GET /book, hash included."""
    body: dict[str, object] = {
        "market": facts.market,
        "asset_id": facts.token,
        "timestamp": str(facts.at_ms),
        "hash": "",
        "bids": _levels(book.bids),
        "asks": _levels(book.asks),
        "min_order_size": show(facts.minimum),
        "tick_size": show(facts.tick),
        "neg_risk": facts.negative_risk,
        "last_trade_price": facts.last_price,
    }
    body["hash"] = book_hash(body)
    return body


def book_hash(body: dict[str, object]) -> str:
    """Return the SHA-1 over the compact body in its own order, with an empty hash."""
    text = json.dumps({**body, "hash": ""}, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def book_event(body: dict[str, object]) -> dict[str, object]:
    """Return the same book as the market channel sends it: two fields fewer, the hash unchanged."""
    return {
        "market": body["market"],
        "asset_id": body["asset_id"],
        "timestamp": body["timestamp"],
        "hash": body["hash"],
        "bids": body["bids"],
        "asks": body["asks"],
        "tick_size": body["tick_size"],
        "event_type": "book",
        "last_trade_price": body["last_trade_price"],
    }


class OutcomeChange(Struct, frozen=True):
    """A level whose total is new; ``buy``: the side of the book; size 0: it is gone."""

    price: int
    size: int
    buy: bool


def changes(before: OutcomeBook, after: OutcomeBook) -> list[OutcomeChange]:
    """Return what turns one book into the other: what is gone first, so that no step of it crosses."""
    gone: list[OutcomeChange] = []
    new: list[OutcomeChange] = []
    for buy, old_side, new_side in ((True, before.bids, after.bids), (False, before.asks, after.asks)):
        old = {level.price: level.size for level in old_side}
        now = {level.price: level.size for level in new_side}
        gone += [OutcomeChange(price, 0, buy) for price in old if price not in now]
        new += [OutcomeChange(price, size, buy) for price, size in now.items() if old.get(price) != size]
    return gone + new


def apply(book: OutcomeBook, change: OutcomeChange) -> OutcomeBook:
    """Return the book after one change."""
    side = {level.price: level.size for level in (book.bids if change.buy else book.asks)}
    if change.size:
        side[change.price] = change.size
    else:
        side.pop(change.price, None)
    levels = tuple(OutcomeLevel(price, side[price]) for price in sorted(side, reverse=change.buy))
    return OutcomeBook(levels, book.asks) if change.buy else OutcomeBook(book.bids, levels)
