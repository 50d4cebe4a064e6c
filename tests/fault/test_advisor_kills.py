"""The advisor is killed in the middle of its questions: none is paid twice, each gets an answer, and a replay says the same."""

import asyncio
import random
import signal

import pytest

from libs.keys.signing import Verifier
from proto.advisor import AnswerStatus, ModelAnswer, Question
from tests.support.advised import advised, behave, paid_calls
from tests.support.harness import Tape, kill, read_all, readable
from tests.support.waiting import until
from tools.offline.replay import Replay, TapeHistory
from tools.system.system import System

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.fault, pytest.mark.slow, pytest.mark.soak]

SHORT = {
    "advisor.cycle_s": "2",
    "advisor.answer_s": "60",
    "advisor.day_cap": "1000.0",
    "advisor.month_cap": "1000.0",
}


async def one_more_question(tape: Tape) -> None:
    """Wait for a question on the tape: its request may not have left."""
    before = len(tape.of(Question))
    await tape.wait(lambda seen: len(seen.of(Question)) > before, 300)


async def one_more_call(system: System) -> None:
    """Wait until the models have begun with another answer."""
    before = sum((await paid_calls(system)).values())
    async with asyncio.timeout(300):
        while sum((await paid_calls(system)).values()) == before:
            await asyncio.sleep(0.1)


async def kill_and_wait(system: System) -> None:
    """Kill the advisor, and wait until it is live again."""
    child = system.supervisor.children["advisor"]
    restarts = child.restarts
    assert kill(system, "advisor", signal.SIGKILL)
    await until(lambda: child.restarts > restarts and child.pid != 0)
    system.reports.latest.pop("advisor", None)
    back = await system.reports.wait_for(lambda latest: latest.get("advisor", {}).get("state") == "live", 180)
    assert back, system.not_live()


@pytest.mark.timeout(3_600)
@pytest.mark.asyncio
async def test_no_question_is_paid_twice_however_often_the_advisor_is_killed(tmp_path, count):
    kills = count(3, 50)
    chance = random.Random(kills)
    async with advised(tmp_path / "state", SHORT) as (system, tape):
        # Answers take a while. Kills meet questions before, within and after their request.
        await behave(system, delay_s=2.0)
        for number in range(kills):
            await (one_more_call(system) if number % 2 else one_more_question(tape))
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            await kill_and_wait(system)
        await behave(system, mode="ok", delay_s=0.0)

        def is_answered(seen) -> bool:
            asked = {question.question for question in seen.of(Question)[:-12]}
            return asked <= {answer.question for answer in seen.of(ModelAnswer)}

        await tape.wait(is_answered, 300)
        paid = await paid_calls(system)
        assert paid
        assert set(paid.values()) == {1}
        lost = [answer for answer in tape.of(ModelAnswer) if answer.detail.startswith("lost: ")]
        assert all(answer.status is AnswerStatus.FAILED for answer in lost)
        reserves = {question.question: question.reserve for question in tape.of(Question)}
        assert all(answer.cost == reserves[answer.question] for answer in lost)
        answers = [answer.question for answer in tape.of(ModelAnswer)]
        print(f"{kills} kills, {len(answers)} answers, {len(lost)} lost, {sum(paid.values())} computed")
        records = await read_all(system)
        layout = system.installation.layout
    again = Replay(Verifier.load(layout.public_keys), machines=("advisor",))
    again.start(tmp_path / "nowhere", TapeHistory(), 0)
    for record in records:
        assert again.handle(record), again.difference
    again.finish()
    assert again.difference is None
    assert again.compared >= len({question.question for question in tape.of(Question)})
    assert readable(records)
