"""Configuration section ``venues.kalshi``."""

from typing import Annotated, Literal

from msgspec import Meta

from libs.venues.kalshi.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import DiscoveryParams, Hours, Id, SocketUrl, Url
from proto.units import Quantity

SelfTrade = Literal["taker_at_cross", "maker"]
Tier = Literal["basic", "advanced", "expert", "premier", "paragon", "prime", "prestige"]


class KalshiParams(DiscoveryParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Kalshi: hosts and which markets are followed.

    Attributes:
        rest_url: base of the REST interface, with its version.
        websocket_url: the websocket; its handshake is signed, for market data too.
        series: followed series, by ticker; each new market of theirs is followed from its listing.
        volume_min: contracts traded so far that a market must have; 0 lets new windows in.
        tier: the account's tier, which sets its request budgets.
        subaccount: which of the account's subaccounts trades; only 0, the main one, may so far.
        group_contracts_limit: all orders join one order group, which the venue empties by itself once so many
            contracts fill within 15 seconds; 0 does without.
        cancel_on_pause: resting orders are cancelled when the exchange pauses.
        self_trade_prevention: whose order gives way when two of ours would meet.
    """

    rest_url: Url = REST_URL
    websocket_url: SocketUrl = WEBSOCKET_URL
    series: tuple[Id, ...] = ("KXBTC15M",)
    volume_min: Quantity = 0
    hours_ahead: Hours = 2
    tier: Tier = "basic"
    subaccount: Annotated[int, Meta(ge=0, le=1_000)] = 0
    group_contracts_limit: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    cancel_on_pause: bool = False
    self_trade_prevention: SelfTrade = "taker_at_cross"
