"""The user channel: orders and trades of the holder of an API key.

Source: docs/reference/venue-facts.md, Polymarket user channel.
"""

import json

import msgspec
from msgspec import Struct

from sandbox.faults.script import Faults
from sandbox.polymarket.channel import Channel, ChannelClient
from sandbox.polymarket.exchange import PolymarketExchange


class Auth(Struct, frozen=True, rename="camel"):
    """The credentials themselves; the channel is only as safe as its TLS."""

    api_key: str
    secret: str
    passphrase: str


class UserSubscription(Struct, frozen=True):
    """The first frame, with ``auth``, or a later one with ``operation``. No markets: all of them."""

    type: str = ""
    operation: str = ""
    auth: Auth | None = None
    markets: list[str] | None = None


class _UserClient(ChannelClient):
    owner: str = ""
    markets: set[str] | None = None


class UserChannel(Channel[_UserClient]):
    """Everybody who follows their own orders."""

    def __init__(self, exchange: PolymarketExchange, faults: Faults) -> None:
        super().__init__(faults, "user_socket", _UserClient)
        self._exchange = exchange
        exchange.listeners.append(self._handle_frame)

    def read(self, client: _UserClient, text: str) -> bool:
        """Handle a frame; whether the connection may stay."""
        try:
            asked = msgspec.json.decode(text, type=UserSubscription)
        except msgspec.DecodeError:
            client.socket.reply("INVALID MESSAGE")
            return True
        if asked.auth is not None:
            auth = asked.auth
            key = self._exchange.keys.check_socket(auth.api_key, auth.secret, auth.passphrase)
            if key is None:
                return False
            client.owner = key.key
            client.markets = None if asked.markets is None else set(asked.markets)
        elif asked.operation:
            self._follow(client, asked.operation == "subscribe", set(asked.markets or ()))
        return True

    def _follow(self, client: _UserClient, more: bool, markets: set[str]) -> None:
        known = client.markets or set()
        client.markets = known | markets if more else known - markets

    def _handle_frame(self, owner: str, market: str, frame: dict[str, object]) -> None:
        text = None
        for client in self.clients:
            if client.owner == owner and (client.markets is None or market in client.markets):
                text = text or json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
                facts = {"event_type": str(frame["event_type"]), "market": market}
                client.socket.send(text, facts)
