"""``presage advisor``: forecasts with their reasons, scores beside the market's, calibration, spend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from libs.contract.plain import to_json
from libs.lists.advice import KINDS, Advice, advice_of, pooled_of
from libs.lists.reading import Entry, read_kinds, read_markets
from libs.view import wording
from libs.view.moment import moment
from proto.advisor import Forecast, ModelAnswer, Score
from proto.units import ONE
from tools.cli.commands.tape import history_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, errors, run
from tools.exit_codes import UsageError
from tools.system.installation import tape_access

LIMIT = 10
NAME_WIDTH = 30

Limit = Annotated[int, typer.Option("--limit", min=0, help="The newest so many forecasts; 0: all.")]


def advisor(
    limit: Limit = LIMIT,
    save: Annotated[
        Path | None,
        typer.Option(help="Write all answers into a file as well: `backtest --answers` asks nobody again."),
    ] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Show the advisor's forecasts and reasons, scores beside the market's, calibration and spend."""

    async def work() -> tuple[Advice, dict[str, str], str]:
        async with tape_access(state) as (installation, link):
            history = history_of(installation, link)
            reading = await read_kinds(history, KINDS)
            if save is not None:
                _save(reading.entries, save)
            markets = await read_markets(history)
            titles = {name: wording.market(market) for name, market in markets.items()}
            return advice_of(reading.entries), titles, reading.source

    found, titles, source = run(work())
    if limit:
        found.forecasts = found.forecasts[:limit]
    if as_json:
        emit(found.document() | {"source": source})
        return
    if not found.statuses and not found.unanswered:
        console.print(f"No model was asked so far (in {source}). Whether one will be: config/advisor.yaml.")
        return
    _print_forecasts(found, titles)
    _print_scores(found.scores)
    _print_calibration(found.scores)
    _print_spend(found)
    console.print(f"From {source}.", style="dim", highlight=False)


def _save(entries: Sequence[Entry], path: Path) -> None:
    """All answers that anybody was asked for, one a line."""
    answers = [message for _, message in entries if isinstance(message, ModelAnswer) and message.calls]
    try:
        path.write_bytes(b"".join(to_json(answer) + b"\n" for answer in answers))
    except OSError as e:
        raise UsageError(f"expected to write {path}, was {e.strerror}") from e
    errors.print(f"{len(answers)} answers written to {path}.", highlight=False)


def _percent(value: int) -> str:
    return f"{value * 100 / ONE:.1f} %"


def _print_forecasts(found: Advice, titles: dict[str, str]) -> None:
    table = Table(title="Forecasts, newest first", title_justify="left", box=None)
    numbers = ("Pooled", "Forecast", "Price", "Used", "Weight")
    for name in ("At", "Market", *numbers, "Roles, per cent"):
        table.add_column(name, justify="right" if name in numbers else "left")
    for _, forecast in found.forecasts:
        said = _percent(forecast.forecast) if forecast.forecast else forecast.status.value
        table.add_row(
            moment(forecast.at, date=False)[:8],
            Text(wording.shorten(titles.get(forecast.market, forecast.market), NAME_WIDTH)),
            _percent(pooled) if (pooled := pooled_of(forecast)) else "",
            said,
            _percent(forecast.price),
            _percent(forecast.probability),
            f"{forecast.weight / ONE:.2f}",
            Text(_roles(forecast)),
        )
    console.print(table)
    if found.forecasts and found.forecasts[0][1].reasons:
        console.print("Reasons of the newest, in the models' words:")
        for line in found.forecasts[0][1].reasons.splitlines():
            console.print(Text(f"  {wording.clean(line)}"), soft_wrap=True)


def _roles(forecast: Forecast) -> str:
    return ", ".join(
        f"{role.role.replace('_', ' ')} {role.probability * 100 // ONE if role.probability else role.status.value}"
        for role in forecast.roles
    )


def _print_scores(scores: list[Score]) -> None:
    if not scores:
        console.print("No market with a forecast has ended yet: no scores.")
        return
    table = Table(
        title="Scores beside the market's price at the same moments", title_justify="left", box=None
    )
    for name in ("Family", "Forecaster", "Markets", "Brier", "market's", "Log loss", "market's", "Weight"):
        table.add_column(name, justify="left" if name in ("Family", "Forecaster") else "right")
    for score in scores:
        table.add_row(
            Text(score.family),
            Text(f"{score.scope} {score.name}"),
            str(score.count),
            *(
                f"{figure / ONE:.4f}"
                for figure in (score.brier, score.brier_market, score.loss, score.loss_market)
            ),
            f"{score.weight / ONE:.2f}" if score.scope == "pooled" else "",
        )
    console.print(table)


def _print_calibration(scores: list[Score]) -> None:
    for scope, title in (("pooled", "Calibration of the pooled forecasts"), ("calibrated", "As calibrated")):
        found = [score for score in scores if score.scope == scope]
        if found:
            _print_bins(found, title)


def _print_bins(scores: list[Score], title: str) -> None:
    table = Table(title=title, title_justify="left", box=None)
    for name in ("Said", "Happened", "Markets"):
        table.add_column(name, justify="right")
    for tenth in zip(*(score.bins for score in scores), strict=True):
        markets = sum(entry.markets for entry in tenth)
        if markets:
            said = sum(entry.said for entry in tenth) // markets
            happened = sum(entry.happened for entry in tenth) * ONE // markets
            table.add_row(_percent(said), _percent(happened), str(markets))
    console.print(table)


def _print_spend(found: Advice) -> None:
    states = ", ".join(f"{count} {status}" for status, count in found.statuses.items())
    console.print(f"Answers: {states or 'none'}; {found.unanswered} on their way.", highlight=False)
    for why, count in found.details.items():
        console.print(f"  {count} × {wording.clean(why)}", highlight=False, markup=False)
    console.print(
        f"Spent ${found.spent / ONE:.4f} for {found.tokens_in:,} tokens read, {found.tokens_out:,} written and"
        f" {found.searches} searches; ${found.reserved / ONE:.4f} held back.",
        highlight=False,
    )
