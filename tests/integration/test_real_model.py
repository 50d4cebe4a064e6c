"""A real small model on this machine, asked as the advisor asks: it forecasts, or it is on record why not. Outside CI.

``PRESAGE_MODEL_URL`` names an OpenAI-compatible server (``http://127.0.0.1:8080/v1``); docs/concepts/advisor.md says how one
is made. Without it the test is skipped.
"""

import os
from pathlib import Path

import pytest

from bench.forecasts import WINDOWS, polymarket_windows
from bench.real_model import Run, ask_all, changes_for
from proto.advisor import AnswerStatus, Forecast, ModelAnswer
from proto.monitor import Clock
from proto.units import SECOND

LIMIT_S = 600.0
TOKENS = 70


@pytest.mark.model
@pytest.mark.recorded
@pytest.mark.timeout(900)
@pytest.mark.asyncio
async def test_a_real_model_forecasts_or_it_is_on_record_why_not(recordings: Path):
    base_url = os.environ.get("PRESAGE_MODEL_URL", "")
    if not base_url or not (recordings / WINDOWS).is_file():
        pytest.skip("expected PRESAGE_MODEL_URL, the address of a model on this machine, was none")
    window = polymarket_windows(recordings)[0]
    run = Run(changes_for(base_url, "local", TOKENS), int(window.name) - 46)
    run.now = (int(window.name) + 46) * SECOND
    run.list(window)
    run.put(Clock(at=run.now))
    answers: list[ModelAnswer] = []
    await ask_all(run, base_url, LIMIT_S, answers)
    (answer,) = answers
    assert answer.calls == 1
    assert answer.probability is not None or answer.status is AnswerStatus.ABSTAIN or answer.detail
    (forecast,) = [made for made in run.out if isinstance(made, Forecast)]
    assert forecast.weight == 0
    assert forecast.probability == forecast.price
