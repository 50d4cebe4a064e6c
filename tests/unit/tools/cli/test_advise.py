"""A second opinion: which answer counts, and what is said of it."""

from typing import Any

import pytest

from libs.lists.reading import Entry
from proto.advisor import AnswerStatus, ModelAnswer, Question
from proto.message import Message
from services.advisor.proposing import ROLE
from tests.support.journal_tape import record
from tools.cli.commands.advise import STOPPED, opinion_in, said

DAY = "2026-05-13"
PROPOSAL = {"proposal": "c-1"}


def question(name: str, day: str = DAY, role: str = ROLE) -> Question:
    return Question(
        question=name,
        market=f"eval:{day}",
        family="evaluation",
        role=role,
        prompt="evaluator.1",
        provider="openai",
        model="m",
        text="t",
        tokens_max=800,
        reserve=9_000,
        at=1,
        answer_by=2,
    )


def answer(name: str, status: AnswerStatus, **fields: Any) -> ModelAnswer:
    return ModelAnswer(
        question=name, market=f"eval:{DAY}", role=ROLE, status=status, at=1, cost=1_500, **fields
    )


def entries(*messages: Message) -> list[Entry]:
    return [(record(seq, message), message) for seq, message in enumerate(messages, 1)]


def test_the_newest_question_of_the_day_and_its_first_answer_count():
    found = opinion_in(
        entries(
            question("q1"),
            answer("q1", AnswerStatus.ABSTAIN),
            question("other", day="2026-05-12"),
            question("q2"),
            question("q3", role="news"),
            answer("q2", AnswerStatus.FORECAST, model="m-1"),
            answer("q2", AnswerStatus.FAILED, detail="forged"),
        ),
        DAY,
    )
    assert found is not None
    assert (found["question"], found["status"], found["model"], found["cost"]) == (
        "q2",
        "forecast",
        "m-1",
        0.0015,
    )
    assert opinion_in(entries(question("q1")), "2026-05-14") is None


@pytest.mark.parametrize(
    ("messages", "proposals", "words"),
    [
        ([question("q")], [], "A model was asked; its answer has not come yet"),
        (
            [question("q"), answer("q", AnswerStatus.ABSTAIN)],
            [],
            "m looked at it for $0.0015: it would change nothing",
        ),
        (
            [question("q"), answer("q", AnswerStatus.FAILED, detail="cut: long")],
            [],
            "of no use (failed, cut: long)",
        ),
        ([question("q"), answer("q", AnswerStatus.FORECAST)], [], "may be changed"),
        ([question("q"), answer("q", AnswerStatus.FORECAST)], [PROPOSAL], "presage eval accept ID (c-1)"),
    ],
)
def test_what_is_said(messages: list[Message], proposals: list[dict[str, Any]], words: str):
    opinion = opinion_in(entries(*messages), DAY)
    assert opinion is not None
    assert words in said(opinion, proposals)


def test_nobody_was_asked():
    assert said({"asked": False, "why": STOPPED}, []) == "No model was asked: the system does not run."
