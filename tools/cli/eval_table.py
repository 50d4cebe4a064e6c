"""What the leak rules say of a day, for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from libs.evaluation.finding import CASES_MIN, COUNT_MIN, dollars
from libs.view.moment import moment
from proto.units import SECOND
from tools.offline.evaluation import Evaluated

EVIDENCE_SHOWN = 2


def print_evaluated(console: Console, found: Evaluated) -> None:
    """Print the day in a line, the findings as a table, and what the other rules came to."""
    day, report = found.day, found.report
    if not day.messages:
        console.print(f"{found.name}: nothing happened.", markup=False, highlight=False)
        return
    minutes = (day.ended_at - day.began_at) // (60 * SECOND)
    console.print(
        f"{found.name}, {moment(day.began_at)[:16]} to {moment(day.ended_at)[:16]} UTC ({minutes} minutes): "
        f"{len(day.trades)} closed trades, profit {dollars(day.profit)} after {dollars(day.fees)} of fees; "
        f"{len(day.entries)} entries let in, {len(day.refused)} refused.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if report.findings:
        console.print(_table(found))
        text = "Costs are estimates for the time above. The chain of an id: presage why ID."
        if not all(finding.is_enough for finding in report.findings):
            text += f" With ?: fewer than {COUNT_MIN} cases, a hint and no more."
        console.print(text, style="dim", highlight=False)
    else:
        console.print("No leak was found.")
    if report.clear:
        console.print(f"Nothing found by: {', '.join(report.clear)}.", style="dim", highlight=False)
    if report.not_enough:
        few = ", ".join(f"{name} ({count})" for name, count in report.not_enough.items())
        console.print(f"Fewer than {CASES_MIN} cases, so nothing said: {few}.", style="dim", highlight=False)
    if day.left_out:
        console.print(f"{day.left_out} rows beyond what a day may have were left out.", style="yellow")


def _table(found: Evaluated) -> Table:
    table = Table("Leak", "Of", "Cost", "Cases", "What was found", "Look at", box=None, pad_edge=False)
    for finding in found.report.findings:
        table.add_row(
            finding.rule,
            Text(finding.topic),
            Text(dollars(finding.cost), justify="right"),
            Text(f"{finding.cases}{'' if finding.is_enough else '?'}", justify="right"),
            Text(finding.text),
            Text("\n".join(finding.evidence[:EVIDENCE_SHOWN])),
        )
    return table
