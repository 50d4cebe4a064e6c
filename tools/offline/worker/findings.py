"""An evaluated day as messages, and a measured change in words."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from libs.bounded import cut
from proto.evaluation import Evidence, Finding
from proto.message import as_name, as_text
from proto.units import ONE, SECOND, as_money

DIFFERING_MIN = 20
"""Fewer decisions that differ are too few to tell."""


def name_of(at: int) -> str:
    """The day of a moment, as its date."""
    return datetime.fromtimestamp(at // SECOND, UTC).date().isoformat()


def bounds_of(day: str) -> tuple[str, str]:
    """The first and last moment of a day, as a what-if takes them; the whole tape for what is no date."""
    try:
        datetime.fromisoformat(day)
    except ValueError:
        return "", ""
    return f"{day}T00:00:00", f"{day}T23:59:59"


def findings_of(document: Mapping[str, Any], now: int) -> Iterator[Finding]:
    """The findings of an evaluated day."""
    day = document["day"]
    for found in document["findings"]:
        yield Finding(
            finding=as_name(f"{day}-{found['rule']}-{found['topic']}"),
            rule=found["rule"],
            day=day,
            text=as_text(found["text"]),
            at=now,
            scope=as_text(found["topic"]),
            cost=as_money(round(found["cost"] * ONE)),
            count=found["cases"],
            is_enough=found["is_enough"],
            evidence=tuple(Evidence(as_name(name)) for name in found["evidence"]),
        )


def words_of(result: Mapping[str, Any]) -> str:
    """What a measured change came to, in a sentence: one that makes its own day worse is shown as such."""
    more = result["changed"]["profit"] - result["without"]["profit"]
    differing = result["differing"]
    if not differing:
        return "it changes nothing on this day"
    way = "worse" if more < 0 else "better" if more > 0 else "no different"
    few = f"; {differing} decisions differ, too few to tell" if differing < DIFFERING_MIN else ""
    within = "; within the noise of the trades that differ" if abs(more) < 2 * result["noise"] else ""
    return cut(f"{way} on its own day{few}{within}", 400)
