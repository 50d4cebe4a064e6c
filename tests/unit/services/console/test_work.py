"""What-ifs that are asked of the evaluator: whatever it answers, or if it does not, the page says something."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg

from services.console import work
from services.console.accounts import Role
from services.console.evaluation_pages import _result
from services.console.work import Job, Work
from tests.support.console_world import PASSWORD, browser, console_over, log_in, session

RESULT = {
    "baseline": {"orders": 5, "profit": -2.5},
    "variants": [
        {
            "outcome": {"orders": 4, "profit": 1.25},
            "profit_difference": 3.75,
            "decisions_differing": 1,
            "decisions": [
                {"at": "10:00", "instrument": "kalshi:X:yes", "baseline": "approved", "changed": "rejected"}
            ],
        }
    ],
}


def texts(job: Job) -> list[str]:
    found = _result(job)
    return [cell["t"] for table in found.values() for row in table["rows"].values() for cell in row["cells"]]


def test_a_result_is_shown_beside_the_baseline():
    job = Job("a", "operator", {"risk.bet_max": "0.01"})
    job.take({"state": "running", "done": 10, "total": 100})
    assert (job.is_over, job.done, job.total) == (False, 10, 100)
    job.take({"state": "done", "result": RESULT})
    assert job.is_over
    assert {"−2.50", "1.25", "+3.75", "rejected"} <= {text.replace("-", "−") for text in texts(job)}


def test_who_is_not_answered_says_so(monkeypatch: pytest.MonkeyPatch):
    job = Job("a", "operator", {"risk.bet_max": "0.01"})
    monkeypatch.setattr(work, "SILENT_S", -1.0)
    assert job.is_over
    assert "no evaluator answers" in job.detail


def test_an_evaluator_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    job = Job("a", "operator", {"risk.bet_max": "0.01"})
    job.take({"state": "running", "done": 10, "total": 100})
    before = job.is_over
    monkeypatch.setattr(work, "GONE_S", -1.0)
    assert (before, job.is_over) == (False, True)
    assert "answers no more" in job.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(
    answer=st.one_of(
        JSON, st.fixed_dictionaries({"state": JSON, "done": JSON, "total": JSON, "result": JSON})
    )
)
def test_no_answer_makes_it_fall(answer: object):
    console_work = Work.__new__(Work)
    console_work.jobs = {"a": Job("a", "operator", {"x": "1"})}
    message = Msg(None, subject="work.answer.console.a", data=json.dumps(answer).encode())
    asyncio.run(console_work._on_answer(message))


def test_without_a_broker_the_page_says_that_nothing_can_be_asked(tmp_path: Path):
    console = console_over(tmp_path, session())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)

    async def ask() -> None:
        async with browser(console) as client:
            token = await log_in(client)
            assert (await client.get("/what-if")).status_code == 200
            form = {"csrf": token, "path": "risk.bet_max", "value": "0.01"}
            answer = await client.post("/what-if", data=form)
            assert answer.status_code == 503
            assert "evaluator" in answer.json()["detail"]
            assert (await client.post("/what-if", data={"path": "x", "value": "1"})).status_code == 403

    asyncio.run(ask())
