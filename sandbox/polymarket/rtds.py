"""The price topics of the real-time data stream: Binance's spot, Chainlink's stream and TWAPs.

Source: docs/reference/venue-facts.md, Polymarket price streams.
"""

import json
from collections import deque
from collections.abc import Callable

import msgspec
from msgspec import Struct

from proto.units import MILLISECOND, ONE, SECOND, show
from sandbox.faults.script import Faults
from sandbox.polymarket.channel import Channel, ChannelClient
from sandbox.polymarket.gamma import amount
from sandbox.world.events import PriceMoved, WorldEvent
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

HISTORY = 60
"""Seconds of prices in the first frame of a topic."""


class Topic(Struct, frozen=True):
    """A topic's one symbol, and how its value is read off the world."""

    symbol: str
    value: Callable[[World], int]


TOPICS = {
    "crypto_prices": Topic("btcusdt", lambda world: _cents(world.price.at(PriceSource.BINANCE))),
    "crypto_prices_chainlink": Topic("btc/usd", lambda world: _cents(world.price.at(PriceSource.CHAINLINK))),
    "crypto_prices_twap_thirty": Topic("btc/usd", lambda world: _twap(world, 30)),
    "crypto_prices_twap_sixty": Topic("btc/usd", lambda world: _twap(world, 60)),
}


def _cents(dollars: float) -> int:
    return round(dollars * 100) * (ONE // 100)


def _twap(world: World, seconds: float) -> int:
    return world.price.mean(PriceSource.CHAINLINK, max(1.0, seconds / world.settings.time_scale))


class TopicFilter(Struct, frozen=True):
    """One subscription; ``filters`` is a list of symbols or a JSON object in a string, "" for all."""

    topic: str
    type: str = "*"
    filters: str = ""


class TopicRequest(Struct, frozen=True):
    """What a client sends."""

    action: str
    subscriptions: list[TopicFilter] = []


class _PriceClient(ChannelClient):
    topics: set[str] = msgspec.field(default_factory=set)


class PriceStream(Channel[_PriceClient]):
    """Everybody who follows prices; one value a second of each topic."""

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__(faults, "prices_socket", _PriceClient)
        self._world = world
        self._second = 0
        self._past: dict[str, deque[tuple[int, int]]] = {topic: deque(maxlen=HISTORY) for topic in TOPICS}
        world.subscribe(self._handle_event)

    def read(self, client: _PriceClient, text: str) -> bool:
        """Handle subscriptions; any other frame is ignored."""
        try:
            asked = msgspec.json.decode(text, type=TopicRequest)
        except msgspec.DecodeError:
            return True
        for wanted in asked.subscriptions:
            topic = TOPICS.get(wanted.topic)
            if topic is None or (wanted.filters and topic.symbol not in wanted.filters):
                continue
            if asked.action == "unsubscribe":
                client.topics.discard(wanted.topic)
            else:
                client.topics.add(wanted.topic)
                client.socket.send(self._first(wanted.topic, topic))
        return True

    def _first(self, name: str, topic: Topic) -> str:
        data = [{"timestamp": at, "value": amount(value)} for at, value in self._past[name]]
        payload = {"symbol": topic.symbol, "data": data}
        now_ms = self._world.now() // MILLISECOND
        return json.dumps({"topic": name, "type": "subscribe", "timestamp": now_ms, "payload": payload})

    def _handle_event(self, event: WorldEvent) -> None:
        if not isinstance(event, PriceMoved) or event.at // SECOND == self._second:
            return
        self._second = event.at // SECOND
        at_ms = self._second * 1000
        for name, topic in TOPICS.items():
            value = topic.value(self._world)
            self._past[name].append((at_ms, value))
            following = [client for client in self.clients if name in client.topics]
            if following:
                text = self._update(name, topic.symbol, at_ms, value)
                for client in following:
                    client.socket.send(text)

    def _update(self, name: str, symbol: str, at_ms: int, value: int) -> str:
        # Chainlink's full accuracy is an integer of 18 decimals, Binance's a decimal of 8.
        whole, rest = divmod(value, ONE)
        full = f"{whole}.{rest:06d}00" if name == "crypto_prices" else str(value * 10**12)
        payload = {
            "symbol": symbol,
            "timestamp": at_ms,
            "value": float(show(value)),
            "full_accuracy_value": full,
        }
        now_ms = self._world.now() // MILLISECOND
        return json.dumps({"topic": name, "type": "update", "timestamp": now_ms, "payload": payload})
