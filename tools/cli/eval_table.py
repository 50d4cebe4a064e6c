"""What the leak rules say of a day, and what would be changed, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from libs.evaluation.finding import CASES_MIN, COUNT_MIN

EVIDENCE_SHOWN = 2


def print_evaluated(console: Console, found: Mapping[str, Any]) -> None:
    """Print the day in a line, the findings as a table, and what the other rules came to."""
    if not found["messages"]:
        console.print(f"{found['day']}: nothing happened.", markup=False, highlight=False)
        return
    console.print(
        f"{found['day']}, {found['from'][:16]} to {found['to'][:16]} UTC ({found['minutes']} minutes): "
        f"{found['trades']} closed trades, profit {dollars(found['profit'])} after {dollars(found['fees'])} of fees; "
        f"{found['entries']} entries let in, {found['refused']} refused.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if found["findings"]:
        console.print(_table(found["findings"]))
        text = "Costs are estimates for the time above. The chain of an id: presage why ID."
        if not all(finding["is_enough"] for finding in found["findings"]):
            text += f" With ?: fewer than {COUNT_MIN} cases, a hint and no more."
        console.print(text, style="dim", highlight=False)
    else:
        console.print("No leak was found.")
    if found["clear"]:
        console.print(f"Nothing found by: {', '.join(found['clear'])}.", style="dim", highlight=False)
    if found["not_enough"]:
        few = ", ".join(f"{name} ({count})" for name, count in found["not_enough"].items())
        console.print(f"Fewer than {CASES_MIN} cases, so nothing said: {few}.", style="dim", highlight=False)
    if found["left_out"]:
        console.print(f"{found['left_out']} rows beyond what a day may have were left out.", style="yellow")


def print_proposals(console: Console, proposals: Sequence[Mapping[str, Any]]) -> None:
    """Print the changes that a model proposes, with what each would have done to the day."""
    table = Table(
        "Proposal", "Setting", "Now", "New", "Profit", "Trades", "Refused", "On this day", "Why", box=None
    )
    for proposal in proposals:
        table.add_row(
            Text(proposal["proposal"]),
            Text(proposal["path"]),
            proposal["old"],
            proposal["new"],
            *(Text(_change(proposal, name), justify="right") for name in ("profit", "trades", "rejections")),
            Text(proposal["detail"]),
            Text(proposal["reason"]),
        )
    console.print("\nProposed changes, each measured on the day (simulated on the paper venue):")
    console.print(table)
    console.print("In full: presage eval show ID. To put one in force: presage eval accept ID.", style="dim")


def _change(proposal: Mapping[str, Any], name: str) -> str:
    """``-3.20 → 1.10``: without and with the change."""
    without, changed = proposal["without"], proposal["changed"]
    if without is None or changed is None:
        return "–"
    if name == "profit":
        return f"{dollars(without[name])} → {dollars(changed[name])}"
    return f"{without[name]} → {changed[name]}"


def dollars(value: float) -> str:
    """Money with its sign before the unit."""
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def _table(findings: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("Leak", "Of", "Cost", "Cases", "What was found", "Look at", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(
            finding["rule"],
            Text(finding["topic"]),
            Text(dollars(finding["cost"]), justify="right"),
            Text(f"{finding['cases']}{'' if finding['is_enough'] else '?'}", justify="right"),
            Text(finding["text"]),
            Text("\n".join(finding["evidence"][:EVIDENCE_SHOWN])),
        )
    return table
