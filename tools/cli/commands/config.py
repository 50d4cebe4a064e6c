"""``presage config show``: every setting, its value, and where that comes from."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.changes.overrides import Overrides
from libs.config.load import parse_sets
from libs.config.section import Section
from libs.config.wanted import Wanted
from libs.lists.settings import SettingRow, read_settings, settings_of
from libs.runtime.layout import StateLayout
from libs.view.wording import clean
from proto.units import show
from tools.cli.terminal import (
    DEFAULT_STATE,
    AsJson,
    ConfigDirectory,
    Sets,
    State,
    Strategies,
    console,
    emit,
    run,
)
from tools.exit_codes import UsageError
from tools.system.build import origins_of
from tools.system.composition import (
    CONFIG_DIRECTORY,
    DEFAULT_STRATEGIES,
    advisor_models,
    advisor_sections,
    models,
    sections,
    venue_models,
)
from tools.system.installation import tape_access

VALUE_CHARACTERS_MAX = 60
"""Of one value in the table; the JSON has all of it."""

config_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Settings and their origin.")


@config_app.callback()
def config_() -> None:
    """Settings and their origin."""


@config_app.command("show")
def show_(
    path: Annotated[
        str, typer.Argument(help="A section or a setting (exit, signal.momentum.z_min); all without one.")
    ] = "",
    files: Annotated[
        bool, typer.Option("--files", help="What a start would use now, not the running or last session.")
    ] = False,
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Every setting with its value and where that comes from: default, file, --set, or an accepted change."""
    strategies = strategy or list(DEFAULT_STRATEGIES)

    async def read() -> list[SettingRow]:
        if files or not StateLayout(state).was_run:
            overrides = parse_sets(set_ or [])
            found = sections(config, overrides, strategies) | advisor_sections(config)
            return settings_of(found, origins_of(found, config, overrides), Overrides())
        async with tape_access(state) as (installation, link):
            history = History(link, Archive(installation.layout.archive))
            return await read_settings(history, installation.layout)

    async def work() -> list[SettingRow]:
        found = [row for row in await read() if _is_wanted(row, path)]
        if not found:
            raise UsageError(f"expected a section or a setting, was {path!r}")
        return found

    rows = run(work())
    if as_json:
        emit({"settings": [row.document() for row in rows]})
    else:
        _print(rows, models(strategies) | advisor_models() | venue_models())


def _is_wanted(row: SettingRow, path: str) -> bool:
    name = f"{row.section}.{row.key}"
    return not path or name == path or name.startswith(f"{path}.")


def _print(rows: list[SettingRow], known: dict[str, type[Section]]) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("setting", no_wrap=True)
    for name in ("value", "from"):
        table.add_column(name, overflow="fold")
    for row in rows:
        value = _words(known, row, row.value)
        over = f", {_words(known, row, row.base)}" if row.proposal else ""
        cells = (f"{row.section}.{row.key}", value, f"{row.origin}{over}")
        table.add_row(*(Text(clean(cell)) for cell in cells))
    console.print(table)


def _words(known: dict[str, type[Section]], row: SettingRow, value: Any) -> str:
    """A value as a file would have it."""
    model = known.get(row.section)
    is_amount = model is not None and Wanted(model).below(row.key).is_amount
    if is_amount and isinstance(value, int):
        return show(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[: VALUE_CHARACTERS_MAX - 1]}…"
