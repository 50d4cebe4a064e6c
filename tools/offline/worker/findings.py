"""An evaluated day as messages, and a measured change in words."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from libs.bounded import cut
from libs.evaluation.day import DAY_NS
from proto.evaluation import Evidence, Finding
from proto.message import as_name, as_text
from proto.units import ONE, SECOND, as_money

NIGHTLY_NS = 30 * 60 * SECOND
"""After midnight: markets of the day before have paid out."""
DAY_RULE = "day"
"""The finding that sums a day up, and comes last: with it the advisor asks a model."""
TRADES_TOLD = 20
"""Profits of so many trades are told to a model."""
DIFFERING_MIN = 20
"""Fewer decisions that differ are too few to tell."""


def name_of(at: int) -> str:
    """The day of a moment, as its date."""
    return datetime.fromtimestamp(at // SECOND, UTC).date().isoformat()


def day_due(now: int) -> tuple[str, int]:
    """The newest day that is due for evaluation, and its end; nothing before there is a time."""
    began_at = (now - NIGHTLY_NS) // DAY_NS * DAY_NS - DAY_NS
    return ("", 0) if began_at < 0 else (name_of(began_at), began_at + DAY_NS)


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
        help_ = f" May help: {', '.join(found['paths'])}." if found["paths"] else ""
        yield Finding(
            finding=as_name(f"{day}-{found['rule']}-{found['topic']}"),
            rule=found["rule"],
            day=day,
            text=as_text(f"{found['text']}.{help_}"),
            at=now,
            scope=as_text(found["topic"]),
            cost=as_money(round(found["cost"] * ONE)),
            count=found["cases"],
            is_enough=found["is_enough"],
            evidence=tuple(Evidence(as_name(name)) for name in found["evidence"]),
        )
    yield Finding(
        finding=as_name(f"{day}-{DAY_RULE}"),
        rule=DAY_RULE,
        day=day,
        text=as_text(summary_of(document)),
        at=now,
        count=document["trades"],
        evidence=tuple(
            Evidence(as_name(name), as_money(round(profit * ONE))) for name, profit in document["newest"]
        ),
    )


def summary_of(document: Mapping[str, Any]) -> str:
    """A day in a sentence, with how its trades ended and what the newest of them made."""
    ended = ", ".join(f"{count} {reason}" for reason, count in document["ended"].items()) or "none"
    newest = ", ".join(f"{profit:.2f}" for _, profit in document["newest"][-TRADES_TOLD:])
    return (
        f"{document['trades']} closed trades ({ended}), profit {document['profit']:.2f}, expected {document['expected']:.2f}, "
        f"fees {document['fees']:.2f}, slippage {document['slippage']:.2f}; of the newest trades: {newest or 'none'}"
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
