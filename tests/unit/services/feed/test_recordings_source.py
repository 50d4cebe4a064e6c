"""Recordings as a source, across restarts of the feed."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from libs.runtime.layout import StateFileError, StateLayout
from proto.operator import Session
from services.feed.recording.sessions import PlaybackProgress
from services.feed.sources.recordings import RecordingsSource
from services.feed.sources.synthetic import SyntheticSource
from tests.support.samples import SAMPLES


@pytest.mark.asyncio
async def test_a_feed_killed_after_the_end_still_reports_that_it_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = next(sample for sample in SAMPLES if isinstance(sample, Session))
    layout = StateLayout(tmp_path)
    PlaybackProgress(layout).finish(session, 7)

    async def opened(*_: object) -> AsyncIterator[tuple[int, Session]]:
        yield 1, session

    monkeypatch.setattr("services.feed.sources.recordings.opened_sessions", opened)
    run = SimpleNamespace(recordings=[], lockstep=False, tape=session.tape)
    context = SimpleNamespace(layout=layout, run=run, link=None, verifier=None)
    source = RecordingsSource(context, output=None)
    await source.run()
    assert source.detail == f"played {session.recording}"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": "x"}'])
def test_a_cut_note_of_what_was_played_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "feed.json").write_text(content)
    with pytest.raises(StateFileError, match=r"expected .*feed\.json"):
        PlaybackProgress(StateLayout(tmp_path))


@pytest.mark.asyncio
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"at": "x"}'])
async def test_a_cut_state_of_the_synthetic_market_is_refused_by_its_name(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "synthetic.json").write_text(content)
    with pytest.raises(StateFileError, match=r"expected .*synthetic\.json.* remove it"):
        await SyntheticSource(7, StateLayout(tmp_path), output=None).run()
