"""Changes that do harm on replayed sessions are taken back within the hour; harmless ones stay."""

from collections.abc import Callable
from pathlib import Path

import pytest

from proto.evaluation import Counterfactual
from tests.support.changed_session import ChangedSession, configuration
from tests.support.harness import synthetic_recording

HOUR_S = 3_600
CHURNING = {
    "signal.eager.repeat_interval_s": "61",
    "signal.eager.change_interval_s": "61",
    # Whatever is bought is sold at once: each trade costs spread and fees.
    "exit.before_close_s": "1000000",
    "risk.time_to_close_min_s": "120",
}
HOLDING = {"signal.eager.repeat_interval_s": "10", "signal.eager.change_interval_s": "10"}
CHURN = "signal.eager.change_interval_s"
HARMLESS = (
    ("exit.stop_loss", 35_000),
    ("exit.first_target", 25_000),
    ("exit.close_retry_s", 3),
    ("exit.rest_target", 60_000),
)
"""Changes without an edge either way: what they cost or bring is chance."""


def loss_of(found: Counterfactual) -> int:
    """What the change has cost so far, in millionths."""
    assert found.without is not None
    assert found.changed is not None
    return found.without.profit - found.changed.profit


MINUTES, MINUTES_SOAK = 7, 58
"""Long enough for the first look, and for all four."""


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_planted_regressions_are_all_taken_back(tmp_path: Path, count: Callable[[int, int], int]):
    """A regression is one whose loss chance does not explain; where it happens to be smaller, the session does not count."""
    sections = configuration(tmp_path, CHURNING)
    after_s: list[int | None] = []
    for seed in range(100, 100 + count(1, 40)):
        recording = synthetic_recording(tmp_path, count(MINUTES, MINUTES_SOAK), seed)
        session = ChangedSession(sections, recording)
        after = session.play(CHURN, 2 + seed % 4)
        if any(loss_of(found) > 3 * found.noise for found in session.found):
            after_s.append(after)
        if len(after_s) == count(1, 20):
            break
    assert len(after_s) == count(1, 20)
    assert all(after is not None and after <= HOUR_S for after in after_s), after_s


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_of_20_harmless_changes_at_most_one_is_taken_back(tmp_path: Path, count: Callable[[int, int], int]):
    sections = configuration(tmp_path, HOLDING)
    reverted = []
    looks = count(1, 4)
    for number in range(count(1, 20)):
        recording = synthetic_recording(tmp_path, count(MINUTES, MINUTES_SOAK), 200 + number)
        session = ChangedSession(sections, recording)
        path, new = HARMLESS[number % len(HARMLESS)]
        after_s = session.play(path, new)
        assert len(session.found) == looks or after_s is not None
        if after_s is not None:
            reverted.append((path, number, session.changed.verdicts[-1].reason))
    assert len(reverted) <= count(0, 1), reverted
