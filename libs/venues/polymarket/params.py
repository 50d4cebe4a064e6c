"""Configuration section ``venues.polymarket``."""

from typing import Annotated, Literal

from libs.config.section import setting, text
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

Address = Annotated[str, text(r"^(0x[0-9a-fA-F]{40})?$", "an address of 0x and 40 digits, or nothing")]
Window = Annotated[
    str,
    text(
        r"^([a-z0-9]{1,20}(-[a-z0-9]{1,20}){0,4}-(5m|15m|4h)|[a-z0-9]{1,20}-up-or-down)$",
        "the beginning of a slug that ends in -5m, -15m or -4h (btc-updown-5m) or, for the windows of an hour,"
        " in -up-or-down (bitcoin-up-or-down)",
    ),
]
"""Otherwise the feed would not know when a window begins, nor its name, and follow none."""


class PolymarketParams(DiscoveryParams):
    """Polymarket: hosts and which markets are followed."""

    clob_url: Url = setting(CLOB_URL, "order books and orders")
    gamma_url: Url = setting(GAMMA_URL, "what markets there are")
    data_url: Url = setting(DATA_URL, "positions and trades")
    market_websocket_url: SocketUrl = setting(MARKET_SOCKET_URL, "books and trades as they change")
    user_websocket_url: SocketUrl = setting(USER_SOCKET_URL, "own orders and fills")
    prices_websocket_url: AnySocketUrl = setting(
        PRICES_SOCKET_URL,
        'what Chainlink says, which decides up-or-down markets; "" does without the strikes',
    )
    windows: tuple[Window, ...] = setting(
        ("btc-updown-5m", "btc-updown-15m"),
        "up-or-down series by the beginning of their slug (`btc-updown-5m`); the window that runs and the next"
        " one are followed, whatever the filters below say",
    )
    tags: tuple[Id, ...] = setting(
        (), "Gamma's tag ids; markets of any of them are followed. Empty: none but `windows`"
    )
    any_tag: bool = setting(False, "markets are followed whatever their tags")
    categories: tuple[str, ...] = setting((), "a market's category must be one of these; empty lets all in")
    volume_min: Money = setting(0, "dollars traded so far that a market must have")
    neg_risk: Literal["any", "only", "none"] = setting(
        "any", "any, only or none: events of several outcomes of which one wins"
    )
    signature_type: Literal[0, 1, 2, 3] = setting(
        0,
        "who signs for the wallet, in Polymarket's numbers: 0 the wallet is the key's own address, 1 proxy, 2 Safe,"
        " 3 deposit wallet (every wallet deployed since May 2026)",
    )
    funder: Address = setting("", 'address of the wallet that holds the money; "" is the key\'s own address')
