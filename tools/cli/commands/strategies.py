"""``presage strategies``: list them, describe one, begin a new one."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from libs.view.wording import clean
from services.signal.discovery import StrategyNotFound
from tools.cli.commands import lists
from tools.cli.tables import table
from tools.cli.terminal import DEFAULT_STATE, AsJson, ConfigDirectory, State, console, emit, fail
from tools.exit_codes import USAGE
from tools.lists.strategies import describe
from tools.lists.strategy_skeleton import SkeletonRefused, write_skeleton
from tools.system.composition import CONFIG_DIRECTORY

strategies_app = typer.Typer(add_completion=False, invoke_without_command=True)


@strategies_app.callback()
def strategies_(context: typer.Context, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Strategies and what came of each; without a word more, their list."""
    if context.invoked_subcommand is None:
        lists.strategies(state, as_json)


strategies_app.command("list")(lists.strategies)


@strategies_app.command("describe")
def describe_(
    strategy: Annotated[str, typer.Argument(help="Name, module:Class or file.py:Class.")],
    as_json: AsJson = False,
) -> None:
    """Say what a strategy does, what it rests on, and each of its parameters with default and bounds."""
    try:
        found = describe(strategy)
    except StrategyNotFound as e:
        raise fail(str(e), USAGE) from e
    if as_json:
        emit(found.document())
        return
    for text in (f"{found.name}: {found.about}", found.text, f"from {found.source}; section {found.section}"):
        console.print(clean(text), highlight=False, markup=False)
    made = table("parameter", "value", "default>", "", "")
    for row in found.parameters:
        changes = "may change while it runs" if row.is_changeable else ""
        made.add_row(*map(escape, (row.key, row.takes, row.default, clean(row.about), changes)))
    console.print(made)


@strategies_app.command("new")
def new_(
    name: Annotated[str, typer.Argument(help="Lower case, digits and _ (dip, late_swing).")],
    directory: Annotated[Path, typer.Option("--directory", help="Where its file and its test go.")] = Path(),
    config: ConfigDirectory = CONFIG_DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Write a strategy that runs and buys nothing yet, its test, and its section; nothing that is there is overwritten."""
    try:
        written = write_skeleton(name, directory, config)
    except (SkeletonRefused, OSError) as e:
        raise fail(str(e), USAGE) from e
    if as_json:
        emit({"written": [str(path) for path in written.files], "strategy": written.spec})
        return
    for path in written.files:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    # Running needs no pytest, so make run leaves it out.
    first = "" if find_spec("pytest") else "make setup && "
    console.print(
        f"try it:  {first}{sys.executable} -m pytest {written.test}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"run it:  presage backtest RECORDING --strategy {written.spec} --config {config}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
