"""Of ``tests.support.samples``: what the evaluation of a day says, and what becomes of it."""

from proto import advisor, evaluation, operator
from proto.units import ONE, SECOND

AT = 1_747_180_800 * SECOND
YES = "kalshi:FED-26MAY-T3.00:yes"
ORDER = "t1-4711-0"

EDIT = evaluation.Edit(
    path="signal.momentum.z_min",
    section="signal.momentum",
    section_hash="9f86d081884c7d65",
    old=2_000_000,
    new=2_200_000,
)
BEFORE = evaluation.Tally(
    trades=12, orders=30, fills=28, rejections=90, errors=2, profit=-4 * ONE, drawdown=6 * ONE
)

EVALUATION = (
    operator.Command(
        verb=operator.Verb.ACCEPT,
        nonce="n4",
        expires_at=AT + 60 * SECOND,
        instrument=YES,
        proposal="c-1",
        path=EDIT.path,
        section_hash=EDIT.section_hash,
        old=EDIT.old,
        new=EDIT.new,
    ),
    operator.Command(
        verb=operator.Verb.RESUME, nonce="n5", expires_at=AT + 60 * SECOND, reason="exits", close_only=True
    ),
    evaluation.Finding(
        finding="2026-05-13-fees-momentum",
        rule="fees",
        day="2026-05-13",
        text="fees and spread take 70 % of the edge",
        at=AT,
        scope="momentum",
        cost=3 * ONE,
        count=14,
        is_enough=False,
        evidence=(evaluation.Evidence(ORDER, 210_000),),
    ),
    advisor.Suggestion(
        proposal="c-1",
        edit=EDIT,
        day="2026-05-13",
        reason="weak breakouts pay fees and win nothing",
        at=AT,
        findings=(evaluation.FindingId("2026-05-13-fees-momentum"),),
        model="claude-haiku-5-5",
        prompt="eval.1",
        question="9f86d081884c7d65",
    ),
    evaluation.ChangeProposal(
        proposal="c-1",
        edit=EDIT,
        day="2026-05-13",
        reason="weak breakouts pay fees and win nothing",
        at=AT,
        expires_at=AT + 86_400 * SECOND,
        findings=(evaluation.FindingId("2026-05-13-fees-momentum"),),
        model="claude-haiku-5-5",
        prompt="eval.1",
        without=BEFORE,
        changed=BEFORE.replace(trades=8, profit=-ONE),
        differing=17,
        detail="simulated",
    ),
    evaluation.SignalChange(
        proposal="c-1",
        edit=EDIT,
        step=evaluation.ChangeStep.REFUSED,
        section_hash="5d41402abc4b2a76",
        at=AT,
        reason="expected the section the proposal was made against",
    ),
    evaluation.ExitChange(
        proposal="c-2",
        edit=EDIT.replace(path="exit.decay_s", section="exit", old=14_400, new=10_800),
        step=evaluation.ChangeStep.REVERTED,
        section_hash="5d41402abc4b2a76",
        at=AT,
        reason="lost more than noise explains",
    ),
    evaluation.Checkpoint(proposal="c-1", edit=EDIT, minutes=15, from_seq=4_711, to_seq=9_800, at=AT),
    evaluation.Counterfactual(
        proposal="c-1",
        minutes=15,
        at=AT,
        without=BEFORE,
        changed=BEFORE.replace(profit=-9 * ONE),
        differing=11,
        noise=ONE,
        detail="simulated",
    ),
    evaluation.Verdict(
        proposal="c-1",
        minutes=15,
        ruling=evaluation.Ruling.REVERT,
        reason="lost 5.00 more than without it; noise explains 3.00",
        at=AT,
        loss=5 * ONE,
        limit=3 * ONE,
    ),
    evaluation.Revert(
        proposal="c-1",
        edit=EDIT,
        reason="lost 5.00 more than without it; noise explains 3.00",
        at=AT,
        barred_until=AT + 7 * 86_400 * SECOND,
    ),
)
