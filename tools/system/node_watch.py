"""Which nodes of a cluster run; when most were replaced at once, everything halts, wherever it runs.

The HALT file shuts the gate of an execution that shares this machine's folder. The command on the tape, given as soon as the
brokers store it, halts every service on every machine, and is given again when somebody resumes: what the tape has lost comes
back with the next start alone, which opens a new epoch.
"""

import asyncio
import logging

from libs.bounded import clip
from libs.operator.desk import OperatorDesk
from libs.tape.errors import TapeError
from libs.tape.record import TapeRecord
from proto.message import Message
from proto.operator import Command, Verb
from tools.system.installation import NODES_REPLACED, Installation

LOOK_EVERY_S = 5.0
"""A rolling restart of a cluster waits longer at each node, until its replicas are current."""

log = logging.getLogger("presage.nodes")


class NodeWatch:
    """Looks at the nodes of an installation's cluster."""

    def __init__(self, installation: Installation, desk: OperatorDesk) -> None:
        self._installation = installation
        self._desk = desk
        self._is_halted = False

    def observe(self, _: TapeRecord, message: Message) -> None:
        """Handle a message read from the tape."""
        if isinstance(message, Command) and message.verb in (Verb.HALT, Verb.RESUME):
            self._is_halted = message.verb is Verb.HALT

    async def watch(self) -> None:
        """Look until cancelled."""
        while self._installation.is_cluster:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once, and halt if that is called for; a command that could not be stored is given at the next look."""
        try:
            if await self._installation.note_nodes() and not self._is_halted:
                await self._desk.command(Verb.HALT, reason=NODES_REPLACED)
        except (TapeError, OSError) as e:
            log.warning("nodes not looked after", extra={"detail": clip(str(e), 200)})
