"""Manifold's websocket: topics, acks and pings; a client that sends nothing for a minute is dropped.

Source: docs/reference/venue-facts.md, Manifold hosts.
"""

import asyncio
import time
from collections.abc import Iterable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct, field

from libs.venues.manifold import MANIFOLD
from sandbox.faults.script import Faults
from sandbox.sockets import ClientSocket

SILENCE_S = 60.0
"""A client that has sent nothing for so long is dropped."""
TOPICS_MAX = 1_000
"""Topics of one connection."""


class Frame(Struct, frozen=True):
    """What a client sends: subscribe, unsubscribe, identify or ping."""

    type: str
    txid: int = 0
    topics: list[str] = []


class _TopicClient(Struct):
    socket: ClientSocket
    topics: set[str] = field(default_factory=set)
    heard: float = 0.0


class Topics:
    """Everybody who is connected."""

    def __init__(self, faults: Faults) -> None:
        self.silence_s = SILENCE_S
        self._faults = faults
        self._clients: list[_TopicClient] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Return one connection, from its handshake to its end."""
        client = _TopicClient(ClientSocket(self._faults, MANIFOLD, "market_socket"), heard=time.monotonic())
        socket = await client.socket.open(request)
        self._clients.append(client)
        watch = asyncio.create_task(self._watch(client))
        try:
            async for message in socket:
                client.heard = time.monotonic()
                if message.type is WSMsgType.TEXT:
                    self._read(client, message.data)
        finally:
            watch.cancel()
            self._clients.remove(client)
            await client.socket.close()
        return socket

    async def close(self) -> None:
        for client in tuple(self._clients):
            await client.socket.close()

    def send(self, topics: Iterable[str], data: object) -> None:
        """Broadcast ``data`` to the subscribers of each topic."""
        for topic in topics:
            following = [client for client in self._clients if topic in client.topics]
            if following:
                body = {"type": "broadcast", "topic": topic, "data": data}
                text = msgspec.json.encode(body).decode()
                for client in following:
                    client.socket.send(text)

    def _read(self, client: _TopicClient, text: str) -> None:
        try:
            frame = msgspec.json.decode(text, type=Frame)
        except msgspec.DecodeError:
            client.socket.reply('{"type":"ack","success":false,"error":"Message parsing failed."}')
            return
        if frame.type == "subscribe":
            client.topics.update(frame.topics[: max(0, TOPICS_MAX - len(client.topics))])
        elif frame.type == "unsubscribe":
            client.topics.difference_update(frame.topics)
        elif frame.type not in ("ping", "identify"):
            body = {"type": "ack", "txid": frame.txid, "success": False, "error": "Unknown message type."}
            client.socket.reply(msgspec.json.encode(body).decode())
            return
        body = {"type": "ack", "txid": frame.txid, "success": True}
        client.socket.reply(msgspec.json.encode(body).decode())

    async def _watch(self, client: _TopicClient) -> None:
        while True:
            quiet_s = time.monotonic() - client.heard
            if quiet_s >= self.silence_s:
                await client.socket.close(WSCloseCode.POLICY_VIOLATION, "silent")
                return
            await asyncio.sleep(self.silence_s - quiet_s)
