"""Backtest: the machines of live trading in one process, without a broker."""

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from libs.contract.codec import encode
from libs.machine.inprocess import InProcess, Observer
from libs.operator.desk import opening
from proto.advisor import Question
from proto.execution import Claim
from proto.message import Message
from proto.operator import ClockOwner, Mode, Prices
from proto.subjects import MACHINE_ORDER
from proto.units import later
from services.execution.claims import claims_of
from services.feed.normalise import DeadFrame
from services.feed.recording.play import play
from services.feed.recording.recording import open_recording, recording_start
from tools.offline.recorded_answers import RecordedAnswers
from tools.system.composition import DEFAULT_STRATEGIES, factories
from tools.system.summary import Summary

TAPE = "backtest"
FEED = "feed"
MODELS = "models"
"""Who answers the advisor's questions."""
PROGRESS_EVERY = 5_000

Progress = Callable[[int, int], None]
"""Called now and then with recordings done and messages fed."""


class DecodedSession(NamedTuple):
    """A recording as the messages the feed makes of it, for many runs; nobody may change them."""

    name: str
    started_at: int
    messages: list[Message]


def decode_recordings(recordings: Sequence[Path]) -> list[DecodedSession]:
    """Read recordings once."""
    return [
        DecodedSession(
            recording.name,
            recording_start(path),
            [message for message in play(recording) if not isinstance(message, DeadFrame)],
        )
        for path, recording in ((path, open_recording(path)) for path in recordings)
    ]


class Backtest:
    """One run over recordings; ``summary`` is complete after ``run``."""

    def __init__(
        self,
        sections: Mapping[str, Mapping[str, Any]],
        strategies: Sequence[str] = DEFAULT_STRATEGIES,
        answers: RecordedAnswers | None = None,
    ) -> None:
        self.summary = Summary()
        self.elapsed_s = 0.0
        self._sections = sections
        self._runner = InProcess([make() for make in factories(strategies).values()], TAPE, claims_of)
        self._runner.observers.append(self._observe)
        self._input_at_s = 0.0
        self._answers = answers
        self._asked: list[tuple[int, int, Question]] = []
        """Questions without an answer: when it comes (session time), which was asked first, and the question."""

    @property
    def now(self) -> int:
        """Session time in nanoseconds."""
        return self._runner.now

    def observe(self, observer: Observer) -> None:
        """Have something called for each message that goes onto the tape."""
        self._runner.observers.append(observer)

    def _observe(self, seq: int, producer: str, _: str, message: Message) -> None:
        self.summary.add(seq, message)
        if type(message) is Question and self._answers is not None:
            due_at = later(self._runner.now, self._answers.delay_ns(message))
            heapq.heappush(self._asked, (due_at, seq, message))
        if producer == FEED:
            return
        if producer in MACHINE_ORDER:
            self.summary.outputs.add(TAPE, producer, message.subject(), encode(message))
        elif type(message) is Claim:
            self.summary.latencies_ms.append((time.perf_counter() - self._input_at_s) * 1e3)

    def run(self, recordings: Sequence[Path], progress: Progress = lambda _, __: None) -> None:
        """Play the recordings one after another, one session each."""
        began = time.perf_counter()
        for number, path in enumerate(recordings):
            recording = open_recording(path)
            self._open_session(recording.name, recording_start(path))
            self._feed(play(recording), number, progress)
        self.elapsed_s = time.perf_counter() - began

    def run_decoded(self, sessions: Sequence[DecodedSession]) -> None:
        """The same with recordings that were read before."""
        began = time.perf_counter()
        for number, session in enumerate(sessions):
            self._open_session(session.name, session.started_at)
            self._feed(iter(session.messages), number, lambda _, __: None)
        self.elapsed_s = time.perf_counter() - began

    def _answer(self) -> None:
        """Give the answers whose time has come."""
        runner, answers = self._runner, self._answers
        assert answers is not None
        while self._asked and self._asked[0][0] <= runner.now:
            runner.feed(answers.answer_to(heapq.heappop(self._asked)[2], runner.now), MODELS)

    def _open_session(self, name: str, started_at_ns: int) -> None:
        messages = opening(
            TAPE,
            mode=Mode.PLAYBACK,
            clock_owner=ClockOwner.FEED,
            started_at_ns=started_at_ns,
            sections=self._sections,
            prices=Prices.RECORDING,
            recording=name,
        )
        self._runner.feed_together(messages, "operator")

    def _feed(self, messages: Iterator[Message | DeadFrame], number: int, progress: Progress) -> None:
        runner = self._runner
        count = 0
        for message in messages:
            if isinstance(message, DeadFrame):
                continue
            self._input_at_s = time.perf_counter()
            runner.feed(message)
            if self._asked:
                self._answer()
            count += 1
            if count % PROGRESS_EVERY == 0:
                progress(number, count)
        progress(number + 1, count)
