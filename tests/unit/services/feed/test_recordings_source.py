"""Recordings as a source, across restarts of the feed."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from libs.runtime.layout import StateLayout
from proto.operator import Session
from services.feed.recording.sessions import PlaybackProgress
from services.feed.sources.recordings import RecordingsSource
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
