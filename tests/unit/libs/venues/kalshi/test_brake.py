"""The venue's brake is read while markets on other shards bring groups of their own."""

import asyncio
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from libs.venues.kalshi.auth import KalshiCredentials
from libs.venues.kalshi.trading.gateway import KalshiGateway

KEY = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


class Venue:
    """Trades, and lists a market on a new shard while it is asked about a group."""

    def __init__(self, groups: dict[int, str]) -> None:
        self.groups = groups

    async def exchange_status(self) -> Any:
        return SimpleNamespace(exchange_active=True, trading_active=True, exchange_index_statuses=[])

    async def group(self, group_id: str) -> Any:
        self.groups[1] = "g-1"
        return SimpleNamespace(is_auto_cancel_enabled=group_id == "g-0")


def test_a_group_that_comes_while_the_brake_is_read_is_read_the_next_time(monkeypatch) -> None:
    gateway = KalshiGateway(KalshiCredentials("key-1", KEY))
    groups = {0: "g-0"}
    monkeypatch.setattr(gateway, "_groups", groups)
    monkeypatch.setattr(gateway, "client", Venue(groups))
    assert asyncio.run(gateway.brake()) == ""
    assert asyncio.run(gateway.brake()) == "order group triggered"
