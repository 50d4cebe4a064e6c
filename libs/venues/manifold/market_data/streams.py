"""Manifold's topics as one socket."""

import itertools
from collections.abc import Callable, Iterable

import msgspec

from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.limits import PING_EVERY_S
from libs.venues.transport.websocket import PAUSE_S_MAX, PAUSE_S_MIN, VenueSocket

TOPICS_MAX = 500
"""Topics of one command; more are sent in several."""

_numbers = itertools.count(1)


def market_topics(contracts: Iterable[str]) -> list[str]:
    """Bets and limit orders of some markets."""
    return [f"contract/{contract}/{what}" for contract in contracts for what in ("new-bet", "orders")]


def subscribe_commands(topics: list[str]) -> list[bytes]:
    """Commands that subscribe to ``topics``; each carries a number of its own."""
    return [
        msgspec.json.encode(
            {"type": "subscribe", "txid": next(_numbers), "topics": topics[i : i + TOPICS_MAX]}
        )
        for i in range(0, len(topics), TOPICS_MAX)
    ]


def manifold_socket(
    topics: Callable[[], list[str]],
    websocket_url: str,
    *,
    silence_s: float,
    connection_max_s: float,
    acks_prove: bool = False,
    pause_s: tuple[float, float] = (PAUSE_S_MIN, PAUSE_S_MAX),
) -> VenueSocket:
    """The topics named at each connection. Answers to pings prove only the line, not that bets come.

    A quiet market is silent for hours, so ``silence_s`` should be long, and REST asked in between. Of an account
    nothing else can be expected (``acks_prove``).
    """
    ping = msgspec.json.encode({"type": "ping", "txid": 0}).decode()
    return VenueSocket(
        MANIFOLD,
        websocket_url,
        silence_s=silence_s,
        max_age_s=connection_max_s,
        subscribe=lambda: subscribe_commands(topics()),
        keepalive=(ping, PING_EVERY_S),
        proves=lambda frame: acks_prove or b'"ack"' not in frame[:60],
        pause_s=pause_s,
    )
