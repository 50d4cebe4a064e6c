"""Connections of browsers: one that does not finish what it asks is closed, and one address leaves room for others."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.console.limits import CONNECTIONS_OF_ADDRESS_MAX, REQUEST_S


class Connection(H11Protocol):
    """A connection that must ask for something soon, and send the whole of each request in time."""

    of_address_max = CONNECTIONS_OF_ADDRESS_MAX
    _deadline: asyncio.TimerHandle | None = None
    _is_socket = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; beyond the limit of its address, end at once."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_S, transport.close)
        if self.client is None:
            return
        of_address = sum(_host_of(other) == self.client[0] for other in self.connections)
        if of_address > self.of_address_max:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._forget_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what came. A request that has begun has until its deadline, however slowly its bytes trickle in."""
        super().handle_events()
        if self._is_socket:
            return
        begun = bool(self.conn.trailing_data[0]) and self.conn.their_state is h11.IDLE
        if not begun and self.conn.their_state is not h11.SEND_BODY:
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.close)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Become a socket, which has a limit of its own for its first word."""
        self._is_socket = True
        self._forget_deadline()
        super().handle_websocket_upgrade(event)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class ConnectionBehindProxy(Connection):
    """A connection of a proxy: all of them come from its address, and whose they are it does not say truly."""

    of_address_max = 1 << 30


def _host_of(connection: Any) -> str:
    client = getattr(connection, "client", None)
    return str(client[0]) if client else ""
