"""A halt that a chat commands: with the monitor's own key, which may say nothing else."""

from nats.errors import Error as ClientError

from libs.bounded import clip
from libs.keys.signing import MONITOR_ROLE, OPERATOR_DOMAIN, Signer, UnusableKey
from libs.operator.aftermath import effect_of_halt
from libs.operator.desk import OperatorDesk
from libs.operator.halt_file import write_halt_file
from libs.runtime.service import Context
from libs.tape.errors import TapeError
from proto.operator import Verb

ERROR_CHARACTERS_MAX = 200


class Halter:
    """Writes the HALT file where execution looks for it, then says the command, and tells what came of it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._desk: OperatorDesk | None = None

    async def __call__(self, reason: str) -> str:
        by_file = self._write_file(reason)
        try:
            seq = await (await self._ready()).command(Verb.HALT, reason=reason)
        except (TapeError, ClientError, UnusableKey, OSError) as e:
            why = clip(str(e), ERROR_CHARACTERS_MAX)
            if by_file:
                return f"halted by the HALT file: no order leaves; the command is not on the tape ({why})"
            return f"NOT HALTED: {why}"
        try:
            effect = await effect_of_halt(self._context.link, seq)
        except (TapeError, ClientError, OSError):
            return f"halted (tape sequence {seq}); what came of it is not known"
        return f"halted (tape sequence {seq}): {effect.text()}"

    def _write_file(self, reason: str) -> bool:
        """Whether the file is there. A service that runs elsewhere has no folder that execution looks into."""
        if not self._context.run.supervisor_pid:
            return False
        try:
            write_halt_file(str(self._context.layout.halt_file.parent), reason)
        except OSError:
            return False
        return True

    async def _ready(self) -> OperatorDesk:
        if self._desk is None:
            context = self._context
            signer = Signer.load(OPERATOR_DOMAIN, context.layout.monitor_key, MONITOR_ROLE)
            desk = OperatorDesk(context.link, signer, context.run.tape, context.verifier)
            await desk.start()
            self._desk = desk
        return self._desk
