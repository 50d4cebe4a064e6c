"""The venue's own checksum of a book: SHA-1 of its JSON, keys in a fixed order, its numbers as written.

It covers tick, minimum size and last trade besides the levels, so it can only be checked where those are
known. Source: facts/venues.md A.7, verified on every recorded book.
"""

import hashlib
from collections.abc import Iterable


def level_text(price: str, size: str) -> str:
    """One level as it stands in the hashed JSON."""
    return f'{{"price":"{price}","size":"{size}"}}'


def book_hash(  # noqa: PLR0913, PLR0917 - these are the fields that the hash covers
    market: str,
    token: str,
    timestamp: str,
    bids: Iterable[str],
    asks: Iterable[str],
    size_min: str,
    tick: str,
    neg_risk: bool,
    last_trade: str,
) -> str:
    """The hash of a book; ``bids`` (rising) and ``asks`` (falling) as ``level_text`` gives them."""
    text = (
        f'{{"market":"{market}","asset_id":"{token}","timestamp":"{timestamp}","hash":"",'
        f'"bids":[{",".join(bids)}],"asks":[{",".join(asks)}],"min_order_size":"{size_min}",'
        f'"tick_size":"{tick}","neg_risk":{"true" if neg_risk else "false"},"last_trade_price":"{last_trade}"}}'
    )
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
