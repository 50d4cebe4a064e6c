"""Changes of settings in a running system: decided on by commands, applied at once, kept over a restart, replayed exactly."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.config.section import section_hash
from libs.contract.codec import encode
from libs.tape.record import ID_HEADER
from proto.evaluation import ChangeProposal, ChangeStep, Edit, SignalChange
from proto.subjects import EVALUATOR
from proto.units import SECOND
from services.signal.strategy import StrategyParams
from tests.fault.live import flowing, presage, trading
from tests.support.harness import caught_up
from tests.support.patient import PatientPublisher
from tools.exit_codes import FAILED
from tools.system.composition import CONFIG_DIRECTORY
from tools.system.system import System

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

PATH = "signal.eager.repeat_interval_s"
PARAMS = StrategyParams(repeat_interval_s=1, change_interval_s=0)
EDIT = Edit(path=PATH, section="signal.eager", section_hash=section_hash(PARAMS.document()), old=1, new=3)
OK = 0
FAR = 2**62
"""Beyond any expiry."""


def configure(state: Path) -> None:
    """The configuration that ``trading`` uses, with a setting of its strategy on the list."""
    folder = state.with_name(f"{state.name}-config")
    shutil.copytree(CONFIG_DIRECTORY, folder)
    (folder / "signal" / "eager.yaml").write_text("repeat_interval_s: 1\n")
    with (folder / "eval.yaml").open("a") as file:
        file.write(f"  {PATH}: {{low: 1, high: 60, step: 5}}\n")


async def propose(system: System, *proposals: tuple[str, Edit]) -> None:
    """Put measured proposals onto the tape, as the evaluator does."""
    link = await system.installation.connect(EVALUATOR)
    publisher = PatientPublisher(link)
    await publisher.start()
    for name, edit in proposals:
        message = ChangeProposal(
            proposal=name, edit=edit, day="2026-05-13", reason="a test says so", at=SECOND, expires_at=FAR
        )
        await publisher.publish(message.subject(), encode(message), {ID_HEADER: f"eval.{name}"})
    await link.close()


async def document(*words: str) -> Any:
    code, said = await presage(*words, "--json")
    assert code == OK, said
    return json.loads(said)


@pytest.mark.asyncio
async def test_a_change_is_decided_on_applied_kept_and_replayed(tmp_path: Path):
    state = tmp_path / "state"
    configure(state)
    at = ("--state", str(state))
    async with trading(state) as (system, tape):
        await flowing(tape, 1)
        stale = EDIT.replace(section_hash="0" * 16)
        await propose(system, ("c-1", EDIT), ("c-2", stale), ("c-3", EDIT))
        listed = (await document("eval", "list", *at))["proposals"]
        assert [(row["proposal"], row["state"], row["measured"]) for row in listed] == [
            (name, "waiting", False) for name in ("c-1", "c-2", "c-3")
        ]
        # Whoever decides on the same change at once: one is applied.
        said = await asyncio.gather(*(presage("eval", "accept", name, *at) for name in ("c-1", "c-2")))
        assert [code for code, _ in said] == [OK, FAILED], said
        assert f"c-1: {PATH} 1 → 3, in force" in said[0][1]
        assert "c-2: refused: expected section 0000" in said[1][1]
        code, words = await presage("eval", "reject", "c-3", "--reason", "no", *at)
        assert (code, words.strip()) == (OK, "c-3: rejected")
        code, words = await presage("eval", "accept", "c-1", *at)
        assert (code, "c-1, which is applied" in words) == (FAILED, True)
        await caught_up(system, tape)
        steps = {m.proposal: m.step for m in tape.of(SignalChange)}
        assert steps == {"c-1": ChangeStep.APPLIED, "c-2": ChangeStep.REFUSED}
        _, words = await presage("eval", "show", "c-3", *at)
        assert "rejected (no)" in words
        await flowing(tape, 1)
        held = yaml.safe_load((state / "overrides.yaml").read_text())
        assert {path: (entry["value"], entry["base"], entry["proposal"]) for path, entry in held.items()} == {
            PATH: (3, 1, "c-1")
        }
    async with trading(state) as (_, tape):
        await flowing(tape, 1)
    rows = {
        f"{row['section']}.{row['key']}": row for row in (await document("config", "show", *at))["settings"]
    }
    assert (rows[PATH]["value"], rows[PATH]["base"], rows[PATH]["proposal"]) == (3, 1, "c-1")
    assert rows["exit.decay_s"]["proposal"] == ""
    # Nothing of it was said again by the second session, and a replay says the same.
    said_once = sorted((m.proposal, m.step) for m in tape.of(SignalChange))
    assert said_once == [("c-1", ChangeStep.APPLIED), ("c-2", ChangeStep.REFUSED)]
    code, words = await presage("replay", *at)
    assert code == OK, words
    unknown, words = await presage("config", "show", "nothing.of.that", *at)
    assert "expected a section or a setting" in words
    assert unknown != OK
