"""Coinbase's public channels as one socket."""

from collections.abc import Sequence

import msgspec

from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.limits import CHANNELS
from libs.venues.transport.websocket import VenueSocket


def coinbase_socket(
    products: Sequence[str],
    websocket_url: str,
    *,
    channels: Sequence[str] = CHANNELS,
    silence_s: float,
    connection_max_s: float,
) -> VenueSocket:
    """The channels of ``products``. Heartbeats count as data: they carry the newest trade's number."""
    command = {"type": "subscribe", "product_ids": list(products), "channels": list(channels)}
    subscribe = msgspec.json.encode(command)
    return VenueSocket(
        COINBASE,
        websocket_url,
        silence_s=silence_s,
        max_age_s=connection_max_s,
        subscribe=lambda: [subscribe],
        proves=lambda frame: b'"type":"subscriptions"' not in frame[:60],
    )
