"""The recorded captures of fifteen-minute windows: what several venues sent at once, a line a frame."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path("polymarket") / "jonahgrigoryan_15m_captures"


def captures(recordings: Path) -> list[Path]:
    """Their folders, in order."""
    return sorted(path.parent for path in (recordings / FOLDER).glob("*/raw_messages.jsonl.gz"))


def rows_of(capture: Path, *sources: str) -> Iterator[dict[str, Any]]:
    """What the recorder noted of each frame of these sources; ``payload`` is the frame's text."""
    with gzip.open(capture / "raw_messages.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if row["source"] in sources:
                yield row


def clob_bodies(recordings: Path) -> Iterator[dict[str, Any]]:
    """Every body of Polymarket's order book, from REST and from the channel."""
    for capture in captures(recordings):
        for row in rows_of(capture, "polymarket_clob"):
            message = json.loads(row["payload"])
            yield from message if isinstance(message, list) else [message]
