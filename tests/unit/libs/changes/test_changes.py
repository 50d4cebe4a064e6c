"""Changes of settings: compare-and-set, within the list, once, taken back once, and the configuration's word above all."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.changes.book import ChangeBook, accept, configured, outcome, revert
from libs.changes.limits import AmountRange, ChangeLimits, CountRange, unlistable
from libs.config.section import section_hash
from proto.evaluation import ChangeStep, Edit, ExitChange, Revert
from proto.operator import Command, Verb
from proto.units import SECOND
from services.exit.params import ExitParams
from services.risk.params import RiskParams

PARAMS = ExitParams()
HOUR = 3_600 * SECOND
WEEK = 7 * 24 * HOUR
LIMITS = ChangeLimits(
    amounts={"exit.stop_loss": AmountRange(low=10_000, high=60_000, step=10_000)},
    counts={"exit.decay_s": CountRange(low=3_600, high=86_400, step=3_600)},
)


def command(new: int = 10_800, proposal: str = "c-1", params: ExitParams = PARAMS, **fields: Any) -> Command:
    given: dict[str, Any] = {
        "path": "exit.decay_s",
        "section_hash": section_hash(params.document()),
        "old": params.decay_s,
        "new": new,
    }
    return Command(verb=Verb.ACCEPT, nonce="n", expires_at=1, proposal=proposal, **(given | fields))


def request(proposal: str = "c-1") -> Revert:
    edit = Edit(path="exit.decay_s", section="exit", section_hash="x", old=1, new=2)
    return Revert(proposal=proposal, edit=edit, reason="loss", at=1, barred_until=2)


def test_an_accepted_change_is_applied_once_and_taken_back_once():
    book = ChangeBook(LIMITS)
    done = accept(book, command(), "exit", PARAMS, HOUR)
    assert done.step is ChangeStep.APPLIED
    changed = ExitParams.model_validate(done.document)
    assert changed == PARAMS.model_copy(update={"decay_s": 10_800})
    assert accept(book, command(), "exit", PARAMS, HOUR).step is ChangeStep.REFUSED
    back = revert(book, request(), changed, 2 * HOUR)
    assert (back.step, back.document) == (ChangeStep.REVERTED, PARAMS.document())
    assert back.edit == done.edit
    assert revert(book, request(), PARAMS, 2 * HOUR).step is ChangeStep.REVERT_REFUSED


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"section_hash": "0" * 16}, "expected section"),
        ({"old": 14_399, "new": 14_000}, "expected the old value"),
        ({"new": 14_400}, "expected another value"),
        ({"new": 7_200}, "step of at most 3600"),
        ({"path": "exit.expires_s", "old": 5, "new": 6}, "expected a setting that may change"),
        ({"path": "exit.first_share", "old": 500_000, "new": 600_000}, "expected a setting on the list"),
        ({"path": "", "old": 1, "new": 2}, "expected a setting"),
        ({"path": "exit.none", "old": 1, "new": 2}, "expected a setting"),
        ({"path": "risk.decay_s"}, "expected a setting"),
        ({"path": f"exit.{'x' * 500}", "section_hash": "", "proposal": "p" * 100}, "expected a setting"),
        ({"proposal": "p" * 500}, "expected a proposal's name"),
        ({"proposal": ""}, "expected a proposal that was not applied before"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(wrong: dict[str, Any], why: str):
    book = ChangeBook(LIMITS)
    done = accept(book, command(**wrong), "exit", PARAMS, HOUR)
    assert (done.step, done.document) == (ChangeStep.REFUSED, None)
    assert why in done.reason
    assert not book.changes


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=512)


@given(
    TEXTS,
    st.sampled_from(("exit.decay_s", "exit.stop_loss", "")) | TEXTS,
    TEXTS | st.just(section_hash(PARAMS.document())),
    st.integers(-(2**62), 2**62) | st.just(PARAMS.decay_s),
    st.integers(-(2**62), 2**62) | st.just(10_800),
)
def test_no_command_is_an_exception(proposal: str, path: str, found: str, old: int, new: int):
    """A machine may say what became of any command that can be signed: one that raised would stop the exits."""
    said = command(new, proposal, path=path, section_hash=found, old=old)
    outcome(ExitChange, accept(ChangeBook(LIMITS), said, "exit", PARAMS, HOUR), PARAMS, HOUR)


def test_without_a_list_nothing_is_applied():
    assert accept(ChangeBook(), command(), "exit", PARAMS, HOUR).step is ChangeStep.REFUSED


def test_a_revert_is_allowed_for_an_hour_and_bars_the_same_direction_for_a_week():
    book = ChangeBook(LIMITS)
    changed = ExitParams.model_validate(accept(book, command(), "exit", PARAMS, 0).document)
    assert revert(book, request(), changed, HOUR + 1).step is ChangeStep.REVERT_REFUSED
    assert revert(book, request("unknown"), changed, 1).step is ChangeStep.REVERT_REFUSED
    assert revert(book, request(), changed, HOUR).step is ChangeStep.REVERTED
    assert "last week" in accept(book, command(proposal="c-2"), "exit", PARAMS, HOUR + WEEK - 1).reason
    up = command(18_000, "c-3")
    assert accept(book, up, "exit", PARAMS, 2 * HOUR).step is ChangeStep.APPLIED
    assert accept(book, command(proposal="c-4"), "exit", PARAMS, HOUR + WEEK).step is ChangeStep.APPLIED


def test_a_later_word_is_not_taken_back():
    book = ChangeBook(LIMITS)
    first = ExitParams.model_validate(accept(book, command(), "exit", PARAMS, 0).document)
    again = command(7_200, "c-2", first)
    assert "hour of the section's last change" in accept(book, again, "exit", first, HOUR - 1).reason
    second = accept(book, again, "exit", first, HOUR)
    assert second.step is ChangeStep.APPLIED
    changed = ExitParams.model_validate(second.document)
    assert revert(book, request(), changed, HOUR).step is ChangeStep.REVERT_REFUSED


def test_changes_stand_on_the_configured_value_and_end_with_it():
    book = ChangeBook(LIMITS)
    first = ExitParams.model_validate(accept(book, command(), "exit", PARAMS, 0).document)
    accept(book, command(7_200, "c-2", first), "exit", first, HOUR)
    document, over = configured(book, "exit", PARAMS)
    assert (document["decay_s"], over) == (7_200, [])
    document, over = configured(book, "exit", PARAMS.model_copy(update={"decay_s": 20_000}))
    assert document["decay_s"] == 20_000
    assert [(done.proposal, done.step) for done in over] == [
        ("c-1", ChangeStep.ENDED),
        ("c-2", ChangeStep.ENDED),
    ]
    assert configured(book, "exit", PARAMS) == (PARAMS.document(), [])


def test_limits_of_risk_and_unknown_settings_cannot_be_listed():
    models = {"risk": RiskParams, "exit": ExitParams}
    bad = ["risk.bet_max", "risk.none", "execution.live_venues", "exit.answer_max_s", "exit"]
    counts = {path: CountRange(low=1, high=2, step=1) for path in (*bad, "exit.decay_s", "signal.other.z")}
    assert [path for path, _ in unlistable(ChangeLimits(counts=counts), models)] == bad
    assert not RiskParams.changeable
