"""The newest session of a state directory beside a backtest over its own recording, with its own settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from libs.archive.history import History
from libs.contract.codec import Unreadable, decode
from libs.view import wording
from proto.message import Message
from proto.operator import Session
from proto.subjects import TABLE
from tools.exit_codes import UsageError
from tools.offline.backtest import Backtest
from tools.offline.place import ReplayPlace
from tools.research.comparing import Compared, compare
from tools.research.orders_seen import KINDS, RunSeen
from tools.system.composition import DEFAULT_STRATEGIES

VERDICTS = ("the same", "differs")


async def read_told(history: History) -> list[tuple[Message, int]]:
    """What a tape and its archive say of orders and sessions, each with when it was stored."""
    told: list[tuple[Message, int]] = []
    for record in await history.read_subjects([row.pattern for row in TABLE if row.model in KINDS]):
        try:
            told.append((decode(record.subject, record.payload), record.stored_at_ns))
        except Unreadable:
            continue
    return told


def seen_after(told: Sequence[tuple[Message, int]], left_out: int) -> RunSeen:
    """The orders of all sessions but the first ones."""
    seen, missing = RunSeen(), left_out + 1
    for message, stored_at in told:
        missing -= isinstance(message, Session)
        if missing <= 0:
            seen.add(message, stored_at)
    return seen


def sessions_of_run(names: Sequence[str], played: Sequence[str]) -> int:
    """How many of a tape's newest sessions are the last run's; 0 where they played something else.

    Args:
        names: the recording of each session, empty for one in real time.
        played: the recordings of the last run; where it was stopped, the last ones have no session.
    """
    if not played:
        return 1
    counts = range(min(len(names), len(played)), 0, -1)
    return next((count for count in counts if list(names[-count:]) == list(played[:count])), 0)


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


def _recorded(frames: Path, left_out: int) -> list[Path]:
    if not frames.is_dir() or not any(frames.iterdir()):
        raise UsageError(f"expected a recording, or frames in {frames}, was neither")
    if left_out:
        before = f"those of {wording.counted(left_out, 'session')} before it too"
        raise UsageError(
            f"expected recordings of the newest session alone, was {frames} with {before}: name its files"
        )
    return [frames]


async def compare_session(
    place: ReplayPlace, history: History, recordings: Sequence[Path], frames: Path
) -> dict[str, Any]:
    """Compare the newest session with a backtest over recordings; without any, over what it recorded or played.

    A run that played several recordings is as many sessions, all of which are compared.

    Raises:
        UsageError: there is no recording of it alone, or the tape has no settings.
    """
    run_file = place.layout.read_run()
    played = [Path(path) for path in run_file.recordings]
    told = await read_told(history)
    names = [message.recording for message, _ in told if isinstance(message, Session)]
    count = sessions_of_run(names, [path.name for path in played])
    left_out = max(len(names) - max(count, 1), 0)
    session = seen_after(told, left_out)
    if not session.sections:
        raise UsageError("expected the settings of a session on the tape, was none")
    if not count and not recordings:
        raise UsageError(
            f"expected the newest session to have played {played[0].name}, was {names[-1] or 'one in real time'}:"
            " name its recordings"
        )
    paths = list(recordings) or played[:count] or _recorded(frames, left_out)
    again = run_again(session.sections, run_file.strategies or DEFAULT_STRATEGIES, paths)
    return document_of(session, again, compare(session, again), paths) | {"sessions_left_out": left_out}


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
