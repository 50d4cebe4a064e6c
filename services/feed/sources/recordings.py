"""Recordings as a source: one after the other, as the sessions on the tape ask for them."""

from pathlib import Path
from typing import Any

from libs.runtime.service import Context
from proto.operator import Mode, Session
from services.feed.lockstep import Lockstep
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.output import FeedOutput
from services.feed.publish import Pace
from services.feed.recording.play import play
from services.feed.recording.recording import open_recording
from services.feed.recording.sessions import PlaybackProgress, opened_sessions


class RecordingsSource:
    """Plays each recording that a playback session names; after a restart it goes on where it was."""

    def __init__(self, context: Context, output: FeedOutput) -> None:
        self.is_live = False
        self.detail = ""
        self._context = context
        self._output = output
        self._paths = {open_recording(path).name: path for path in map(Path, context.run.recordings)}
        self._progress = PlaybackProgress(context.layout)
        self._lockstep = Lockstep(context.link) if context.run.lockstep else None

    async def run(self) -> None:
        """Wait for sessions and play what they name."""
        context = self._context
        if self._lockstep is not None:
            await self._lockstep.start()
        self.is_live = True
        async for seq, session in opened_sessions(context.link, context.verifier, context.run.tape):
            if session.mode is not Mode.PLAYBACK:
                continue
            if self._progress.finished(session):
                # Killed after the end and before its report: who waits for the end must hear of it all the same.
                self.detail = f"played {session.recording}"
                continue
            path = self._paths.get(session.recording)
            if path is not None:
                await self._play(path, seq, session)

    async def _play(self, path: Path, seq: int, session: Session) -> None:
        """Play one recording; after a restart, from the message after the last one stored."""
        publisher = self._output.publisher
        skip = publisher.counter - self._progress.begin(session, publisher.counter)
        pace = Pace(self._context.run.speed)
        self._output.normalisers = Normalisers()
        self.detail = f"playing {session.recording}"
        if self._lockstep is not None:
            await self._lockstep.wait_until_processed(seq)
        for item in play(open_recording(path), self._output.normalisers):
            if isinstance(item, DeadFrame):
                self._output.keep_dead(item)
                continue
            if skip > 0:
                skip -= 1
                continue
            if self._lockstep is not None:
                await self._lockstep.wait_until_processed(await publisher.publish_stored(item))
            else:
                await pace.wait(item.at)  # type: ignore[attr-defined]
                await publisher.publish(item)
        await publisher.flush()
        self._progress.finish(session, publisher.counter)
        self.detail = f"played {session.recording}"

    def health(self) -> dict[str, Any]:
        """Nothing beyond what every source reports."""
        return {}
