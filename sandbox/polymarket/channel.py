"""What the websocket channels share: who is connected, from the handshake to the end, and PING."""

from typing import Generic, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct

from libs.venues.polymarket import POLYMARKET
from sandbox.faults.script import Faults
from sandbox.sockets import ClientSocket

PING, PONG = "PING", "PONG"


class ChannelClient(Struct):
    """One connection; each channel adds what it follows."""

    socket: ClientSocket


AnyClient = TypeVar("AnyClient", bound=ChannelClient)


class Channel(Generic[AnyClient]):
    """Everybody connected to one channel. A subclass reads frames, and sends to ``clients``.

    ``operation`` is what faults call its connections: "market_socket", "prices_socket" or "user_socket".
    """

    def __init__(self, faults: Faults, operation: str, new_client: type[AnyClient]) -> None:
        self.clients: list[AnyClient] = []
        self._faults = faults
        self._operation = operation
        self._new_client = new_client

    def read(self, client: AnyClient, text: str) -> bool:
        """Handle a frame; whether the connection may stay."""
        raise NotImplementedError

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Return one connection, from its handshake to its end."""
        client = self._new_client(ClientSocket(self._faults, POLYMARKET, self._operation))
        socket = await client.socket.open(request)
        self.clients.append(client)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if message.data == PING:
                    client.socket.reply(PONG)
                elif not self.read(client, message.data):
                    await client.socket.close(WSCloseCode.POLICY_VIOLATION, "invalid auth")
        finally:
            self.clients.remove(client)
            await client.socket.close()
        return socket

    async def close(self) -> None:
        for client in tuple(self.clients):
            await client.socket.close()
