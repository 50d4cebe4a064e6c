"""A host's side of lockstep: says how far it is, publishes what it is granted.

The player's side is ``services/feed/lockstep.py``.
"""

import json
import logging
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg

from libs.machine.host_state import HostState
from libs.machine.outbox import Outbox
from libs.tape.connection import Link
from libs.tape.credentials import LOCKSTEP_GRANT, LOCKSTEP_POLL, LOCKSTEP_REPORT

log = logging.getLogger("presage.host")


class LockstepMember:
    """One host in lockstep. Without ``join`` it keeps silent."""

    def __init__(self, service: str, link: Link, status: HostState, position: Callable[[], int]) -> None:
        self._service = service
        self._link = link
        self._status = status
        self._position = position
        self._outbox: Outbox | None = None

    async def join(self, outbox: Outbox) -> None:
        """Listen to grants and polls."""
        self._outbox = outbox
        await self._link.client.subscribe(f"{LOCKSTEP_GRANT}.{self._service}", cb=self._on_grant)
        await self._link.client.subscribe(LOCKSTEP_POLL, cb=self._on_poll)

    async def _on_grant(self, message: Msg) -> None:
        machine, _, cause = message.data.decode().partition(" ")
        if cause.isdecimal() and self._outbox is not None:
            self._outbox.grant(machine, int(cause))

    async def _on_poll(self, _: Msg) -> None:
        await self.report()

    async def report(self) -> None:
        """Say how far the machines are and which causes wait to be published."""
        if self._outbox is None or not self._status.live:
            return
        waiting = self._outbox.waiting()
        body = {"position": self._position(), "stored_to": self._status.stored_to, "waiting": waiting}
        try:
            await self._link.client.publish(f"{LOCKSTEP_REPORT}.{self._service}", json.dumps(body).encode())
        except (nats.errors.Error, OSError):
            log.debug("lockstep report not sent; the next poll asks again")
