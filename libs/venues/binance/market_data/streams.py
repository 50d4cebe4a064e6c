"""Binance's public streams as one socket."""

from collections.abc import Sequence

from libs.venues.binance import BINANCE
from libs.venues.binance.limits import OUTGOING_PER_S, STREAMS_MAX
from libs.venues.transport.rate_limit import TokenBucket
from libs.venues.transport.websocket import VenueSocket


def stream_names(
    symbols: Sequence[str], intervals: Sequence[str] = (), *, depth: bool = False, trades: str = "aggTrade"
) -> list[str]:
    """Streams of ``symbols``: trades, best prices, candles of each interval, and the book if wanted.

    Raises:
        ValueError: for more than a connection takes.
    """
    names = []
    for symbol in symbols:
        name = symbol.lower()
        names += [f"{name}@{trades}", f"{name}@bookTicker"]
        names += [f"{name}@kline_{interval}" for interval in intervals]
        names += [f"{name}@depth@100ms"] if depth else []
    if len(names) > STREAMS_MAX:
        raise ValueError(f"expected at most {STREAMS_MAX} streams, was {len(names)}")
    return names


def binance_socket(
    streams: Sequence[str],
    websocket_url: str,
    *,
    silence_s: float,
    connection_max_s: float,
) -> VenueSocket:
    """The combined streams; the next connection has delivered before the present one ends."""
    url = f"{websocket_url.rstrip('/')}/stream?streams={'/'.join(streams)}"
    return VenueSocket(
        BINANCE,
        url,
        silence_s=silence_s,
        max_age_s=connection_max_s,
        overlap=True,
        proves=_is_market_data,
        outgoing=TokenBucket(OUTGOING_PER_S, OUTGOING_PER_S),
    )


def _is_market_data(frame: bytes) -> bool:
    """Answers to commands and announcements prove nothing."""
    return frame.startswith(b'{"stream":"') and not frame.startswith(b'{"stream":"!')
