"""Maximum speed is lockstep: the next input is released when every machine is done with the last.

Machines report how far they are and which causes wait to be published; the player grants waiting causes
one at a time, lowest cause first, then in the fixed order of machines. The in-process runner follows the
same rule, so both end with the same outputs. Reports may get lost: the player asks again.
"""

import asyncio
import json

import nats.errors
from nats.aio.msg import Msg

from libs.tape.connection import Link
from libs.tape.credentials import LOCKSTEP_GRANT, LOCKSTEP_POLL, LOCKSTEP_REPORT
from proto.subjects import MACHINE_ORDER

POLL_S = 0.25
"""Asking again after this long without any report covers a lost one and a restarted service."""
HOSTS = {"signal": "signal", "risk": "risk", "execution": "execution", "paper": "execution"} | {
    "exit": "exit",
    "monitor": "monitor",
}
"""Which service runs which machine."""


class Lockstep:
    """The player's side: waits for reports, gives grants."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._positions: dict[str, int] = {}
        self._waiting: dict[str, list[int]] = {}
        self._required = 0
        self._reported = asyncio.Event()

    async def start(self) -> None:
        """Listen to the reports."""
        await self._link.client.subscribe(f"{LOCKSTEP_REPORT}.>", cb=self._on_report)

    async def _on_report(self, message: Msg) -> None:
        service = message.subject.rpartition(".")[2]
        body = json.loads(message.data)
        self._positions[service] = int(body["position"])
        self._required = max(self._required, int(body["stored_to"]))
        for machine, causes in body["waiting"].items():
            self._waiting[machine] = causes
        self._reported.set()

    async def wait_until_processed(self, seq: int) -> None:
        """Return when every machine has processed the tape up to ``seq`` and all that followed from it."""
        self._required = max(self._required, seq)
        while True:
            if self._all_there():
                turn = self._lowest()
                if turn is None:
                    return
                await self._grant(turn)
            await self._next_report()

    def _all_there(self) -> bool:
        services = dict.fromkeys(HOSTS.values())
        return all(self._positions.get(service, -1) >= self._required for service in services)

    def _lowest(self) -> tuple[str, int] | None:
        """The waiting cause to be granted next."""
        best: tuple[int, int, str] | None = None
        for order, machine in enumerate(MACHINE_ORDER):
            causes = self._waiting.get(machine)
            if causes and (best is None or (causes[0], order) < best[:2]):
                best = (causes[0], order, machine)
        return None if best is None else (best[2], best[0])

    async def _grant(self, turn: tuple[str, int]) -> None:
        machine, cause = turn
        try:
            await self._link.client.publish(
                f"{LOCKSTEP_GRANT}.{HOSTS[machine]}", f"{machine} {cause}".encode()
            )
        except (nats.errors.Error, OSError):
            return

    async def _next_report(self) -> None:
        self._reported.clear()
        try:
            async with asyncio.timeout(POLL_S):
                await self._reported.wait()
        except TimeoutError:
            try:
                await self._link.client.publish(LOCKSTEP_POLL, b"")
            except (nats.errors.Error, OSError):
                return
