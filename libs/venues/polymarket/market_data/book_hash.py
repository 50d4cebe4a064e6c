"""The venue's own checksum of a book: SHA-1 of its JSON, keys in a fixed order, its numbers as written.

It covers tick, minimum size and last trade besides the levels, so it can only be checked where those are
known. It holds for every recorded book. Source: docs/reference/venue-facts.md, Polymarket market data.
"""

import hashlib


def level_text(price: str, size: str) -> bytes:
    """One level as it stands in the hashed JSON."""
    return f'{{"price":"{price}","size":"{size}"}}'.encode()


def book_hash(  # noqa: PLR0913, PLR0917 - these are the fields that the hash covers
    market: str,
    token: str,
    timestamp: str,
    bids: bytes,
    asks: bytes,
    size_min: str,
    tick: str,
    neg_risk: bool,
    last_trade: str,
) -> str:
    """The hash of a book; ``bids`` (rising) and ``asks`` (falling) as levels joined with commas."""
    head = f'{{"market":"{market}","asset_id":"{token}","timestamp":"{timestamp}","hash":"","bids":['
    tail = (
        f'],"min_order_size":"{size_min}","tick_size":"{tick}","neg_risk":{"true" if neg_risk else "false"},'
        f'"last_trade_price":"{last_trade}"}}'
    )
    text = b"".join((head.encode(), bids, b'],"asks":[', asks, tail.encode()))
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()
