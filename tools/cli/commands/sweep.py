"""``presage sweep``: many backtests with different settings, on all cores; ``presage walk-forward``: whether one is to be believed."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from libs.config.load import parse_sets
from libs.files import write_atomically
from libs.view import wording
from tools.cli.tables import table
from tools.cli.terminal import AsJson, ConfigDirectory, Sets, Strategies, attempt, console, emit, errors
from tools.exit_codes import UsageError
from tools.research.points import parse_vary
from tools.research.sweep_summary import BEST, remarks, summary_of, sweep_page
from tools.research.sweeping import Plan, Results, load_results, sweep
from tools.research.walk import Walk, walk_forward, windows_of
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES, sections

PAGE = "sweep.html"
PERIOD_S = 300

sweep_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Backtests with many settings, on all cores."
)
Folder = Annotated[Path, typer.Argument(help="The sweep's folder.")]


class _Rate(ProgressColumn):
    """Runs a minute."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{60 * task.speed:.0f} runs/min")


@sweep_app.command("run")
def sweep_run(  # noqa: PLR0913, PLR0917  # a parameter is an option
    folder: Annotated[
        Path, typer.Argument(help="Folder for the results; what is there already is not run again.")
    ],
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, in order of time.")],
    vary: Annotated[
        list[str],
        typer.Option("--vary", help="PATH=A,B,C or PATH=LOW:HIGH:STEP; may be repeated: a grid of all."),
    ],
    random: Annotated[
        int, typer.Option("--random", min=0, help="Draw so many points of the grid; 0: all of them.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same points.")] = 7,
    period: Annotated[
        int, typer.Option("--period", min=60, help="Seconds of a period, whose profits are compared.")
    ] = PERIOD_S,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0: one for each core.")] = 0,
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Run backtests with every combination of the varied settings."""

    def work() -> Results:
        given, varied = parse_sets(set_ or []), parse_vary(vary)
        plan = Plan(
            recordings, strategy or list(DEFAULT_STRATEGIES), config, given, varied, random, seed, period
        )
        # A path that does not exist is found before anything runs.
        sections(config, {**given, **{path: values[0] for path, values in varied.items()}}, plan.strategies)
        bar = Progress(
            TextColumn("sweep"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=errors,
            transient=True,
            # The processes are forked from this one: nothing may run beside it then.
            auto_refresh=False,
            disable=as_json or not sys.stderr.isatty(),
        )
        with bar:
            task = bar.add_task("sweep", total=None)
            return sweep(
                plan,
                folder,
                jobs,
                lambda done, total: bar.update(task, completed=done, total=total, refresh=True),
            )

    _show(attempt(work), folder, as_json)


@sweep_app.command("show")
def sweep_show(folder: Folder, as_json: AsJson = False) -> None:
    """Show what a sweep found, also while it runs, and write its page with plots."""
    _show(attempt(lambda: load_results(folder)), folder, as_json)


def _show(results: Results, folder: Path, as_json: bool) -> None:
    summary = summary_of(results)
    attempt(lambda: write_atomically(folder / PAGE, sweep_page(summary).encode()))
    if as_json:
        emit(summary)
        return
    shown = table("settings", "profit>", "fees>", "trades>", "drawdown>")
    for row in summary["rows"][:BEST]:
        cells = (
            ", ".join(f"{name}={value}" for name, value in row["sets"].items()),
            wording.money(row["profit"], signed=True),
            wording.money(row["fees"]),
            f"{row['trades']:,}",
            f"{100 * row['drawdown']:.2f} %",
        )
        shown.add_row(*map(Text, cells))
    console.print(shown)
    lines = remarks(summary)
    if summary["best"] is not None:
        lines.append(f"the best again: {summary['best']['command']}")
    lines.append(f"{folder / PAGE} has all {wording.counted(summary['trials'], 'run')} with plots")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def walk_forward_command(
    folder: Folder,
    windows: Annotated[
        int, typer.Option("--windows", min=1, max=100, help="How often settings are chosen anew.")
    ] = 4,
    embargo: Annotated[
        int | None,
        typer.Option(
            "--embargo", min=0, help="Seconds left out between choosing and testing; else the longest trade."
        ),
    ] = None,
    anchored: Annotated[
        bool, typer.Option("--anchored", help="Choose on all of the past, not on the last part of it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose settings of a sweep on the past alone, and say what they made afterwards, and whether that is an edge."""

    def work() -> tuple[Results, Walk]:
        results = load_results(folder)
        missing = results.outcomes.count(None)
        if missing:
            count = len(results.points)
            raise UsageError(f"expected a finished sweep, was {count - missing:,} of {count:,} runs")
        if not results.done:
            raise UsageError("expected a sweep with a run, was one whose every point was refused")
        trials = results.table()
        period_s = results.plan["period_s"]
        left_out_s = embargo if embargo is not None else max(row.longest_s for row in results.done)
        found = windows_of(len(trials[0]), windows, -(-left_out_s // period_s), anchored=anchored)
        if not found:
            periods = f"{len(trials[0])} periods of {period_s} s"
            raise UsageError(f"expected a recording long enough for {windows} windows, was {periods}")
        return results, walk_forward(trials, found)

    results, walk = attempt(work)
    if as_json:
        emit(walk.document())
        return
    _print_walk(results, walk)


def _print_walk(results: Results, walk: Walk) -> None:
    shown = table("window>", "chosen", "then>", "afterwards>")
    for number, step in enumerate(walk.steps, 1):
        sets = results.done[step.chosen].sets if step.chosen >= 0 else {}
        words = ", ".join(f"{name}={value}" for name, value in sets.items()) or "none made anything"
        made = [wording.money(round(value), signed=True) for value in (step.trained, step.tested)]
        shown.add_row(*map(Text, (str(number), words, *made)))
    console.print(shown)
    objections = walk.objections()
    total = wording.money(round(sum(walk.outside)), signed=True)
    lines = [f"{total} in {len(walk.outside)} periods outside the choice, {walk.trials} trials"]
    lines += [f"no edge: {text}" for text in objections] or [
        "an edge was found, as far as this recording can say"
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
