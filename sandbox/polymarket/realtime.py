"""The authenticated price stream: Bitcoin's price and its mean over a minute, once a second.

Source: docs/reference/venue-facts.md, Polymarket price streams.
"""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from proto.units import MILLISECOND, ONE, SECOND, show
from sandbox.faults.script import Faults
from sandbox.polymarket.channel import Channel, ChannelClient
from sandbox.polymarket.exchange import PolymarketExchange
from sandbox.polymarket.gamma import amount
from sandbox.polymarket.user_channel import Auth
from sandbox.world.events import PriceMoved, WorldEvent
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

SYMBOL = "btcusd"
WINDOW_S = 60
HISTORY = 60
"""Seconds of prices in the first frame of a channel."""
CHANNELS: dict[str, Callable[[World], int]] = {
    "price.crypto": lambda world: round(world.price.at(PriceSource.CHAINLINK) * 100) * (ONE // 100),
    "price.crypto.twap": lambda world: world.price.mean(
        PriceSource.CHAINLINK, max(1.0, WINDOW_S / world.settings.time_scale)
    ),
}


class PriceFilter(Struct, frozen=True):
    """Which price; a mean names its window too."""

    symbol: str = ""
    window_seconds: int | None = None
    provider: str | None = None


class PriceSubscription(Struct, frozen=True):
    """One channel and what of it."""

    channel: str = ""
    filter: PriceFilter = PriceFilter()


class PriceRequest(Struct, frozen=True):
    """What a client sends."""

    op: str
    rid: str | None = None
    auth: Auth | None = None
    subscriptions: list[PriceSubscription] = []


class _Client(ChannelClient):
    authorised: bool = False
    following: dict[str, int] = msgspec.field(default_factory=dict)


class RealtimePrices(Channel[_Client]):
    """Everybody who follows these prices. ``following`` of a client counts each channel's frames."""

    def __init__(self, exchange: PolymarketExchange, faults: Faults) -> None:
        super().__init__(faults, "prices_socket", _Client)
        self._exchange = exchange
        self._second = 0
        self._past: dict[str, deque[tuple[int, int]]] = {name: deque(maxlen=HISTORY) for name in CHANNELS}
        exchange.world.subscribe(self._handle_event)

    def read(self, client: _Client, text: str) -> bool:
        """Handle a request: each is answered under its ``rid``, a subscription by itself."""
        try:
            asked = msgspec.json.decode(text, type=PriceRequest)
        except msgspec.DecodeError:
            self._answer(client, None, "error", code="bad_op")
            return True
        if asked.op == "ping":
            self._answer(client, asked.rid, "pong")
        elif asked.op == "auth":
            self._authorise(client, asked)
        elif asked.op not in ("subscribe", "unsubscribe"):
            self._answer(client, asked.rid, "error", code="bad_op")
        elif not client.authorised:
            self._answer(client, asked.rid, "error", code="auth_required")
        else:
            for wanted in asked.subscriptions:
                self._change(client, asked, wanted)
        return True

    def _authorise(self, client: _Client, asked: PriceRequest) -> None:
        auth = asked.auth
        keys = self._exchange.keys
        known = auth and keys.check_socket(auth.api_key, auth.secret, auth.passphrase)
        client.authorised = bool(known)
        if known:
            self._answer(client, asked.rid, "authed")
        else:
            self._answer(client, asked.rid, "error", code="auth_invalid")

    def _change(self, client: _Client, asked: PriceRequest, wanted: PriceSubscription) -> None:
        name, window = wanted.channel, wanted.filter.window_seconds
        if name not in CHANNELS:
            self._answer(client, asked.rid, "error", channel=name, code="bad_channel")
        elif wanted.filter.symbol != SYMBOL or window != (WINDOW_S if name.endswith("twap") else None):
            self._answer(client, asked.rid, "error", channel=name, code="bad_filter")
        elif asked.op == "unsubscribe":
            client.following.pop(name, None)
            self._answer(client, asked.rid, "unsubscribed", channel=name)
        else:
            client.following[name] = 0
            self._answer(client, asked.rid, "subscribed", channel=name)
            data = [_point(at_ms, value) for at_ms, value in self._past[name]]
            self._send(client, name, {"data": data}, snapshot=True)

    def _answer(self, client: _Client, rid: str | None, op: str, **more: str) -> None:
        client.socket.reply(json.dumps({"op": op, **({"rid": rid} if rid else {}), **more}))

    def _send(self, client: _Client, name: str, payload: dict[str, Any], *, snapshot: bool) -> None:
        client.following[name] += 1
        window = {"window_seconds": WINDOW_S} if name.endswith("twap") else {}
        frame = {
            "v": 1,
            "channel": name,
            "seq": client.following[name],
            "ts": self._exchange.world.now() // MILLISECOND,
            "snapshot": snapshot,
            "payload": {"symbol": SYMBOL, "source": "chainlink", **window, **payload},
        }
        client.socket.send(json.dumps(frame))

    def _handle_event(self, event: WorldEvent) -> None:
        if not isinstance(event, PriceMoved) or event.at // SECOND == self._second:
            return
        self._second = event.at // SECOND
        for name, value_of in CHANNELS.items():
            value = value_of(self._exchange.world)
            self._past[name].append((self._second * 1000, value))
            for client in self.clients:
                if name in client.following:
                    self._send(client, name, _point(self._second * 1000, value), snapshot=False)


def _point(at_ms: int, value: int) -> dict[str, Any]:
    """Return a price at a moment: as a number, and exactly."""
    return {"timestamp": at_ms, "value": amount(value), "full_accuracy_value": show(value)}
