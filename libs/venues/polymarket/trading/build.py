"""From the section of the configuration and the key to a gateway."""

from collections.abc import Mapping
from typing import Any

from libs.keys.venues.kinds import EthereumKey
from libs.venues.polymarket.trading.auth import PolymarketCredentials
from libs.venues.polymarket.trading.gateway import PolymarketGateway


def build_gateway(section: Mapping[str, Any], key: EthereumKey) -> PolymarketGateway:
    """The gateway, not started."""
    credentials = PolymarketCredentials(
        private_key=key.private_key,
        signature_type=section.get("signature_type", 0),
        funder=section.get("funder", ""),
    )
    return PolymarketGateway(
        credentials,
        clob_url=section["clob_url"],
        gamma_url=section["gamma_url"],
        data_url=section["data_url"],
        user_websocket_url=section["user_websocket_url"],
    )
