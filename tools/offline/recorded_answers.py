"""Answers of models by the hash of what was asked: what was paid for once is free from then on.

A file of them is JSON Lines, one answer a line, as ``presage advisor --save`` writes it. Who asks something that is not
in it gets an abstention: a changed prompt, another model or another moment is another question.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from pydantic import ValidationError

from libs.bounded import clip
from proto.advisor import AnswerStatus, ModelAnswer, Question
from proto.units import MILLISECOND, Nanoseconds
from tools.exit_codes import UsageError

ANSWERS_MAX = 200_000
"""Answers of one file: a hundred days at the defaults, some hundred megabytes."""
NOT_RECORDED = "not recorded: nobody is asked"


class RecordedAnswers:
    """Answers by their questions; ``found`` and ``missing`` count what was asked for."""

    def __init__(self, answers: Iterable[ModelAnswer] = ()) -> None:
        self.found = 0
        self.missing = 0
        self._answers: dict[str, ModelAnswer] = {}
        for answer in answers:
            self.add(answer)

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, answer: ModelAnswer) -> None:
        """Remember an answer: the first to its question, if anybody was asked at all."""
        if answer.calls:
            self._answers.setdefault(answer.question, answer)

    def answer_to(self, question: Question, at: Nanoseconds) -> ModelAnswer:
        """The recorded answer as of ``at``, for nothing; an abstention where there is none."""
        recorded = self._answers.get(question.question)
        if recorded is None:
            self.missing += 1
            return ModelAnswer(
                question=question.question,
                market=question.market,
                role=question.role,
                status=AnswerStatus.ABSTAIN,
                at=at,
                detail=NOT_RECORDED,
            )
        self.found += 1
        return recorded.replace(market=question.market, role=question.role, at=at, cost=0)

    def delay_ns(self, question: Question) -> Nanoseconds:
        """How long the answer took when it was recorded."""
        recorded = self._answers.get(question.question)
        return 0 if recorded is None else recorded.latency_ms * MILLISECOND

    @classmethod
    def load(cls, path: Path) -> "RecordedAnswers":
        """Read a file of answers.

        Raises:
            UsageError: it cannot be read, or a line is no answer.
        """
        found = cls()
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if number > ANSWERS_MAX:
                        raise UsageError(f"expected at most {ANSWERS_MAX} answers in {path}, was more")
                    found.add(_answer_in(line, f"{path}, line {number}"))
        except (OSError, UnicodeDecodeError) as e:
            raise UsageError(f"expected a file of answers, was {path}: {e}") from e
        return found


def _answer_in(line: str, place: str) -> ModelAnswer:
    try:
        return ModelAnswer.model_validate(msgspec.json.decode(line))
    except (msgspec.DecodeError, ValidationError) as e:
        first = str(e).splitlines()[0]
        raise UsageError(f"expected an answer in {place}, was {clip(line, 80)!r}: {first}") from e
