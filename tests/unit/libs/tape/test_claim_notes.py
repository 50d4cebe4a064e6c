"""The note of claims: what was noted is known to the next process, and the file stays small."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.tape.claim_notes import ClaimNotes

KEPT, LINES_MAX = 10, 20


def notes(file: Path) -> ClaimNotes:
    return ClaimNotes(file, KEPT, LINES_MAX)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_the_newest_are_known_to_every_later_process_and_the_file_is_bounded(
    tmp_path_factory: pytest.TempPathFactory, runs: list[int]
) -> None:
    file = tmp_path_factory.mktemp("claims") / "execution.log"
    said: list[str] = []
    for number in runs:
        kept = notes(file)
        for order in said[-KEPT:]:
            assert kept.nonce_of(order) == f"nonce-{order}"
        for _ in range(number):
            order = f"t-{len(said)}-0"
            assert order not in kept
            kept.add(order, f"nonce-{order}")
            said.append(order)
            assert len(file.read_bytes().splitlines()) <= LINES_MAX
        assert not said[:-KEPT] or said[-KEPT - 1] not in kept
        kept.close()
    assert file.stat().st_mode & 0o077 == 0


def test_a_long_file_of_an_earlier_build_is_shortened_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "execution.log"
    file.write_text("".join(f"t-{number}-0 n{number}\n" for number in range(1_000)) + "t-1000-0 cut")
    kept = notes(file)
    assert (kept.nonce_of("t-999-0"), kept.nonce_of("t-1000-0"), kept.nonce_of("t-500-0")) == (
        "n999",
        "cut",
        None,
    )
    assert len(file.read_bytes().splitlines()) == KEPT
    kept.close()


def test_a_line_that_was_cut_short_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    file = tmp_path / "execution.log"
    file.write_text("t-1-0 cu")
    kept = notes(file)
    kept.add("t-2-0", "whole")
    kept.close()
    again = notes(file)
    assert again.nonce_of("t-2-0") == "whole"
    again.close()


def test_a_file_that_cannot_be_written_anew_goes_on_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "execution.log"
    kept = notes(file)

    def refused(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", refused)
    for number in range(3 * LINES_MAX):
        kept.add(f"t-{number}-0", "n")
    kept.close()
    assert len(file.read_bytes().splitlines()) == 3 * LINES_MAX
    monkeypatch.undo()
    again = notes(file)
    assert f"t-{3 * LINES_MAX - 1}-0" in again
    assert len(file.read_bytes().splitlines()) == KEPT
    again.close()
