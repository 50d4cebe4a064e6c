"""Configuration section ``venues.binance``."""

from typing import Annotated, Literal

from libs.config.section import another_default, setting, text, whole
from libs.venues.binance.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import Seconds, SocketUrl, Url, VenueParams

Symbol = Annotated[str, text(r"^[A-Z0-9]{2,20}$", "a pair in capitals such as BTCUSDT")]
Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h"]


class BinanceParams(VenueParams):
    """Binance spot: public prices, for reference."""

    rest_url: Url = setting(REST_URL, "base of the REST interface")
    websocket_url: SocketUrl = setting(WEBSOCKET_URL, "base of the streams")
    symbols: tuple[Symbol, ...] = setting(
        ("BTCUSDT",),
        "pairs followed; one whose prices need more than six decimals (SHIBUSDT, PEPEUSDT) is refused when they come",
    )
    intervals: tuple[Interval, ...] = setting(
        ("1m", "5m"), "candles kept up; the first is filled from REST at the start"
    )
    backfill_count: Annotated[int, whole(1, 1000)] = setting(
        200, "candles of each interval asked for at the start"
    )
    history_s: Annotated[int, whole(0, 999)] = setting(
        900, "seconds before the start of which candles of a second are asked for; 0 does without"
    )
    silence_max_s: Seconds = another_default(VenueParams, "silence_max_s", 15)
    book_lease_s: Seconds = another_default(VenueParams, "book_lease_s", 15)
