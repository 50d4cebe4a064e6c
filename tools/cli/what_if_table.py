"""A what-if for people: what was recorded, what the machines say unchanged, and each change beside it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

DECISIONS_SHOWN_MAX = 20
_MONEY = ("cash", "equity", "profit", "realised_profit", "fees", "drawdown")


def print_what_if(console: Console, document: Mapping[str, Any]) -> None:
    """Print the table, what the profit is made of, and the first decisions that differ."""
    venues = document["live_venues"]
    for note in document["notes"]:
        console.print(f"{note}: the baseline is this build's", markup=False)
    if document["unstored"]:
        console.print(
            f"left out: {document['unstored']} outputs behind the last one, and the last snapshot, of their machine; "
            "it was stopped before it had stored them",
            soft_wrap=True,
        )
    if venues:
        text = f"orders really went to {', '.join(venues)}; baseline and changes are simulated on the paper venue"
    else:
        text = "every fill is simulated on the paper venue, in the record, the baseline and the changes alike"
    console.print(f"{text}; from {document['from']} to {document['to']}", soft_wrap=True)
    console.print(_table(document))
    for variant in document["variants"]:
        _print_variant(console, variant)


def _table(document: Mapping[str, Any]) -> Table:
    variants = document["variants"]
    recorded = "recorded (real)" if document["live_venues"] else "recorded (paper)"
    table = Table("", recorded, "baseline (simulated)", *(f"{v['name']} (simulated)" for v in variants))
    for name, value in document["recorded"].items():
        columns = [value, document["baseline"][name], *(v["outcome"][name] for v in variants)]
        table.add_row(name, *(_figure(name, column) for column in columns))
    table.add_row("profit against baseline", "", "", *(f"{v['profit_difference']:+.2f}" for v in variants))
    table.add_row("decisions that differ", "", "", *(str(v["decisions_differing"]) for v in variants))
    return table


def _figure(name: str, value: float) -> str:
    return f"{value:.2f}" if name in _MONEY else str(value)


def _print_variant(console: Console, variant: Mapping[str, Any]) -> None:
    parts = ", ".join(f"{cause} {part:+.2f}" for cause, part in variant["profit_by_cause"].items())
    console.print(
        f"\n{variant['name']}: {variant['decisions_differing']} decisions differ, "
        f"profit {variant['profit_difference']:+.2f}{f' ({parts})' if parts else ''}",
        markup=False,
        soft_wrap=True,
    )
    for row in variant["decisions"][:DECISIONS_SHOWN_MAX]:
        console.print(
            f"{row['at']} {row['instrument']}: {row['baseline']} → {row['changed']}",
            markup=False,
            soft_wrap=True,
        )
        for side in ("baseline", "changed"):
            for reason in row["why"][side]:
                console.print(f"    {side}: {reason}", markup=False, soft_wrap=True)
    more = variant["decisions_differing"] - DECISIONS_SHOWN_MAX
    if more > 0:
        console.print(f"and {more} more; --json has them, `presage why ID` the chain of a recorded one")
