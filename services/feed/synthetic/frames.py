"""Frames of the synthetic market, byte for byte in the venues' own protocols."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.feed.synthetic.book import NO, YES, Change

TICKER_SID, BOOK_SID, TRADE_SID, LIFECYCLE_SID = 1, 2, 3, 4
CHANNELS = {
    "ticker": TICKER_SID,
    "orderbook_delta": BOOK_SID,
    "trade": TRADE_SID,
    "market_lifecycle_v2": LIFECYCLE_SID,
}


def iso(at: int) -> str:
    """A moment as the venues write it, to the microsecond."""
    seconds, rest = divmod(at, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def dollars(mills: int) -> str:
    """Thousandths of a dollar as the venue's four decimals: 10 is ``"0.0100"``."""
    return f"{mills // 1000}.{mills % 1000:03d}0"


def connected() -> list[bytes]:
    """What a connection begins with: the recorder's note and one answer a channel."""
    frames = [_json({"type": "_ws_connected", "msg": {}})]
    for channel, sid in CHANNELS.items():
        frames.append(_json({"id": 1, "type": "subscribed", "msg": {"channel": channel, "sid": sid}}))
    return frames


def snapshot(ticker: str, seq: int, yes: Iterable[tuple[int, int]], no: Iterable[tuple[int, int]]) -> bytes:
    """A whole book; without levels the sides are left out, as the venue does after a close."""
    body: dict[str, Any] = {"market_ticker": ticker, "market_id": ticker.lower()}
    for side, levels in ((YES, yes), (NO, no)):
        rows = [[dollars(mills), f"{contracts}.00"] for mills, contracts in levels]
        if rows:
            body[f"{side}_dollars_fp"] = rows
    return _json({"type": "orderbook_snapshot", "sid": BOOK_SID, "seq": seq, "msg": body})


def delta(ticker: str, seq: int, change: Change, at: int) -> bytes:
    """One changed level. Written by hand: it is nine frames out of ten."""
    return (
        f'{{"type":"orderbook_delta","sid":{BOOK_SID},"seq":{seq},"msg":{{"market_ticker":"{ticker}",'
        f'"market_id":"{ticker.lower()}","price_dollars":"{dollars(change.mills)}",'
        f'"delta_fp":"{change.contracts}.00","side":"{change.side}","ts":"{iso(at)}",'
        f'"ts_ms":{at // 1_000_000}}}}}'
    ).encode()


def trade(ticker: str, trade_id: str, change: Change, at: int) -> bytes:
    """The trade that took ``change`` out of the book."""
    yes = change.mills if change.side == YES else 1000 - change.mills
    body = {
        "trade_id": trade_id,
        "market_ticker": ticker,
        "yes_price_dollars": dollars(yes),
        "no_price_dollars": dollars(1000 - yes),
        "count_fp": f"{-change.contracts}.00",
        "taker_side": change.taker,
        "taker_outcome_side": change.taker,
        "is_block_trade": False,
        "ts": at // 1_000_000_000,
        "ts_ms": at // 1_000_000,
    }
    return _json({"type": "trade", "sid": TRADE_SID, "msg": body})


def ticker_frame(ticker: str, bid: int, ask: int, at: int) -> bytes:
    """The venue's summary of a market; prices in mills."""
    body = {
        "market_ticker": ticker,
        "yes_bid_dollars": dollars(bid),
        "yes_ask_dollars": dollars(ask),
        "ts": at // 1_000_000_000,
        "ts_ms": at // 1_000_000,
    }
    return _json({"type": "ticker", "sid": TICKER_SID, "msg": body})


def lifecycle(
    ticker: str,
    event: str,
    *,
    open_s: int,
    close_s: int,
    strike_cents: int | None = None,
    result: str = "",
    title: str = "",
) -> bytes:
    """An event in a market's life, complete with what is known of it."""
    metadata: dict[str, Any] = {"title": title, "strike_type": "greater_or_equal"}
    if strike_cents is not None:
        metadata["floor_strike"] = strike_cents / 100
    body: dict[str, Any] = {
        "market_ticker": ticker,
        "event_type": event,
        "open_ts": open_s,
        "close_ts": close_s,
        "price_level_structure": "tapered_deci_cent",
        "additional_metadata": metadata,
    }
    if result:
        body["result"] = result
    return _json({"type": "market_lifecycle_v2", "sid": LIFECYCLE_SID, "msg": body})


def match(trade_id: int, price_cents: int, size: str, side: str, at: int) -> bytes:
    """A Coinbase trade."""
    body = {
        "type": "match",
        "trade_id": trade_id,
        "side": side,
        "size": size,
        "price": f"{price_cents // 100}.{price_cents % 100:02d}",
        "product_id": "BTC-USD",
        "sequence": trade_id,
        "time": iso(at),
    }
    return _json(body)


def _json(frame: dict[str, Any]) -> bytes:
    return msgspec.json.encode(frame)
