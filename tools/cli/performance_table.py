"""Performance for people: the account in lines, its figures, and trades split as wanted, as tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from libs.performance.account import Performance
from libs.view import wording
from libs.view.figures import HEADINGS, account_lines, cells, figure_rows
from tools.cli.tables import table
from tools.offline.performance import title_of


def print_performance(console: Console, found: Performance, splits: Sequence[str], unit: str) -> None:
    """Print the account, its figures, and trades split by each of ``splits``."""
    console.print(f"{title_of(found)} (UTC)", style="bold", highlight=False)
    for line in account_lines(found, unit):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()
    made = table("figure", "value", "samples>")
    for row in figure_rows(found):
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)
    for name in splits:
        console.print()
        shown = table(name, *HEADINGS)
        parts = found.by(name)
        for key, figures in parts.items():
            shown.add_row(*(Text(cell) for cell in cells(key, figures, unit)))
        if len(parts) != 1:
            shown.add_row(*(Text(cell) for cell in cells("all", found.total(), unit)), style="bold")
        console.print(shown)
    notes(console, found)


def notes(console: Console, found: Performance) -> None:
    """What the figures leave out."""
    if found.open_trades:
        console.print(
            f"{wording.counted(found.open_trades, 'position')} still open: in equity, not among the trades.",
            style="dim",
            highlight=False,
        )
    if found.left_out:
        console.print(f"{found.left_out:,} rows beyond what is kept were left out.", style="yellow")
