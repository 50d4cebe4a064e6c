"""Asking the evaluator from outside, and waiting for what comes of an evaluated day."""

import asyncio
import json
import secrets
from collections.abc import Callable
from time import monotonic
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import WORK_ANSWER, WORK_REQUEST
from libs.tape.reader import read_subject
from proto.advisor import ModelAnswer, Question, Suggestion
from proto.evaluation import ChangeProposal
from proto.message import Message, token
from tools.exit_codes import NothingDone
from tools.offline.worker.protocol import CANCEL, DONE, OVER, QUEUED

SILENT_S = 5.0
"""It confirms a request at once; who hears nothing for so long asks nobody."""
GONE_S = 30.0
"""It says every few seconds that it goes on."""
QUESTION_S = 5.0
"""The advisor asks as soon as it has read the day; without a question by then there is nothing new to ask."""
FOLLOWS_S = 2.0
"""From a model's answer to what is suggested: one message later."""
POLL_S = 0.5

Tell = Callable[[str, int, int], None]


class EvaluatorSilent(Exception):
    """No evaluator runs, or it does not answer."""


async def ask(link: Link, user: str, kind: str, tell: Tell, **fields: Any) -> dict[str, Any]:
    """Ask for a job and wait for its result; when this is cancelled, the job is too.

    Raises:
        EvaluatorSilent: nobody confirms the request.
        NothingDone: it failed or was cancelled.
    """
    name = secrets.token_hex(8)
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def heard(message: Msg) -> None:
        answers.put_nowait(json.loads(message.data))

    subscription = await link.client.listen(f"{WORK_ANSWER}.{user}.{name}", heard)
    is_over = False
    try:
        await _send(link, user, {"id": name, "kind": kind, **fields})
        patience_s = SILENT_S
        while True:
            try:
                answer = await asyncio.wait_for(answers.get(), patience_s)
            except TimeoutError as e:
                if patience_s == SILENT_S:
                    raise EvaluatorSilent from e
                is_over = True
                raise NothingDone("expected the evaluator to go on, was silent: ask again") from e
            patience_s = GONE_S
            state = answer["state"]
            is_over = state in OVER
            if state == DONE:
                result: dict[str, Any] = answer["result"]
                return result
            if is_over:
                raise NothingDone(f"expected an answer of the evaluator, was {state}: {answer['detail']}")
            if state != QUEUED:
                tell(answer["what"], answer["done"], answer["total"])
    finally:
        if not is_over:
            await _send(link, user, {"id": name, "kind": CANCEL})
        await link.client.unlisten(subscription)


async def _send(link: Link, user: str, request: dict[str, Any]) -> None:
    try:
        await link.client.publish(f"{WORK_REQUEST}.{user}", json.dumps(request).encode())
    except (nats.errors.Error, OSError) as e:
        raise EvaluatorSilent from e


async def proposals_of(history: History, day: str, after: int, wait_s: float) -> list[ChangeProposal]:
    """The measured changes for a day; those of a question put after a sequence are waited for.

    ``after``: where the evaluation began. What was proposed for the day before counts too.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    deadline = monotonic() + wait_s
    patient_until = monotonic() + min(QUESTION_S, wait_s)
    has_answer = False
    market = token(f"eval:{day}")
    while True:
        questions = await _read(history, f"{Question.kind}.{market}.>", after)
        answers = {a.question for a in await _read(history, f"{ModelAnswer.kind}.{market}.>", after)}
        wanted = [
            suggestion.proposal
            for suggestion in await _read(history, f"{Suggestion.kind}.>", after)
            if suggestion.question in answers
        ]
        made = [p for p in await _read(history, f"{ChangeProposal.kind}.>", 0) if p.day == day]
        is_waiting = any(question.question not in answers for question in questions) or not set(wanted) <= {
            p.proposal for p in made
        }
        now = monotonic()
        if answers and not has_answer:
            # What the advisor makes of it follows at once, but follows.
            has_answer, patient_until = True, now + FOLLOWS_S
        if now >= deadline or (not is_waiting and now >= patient_until):
            return made
        await asyncio.sleep(POLL_S)


async def _read(history: History, pattern: str, after: int) -> list[Any]:
    found: list[Message] = []
    for record in await read_subject(history.link, pattern, after):
        try:
            found.append(decode(record.subject, record.payload))
        except Unreadable:
            continue
    return found


async def position_of(link: Link) -> int:
    """The newest sequence of the tape."""
    return int((await stream_state(link.client))["last_seq"])
