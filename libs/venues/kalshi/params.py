"""Configuration section ``venues.kalshi``."""

from libs.venues.params import DiscoveryParams, Hours, Id, SocketUrl, Url
from proto.units import Quantity


class KalshiParams(DiscoveryParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Kalshi: hosts and which markets are followed.

    Attributes:
        rest_url: base of the REST interface, with its version.
        websocket_url: the websocket; its handshake is signed, for market data too.
        series: followed series, by ticker; each new market of theirs is followed from its listing.
        volume_min: contracts traded so far that a market must have; 0 lets new windows in.
    """

    rest_url: Url = "https://external-api.kalshi.com/trade-api/v2"
    websocket_url: SocketUrl = "wss://external-api-ws.kalshi.com/trade-api/ws/v2"
    series: tuple[Id, ...] = ("KXBTC15M",)
    volume_min: Quantity = 0
    hours_ahead: Hours = 2
