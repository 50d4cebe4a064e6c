"""What an account is notified of: its orders' fills and cancellations, until it drops them."""

from collections import deque
from collections.abc import Collection, Mapping

from libs.venues.polymarket import POLYMARKET
from proto.units import SECOND, parse, show
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.gamma import outcome_word

KEPT = 500
"""Notifications of one key; older ones are dropped by themselves."""
CANCELLATION, FILL = 1, 2
Row = Mapping[str, object]


class Notifications:
    """Notifications by API key, made of the frames that the user channel sends."""

    def __init__(self, exchange: PolymarketExchange) -> None:
        self._exchange = exchange
        self._by_owner: dict[str, deque[dict[str, object]]] = {}
        self._made = 0
        exchange.listeners.append(self._handle_frame)

    def of(self, owner: str) -> list[dict[str, object]]:
        """Return those of a key, newest first."""
        return list(reversed(self._by_owner.get(owner, ())))

    def drop(self, owner: str, ids: Collection[str]) -> None:
        """Forget some of a key's; without ids all."""
        kept = self._by_owner.pop(owner, deque())
        rest = [row for row in kept if ids and str(row["id"]) not in ids]
        self._by_owner[owner] = deque(rest, maxlen=KEPT)

    def _handle_frame(self, owner: str, market: str, frame: Row) -> None:
        if frame["event_type"] != "order":
            return
        if frame["type"] == "CANCELLATION":
            kind = CANCELLATION
        elif frame["type"] == "UPDATE":
            kind = FILL
        else:
            return
        self._made += 1
        row = {
            "id": self._made,
            "owner": owner,
            "type": kind,
            "timestamp": self._exchange.world.now() // SECOND,
            "payload": self._payload(market, frame),
        }
        self._by_owner.setdefault(owner, deque(maxlen=KEPT)).append(row)

    def _payload(self, market: str, frame: Row) -> dict[str, object]:
        # The frame of a killed order leaves some fields empty.
        size, matched = str(frame["original_size"]), str(frame["size_matched"] or "0")
        token = self._exchange.token(str(frame["asset_id"]))
        found = self._exchange.world.market(POLYMARKET, market)
        trades = frame.get("associate_trades")
        return {
            "asset_id": frame["asset_id"],
            "market": market,
            "order_id": frame["id"],
            "side": frame["side"],
            "type": frame["order_type"],
            "price": frame["price"],
            "original_size": size,
            "matched_size": matched,
            "remaining_size": show(parse(size) - parse(matched)),
            "outcome": outcome_word(token.market, token.outcome) if token else "",
            "outcome_index": token.outcome if token else 0,
            "owner": frame["owner"],
            "transaction_hash": "",
            "trade_id": trades[-1] if isinstance(trades, list) and trades else "",
            "question": found.title if found else "",
            "market_slug": found.slug if found else "",
            "icon": "",
            "image": "",
            "eventSlug": found.event_id if found else "",
            "seriesSlug": found.series if found else "",
        }
