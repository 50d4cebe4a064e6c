"""The market channel: books, changes of levels for both outcomes, trades, ticks and lifecycles.

Source: docs/reference/venue-facts.md, Polymarket market channel.
"""

import json
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus, Side
from proto.units import MILLISECOND, ONE, show
from sandbox.faults.script import Faults
from sandbox.polymarket.bodies import book_of, facts_of
from sandbox.polymarket.books import OutcomeBook, OutcomeChange, apply, book_body, book_event
from sandbox.polymarket.channel import Channel, ChannelClient
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.gamma import (
    BASE_FEE,
    CRYPTO_RATE,
    FEE_EXPONENT,
    REBATE_SHARE,
    description,
    event_number,
    has_fees,
    outcome_word,
    tags_of,
)
from sandbox.polymarket.history import PriceHistory
from sandbox.world.events import BookChanged, MarketMoved, TickChanged, Traded, WorldEvent
from sandbox.world.markets import VOID, SandboxMarket

ASSETS_MAX = 2_000
"""Tokens one connection may follow: more than the sandbox ever lists."""


class MarketSubscription(Struct, frozen=True):
    """The first frame (``type``) or a later one (``operation``)."""

    assets_ids: list[str] = []
    type: str = ""
    operation: str = ""
    custom_feature_enabled: bool | None = None
    initial_dump: bool = True


class _MarketClient(ChannelClient):
    assets: set[str] = msgspec.field(default_factory=set)
    custom: bool = False


class MarketChannel(Channel[_MarketClient]):
    """Everybody who follows books. One copy of each followed book is kept, to hash it after each change."""

    def __init__(self, exchange: PolymarketExchange, history: PriceHistory, faults: Faults) -> None:
        super().__init__(faults, "market_socket", _MarketClient)
        self._exchange = exchange
        self._history = history
        self._books: dict[str, tuple[OutcomeBook, OutcomeBook]] = {}
        exchange.world.subscribe(self._handle_event)

    def read(self, client: _MarketClient, text: str) -> bool:
        """Handle a subscription; a bad one gets an answer."""
        try:
            asked = msgspec.json.decode(text, type=MarketSubscription)
        except msgspec.DecodeError:
            client.socket.reply("INVALID MESSAGE")
            return True
        if asked.custom_feature_enabled is not None:
            client.custom = asked.custom_feature_enabled
        if asked.operation == "unsubscribe":
            client.assets.difference_update(asked.assets_ids)
            return True
        fresh = [asset for asset in asked.assets_ids if asset not in client.assets]
        client.assets.update(fresh[: max(0, ASSETS_MAX - len(client.assets))])
        for asset in fresh:
            token = self._exchange.token(asset)
            if token is not None:
                self._copy(token.market)
        if asked.initial_dump:
            _send(client, [event for event in map(self._snapshot, fresh) if event is not None])
        return True

    def _snapshot(self, asset: str) -> dict[str, object] | None:
        token = self._exchange.token(asset)
        if token is None or not token.market.accepts_orders:
            return None
        at_ms = self._history.changed_ms(token.market)
        facts = facts_of(token.market, token.outcome, at_ms)
        return book_event(book_body(book_of(token.market, token.outcome), facts))

    def _copy(self, market: SandboxMarket) -> None:
        if market.id not in self._books:
            self._books[market.id] = (book_of(market, 0), book_of(market, 1))

    # ── events of the world ─────────────────────────────────────────────────────────────────────────

    def _handle_event(self, event: WorldEvent) -> None:
        if not isinstance(event, BookChanged | Traded | TickChanged | MarketMoved):
            return
        if event.market.venue != POLYMARKET:
            return
        if isinstance(event, BookChanged):
            self._handle_book(event)
        elif isinstance(event, Traded):
            self._publish([_last_trade(event)], [event.market.tokens[event.match.taker.outcome]])
        elif isinstance(event, TickChanged):
            for token in event.market.tokens:
                self._publish([_tick_change(event, token)], [token])
        else:
            self._handle_market(event)

    def _handle_book(self, event: BookChanged) -> None:
        books = self._books.get(event.market.id)
        if books is None:
            return
        if all(client.assets.isdisjoint(event.market.tokens) for client in self.clients):
            # Without a subscriber the copy becomes old, and is made again for the next one.
            del self._books[event.market.id]
            return
        before = books
        at_ms = event.at // MILLISECOND
        # What is gone first, so that no step in between shows a crossed book.
        for change in sorted(event.changes, key=lambda change: change.quantity != 0):
            first = OutcomeChange(change.price, change.quantity, change.side is Side.BUY)
            second = OutcomeChange(ONE - change.price, change.quantity, change.side is not Side.BUY)
            books = (apply(books[0], first), apply(books[1], second))
            self._publish([_price_change(event.market, books, (first, second), at_ms)], event.market.tokens)
        self._books[event.market.id] = books
        for outcome, token in enumerate(event.market.tokens):
            now, then = books[outcome], before[outcome]
            if (now.bid, now.ask) != (then.bid, then.ask):
                self._publish([_best(event.market, token, now, at_ms)], [token], custom=True)

    def _handle_market(self, event: MarketMoved) -> None:
        at_ms = event.at // MILLISECOND
        if event.previous is None:
            self._publish([_new_market(event.market, at_ms)], None, custom=True)
        elif event.market.status is MarketStatus.SETTLED:
            self._books.pop(event.market.id, None)
            self._publish([_resolved(event.market, at_ms)], None, custom=True)

    def _publish(
        self, frames: list[dict[str, object]], assets: Iterable[str] | None, *, custom: bool = False
    ) -> None:
        """Send each frame to the subscribers of one of the assets (``None``: to all)."""
        wanted = None if assets is None else set(assets)
        texts = [_compact(frame) for frame in frames]
        for client in self.clients:
            if custom and not client.custom:
                continue
            if wanted is None or not wanted.isdisjoint(client.assets):
                for text in texts:
                    client.socket.send(text)


def _send(client: _MarketClient, frames: list[dict[str, object]]) -> None:
    client.socket.send(_compact(frames))


def _compact(frame: object) -> str:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def _text(price: int | None, otherwise: str) -> str:
    return otherwise if price is None else show(price)


def _price_change(
    market: SandboxMarket,
    books: tuple[OutcomeBook, OutcomeBook],
    pair: tuple[OutcomeChange, OutcomeChange],
    at_ms: int,
) -> dict[str, object]:
    rows = []
    for outcome, (book, change) in enumerate(zip(books, pair, strict=True)):
        body = book_body(book, facts_of(market, outcome, at_ms))
        rows.append(
            {
                "asset_id": market.tokens[outcome],
                "price": show(change.price),
                "size": show(change.size),
                "side": "BUY" if change.buy else "SELL",
                "hash": body["hash"],
                "best_bid": _text(book.bid, "0"),
                "best_ask": _text(book.ask, "1"),
            }
        )
    return {
        "market": market.id,
        "price_changes": rows,
        "timestamp": str(at_ms),
        "event_type": "price_change",
    }


def _best(market: SandboxMarket, token: str, book: OutcomeBook, at_ms: int) -> dict[str, object]:
    spread = (ONE if book.ask is None else book.ask) - (book.bid or 0)
    return {
        "market": market.id,
        "asset_id": token,
        "best_bid": _text(book.bid, "0"),
        "best_ask": _text(book.ask, "1"),
        "spread": show(spread),
        "timestamp": str(at_ms),
        "event_type": "best_bid_ask",
    }


def _last_trade(event: Traded) -> dict[str, object]:
    taker = event.match.taker
    return {
        "market": event.market.id,
        "asset_id": event.market.tokens[taker.outcome],
        "price": show(taker.price),
        "size": show(taker.quantity),
        "fee_rate_bps": str(BASE_FEE if has_fees(event.market) else 0),
        "side": "BUY" if taker.side is Side.BUY else "SELL",
        "timestamp": str(event.at // MILLISECOND),
        "event_type": "last_trade_price",
        "transaction_hash": "",
    }


def _tick_change(event: TickChanged, token: str) -> dict[str, object]:
    return {
        "market": event.market.id,
        "asset_id": token,
        "old_tick_size": show(event.old),
        "new_tick_size": show(event.new),
        "timestamp": str(event.at // MILLISECOND),
        "event_type": "tick_size_change",
    }


def _new_market(market: SandboxMarket, at_ms: int) -> dict[str, object]:
    event_id = market.event_id
    fees: Mapping[str, object] = {}
    if has_fees(market):
        fees = {
            "exponent": str(FEE_EXPONENT),
            "rate": show(CRYPTO_RATE),
            "taker_only": True,
            "rebate_rate": show(REBATE_SHARE),
        }
    body: dict[str, object] = {
        "id": str(market.number),
        "question": market.title,
        "market": market.id,
        "slug": market.slug,
        "description": description(market),
        "assets_ids": list(market.tokens),
        "outcomes": [outcome_word(market, outcome) for outcome in (0, 1)],
        "event_message": {
            "id": event_number(event_id),
            "ticker": event_id,
            "slug": event_id,
            "title": market.event_title or market.title,
            "description": description(market),
        },
        "timestamp": str(at_ms),
        "event_type": "new_market",
        "tags": [slug for _, _, slug in tags_of(market)],
        "condition_id": market.id,
        "active": True,
        "clob_token_ids": list(market.tokens),
        "sports_market_type": "",
        "line": "",
        "game_start_time": "",
        "order_price_min_tick_size": show(market.tick),
        "group_item_title": market.label,
        "taker_base_fee": str(BASE_FEE if has_fees(market) else 0),
        "fees_enabled": has_fees(market),
        "fee_schedule": fees,
    }
    if market.neg_risk:
        # As at the venue, some frames tell of a market that has no condition id yet: here those of ranges.
        del body["market"], body["condition_id"]
    return body


def _resolved(market: SandboxMarket, at_ms: int) -> dict[str, object]:
    """Return a voided market has no winner: both words are empty."""
    winner = None if market.result == VOID else market.outcomes.index(market.result)
    return {
        "id": str(market.number),
        "market": market.id,
        "assets_ids": list(market.tokens),
        "winning_asset_id": "" if winner is None else market.tokens[winner],
        "winning_outcome": "" if winner is None else outcome_word(market, winner),
        "timestamp": str(at_ms),
        "event_type": "market_resolved",
        "tags": [slug for _, _, slug in tags_of(market)],
    }
