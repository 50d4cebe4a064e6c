"""Configuration section ``venues.coinbase``."""

from typing import Annotated

from msgspec import Meta

from libs.venues.coinbase.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import Seconds, SocketUrl, Url, VenueParams

Product = Annotated[
    str,
    Meta(pattern=r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}\Z", extra={"form": "a pair in capitals such as BTC-USD"}),
]


class CoinbaseParams(VenueParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Coinbase Exchange: public prices, for reference.

    Attributes:
        rest_url: base of the REST interface. websocket_url: the public feed.
        products: pairs followed.
        backfill_count: candles asked for at the start.
    """

    rest_url: Url = REST_URL
    websocket_url: SocketUrl = WEBSOCKET_URL
    products: tuple[Product, ...] = ("BTC-USD",)
    backfill_count: Annotated[int, Meta(ge=1, le=300)] = 200
    silence_s: Seconds = 15
    book_lease_s: Seconds = 15
