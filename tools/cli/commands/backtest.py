"""``presage backtest``: the machines over recordings, in one process."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from libs.config.load import parse_sets
from tools.cli.report import print_backtest
from tools.cli.terminal import AsJson, ConfigDirectory, Sets, Strategies, console, emit, errors, run
from tools.offline.backtest import Backtest
from tools.offline.recorded_answers import RecordedAnswers
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
    as_json: AsJson = False,
) -> None:
    """Run the machines over recordings in one process, without a broker."""
    strategies = strategy or list(DEFAULT_STRATEGIES)

    async def work() -> Backtest:
        given = parse_sets(set_ or [])
        configured = sections(config, given, strategies)
        recorded = None if answers is None else RecordedAnswers.load(answers)
        if recorded is not None:
            configured |= advisor_sections(config, given)
        test = Backtest(configured, strategies, recorded)
        with Progress(console=errors, transient=True, disable=as_json or not sys.stderr.isatty()) as bar:
            task = bar.add_task("backtest", total=len(recordings))
            test.run(recordings, lambda done, _: bar.update(task, completed=done))
        return test

    test = run(work())
    if as_json:
        emit(test.summary.document())
    else:
        print_backtest(console, test)
