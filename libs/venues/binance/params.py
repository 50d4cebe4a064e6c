"""Configuration section ``venues.binance``."""

from typing import Annotated, Literal

from msgspec import Meta

from libs.venues.binance.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import Seconds, SocketUrl, Url, VenueParams

Symbol = Annotated[
    str, Meta(pattern=r"^[A-Z0-9]{2,20}\Z", extra={"form": "a pair in capitals such as BTCUSDT"})
]
Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h"]


class BinanceParams(VenueParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Binance spot: public prices, for reference.

    Attributes:
        rest_url: base of the REST interface. websocket_url: base of the streams.
        symbols: pairs followed.
        intervals: candles kept up; the first is filled from REST at the start.
        backfill_count: candles of each interval asked for at the start.
    """

    rest_url: Url = REST_URL
    websocket_url: SocketUrl = WEBSOCKET_URL
    symbols: tuple[Symbol, ...] = ("BTCUSDT",)
    intervals: tuple[Interval, ...] = ("1m", "5m")
    backfill_count: Annotated[int, Meta(ge=1, le=1000)] = 200
    silence_s: Seconds = 15
    book_lease_s: Seconds = 15
