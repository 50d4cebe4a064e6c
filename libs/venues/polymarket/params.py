"""Configuration section ``venues.polymarket``."""

from typing import Annotated, Literal

from msgspec import Meta

from libs.venues.params import AnySocketUrl, DiscoveryParams, Id, SocketUrl, Url
from libs.venues.polymarket.hosts import (
    CLOB_URL,
    DATA_URL,
    GAMMA_URL,
    MARKET_SOCKET_URL,
    PRICES_SOCKET_URL,
    USER_SOCKET_URL,
)
from proto.units import Money

Address = Annotated[
    str,
    Meta(pattern=r"^(0x[0-9a-fA-F]{40})?\Z", extra={"form": "an address of 0x and 40 digits, or nothing"}),
]
Window = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]{1,20}(-[a-z0-9]{1,20}){0,4}-(5m|15m|1h|4h)\Z",
        extra={"form": "the beginning of a slug that ends in -5m, -15m, -1h or -4h (btc-updown-5m)"},
    ),
]
"""Without one of these lengths the feed would not know when a window begins, and follow none."""


class PolymarketParams(DiscoveryParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Polymarket: hosts and which markets are followed.

    Attributes:
        clob_url: order books and orders. gamma_url: what markets there are. data_url: positions and trades.
        market_websocket_url: books and trades as they change. user_websocket_url: own orders and fills.
        prices_websocket_url: what Chainlink says, which decides up-or-down markets; "" does without the strikes.
        windows: up-or-down series by the beginning of their slug (``btc-updown-5m``); the window that runs
            and the next one are followed, whatever the filters below say.
        tags: Gamma's tag ids; markets of any of them are followed. Empty: none but ``windows``.
        any_tag: markets are followed whatever their tags.
        categories: a market's category must be one of these; empty lets all in.
        volume_min: dollars traded so far that a market must have.
        neg_risk: any, only or none: events of several outcomes of which one wins.
        signature_type: who signs for the wallet, in Polymarket's numbers: 0 the wallet is the key's own address,
            1 proxy, 2 Safe, 3 deposit wallet (every wallet deployed since May 2026).
        funder: address of the wallet that holds the money; "" is the key's own address.
    """

    clob_url: Url = CLOB_URL
    gamma_url: Url = GAMMA_URL
    data_url: Url = DATA_URL
    market_websocket_url: SocketUrl = MARKET_SOCKET_URL
    user_websocket_url: SocketUrl = USER_SOCKET_URL
    prices_websocket_url: AnySocketUrl = PRICES_SOCKET_URL
    windows: tuple[Window, ...] = ("btc-updown-5m", "btc-updown-15m")
    tags: tuple[Id, ...] = ()
    any_tag: bool = False
    categories: tuple[str, ...] = ()
    volume_min: Money = 0
    neg_risk: Literal["any", "only", "none"] = "any"
    signature_type: Literal[0, 1, 2, 3] = 0
    funder: Address = ""
