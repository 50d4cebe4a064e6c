"""What the last replay came to: left by the command, found by the supervisor's metrics."""

from pathlib import Path

import pytest

from libs.runtime.replay_note import note_replay, read_note


@pytest.mark.parametrize("identical", [True, False])
def test_the_outcome_of_a_replay_is_found_again(tmp_path: Path, identical: bool):
    file = tmp_path / "replay.json"
    assert read_note(file) == {}
    note_replay(file, {"identical": identical, "to": 7})
    assert read_note(file)["differs"] is not identical
    assert read_note(file)["to"] == 7


@pytest.mark.parametrize("content", ["", "{", "[]", "7"])
def test_a_note_that_cannot_be_read_says_nothing(tmp_path: Path, content: str):
    file = tmp_path / "replay.json"
    file.write_text(content)
    assert read_note(file) == {}


def test_a_note_without_room_is_lost_and_nothing_else(tmp_path: Path):
    note_replay(tmp_path / "nowhere" / "replay.json", {"identical": True, "to": 7})
