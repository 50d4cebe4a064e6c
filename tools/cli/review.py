"""The weekly review as Markdown: what was made, by what, what ended how, and the trades to look at."""

from collections.abc import Iterable, Sequence

from libs.evaluation.day import ClosedTrade
from libs.performance.account import Performance
from libs.view import wording
from libs.view.figures import HEADINGS, account_lines, cells, figure_rows
from libs.view.moment import moment
from tools.offline.performance import title_of

EXAMPLES = 5
"""Best and worst trades that are named."""
SPLIT_TITLES = {"strategy": "By strategy", "family": "By family", "venue": "By venue", "exit": "By exit"}


def review(found: Performance, unit: str) -> str:
    """The review of a window, as Markdown that ends with a line break."""
    lines = [f"# Review: {title_of(found)} (UTC)", ""]
    lines += [f"- {line}" for line in account_lines(found, unit)]
    lines += [f"- {wording.counted(len(found.results), 'closed trade')}, {found.open_trades} still open", ""]
    lines += ["## Figures", "", *_table(("figure", "value", "samples"), figure_rows(found)), ""]
    heads = ("", *(heading.rstrip(">") for heading in HEADINGS))
    for name, title in SPLIT_TITLES.items():
        rows = [cells(key, figures, unit) for key, figures in found.by(name).items()]
        rows.append(cells("**all**", found.total(), unit))
        lines += [f"## {title}", "", *_table(heads, rows), ""]
    ordered = sorted(found.trades, key=lambda trade: trade.profit)
    worst = [trade for trade in ordered[:EXAMPLES] if trade.profit < 0]
    best = [trade for trade in ordered[::-1][:EXAMPLES] if trade.profit > 0]
    for title, trades in (("Worst trades", worst), ("Best trades", best)):
        if trades:
            lines += [f"## {title}", "", *_table(_TRADE_HEADS, [_trade(trade, unit) for trade in trades]), ""]
    lines += ["## Days", "", *_table(("day", "profit", "return", "equity"), _days(found, unit)), ""]
    lines += [
        "The chain of causes of a trade: `presage why ID`. Definitions: `docs/reference/performance.md`.",
        "",
    ]
    return "\n".join(lines)


_TRADE_HEADS = ("id", "closed", "strategy", "instrument", "profit", "expected", "ended")


def _trade(trade: ClosedTrade, unit: str) -> Sequence[str]:
    return (
        f"`{trade.id}`",
        moment(trade.closed_at)[:16],
        trade.strategy,
        wording.clean(trade.instrument),
        wording.money(trade.profit, signed=True, unit=unit),
        wording.money(trade.expected, signed=True, unit=unit),
        trade.ended,
    )


def _days(found: Performance, unit: str) -> Iterable[Sequence[str]]:
    for day in found.days:
        yield (
            moment(day.day)[:10],
            wording.money(day.profit, signed=True, unit=unit),
            f"{100 * day.value:+.2f} %".replace("-", wording.MINUS),
            wording.money(day.equity, unit=unit),
        )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    # A name of a venue may hold a bar, which would begin another column.
    lines += [f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |" for row in rows]
    return lines
