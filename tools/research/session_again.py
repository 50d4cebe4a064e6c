"""A session of a state directory beside a backtest over its own recording, with its own settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from proto.message import Message
from proto.subjects import TABLE
from tools.exit_codes import UsageError
from tools.offline.backtest import Backtest
from tools.offline.place import ReplayPlace
from tools.research.comparing import Compared, compare
from tools.research.orders_seen import KINDS, RunSeen
from tools.system.composition import DEFAULT_STRATEGIES

VERDICTS = ("the same", "differs")


async def read_session(history: History) -> RunSeen:
    """The orders of a tape and its archive."""
    seen = RunSeen()
    for record in await history.read_subjects([row.pattern for row in TABLE if row.model in KINDS]):
        try:
            message = decode(record.subject, record.payload)
        except Unreadable:
            continue
        seen.add(message, record.stored_at_ns)
    return seen


def run_again(
    sections: dict[str, dict[str, Any]], strategies: Sequence[str], recordings: Sequence[Path]
) -> RunSeen:
    """A backtest's orders."""
    test = Backtest(sections, strategies)
    seen = RunSeen()

    def observe(_seq: int, _producer: str, _id: str, message: Message) -> None:
        seen.add(message, 0)

    test.observe(observe)
    test.run(recordings)
    return seen


def _recorded(frames: Path) -> list[Path]:
    if not frames.is_dir() or not any(frames.iterdir()):
        raise UsageError(f"expected a recording, or frames in {frames}, was neither")
    return [frames]


async def compare_session(
    place: ReplayPlace, history: History, recordings: Sequence[Path], frames: Path
) -> dict[str, Any]:
    """Compare a session with a backtest over recordings; without any, over what the session recorded or played.

    Raises:
        UsageError: there is no recording, or the tape has no settings.
    """
    run_file = place.layout.read_run()
    paths = list(recordings) or [Path(path) for path in run_file.recordings] or _recorded(frames)
    session = await read_session(history)
    if not session.sections:
        raise UsageError("expected the settings of a session on the tape, was none")
    again = run_again(session.sections, run_file.strategies or DEFAULT_STRATEGIES, paths)
    return document_of(session, again, compare(session, again), paths)


def document_of(session: RunSeen, again: RunSeen, found: Compared, paths: Sequence[Path]) -> dict[str, Any]:
    """The comparison as plain data; money in millionths."""
    same = found.equal == len(found.pairs) and not found.difference
    return {
        "recordings": [str(path) for path in paths],
        "verdict": VERDICTS[not same],
        **found.document(),
        "gaps": [dict(run.gaps) for run in (session, again)],
        "commands": dict(session.commands),
        "sessions": session.sessions,
        "settings_changed": session.changed,
    }
