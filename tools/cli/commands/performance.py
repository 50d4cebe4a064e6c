"""``presage performance`` and ``presage review``: what trading came to."""

from pathlib import Path
from typing import Annotated

import typer

from libs.evaluation.day import DAY_NS
from libs.lists.reading import session_now
from libs.performance.account import Performance
from libs.performance.trades import SPLITS
from tools.cli.commands.tape import history_of
from tools.cli.performance_table import print_performance
from tools.cli.review import review as review_of
from tools.cli.tables import unit_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, run
from tools.offline.evaluation import day_of, name_of
from tools.offline.performance import measure_tape
from tools.system.installation import tape_access

WEEK_DAYS = 7

Since = Annotated[
    str, typer.Option("--since", help="First day, UTC (2026-05-13); the tape's first without it.")
]
Until = Annotated[str, typer.Option("--until", help="Last day, UTC; today without it.")]


def performance(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help=f"Split trades by {', '.join(SPLITS)}; may be repeated."),
    ] = None,
    since: Since = "",
    until: Until = "",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Show what trading came to: returns, risk, and trades by what made them."""
    splits = by or ["strategy"]
    for name in splits:
        if name not in SPLITS:
            raise typer.BadParameter(f"expected {', '.join(SPLITS)}, was {name!r}", param_hint="--by")
    found = run(_measured(state, since, until))
    if as_json:
        emit(found.document())
    else:
        print_performance(console, found, splits, unit_of(state))


def review(
    until: Until = "",
    days: Annotated[
        int, typer.Option("--days", min=1, max=366, help="How many days it looks back.")
    ] = WEEK_DAYS,
    output: Annotated[Path, typer.Argument(help="File to write, - for stdout.")] = Path("-"),
    state: State = DEFAULT_STATE,
) -> None:
    """Write the review of the last week as Markdown."""

    async def measured() -> Performance:
        async with tape_access(state) as (installation, link):
            history = history_of(installation, link)
            last = until
            if not last:
                _, newest = await history.bounds()
                last = name_of(await session_now(link, newest))
            return await measure_tape(history, _days_before(last, days - 1), last)

    text = review_of(run(measured()), unit_of(state))
    if str(output) == "-":
        typer.echo(text, nl=False)
        return
    output.write_text(text)
    console.print(f"{output} written", highlight=False)


def _days_before(day: str, days: int) -> str:
    return name_of(max(day_of(day) - days * DAY_NS, 0))


async def _measured(state: Path, since: str, until: str) -> Performance:
    async with tape_access(state) as (installation, link):
        return await measure_tape(history_of(installation, link), since, until)
