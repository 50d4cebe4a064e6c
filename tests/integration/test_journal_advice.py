"""The journal's views of what models were asked, said and cost, over a small hand-made history."""

from collections.abc import AsyncIterator
from decimal import Decimal  # noqa: TID251 - what PostgreSQL's numeric comes as
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from proto.advisor import (
    AnswerStatus,
    Forecast,
    Influence,
    Lesson,
    ModelAnswer,
    Question,
    RoleForecast,
    Score,
    Source,
)
from proto.evaluation import (
    ChangeProposal,
    ChangeStep,
    Edit,
    Finding,
    Revert,
    Ruling,
    SignalChange,
    Tally,
    Verdict,
)
from proto.message import Message
from proto.operator import Command, Verb
from proto.units import ONE, SECOND
from services.journal.definitions import check_definitions
from services.journal.writer import JournalWriter
from tests.support.journal_tape import BEGAN_NS, MARKET, TAPE, YES, record

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]

DAY = 86_400 * SECOND
FAMILY, ROSTER = "btc-above-15m", "r1"


def question(name: str, role: str) -> Question:
    return Question(
        question=name,
        market=MARKET,
        family=FAMILY,
        role=role,
        prompt=f"{role}.1",
        provider="openai",
        model="m",
        text="## Market",
        tokens_max=800,
        reserve=9_000,
        at=BEGAN_NS,
        answer_by=BEGAN_NS + 60 * SECOND,
    )


def answer(name: str, role: str, probability: int | None, cost: int, detail: str = "") -> ModelAnswer:
    return ModelAnswer(
        question=name,
        market=MARKET,
        role=role,
        status=AnswerStatus.FAILED if probability is None else AnswerStatus.FORECAST,
        at=BEGAN_NS + 2 * SECOND,
        probability=probability,
        reasons="" if probability is None else "because",
        sources=() if probability is None else (Source("https://example.org/a", "words"),),
        detail=detail,
        tokens_in=500,
        tokens_out=100,
        cost=cost,
        latency_ms=2_000,
        calls=1,
    )


def forecast(seconds: int, probability: int) -> Forecast:
    return Forecast(
        market=MARKET,
        instrument=YES,
        family=FAMILY,
        roster=ROSTER,
        status=AnswerStatus.FORECAST if probability else AnswerStatus.FAILED,
        influence=Influence.EARNED,
        at=BEGAN_NS + seconds * SECOND,
        expires_at=BEGAN_NS + 900 * SECOND,
        probability=510_000,
        forecast=probability,
        price=500_000,
        weight=100_000,
        outcomes=120,
        roles=(RoleForecast("news", "q1", "news.1", "m", AnswerStatus.FORECAST, probability),),
        reasons="news: because",
    )


def lesson(market: str, *, happened: bool) -> Lesson:
    return Lesson(
        market=market,
        family=FAMILY,
        title="t",
        happened=happened,
        forecast=600_000,
        price=500_000,
        gain=182_322,
        at=BEGAN_NS + 900 * SECOND,
    )


def score(count: int, brier: int) -> Score:
    return Score(
        scope="pooled",
        name=ROSTER,
        family=FAMILY,
        at=BEGAN_NS + count * SECOND,
        count=count,
        brier=brier,
        brier_market=250_000,
        loss=600_000,
        loss_market=693_147,
    )


EDIT = Edit(
    path="signal.momentum.z_min", section="signal.momentum", section_hash="g", old=2 * ONE, new=2_200_000
)


def proposal(name: str, without: Tally | None, changed: Tally | None) -> ChangeProposal:
    return ChangeProposal(
        proposal=name,
        edit=EDIT,
        day="2026-05-13",
        reason="less",
        at=BEGAN_NS,
        expires_at=BEGAN_NS + DAY,
        without=without,
        changed=changed,
        differing=4 if changed else 0,
        detail="" if changed else "no record",
    )


def decision(verb: Verb, name: str) -> Command:
    return Command(verb=verb, nonce=name, expires_at=BEGAN_NS + DAY, proposal=name)


# The third answer comes for a question that has one, as somebody with the advisor's credentials could say it.
HISTORY: tuple[Message, ...] = (
    question("q1", "news"),
    question("q2", "technical"),
    question("q3", "sceptic"),
    answer("q1", "news", 600_000, 1_500),
    answer("q2", "technical", None, 9_000, "timeout: expected an answer within 60 s"),
    answer("q1", "news", 990_000, 0),
    forecast(3, 600_000),
    forecast(4, 0),
    lesson("kalshi:another", happened=False),
    lesson(MARKET, happened=True),
    score(1, 160_000),
    score(2, 200_000),
    Finding(finding="f1", rule="fees", day="2026-05-13", text="t", at=BEGAN_NS, cost=2 * ONE, count=3),
    Finding(
        finding="f1", rule="fees", day="2026-05-13", text="anew", at=BEGAN_NS, cost=3 * ONE, is_enough=False
    ),
    proposal("c1", Tally(profit=-4 * ONE), Tally(profit=-ONE)),
    proposal("c2", None, None),
    decision(Verb.ACCEPT, "c1"),
    decision(Verb.REJECT, "c2"),
    SignalChange(proposal="c1", edit=EDIT, step=ChangeStep.APPLIED, section_hash="h", at=BEGAN_NS),
    Verdict(
        proposal="c1", minutes=5, ruling=Ruling.KEEP, reason="within noise", at=BEGAN_NS, loss=1, limit=2
    ),
    Verdict(
        proposal="c1", minutes=15, ruling=Ruling.REVERT, reason="worse", at=BEGAN_NS, loss=5 * ONE, limit=ONE
    ),
    Revert(proposal="c1", edit=EDIT, reason="worse", at=BEGAN_NS, barred_until=BEGAN_NS + 7 * DAY),
    SignalChange(proposal="c1", edit=EDIT, step=ChangeStep.REVERTED, section_hash="g", at=BEGAN_NS),
)


@pytest_asyncio.fixture
async def sql(empty_database: str, tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    writer = JournalWriter(empty_database, TAPE, tmp_path / "anchors.jsonl")
    await writer.append([record(seq, message) for seq, message in enumerate(HISTORY, 1)])
    await writer.close()
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


async def test_questions_answers_forecasts_scores_and_costs(sql: asyncpg.Connection) -> None:
    asked = await sql.fetch("SELECT question, role, status, probability, detail, cost FROM journal.questions")
    assert [tuple(row) for row in asked] == [
        ("q1", "news", "forecast", Decimal("0.6"), "", Decimal("0.0015")),
        ("q2", "technical", "failed", None, "timeout: expected an answer within 60 s", Decimal("0.009")),
        ("q3", "sceptic", None, None, None, None),
    ]
    found = await sql.fetch("SELECT question, reasons, requests, latency_ms FROM journal.answers")
    assert [tuple(row) for row in found] == [("q1", "because", 1, 2_000), ("q2", "", 1, 2_000)]
    made = await sql.fetch("SELECT status, forecast, price, weight, happened, gain FROM journal.forecasts")
    tail = (Decimal("0.5"), Decimal("0.1"), True, Decimal("0.182322"))
    assert [tuple(row) for row in made] == [("forecast", Decimal("0.6"), *tail), ("failed", None, *tail)]
    scored = await sql.fetch("SELECT scope, name, markets, brier, brier_market FROM journal.scores")
    assert [tuple(row) for row in scored] == [("pooled", ROSTER, 2, Decimal("0.2"), Decimal("0.25"))]
    costs = await sql.fetch("SELECT model, status, answers, tokens_in, cost FROM journal.model_costs_by_day")
    assert [tuple(row) for row in costs] == [
        ("m", "failed", 1, 500, Decimal("0.009")),
        ("m", "forecast", 1, 500, Decimal("0.0015")),
    ]
    assert ONE * sum(row["cost"] for row in costs) == 10_500


async def test_findings_proposals_changes_and_rollbacks(sql: asyncpg.Connection) -> None:
    found = await sql.fetch("SELECT finding, text, cost, cases, is_enough FROM journal.findings")
    assert [tuple(row) for row in found] == [("f1", "anew", 3, 0, False)]
    proposed = await sql.fetch(
        "SELECT proposal, path, old, new, profit_without, profit_changed, differing, detail, decision, step"
        " FROM journal.change_proposals"
    )
    change = ("signal.momentum.z_min", 2_000_000, 2_200_000)
    assert [tuple(row) for row in proposed] == [
        ("c1", *change, -4, -1, 4, "", "accept", "reverted"),
        ("c2", *change, None, None, 0, "no record", "reject", None),
    ]
    changes = await sql.fetch("SELECT machine, proposal, step FROM journal.changes")
    assert [tuple(row) for row in changes] == [("signal", "c1", "applied"), ("signal", "c1", "reverted")]
    looks = await sql.fetch(
        "SELECT minutes, ruling, loss, noise_limit, revert_seq, barred_until FROM journal.rollbacks"
    )
    assert [(row["minutes"], row["ruling"], row["revert_seq"]) for row in looks] == [
        (5, "keep", None),
        (15, "revert", len(HISTORY) - 1),
    ]
    assert looks[1]["loss"] == 5
    assert looks[1]["barred_until"].timestamp() == (BEGAN_NS + 7 * DAY) // SECOND


async def test_a_changed_view_of_forecasts_is_found(sql: asyncpg.Connection) -> None:
    assert await check_definitions(sql) == []
    await sql.execute("DROP VIEW journal.scores")
    assert [finding.detail for finding in await check_definitions(sql)] == [
        "expected the view scores, was none"
    ]
