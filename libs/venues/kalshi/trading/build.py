"""From the section of the configuration and the key to a gateway."""

from collections.abc import Mapping
from typing import Any

from libs.keys.venues.kinds import RsaKey
from libs.venues.kalshi.auth import KalshiCredentials
from libs.venues.kalshi.params import KalshiParams
from libs.venues.kalshi.trading.gateway import KalshiGateway
from libs.venues.kalshi.trading.options import KalshiOptions


def build_gateway(section: Mapping[str, Any], key: RsaKey) -> KalshiGateway:
    """The gateway, not started.

    Raises:
        ValueError: a section with which orders cannot be placed.
    """
    params = KalshiParams.model_validate(section)
    options = KalshiOptions(
        rest_url=params.rest_url,
        websocket_url=params.websocket_url,
        tier=params.tier,
        series=params.series,
        subaccount=params.subaccount,
        group_fill_max_contracts=params.group_fill_max_contracts or None,
        cancel_on_pause=params.cancel_on_pause,
        self_trade_prevention=params.self_trade_prevention,
    )
    return KalshiGateway(KalshiCredentials(key.key_id, key.private_key_pem), options)
