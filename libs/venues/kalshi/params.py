"""Configuration section ``venues.kalshi``."""

from typing import Annotated, Literal

from pydantic import Field

from libs.config.section import another_default, setting, whole
from libs.venues.kalshi.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.kalshi.series import ROWS_MAX, STANDARD_SERIES, SeriesFacts
from libs.venues.params import DiscoveryParams, Hours, Id, SocketUrl, Url
from proto.units import Quantity

SelfTrade = Literal["taker_at_cross", "maker"]
Tier = Literal["basic", "advanced", "expert", "premier", "paragon", "prime", "prestige"]


class KalshiParams(DiscoveryParams):
    """Kalshi: hosts and which markets are followed."""

    rest_url: Url = setting(REST_URL, "base of the REST interface, with its version")
    websocket_url: SocketUrl = setting(
        WEBSOCKET_URL, "the websocket; its handshake is signed, for market data too"
    )
    series: tuple[Id, ...] = setting(
        ("KXBTC15M",), "followed series, by ticker; each new market of theirs is followed from its listing"
    )
    volume_min: Quantity = setting(
        0, "contracts traded so far that a market must have; 0.0 lets new windows in"
    )
    time_to_close_max_hours: Hours = another_default(DiscoveryParams, "time_to_close_max_hours", 2)
    series_facts: Annotated[tuple[SeriesFacts, ...], Field(max_length=ROWS_MAX)] = setting(
        STANDARD_SERIES,
        "what is known of series beyond what the venue tells: what they are on, and why; others have no underlying",
    )
    tier: Tier = setting("basic", "the account's tier, which sets its request budgets")
    subaccount: Annotated[int, whole(0, 1_000)] = setting(
        0, "which of the account's subaccounts trades; only 0, the main one, may so far"
    )
    group_fill_max_contracts: Annotated[int, whole(0, 10_000_000)] = setting(
        0,
        "all orders of a shard join one order group, which the venue empties by itself once so many contracts fill within"
        " 15 seconds; 0 does without",
        former="group_contracts_limit",
    )
    cancel_on_pause: bool = setting(False, "resting orders are cancelled when the exchange pauses")
    self_trade_prevention: SelfTrade = setting(
        "taker_at_cross", "whose order gives way when two of ours would meet"
    )
