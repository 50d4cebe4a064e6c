"""A recorded session replayed twice side by side, with an accepted change and without; the monitor judges the one by the other.

Both are the machines of the system in one process. The evaluator's part is played here: at each checkpoint it compares the
two runs, which stand at the same moment, by the functions that the evaluator uses.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.config.section import section_hash
from libs.machine.inprocess import InProcess
from libs.machine.machine import Stamp
from libs.operator.desk import opening
from proto.evaluation import ChangeStep, Checkpoint, Counterfactual, ExitChange, SignalChange, Tally, Verdict
from proto.message import Message
from proto.operator import ClockOwner, Command, Mode, Verb
from proto.units import SECOND
from services.execution.claims import claims_of
from services.feed.normalise import DeadFrame
from services.feed.recording.play import play
from services.feed.recording.recording import open_recording, recording_start
from tests.fault.live import CHANGES, EAGER
from tools.offline.what_if.compare import noise_of, trade_differences
from tools.offline.what_if.outcome import Outcome
from tools.system.composition import CONFIG_DIRECTORY, factories, sections

ACCEPTED_AT_S = 60
FAR = 2**62

LIMITS = """
amounts: {exit.stop_loss: {low: 0.001, high: 0.9, step: 0.9}, exit.first_target: {low: 0.001, high: 9.0, step: 9.0},
  exit.rest_target: {low: 0.001, high: 9.0, step: 9.0}}
counts:
  exit.decay_s: {low: 1, high: 86400, step: 86400}
  exit.close_retry_s: {low: 1, high: 60, step: 60}
  signal.eager.repeat_interval_s: {low: 1, high: 600, step: 600}
  signal.eager.change_interval_s: {low: 0, high: 600, step: 600}
"""
"""Wide: what is tested is whether harm is found, not whether the list would have let it through."""


def configuration(folder: Path, settings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The resolved sections of a session that trades often."""
    config = folder / "config"
    if not config.exists():
        shutil.copytree(CONFIG_DIRECTORY, config)
        (config / "signal" / "eager.yaml").write_text("repeat_interval_s: 1\n")
        (config / "eval.yaml").write_text(LIMITS)
    return sections(config, {**CHANGES, **settings}, (EAGER,))


class Run:
    """One of the two: machines, what came of them, and what they said of the change."""

    def __init__(self, document: Mapping[str, Mapping[str, Any]], name: str, started_at: int) -> None:
        self.outcome = Outcome()
        self.runner = InProcess([make() for make in factories((EAGER,)).values()], "t", claims_of)
        self.runner.observers.append(self._observe)
        self.asked: list[Checkpoint] = []
        self.steps: list[tuple[ChangeStep, int]] = []
        self.verdicts: list[Verdict] = []
        self.runner.feed_together(
            opening(
                "t",
                mode=Mode.PLAYBACK,
                clock_owner=ClockOwner.FEED,
                started_at_ns=started_at,
                sections=document,
                recording=name,
            ),
            "operator",
        )

    def _observe(self, seq: int, producer: str, _: str, message: Message) -> None:
        self.outcome.add(message, Stamp(seq, self.runner.now), seq)
        if isinstance(message, Checkpoint):
            self.asked.append(message)
        elif isinstance(message, SignalChange | ExitChange):
            self.steps.append((message.step, message.at))
        elif isinstance(message, Verdict):
            self.verdicts.append(message)

    def tally(self) -> Tally:
        figures = self.outcome.figures()
        return Tally(
            trades=figures.trades,
            orders=figures.orders,
            fills=figures.fills,
            rejections=figures.rejected,
            errors=figures.errors,
            profit=figures.profit,
            drawdown=figures.drawdown,
        )


class ChangedSession:
    """Plays a recording to both runs and accepts ``path`` = ``new`` in one of them after a minute."""

    def __init__(self, document: Mapping[str, Mapping[str, Any]], recording: Path) -> None:
        self._recording = open_recording(recording)
        self._began = recording_start(recording)
        self._document = document
        self.changed = Run(document, self._recording.name, self._began)
        self.without = Run(document, self._recording.name, self._began)
        self.found: list[Counterfactual] = []

    def accept(self, path: str, new: int) -> None:
        section, _, key = path.rpartition(".")
        command = Command(
            verb=Verb.ACCEPT,
            nonce="accept",
            expires_at=FAR,
            proposal="c-1",
            path=path,
            section_hash=section_hash(self._document[section]),
            old=self._document[section][key],
            new=new,
        )
        self.changed.runner.feed(command, "operator")
        assert [step for step, _ in self.changed.steps] == [ChangeStep.APPLIED]

    def play(self, path: str, new: int) -> int | None:
        """Play until the change is taken back, or to the end; after how many seconds it was, or ``None``."""
        accept_at = self._began + ACCEPTED_AT_S * SECOND
        for message in play(self._recording):
            if isinstance(message, DeadFrame):
                continue
            if not self.changed.steps and self.changed.runner.now >= accept_at:
                self.accept(path, new)
            self.without.runner.feed(message)
            self.changed.runner.feed(message)
            if self.changed.asked:
                self._answer(self.changed.asked.pop())
            if len(self.changed.steps) > 1:
                (_, applied), (step, at) = self.changed.steps
                assert step is ChangeStep.REVERTED
                return (at - applied) // SECOND
        return None

    def _answer(self, checkpoint: Checkpoint) -> None:
        differences = trade_differences(self.without.outcome, self.changed.outcome)
        found = Counterfactual(
            proposal=checkpoint.proposal,
            minutes=checkpoint.minutes,
            at=checkpoint.at,
            without=self.without.tally(),
            changed=self.changed.tally(),
            differing=len(differences),
            noise=noise_of(differences),
        )
        self.found.append(found)
        self.changed.runner.feed(found, "eval")
