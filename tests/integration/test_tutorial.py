"""The tutorial's session: the script that recorded it still works, and the page shows what it types."""

import re
import shutil
from pathlib import Path

import pytest

from tests.fault.live import CHANGES, EAGER
from tests.support.cluster import with_cluster
from tools.generate import tutorial
from tools.generate.tutorial import STEPS, UP, UP_WORDS, Recorder, SessionFailed, as_example, blocks_of
from tools.system.composition import CONFIG_DIRECTORY

PAGE = (tutorial.ROOT / tutorial.PAGE).read_text()
BLOCKS = blocks_of(PAGE)


@pytest.mark.parametrize("block", [*dict.fromkeys(step.block for step in STEPS), UP])
def test_the_page_shows_what_the_script_types_and_waits_for(block: str):
    shown = re.findall(r"^ {4}\$ presage (.*)$", BLOCKS[block], re.MULTILINE)
    typed = [step.command for step in STEPS if step.block == block] or ["up --headless"]
    steps = [step.words for step in STEPS if step.block == block] or [UP_WORDS]
    assert [re.sub(r"\b\d+-\d+$", "ORDER", command) for command in shown] == typed
    answers = re.split(r"^ {4}\$ presage .*$", BLOCKS[block], flags=re.MULTILINE)[1:]
    for answer, words in zip(answers, steps, strict=True):
        assert [word for word in words if word not in answer] == []


def test_what_differs_between_installations_is_an_example():
    said = "order c33ede66-12665-0, c33ede66:signal:12664:0, stopped: process 312 has ended, " + "f" * 64
    assert as_example(said) == (
        "order a1b2c3d4-12665-0, a1b2c3d4:signal:12664:0, stopped: process 4711 has ended, "
        + "0123456789abcdef" * 4
    )


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_session_can_be_recorded(tmp_path: Path):
    """With a strategy and a market that trade at once, so that a quarter of an hour is over in seconds."""
    shutil.copytree(CONFIG_DIRECTORY, tmp_path / "config")
    (tmp_path / "config" / "signal" / "eager.yaml").write_text("repeat_interval_s: 1\n")
    with_cluster(tmp_path / tutorial.STATE / "postgres")
    sets = [argument for name, value in CHANGES.items() for argument in ("--set", f"{name}={value}")]
    options = ["--market", "synthetic", "--strategy", EAGER, "--config", str(tmp_path / "config"), *sets]
    picture = tmp_path / "view.svg"
    blocks = Recorder(tmp_path, options, quarter_s=0.0, picture=picture, report=lambda _: None).record()
    assert set(blocks) == set(BLOCKS)
    assert "PRESAGE" in picture.read_text()
    page = tutorial.with_blocks(PAGE, blocks)
    assert blocks_of(page).keys() == blocks.keys()
    assert all(blocks[name] in page for name in blocks)


def test_a_command_that_fails_ends_the_recording(tmp_path: Path):
    with pytest.raises(SessionFailed, match=r"expected presage status to end with 0, was 2"):
        Recorder(tmp_path)._types(STEPS[0])
