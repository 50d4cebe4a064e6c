"""Ports held for a process that is to listen there: by a socket that is bound and does not listen.

A port that is only looked up can be somebody else's by the time it is wanted. While nobody listens, a connection is
refused as it is without the reservation; an inherited listening socket would take it, and keep its client waiting.
"""

import random
import socket

HOST = "127.0.0.1"
PORT_MIN, PORT_MAX = 20_000, 32_000
"""Below the range from which the system hands out ports by itself."""
ATTEMPTS_MAX = 100


class Reservation:
    """``count`` ports in a row from ``base`` on, until ``release``: for processes of this user that say ``SO_REUSEPORT``."""

    def __init__(self, count: int) -> None:
        """Raises RuntimeError when there are no such ports."""
        for _ in range(ATTEMPTS_MAX):
            self.base = random.randrange(PORT_MIN, PORT_MAX)
            self._held: list[socket.socket] = []
            if all(self._hold(self.base + offset) for offset in range(count)):
                return
            self.release()
        raise RuntimeError(f"expected {count} free ports in a row on {HOST}, was none")

    def _hold(self, port: int) -> bool:
        held = socket.socket()
        self._held.append(held)
        try:
            held.bind((HOST, port))
        except OSError:
            return False
        # Only now, so that two reservations never share one.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return True

    def release(self) -> None:
        """Give the ports back."""
        while self._held:
            self._held.pop().close()
