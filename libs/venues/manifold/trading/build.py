"""From the section of the configuration and the key to a gateway."""

from collections.abc import Mapping
from typing import Any

from libs.keys.venues.kinds import ApiKey
from libs.venues.manifold.trading.auth import ManifoldCredentials
from libs.venues.manifold.trading.gateway import ManifoldGateway


def build_gateway(section: Mapping[str, Any], key: ApiKey) -> ManifoldGateway:
    """The gateway, not started."""
    credentials = ManifoldCredentials(api_key=key.key)
    return ManifoldGateway(credentials, section["rest_url"], section["websocket_url"])
