"""``presage backtest``: the machines over recordings, in one process."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from libs.config.load import parse_sets
from tools.cli.report import print_backtest
from tools.cli.terminal import AsJson, ConfigDirectory, Sets, Strategies, console, emit, errors, fail, run
from tools.offline.backtest import Backtest
from tools.offline.recorded_answers import RecordedAnswers
from tools.research.collector import Collector
from tools.research.report import Report
from tools.research.writing import PAGE, write_report
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES, advisor_sections, sections


def backtest(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, in order of time.")],
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="Answers of models, as `presage advisor --save` wrote them: the advisor runs, nobody is asked."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for a report: a page, JSON, and trades as CSV.")
    ] = None,
    trials: Annotated[
        int,
        typer.Option("--trials", min=0, help="How many settings were tried before these; for the report."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Run the machines over recordings in one process, without a broker."""
    strategies = strategy or list(DEFAULT_STRATEGIES)

    async def work() -> tuple[Backtest, dict[str, Any] | None]:
        given = parse_sets(set_ or [])
        configured = sections(config, given, strategies)
        recorded = None if answers is None else RecordedAnswers.load(answers)
        if recorded is not None:
            configured |= advisor_sections(config, given)
        test = Backtest(configured, strategies, recorded)
        collected = None if report is None else Collector(test, configured["paper"])
        with Progress(console=errors, transient=True, disable=as_json or not sys.stderr.isatty()) as bar:
            task = bar.add_task("backtest", total=len(recordings))
            test.run(recordings, lambda done, _: bar.update(task, completed=done))
        if report is not None and collected is not None:
            made = Report(test, collected, configured, strategies, given, trials).document(recordings)
            write_report(report, made)
            return test, made
        return test, None

    test, made = run(work())
    if as_json:
        emit(test.summary.document())
    else:
        print_backtest(console, test)
    if made is None:
        return
    if not as_json:
        console.print(f"{report}/{PAGE} written", highlight=False, markup=False, soft_wrap=True)
    if not made["checks_passed"]:
        failed = ", ".join(check["name"] for check in made["checks"] if check["failed"])
        raise fail(f"expected every self-check of the report to hold, was not: {failed}")
