"""What the tape asks of the evaluator: only what may be changed, and so much a day, whoever speaks."""

from typing import cast

import pytest

from libs.archive.history import History
from libs.changes.limits import ChangeLimits
from libs.evaluation.day import DAY_NS
from proto.advisor import Suggestion
from proto.evaluation import Edit
from proto.units import ONE
from tools.offline.worker.tape_work import OLD_S, SUGGESTIONS_A_DAY_MAX, TapeWork
from tools.system.composition import sections

NOW = 20_000 * DAY_NS
STOP = "exit.stop_loss"


def suggestion(path: str = STOP, old: int = 30_000, new: int = 40_000, day: str = "2024-10-04") -> Suggestion:
    edit = Edit(path=path, section=path.rpartition(".")[0], section_hash="x", old=old, new=new)
    return Suggestion(proposal="p", edit=edit, day=day, reason="", at=NOW)


@pytest.fixture
def work() -> TapeWork:
    """One that has read the list of what may be changed, and nothing else."""
    made = TapeWork(cast("History", None))
    made.limits = ChangeLimits.model_validate(sections()["eval"])
    return made


def test_what_may_not_be_changed_is_not_measured(work: TapeWork):
    assert work.refusal(suggestion(), NOW) == ""
    assert "expected a setting on the list" in work.refusal(suggestion("risk.bet_max", 1, ONE), NOW)
    assert "expected a step" in work.refusal(suggestion(new=60_000), NOW)
    work.limits = None
    assert "expected a list" in work.refusal(suggestion(), NOW)


def test_days_of_the_senders_making_are_no_way_round_the_bound(work: TapeWork):
    refusals = [work.refusal(suggestion(day=f"d{n}"), NOW) for n in range(SUGGESTIONS_A_DAY_MAX + 5)]
    assert [bool(why) for why in refusals] == [False] * SUGGESTIONS_A_DAY_MAX + [True] * 5
    assert work.refusal(suggestion(), NOW + DAY_NS) == ""


def test_what_nobody_waits_for_any_more_is_old():
    assert not TapeWork.is_old(suggestion(), NOW + OLD_S * 10**9)
    assert TapeWork.is_old(suggestion(), NOW + OLD_S * 10**9 + 1)
