"""The advisor in a whole system: forecasts with reasons on the tape, money, the command, and a replay that asks nobody."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from libs.contract.codec import encode
from libs.runtime.layout import StateLayout
from proto.advisor import AnswerStatus, Forecast, ModelAnswer, Question
from proto.evaluation import ChangeProposal, Finding
from proto.execution import Claim
from proto.subjects import EVALUATOR
from proto.units import ONE
from services.advisor.proposing import ROLE
from tests.support.advised import advised, paid_calls
from tests.support.harness import Tape
from tests.support.paths import ROOT
from tools.exit_codes import UsageError
from tools.offline.recorded_answers import RecordedAnswers
from tools.system.advising import advising_of
from tools.system.composition import CONFIG_DIRECTORY, advisor_sections
from tools.system.options import MarketSource, Options
from tools.system.supervisor import Supervisor
from tools.system.system import System

STOP = "exit.stop_loss"


def presage(command: str, state: Path, *arguments: str) -> dict[str, Any]:
    """A command's JSON, when it ends well."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", command, *arguments, "--json", "--state", str(state)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def find(system: System, tape: Tape) -> None:
    """Say what a day lost, as the evaluator does: the advisor's model is asked what to change."""
    now = tape.messages[-1][0].stored_at_ns
    texts = {"stops": f"every stop came back. May help: {STOP}.", "day": "9 closed trades"}
    link = await system.installation.connect(EVALUATOR)
    for rule, text in texts.items():
        found = Finding(finding=f"newest-{rule}", rule=rule, day="newest", text=text, at=now)
        await link.client.publish(found.subject(), encode(found))
    await link.client.flush()
    await link.close()


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.asyncio
async def test_a_newcomer_sees_forecasts_with_reasons_and_what_they_cost(tmp_path):
    state = tmp_path / "state"
    async with advised(state, evaluator=True) as (system, tape):
        await tape.wait(lambda seen: any(made.forecast for made in seen.of(Forecast)), 300)
        await find(system, tape)
        await tape.wait(lambda seen: bool(seen.of(ChangeProposal)), 300)
        evaluated = await asyncio.to_thread(presage, "eval", state, "run", "--wait", "0")
        paid = await paid_calls(system)
        assert set(paid.values()) == {1}
        advisor = system.reports.latest["advisor"]["advisor"]
        assert advisor["refusal"] == ""
    asked = {question.question for question in tape.of(Question)}
    answers = tape.of(ModelAnswer)
    assert {answer.question for answer in answers} <= asked
    forecasts = [made for made in tape.of(Forecast) if made.status is AnswerStatus.FORECAST]
    assert all(made.weight == 0 and made.probability == made.price and made.reasons for made in forecasts)
    assert not any("advisor" in claim.order for claim in tape.of(Claim))

    assert evaluated["messages"] > 0
    assert any(finding.day == evaluated["day"] for finding in tape.of(Finding))
    proposal = tape.of(ChangeProposal)[0]
    assert proposal.is_measured, proposal.detail
    assert (proposal.edit.path, proposal.edit.old, proposal.edit.new) == (STOP, 30_000, 40_000)
    assert (proposal.prompt, [row.finding for row in proposal.findings]) == ("evaluator.1", ["newest-stops"])
    assert presage("replay", state)["difference"] is None
    # Another model is another question: nobody is asked, and what was decided on forecasts stays as it was.
    asked_elsewhere = presage("replay", state, "--set", "advisor.model=claude-sonnet-5-5")
    assert asked_elsewhere["identical"]
    assert asked_elsewhere["variants"][0]["inserted"] >= 2 * len(
        {question.market for question in tape.of(Question) if question.role != ROLE}
    )
    document = presage("advisor", state, "--limit", "0", "--save", str(tmp_path / "answers.jsonl"))
    assert len(RecordedAnswers.load(tmp_path / "answers.jsonl")) == len(answers)
    assert document["answers"]["count"] == len(answers)
    assert document["spend"]["total"] == pytest.approx(sum(answer.cost for answer in answers) / ONE)
    assert document["forecasts"][-1]["market"] == tape.of(Forecast)[0].market
    assert any(forecast["reasons"] for forecast in document["forecasts"])


@pytest.mark.parametrize("market", [MarketSource.REAL, MarketSource.SYNTHETIC])
def test_without_the_sandbox_nobody_is_asked_unless_it_is_said_who(tmp_path, market: MarketSource):
    assert not advising_of(Options(tmp_path, market=market), advisor_sections()).is_on


def test_a_missing_key_or_package_is_words_and_the_system_goes_on(tmp_path, monkeypatch):
    real = Options(tmp_path, market=MarketSource.REAL)
    sections = advisor_sections(CONFIG_DIRECTORY, {"advisor.provider": "anthropic"})
    monkeypatch.delenv("PRESAGE_ANTHROPIC_KEY", raising=False)
    decided = advising_of(real, sections)
    assert (decided.is_on, decided.note) == (
        False,
        "no advisor: expected a key in PRESAGE_ANTHROPIC_KEY, was none",
    )
    monkeypatch.setenv("PRESAGE_ANTHROPIC_KEY", "secret")
    assert advising_of(real, sections).is_on
    monkeypatch.setattr("tools.system.advising.find_spec", lambda _: None)
    decided = advising_of(Options(tmp_path, market=MarketSource.SANDBOX), advisor_sections())
    assert "pip install 'presage[advisor]'" in decided.note


def test_a_model_on_this_machine_wants_no_key_and_full_influence_no_real_money(tmp_path):
    changes = {"advisor.provider": "openai", "advisor.base_url": "http://127.0.0.1:8080/v1"}
    real = Options(tmp_path, market=MarketSource.REAL)
    assert advising_of(real, advisor_sections(CONFIG_DIRECTORY, changes)).is_on
    full = advisor_sections(CONFIG_DIRECTORY, changes | {"advisor.influence": "full"})
    assert advising_of(real, full).is_on
    with pytest.raises(UsageError, match="earned with real money"):
        advising_of(Options(tmp_path, market=MarketSource.REAL, live=["kalshi"]), full)


def test_keys_reach_the_advisor_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PRESAGE_OPENAI_KEY", "secret")
    layout = StateLayout(tmp_path)
    layout.prepare()
    show = "import os; print(os.environ.get('PRESAGE_OPENAI_KEY', 'none'))"
    names = ("advisor", "feed")
    supervisor = Supervisor(layout, names, {name: [sys.executable, "-c", show] for name in names})
    supervisor.start()
    for child in supervisor.children.values():
        assert child.process is not None
        child.process.wait(150)
    said = {name: (layout.logs / f"{name}.log").read_text().strip() for name in names}
    assert said == {"advisor": "secret", "feed": "none"}
