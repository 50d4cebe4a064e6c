"""``python -m services.monitor.notify.why_process --state DIR ID``: a chain of causes in short lines.

A process of its own: reading a tape's causes takes seconds of a core, which the monitor has better use for.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.archive.segment import ArchiveDamaged
from libs.explain.chain import find_chain
from libs.explain.why import SeveralMeant
from libs.runtime.layout import StateLayout
from libs.tape.connection import open_link
from libs.tape.errors import TapeError
from libs.view.check_words import check_label, check_number
from libs.view.wording import clean
from proto.units import show

NICENESS = 10
SERVICE = "monitor"
LINES_MAX = 40
_AMOUNTS = ("quantity", "price", "fair_value", "edge", "bid", "ask", "filled", "fee")
_WORDS = ("side", "status", "reason", "text")


def lines_of(chain: list[dict[str, Any]]) -> list[str]:
    """One line a message of the chain, with the milliseconds since the first; failed checks below their rejection."""
    out: list[str] = []
    for step in chain:
        payload = step["payload"] or {}
        parts = [clean(str(payload[name])).replace("_", " ") for name in _WORDS if payload.get(name)]
        parts += [
            f"{name.replace('_', ' ')} {show(int(payload[name]))}" for name in _AMOUNTS if payload.get(name)
        ]
        offset = (step["stored_at"] - chain[0]["stored_at"]) / 1e6
        kind = ".".join(step["subject"].split(".")[:2])
        out.append(f"+{offset:,.0f} ms {kind}: {', '.join(parts)}".rstrip(": "))
        out += [f"    {_check(check)}" for check in payload.get("failed", ())]
    return out[:LINES_MAX]


def _check(check: Any) -> str:
    name, limit, value = (
        (check["name"], check["limit"], check["value"]) if isinstance(check, dict) else check[:3]
    )
    return f"{check_label(name)}: {check_number(name, int(value))}, limit {check_number(name, int(limit))}"


async def explain(state: Path, name: str) -> str:
    """The chain in words, or why there is none."""
    layout = StateLayout(state)
    link = await open_link(layout.read_run().broker_url, SERVICE, layout.password(SERVICE))
    try:
        chain = await find_chain(History(link, Archive(layout.archive)), name)
    except (SeveralMeant, ArchiveDamaged, TapeError) as e:
        return str(e)
    finally:
        await link.close()
    return "\n".join(lines_of(chain)) or "the tape knows nothing of that name"


def main() -> int:
    """Explain, and write."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    _, state, name = sys.argv[1:4]
    sys.stdout.write(asyncio.run(explain(Path(state), name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
