"""``presage eval``: what a day lost and how, and what would be changed."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from libs.config.load import parse_sets
from tools.cli.commands import changes
from tools.cli.commands.tape import history_of
from tools.cli.eval_table import print_evaluated
from tools.cli.terminal import (
    DEFAULT_STATE,
    AsJson,
    ConfigDirectory,
    Sets,
    State,
    Strategies,
    console,
    emit,
    errors,
    run,
)
from tools.offline.evaluation import Evaluated, evaluate_recordings, evaluate_tape
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES, sections
from tools.system.installation import tape_access

eval_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Where a day lost money, and changes."
)

Recordings = Annotated[
    list[Path] | None, typer.Option("--recording", help="A recording instead of the tape; may be repeated.")
]


@eval_app.callback()
def eval_() -> None:
    """Where a day lost money, and changes."""


@eval_app.command("run")
def run_(
    day: Annotated[
        str, typer.Argument(help="A day, UTC (2026-05-13); the newest of the tape without one.")
    ] = "",
    recording: Recordings = None,
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Look for leaks in a day of the tape, or in recordings."""
    visible = sys.stderr.isatty() and not as_json

    async def work() -> Evaluated:
        with Progress(console=errors, transient=True, disable=not visible) as bar:
            task = bar.add_task("eval", total=None)

            def tell(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            if recording:
                return _of_recordings(recording, strategy, config, set_, tell)
            async with tape_access(state) as (installation, link):
                return await evaluate_tape(history_of(installation, link), day, tell)

    found = run(work())
    if as_json:
        emit(found.document())
    else:
        print_evaluated(console, found)


eval_app.command("list")(changes.list_)
eval_app.command("show")(changes.show_)
eval_app.command("accept")(changes.accept)
eval_app.command("reject")(changes.reject)


def _of_recordings(
    paths: list[Path],
    strategy: list[str] | None,
    config: Path,
    sets: list[str] | None,
    tell: Callable[[int, int], None],
) -> Evaluated:
    strategies = strategy or list(DEFAULT_STRATEGIES)
    resolved = sections(config, parse_sets(sets or []), strategies)
    return evaluate_recordings(resolved, strategies, paths, lambda done, _: tell(done, len(paths)))
