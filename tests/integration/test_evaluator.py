"""The evaluator beside a running system: asked over the bus and by the tape, and never more than its grants."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.config.section import section_hash
from libs.contract.codec import encode
from libs.operator.desk import OperatorDesk
from libs.tape.connection import Link
from libs.tape.credentials import OPERATOR, WORK_ANSWER, WORK_REQUEST
from proto.advisor import Suggestion
from proto.evaluation import ChangeProposal, ChangeStep, Checkpoint, Counterfactual, Edit, SignalChange
from proto.operator import Command, Config, Verb
from proto.units import ONE, SECOND
from proto.venue import Fill
from tests.fault.rig import BUSY
from tests.support.harness import Tape, running
from tests.support.waiting import until
from tools.system.options import Options
from tools.system.system import System

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_S = 300.0
Z_MIN, EDGE_MIN = "signal.momentum.z_min", "signal.momentum.edge_min"


class Asker:
    """Asks the evaluator as the operator, and keeps what it answers."""

    def __init__(self, link: Link) -> None:
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self._link = link

    async def listen(self) -> None:
        async def heard(message: Any) -> None:
            name = message.subject.rpartition(".")[2]
            self.answers.setdefault(name, []).append(json.loads(message.data))

        await self._link.client.listen(f"{WORK_ANSWER}.{OPERATOR}.>", heard)

    async def ask(self, name: str, **request: Any) -> None:
        body = json.dumps({"id": name, **request}).encode()
        await self._link.client.publish(f"{WORK_REQUEST}.{OPERATOR}", body)

    def states(self, name: str) -> list[str]:
        return [answer["state"] for answer in self.answers.get(name, [])]

    async def outcome(self, name: str) -> dict[str, Any]:
        await until(
            lambda: bool({"done", "failed", "cancelled"} & set(self.states(name))), patience_s=PATIENCE_S
        )
        return self.answers[name][-1]


@asynccontextmanager
async def asking(system: System) -> AsyncIterator[Asker]:
    link = await system.installation.connect(OPERATOR)
    asker = Asker(link)
    await asker.listen()
    try:
        yield asker
    finally:
        await link.close()


async def suggest(system: System, suggestion: Suggestion) -> None:
    """Speak in the advisor's name."""
    link = await system.installation.connect("advisor")
    await link.client.publish(suggestion.subject(), encode(suggestion))
    await link.client.flush()
    await link.close()


def suggestion(tape: Tape, name: str, path: str, old: int, new: int) -> Suggestion:
    section = path.rpartition(".")[0]
    (config,) = (config for config in tape.of(Config) if config.section == section)
    digest = section_hash(config.document)
    edit = Edit(path=path, section=section, section_hash=digest, old=old, new=new)
    now = tape.messages[-1][0].stored_at_ns
    return Suggestion(proposal=name, edit=edit, day="newest", reason="a test says so", at=now)


async def accept(system: System, proposal: ChangeProposal) -> None:
    """Accept a change as the operator."""
    edit = proposal.edit
    async with desk_of(system) as desk:
        await desk.send(
            Command(
                verb=Verb.ACCEPT,
                nonce="accepted",
                expires_at=proposal.at + 3_600 * SECOND,
                proposal=proposal.proposal,
                path=edit.path,
                section_hash=edit.section_hash,
                old=edit.old,
                new=edit.new,
            )
        )


@asynccontextmanager
async def desk_of(system: System) -> AsyncIterator[OperatorDesk]:
    link = await system.installation.connect(OPERATOR)
    desk = OperatorDesk(link, system.installation.operator_signer(), system.tape)
    await desk.start()
    try:
        yield desk
    finally:
        await link.close()


async def look_at(system: System, tape: Tape, proposal: ChangeProposal) -> None:
    """Ask for a counterfactual in the monitor's name."""
    newest = tape.messages[-1][0]
    checkpoint = Checkpoint(
        proposal=proposal.proposal,
        edit=proposal.edit,
        minutes=5,
        from_seq=1,
        to_seq=newest.seq,
        at=newest.stored_at_ns,
    )
    link = await system.installation.connect("monitor")
    await link.client.publish(checkpoint.subject(), encode(checkpoint))
    await link.client.flush()
    await link.close()


def test_it_measures_what_is_asked(tmp_path: Path):
    async def work() -> None:
        options = Options(state=tmp_path / "state", evaluator=True)
        async with running(options, BUSY) as (system, tape), asking(system) as asker:
            await tape.wait(lambda seen: len(seen.of(Fill)) >= 2, PATIENCE_S)
            assert system.evaluator is not None
            await until(lambda: system.reports.latest.get("eval", {}).get("state") == "live")
            await asker.ask("first", kind="what_if", changes={EDGE_MIN: "0.9"})
            await asker.ask("bad", kind="what_if", changes={"risk.nothing": "1"})
            await asker.ask("none", kind="fly")
            await suggest(system, suggestion(tape, "limit", "risk.bet_max", 10_000, ONE))
            await suggest(system, suggestion(tape, "better", Z_MIN, ONE, ONE + 250_000))
            await asker.ask("day", kind="evaluate")

            done = await asker.outcome("first")
            assert done["state"] == "done", done
            assert asker.states("first")[0] == "queued"
            (variant,) = done["result"]["variants"]
            assert variant["set"] == {EDGE_MIN: "0.9"}
            # Nothing has so much edge.
            assert done["result"]["baseline"]["orders"] > variant["outcome"]["orders"] == 0
            assert variant["decisions_differing"] >= len(variant["decisions"]) > 0
            failed = await asker.outcome("bad")
            assert failed["state"] == "failed"
            assert "expected a known key" in failed["detail"]
            assert (await asker.outcome("day"))["result"]["messages"] > 0
            assert asker.states("none") == []

            await tape.wait(lambda seen: bool(seen.of(ChangeProposal)), PATIENCE_S)
            (proposal,) = tape.of(ChangeProposal)
            assert proposal.proposal == "better"
            assert proposal.is_measured, proposal.detail
            assert proposal.without is not None
            assert proposal.without.fills > 0

            # Accepted, and looked at by the monitor: the time since, with the change and without it.
            await accept(system, proposal)
            await tape.wait(lambda seen: bool(seen.of(SignalChange)), PATIENCE_S)
            applied = tape.of(SignalChange)[0]
            assert applied.step is ChangeStep.APPLIED, applied.reason
            seen = len(tape.of(Fill))
            await tape.wait(lambda now: len(now.of(Fill)) > seen, PATIENCE_S)
            await look_at(system, tape, proposal)
            await tape.wait(lambda seen: bool(seen.of(Counterfactual)), PATIENCE_S)
            (answer,) = tape.of(Counterfactual)
            assert (answer.proposal, answer.minutes, answer.detail) == ("better", 5, "")
            assert answer.without is not None
            assert answer.changed is not None
            assert answer.changed.fills > 0
            assert system.reports.latest["eval"]["violations"] == 0
        assert system.evaluator.child.restarts == 0

    asyncio.run(work())
