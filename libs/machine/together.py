"""Several machines at one place of the tape, handed what others say without a detour for each.

Most of a tape is the feed's word: no output of any machine, so nothing to compare, and the same verdict of the
gate for all. Asking for it six times is a third of a replay.
"""

from collections.abc import Sequence

from libs.contract.codec import Unreadable
from libs.machine.routes import Routes
from libs.machine.runner import MachineRunner
from libs.tape.record import TapeRecord
from proto.feed import Market
from proto.message import Message
from proto.operator import Command
from proto.service import Started
from proto.subjects import TABLE


class Together:
    """Hands inputs to runners that share one gate and stand at the same place."""

    def __init__(self, runners: Sequence[MachineRunner]) -> None:
        self._runners = runners
        self._position = runners[0].position
        self._input_gate = runners[0].input_gate
        self._together = frozenset(row.model for row in TABLE if not self._is_asked_one_by_one(row.model))
        self._routes = Routes([(runner, runner.machine) for runner in runners], self._together)

    @staticmethod
    def fit(runners: Sequence[MachineRunner]) -> bool:
        """Whether runners can be handed inputs together: one gate, one place, nothing to skip."""
        places = {(id(runner.input_gate), runner.position) for runner in runners}
        return len(places) == 1 and not any(runner.skips for runner in runners)

    def _is_asked_one_by_one(self, model: type[Message]) -> bool:
        """Whether a kind may be an own output of a runner, or means something else to one than to another."""
        producer = f"{model.kind.partition('.')[0]}."
        return model in (Command, Started) or any(
            producer == runner.prefix or model in runner.repeats for runner in self._runners
        )

    def take(self, record: TapeRecord, event: Message | None) -> bool:
        """Hand a record to all runners; ``False`` if each has to take this one by itself.

        Raises:
            Failed: a machine has stopped.
        """
        if event is None or type(event) not in self._together:
            self.part()
            return False
        seq = record.seq
        if seq <= self._position:
            return True
        try:
            stamp = self._input_gate.accept(record, event)
        except Unreadable:
            stamp = None
        if stamp is not None:
            for runner, handle in self._routes.of(event) or ():
                try:
                    outputs = handle(event, stamp)
                except Exception as e:
                    self.part()
                    raise runner.failed(record, e) from e
                if outputs:
                    runner.emit(record, event, outputs)
            if type(event) is Market:
                self._routes.after_market(event)
        self._position = seq
        return True

    def part(self) -> None:
        """Let each runner stand where all of them are: before one of them is asked by itself."""
        for runner in self._runners:
            runner.position = max(runner.position, self._position)
