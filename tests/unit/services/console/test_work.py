"""What-ifs that are asked of the evaluator: whatever it answers, or if it does not, the page says something."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg

from proto.operator import Config
from services.console import chain, work
from services.console.accounts import Role
from services.console.evaluation_pages import _result
from services.console.what_if import SETTING_OF_CHECK, setting_of
from services.console.work import Job, Work
from services.risk.params import RiskParams
from tests.support.console_world import PASSWORD, browser, console_over, log_in, session

RESULT = {
    "baseline": {"orders": 5, "profit": -2.5},
    "variants": [
        {
            "outcome": {"orders": 4, "profit": 1.25},
            "profit_difference": 3.75,
            "decisions_differing": 2,
            "decisions": [
                {
                    "at": "10:00",
                    "seq": 7,
                    "instrument": "kalshi:X:yes",
                    "baseline": "approved",
                    "changed": "rejected",
                },
                {
                    "at": "10:05",
                    "seq": 9,
                    "instrument": "kalshi:X:yes",
                    "baseline": "rejected",
                    "changed": "approved",
                },
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


CHAIN = [
    {
        "seq": 7, "role": "asked for", "subject": "risk.rejection.kalshi", "name": "", "stored_at": 1_000_000,
        "since_cause_ms": 1.0, "message_id": "risk:7", "cause": 6,
        "payload": {"failed": [["spread", 10_000, 41_500, False], ["kill_switch", 0, 2_000_000, False]]},
    }
]  # fmt: skip


def _page(folder: Path, user: str, query: str, monkeypatch: pytest.MonkeyPatch) -> str:
    async def chain_of(*_: object) -> object:
        return CHAIN

    monkeypatch.setattr(chain, "explain", chain_of)
    risk = Config(section="risk", document={"spread_max": 10_000}, nonce="n", expires_at=0)
    console = console_over(folder, [*session(), risk])
    console.accounts.set_password(user, PASSWORD, Role(user))
    job = Job("a", "operator", {"risk.spread_max": "0.05"})
    job.take({"state": "done", "result": RESULT})
    console.work.jobs["a"] = job

    async def ask() -> str:
        async with browser(console) as client:
            await log_in(client, user)
            return (await client.get(f"/decisions/7{query}")).text

    return asyncio.run(ask())


def test_the_chain_asks_what_if_the_limit_of_its_check_were_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = _page(tmp_path, "operator", "?path=risk.spread_max&value=0.05&job=a", monkeypatch)
    assert page.count('href="?path=risk.spread_max#what-if"') == 1
    assert page.count('href="?path=') == 1
    assert "(now 0.01)" in page
    assert 'name="back" value="/decisions/7"' in page
    assert "10:00 (this one)" in page
    assert 'href="/decisions/9"' in page


def test_who_looks_sees_what_came_of_it_and_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = _page(tmp_path, "viewer", "?job=a", monkeypatch)
    assert 'action="/what-if"' not in page
    assert "?path=" not in page
    assert "10:00 (this one)" in page


@pytest.mark.parametrize(
    ("back", "led"), [("/decisions/7", "/decisions/7?"), ("", "/what-if?"), ("//evil.example", "/?")]
)
def test_who_asked_is_led_back_to_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: str, led: str
):
    console = console_over(tmp_path, session())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)
    job = Job("a", "operator", {"risk.spread_max": "0.05"})

    async def asked(*_: object) -> Job:
        return job

    monkeypatch.setattr(console.work, "ask", asked)

    async def ask() -> str:
        async with browser(console) as client:
            form = {"csrf": await log_in(client), "path": "risk.spread_max", "value": "0.05"}
            answer = await client.post("/what-if", data=form | ({"back": back} if back else {}))
            return answer.headers["location"]

    assert asyncio.run(ask()) == f"{led}path=risk.spread_max&value=0.05&job=a#what-if"


def test_every_setting_that_a_check_leads_to_is_one(root: Path):
    checks = "".join(path.read_text() for path in (root / "services/risk").glob("*checks.py"))
    for check, key in SETTING_OF_CHECK.items():
        assert f'"{check}"' in checks, check
        assert key in RiskParams.model_fields, key
        assert setting_of(check) == f"risk.{key}"
    assert not setting_of("kill_switch")


def test_every_share_of_equity_that_is_a_limit_is_led_to():
    """All but the one that is among several limits of one check."""
    limits = {name for name in RiskParams.model_fields if name.endswith(("stake_max", "loss_max", "var_max"))}
    limits |= {"heat_max", "shortfall_max", "bet_max"}
    assert limits - set(SETTING_OF_CHECK.values()) == {"anomaly_loss_max"}
