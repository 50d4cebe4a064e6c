"""Forecasts over a recording, in one process: a provider that is dead, and answers that were recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.contract.plain import to_json
from proto.advisor import AnswerStatus, Forecast, ModelAnswer, Question
from proto.message import Message
from proto.risk import Approval, Rejection
from proto.units import ONE, SECOND
from proto.venue import Fill
from tests.support.harness import synthetic_recording
from tools.exit_codes import UsageError
from tools.offline.backtest import Backtest
from tools.offline.recorded_answers import NOT_RECORDED, RecordedAnswers
from tools.system.composition import CONFIG_DIRECTORY, advisor_sections, sections

STRATEGIES = ("momentum", "model_edge", "near_certainty")
CHANGES = {"advisor.cycle_s": "100", "advisor.spread_max": "1.0", "signal.model_edge.influence": "full"}
MINUTES, DEAD_MINUTES = 3, 65


class Made(RecordedAnswers):
    """A provider that is made up: ``say`` is its answer to a question."""

    def __init__(self, say: Callable[[Question], ModelAnswer]) -> None:
        super().__init__()
        self.said: list[ModelAnswer] = []
        self._say = say

    def answer_to(self, question: Question, at: int) -> ModelAnswer:
        self.said.append(self._say(question).replace(at=at))
        return self.said[-1]

    def delay_ns(self, question: Question) -> int:
        return 3 * SECOND


def says(question: Question, status: AnswerStatus, **fields: Any) -> ModelAnswer:
    return ModelAnswer(
        question=question.question,
        market=question.market,
        role=question.role,
        status=status,
        at=0,
        latency_ms=3_000,
        calls=1,
        **fields,
    )


def sure(question: Question) -> ModelAnswer:
    return says(question, AnswerStatus.FORECAST, probability=800_000, cost=1_500)


def dead(question: Question) -> ModelAnswer:
    return says(question, AnswerStatus.FAILED, detail="timeout: expected an answer", cost=question.reserve)


def run(
    recording: Path, answers: RecordedAnswers | None, changes: dict[str, str] | None = None
) -> list[Message]:
    """All that stands on the tape of a backtest."""
    given = CHANGES | (changes or {})
    configured = sections(
        overrides={k: v for k, v in given.items() if "advisor" not in k}, strategies=STRATEGIES
    )
    if answers is not None:
        own = {k: v for k, v in given.items() if "advisor" in k}
        configured |= advisor_sections(CONFIG_DIRECTORY, own)
    test, seen = Backtest(configured, STRATEGIES, answers), list[Message]()
    test._runner.observers.append(lambda _, __, ___, message: seen.append(message))
    test.run([recording])
    return seen


def decisions(seen: list[Message]) -> list[tuple[Any, ...]]:
    """What was approved, refused and filled, without the ids, in which sequences stand."""
    found: list[tuple[Any, ...]] = []
    for message in seen:
        if isinstance(message, Approval):
            found.append(
                (message.strategy, message.instrument, message.side, message.price, message.quantity)
            )
        elif isinstance(message, Rejection):
            found.append((message.strategy, message.instrument, message.price, message.failed))
        elif isinstance(message, Fill):
            found.append((message.instrument, message.side, message.price, message.quantity, message.at))
    return found


def of(seen: list[Message], kind: type[Message]) -> list[Any]:
    return [message for message in seen if type(message) is kind]


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_provider_dead_for_an_hour_takes_nothing_but_forecasts(tmp_path: Path, count):
    recording = synthetic_recording(tmp_path, count(MINUTES, DEAD_MINUTES))
    without = run(recording, None)
    provider = Made(dead)
    with_dead = run(recording, provider)
    assert len(of(with_dead, Question)) >= count(3, 12)
    assert not any(forecast.forecast for forecast in of(with_dead, Forecast))
    assert decisions(without)
    assert decisions(with_dead) == decisions(without)
    # The control: one that lives is believed here, and is seen in what was decided.
    assert decisions(run(recording, Made(sure))) != decisions(without)


def test_what_was_recorded_is_free_and_only_what_changed_is_missing(tmp_path: Path):
    recording = synthetic_recording(tmp_path, MINUTES)
    provider = Made(sure)
    first = run(recording, provider)
    assert any(forecast.forecast for forecast in of(first, Forecast))
    file = tmp_path / "answers.jsonl"
    file.write_bytes(b"".join(to_json(answer) + b"\n" for answer in provider.said))
    again = RecordedAnswers.load(file)
    second = run(recording, again)
    assert (again.missing, again.found) == (0, len(provider.said))
    assert decisions(second) == decisions(first)
    assert [made.forecast for made in of(second, Forecast)] == [made.forecast for made in of(first, Forecast)]
    assert all(answer.cost == 0 for answer in of(second, ModelAnswer))
    changed = RecordedAnswers.load(file)
    roles = '[{"role": "base_rate"}, {"role": "technical", "searches_max": 1}, {"role": "news"}]'
    third = run(recording, changed, {"advisor.roles": roles})
    missing = [answer for answer in of(third, ModelAnswer) if answer.detail == NOT_RECORDED]
    assert {answer.role for answer in missing} == {"technical"}
    assert (changed.missing, changed.found) == (len(missing), 2 * len(missing))


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"question": 3}', "x" * 10_000])
def test_a_line_that_is_no_answer_is_named(tmp_path: Path, line: str):
    file = tmp_path / "answers.jsonl"
    file.write_text(f"{line}\n")
    with pytest.raises(UsageError, match="line 1"):
        RecordedAnswers.load(file)
    with pytest.raises(UsageError, match="a file of answers"):
        RecordedAnswers.load(tmp_path / "none")


def test_only_answers_that_somebody_was_asked_for_are_kept():
    lost = ModelAnswer(question="q", market="m", role="news", status=AnswerStatus.FAILED, at=1)
    assert len(RecordedAnswers([lost])) == 0
    assert len(RecordedAnswers([lost.replace(calls=1), lost.replace(calls=1, cost=ONE)])) == 1
