"""What-if: the machines over the recorded inputs, as they were and with a change, and what came of each.

Both runs are in one process and against the paper venue, so that only the change is between them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.config.load import override, section_of
from libs.machine.inprocess import InProcess
from proto.message import Message
from proto.operator import Config, Session
from proto.units import show
from services.execution.claims import claims_of
from tools.system.composition import factories, models
from tools.system.summary import Summary
from tools.view.moment import moment


class WhatIf:
    """Runs recorded inputs in one process, with or without a change of the configuration."""

    def __init__(self, changes: Mapping[str, str], strategies: Sequence[str]) -> None:
        self.summary = Summary()
        self.decisions: dict[str, str] = {}
        self._changes = changes
        self._models = models(strategies)
        self._runner = InProcess([make() for make in factories(strategies).values()], WHAT_IF_TAPE, claims_of)
        self._runner.observers.append(self._observe)
        self._opening: list[Message] = []
        self._missing = 0
        self._sections = {section_of(path, self._models) for path in changes}
        self._found: set[str] = set()

    def _observe(self, seq: int, _producer: str, _message_id: str, message: Message) -> None:
        self.summary.add(seq, message)
        kind = message.kind
        if kind in ("risk.approval", "risk.rejection"):
            at = f"{self._runner.now}|{getattr(message, 'instrument', '')}"
            self.decisions.setdefault(at, _decision(message))

    def feed(self, message: Message) -> None:
        """Put one recorded input in; what machines said is left out, they say it again."""
        if isinstance(message, Session):
            self._opening = [message.replace(tape=WHAT_IF_TAPE)]
            self._missing = message.config_count
        elif isinstance(message, Config) and self._opening:
            self._opening.append(self._changed(message))
            self._missing -= 1
        else:
            self._runner.feed(message)
            return
        if self._missing <= 0:
            self._runner.feed_together(self._opening, "operator")
            self._opening = []

    @property
    def unused(self) -> list[str]:
        """Changed sections that the tape never configured: the change changed nothing."""
        return sorted(self._sections - self._found)

    def _changed(self, config: Config) -> Config:
        self._found.add(config.section)
        if config.section == "execution":
            # What a real venue did cannot be asked what it would have done: everything is paper.
            config = config.replace(document=config.document | {"live_venues": []})
        model = self._models.get(config.section)
        mine = {k: v for k, v in self._changes.items() if k.startswith(config.section + ".")}
        if model is None or not mine:
            return config
        document = override({config.section: config.document}, {config.section: model}, mine)
        return config.replace(document=document[config.section])


WHAT_IF_TAPE = "whatif"
_INPUTS = ("feed.", "operator.", "monitor.clock")


def is_input(subject: str) -> bool:
    """Whether a message came from outside the machines; the paper venue answers anew in a what-if."""
    return subject.startswith(_INPUTS)


def _decision(message: Message) -> str:
    if message.kind == "risk.approval":
        quantity = getattr(message, "quantity", 0)
        return f"approved {show(quantity)}"
    failed = ", ".join(check.name for check in getattr(message, "failed", ()))
    return f"rejected ({failed})"


def compare(baseline: WhatIf, changed: WhatIf) -> dict[str, Any]:
    """How decisions and profit differ."""
    different: list[dict[str, str]] = []
    for key in dict.fromkeys([*baseline.decisions, *changed.decisions]):
        before, after = baseline.decisions.get(key, "no decision"), changed.decisions.get(key, "no decision")
        if before != after:
            at, _, instrument = key.partition("|")
            different.append(
                {"at": moment(int(at)), "instrument": instrument, "baseline": before, "changed": after}
            )
    first, second = baseline.summary.document(), changed.summary.document()
    names = ("proposals", "approvals", "rejected", "orders", "fills", "equity", "realised_profit", "fees")
    return {
        "simulated": True,
        "baseline": {name: first[name] for name in names},
        "changed": {name: second[name] for name in names},
        "profit_difference": round(second["equity"] - first["equity"], 6),
        "decisions_differing": len(different),
        "decisions": different,
    }
