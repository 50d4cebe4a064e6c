"""Configuration section ``venues.coinbase``."""

from typing import Annotated

from libs.config.section import another_default, setting, text, whole
from libs.venues.coinbase.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import Seconds, SocketUrl, Url, VenueParams

Product = Annotated[str, text(r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}$", "a pair in capitals such as BTC-USD")]


class CoinbaseParams(VenueParams):
    """Coinbase Exchange: public prices, for reference."""

    rest_url: Url = setting(REST_URL, "base of the REST interface")
    websocket_url: SocketUrl = setting(WEBSOCKET_URL, "the public feed")
    products: tuple[Product, ...] = setting(
        ("BTC-USD",),
        "pairs followed; one whose prices need more than six decimals (SHIB-USD, PEPE-USD) is refused when they come",
    )
    backfill_count: Annotated[int, whole(1, 300)] = setting(200, "candles asked for at the start")
    history_s: Annotated[int, whole(0, 3600)] = setting(
        900, "seconds before the start of which trades are asked for, at most 10,000 of them; 0 does without"
    )
    silence_max_s: Seconds = another_default(VenueParams, "silence_max_s", 15)
    book_lease_s: Seconds = another_default(VenueParams, "book_lease_s", 15)
