"""Polymarket frames for tests, with the venue's hashes where a book carries them."""

import json
from typing import Any

from libs.venues.polymarket.market_data.book_hash import book_hash, level_text

CONDITION = "0x" + "ab" * 32
UP, DOWN = "11" * 20, "22" * 20
AT = 1_785_000_000 * 10**9
OPEN_S = 1_785_000_000


def gamma(**fields: Any) -> dict[str, Any]:
    """A Gamma market: an open five-minute window with a tick of 0.01."""
    return {
        "conditionId": CONDITION,
        "slug": f"btc-updown-5m-{OPEN_S}",
        "question": "Bitcoin Up or Down?",
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.5", "0.5"]',
        "clobTokenIds": json.dumps([UP, DOWN]),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "negRisk": False,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "startDate": "2026-07-24T00:00:00.1Z",
        "eventStartTime": "2026-07-25T17:20:00Z",
        "endDate": "2026-07-25T17:25:00Z",
        "feesEnabled": True,
        "feeSchedule": {"rate": 0.07, "exponent": 1, "takerOnly": True},
    } | fields


def markets(*bodies: dict[str, Any]) -> bytes:
    return json.dumps({"_rest": "gamma_markets", "body": list(bodies or [gamma()])}).encode()


Levels = dict[str, str]


class Venue:
    """The books of one market as the venue keeps them, and the frames it sends about them."""

    def __init__(self, tick: str = "0.01") -> None:
        self.tick = tick
        self.last_trade = ""
        self.millisecond = OPEN_S * 1000
        self.sides: dict[tuple[str, str], Levels] = {(t, s): {} for t in (UP, DOWN) for s in ("BUY", "SELL")}

    def rows(self, token: str, side: str) -> list[dict[str, str]]:
        levels = sorted(self.sides[token, side].items(), key=lambda r: float(r[0]), reverse=side == "SELL")
        return [{"price": price, "size": size} for price, size in levels]

    def hash(self, token: str) -> str:
        bids, asks = (
            b",".join(level_text(**row) for row in self.rows(token, side)) for side in ("BUY", "SELL")
        )
        parts = (CONDITION, token, str(self.millisecond), bids, asks, "5", self.tick, False, self.last_trade)
        return book_hash(*parts)

    def book(self, token: str, **fields: Any) -> dict[str, Any]:
        self.millisecond += 1
        return {
            "event_type": "book",
            "market": CONDITION,
            "asset_id": token,
            "timestamp": str(self.millisecond),
            "hash": self.hash(token),
            "bids": self.rows(token, "BUY"),
            "asks": self.rows(token, "SELL"),
            "tick_size": self.tick,
            "last_trade_price": self.last_trade,
        } | fields

    def both(self) -> bytes:
        return json.dumps([self.book(UP), self.book(DOWN)]).encode()

    def set(self, price: str, size: str, side: str = "BUY") -> None:
        """Set a level of Up, and its mirror image of Down."""
        mirror = f"{1 - float(price):.3f}".rstrip("0")
        other = "SELL" if side == "BUY" else "BUY"
        for token, own, where in ((UP, price, side), (DOWN, mirror, other)):
            levels = self.sides[token, where]
            levels.pop(own, None)
            if float(size):
                levels[own] = size

    def change(self, price: str, size: str, side: str = "BUY", *, same_batch: bool = False) -> bytes:
        """Set a level and tell of it."""
        self.set(price, size, side)
        return self.told([(price, size, side)], same_batch=same_batch)

    def told(self, rows: list[tuple[str, str, str]], *, same_batch: bool = False) -> bytes:
        self.millisecond += not same_batch
        changes = []
        for price, size, side in rows:
            mirror = f"{1 - float(price):.3f}".rstrip("0")
            other = "SELL" if side == "BUY" else "BUY"
            for token, own, where in ((UP, price, side), (DOWN, mirror, other)):
                bids, asks = self.rows(token, "BUY"), self.rows(token, "SELL")
                changes.append(
                    {
                        "asset_id": token,
                        "price": own,
                        "size": size,
                        "side": where,
                        "hash": self.hash(token),
                        "best_bid": bids[-1]["price"] if bids else "0",
                        "best_ask": asks[-1]["price"] if asks else "1",
                    }
                )
        stamp = str(self.millisecond)
        body = {
            "event_type": "price_change",
            "market": CONDITION,
            "price_changes": changes,
            "timestamp": stamp,
        }
        return json.dumps(body).encode()


def spot_price(
    second: int, value: str, topic: str = "crypto_prices_chainlink", symbol: str = "btc/usd"
) -> bytes:
    """A tick of the price stream."""
    payload = {"symbol": symbol, "timestamp": second * 1000, "value": 1.5, "full_accuracy_value": value}
    return json.dumps({"topic": topic, "type": "update", "timestamp": 1, "payload": payload}).encode()
