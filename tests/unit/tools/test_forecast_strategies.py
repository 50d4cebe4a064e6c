"""The strategies that read forecasts, in a synthetic world, with and without the advisor: where they trade and where not."""

from collections import Counter
from pathlib import Path

import pytest

from proto.advisor import AnswerStatus, ModelAnswer, Question
from proto.message import Message
from proto.signal import Proposal
from tests.support.harness import synthetic_recording
from tests.unit.tools.test_recorded_answers import Made, dead, of, run, says, sure

MINUTES = 5.5
"""The first window of five minutes is nearly decided within it."""
REQUIRE = {"signal.near_certainty.forecasts": "require"}
EARNED = {"signal.model_edge.influence": "earned"}


def agreeing(question: Question) -> ModelAnswer:
    return says(question, AnswerStatus.FORECAST, probability=960_000)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_recording(tmp_path_factory.mktemp("world"), MINUTES)


def certain(seen: list[Message]) -> set[str]:
    """What near certainty would buy."""
    return {p.instrument for p in of(seen, Proposal) if p.strategy == "near_certainty"}


def believed(seen: list[Message]) -> int:
    """How often model edge would buy."""
    return Counter(proposal.strategy for proposal in of(seen, Proposal))["model_edge"]


@pytest.mark.timeout(900)
def test_with_and_without_the_advisor(recording: Path):
    without = run(recording, None)
    assert certain(without)
    assert not believed(without), "it needs forecasts"
    silent = run(recording, Made(dead), REQUIRE)
    assert not certain(silent), "it was to have a model's word"
    assert not believed(silent)
    assert not believed(run(recording, Made(sure), EARNED)), "a forecast without a record moves nothing"
    on_paper = run(recording, Made(sure), REQUIRE)
    assert believed(on_paper), "full influence, on paper"
    assert not certain(on_paper), "eighty per cent is not certain"
    agreed = certain(run(recording, Made(agreeing), REQUIRE))
    assert agreed
    assert agreed <= {instrument for instrument in certain(without) if instrument.endswith(":yes")}
