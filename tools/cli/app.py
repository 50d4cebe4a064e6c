"""The ``presage`` command: its commands by name, each imported when it is used.

Exit codes: 0 ok, 1 failed, 2 usage, 3 difference found.
"""

from importlib import import_module, metadata
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

RUN = "Run"
DECIDE = "Decide"
LOOK = "Look"
STUDY = "Study"


class Entry(NamedTuple):
    """A command of the list: its panel, the module and name of its function, and what the list says of it."""

    panel: str
    module: str
    function: str
    text: str


_C = "tools.cli.commands"
ENTRIES = {
    "up": Entry(RUN, f"{_C}.up", "up", "Bring everything up, on paper at the sandbox; or play recordings."),
    "attach": Entry(RUN, f"{_C}.attach", "attach", "Show the live view of a system that runs without one."),
    "stop": Entry(RUN, f"{_C}.stop", "stop", "Stop the running system and wait until it has."),
    "doctor": Entry(RUN, f"{_C}.doctor", "doctor", "Say what is missing on this machine and at the venues."),
    "bootstrap": Entry(
        RUN, f"{_C}.bootstrap", "bootstrap", "Make keys and passwords for services in containers."
    ),
    "backup": Entry(
        RUN, f"{_C}.backup", "backup", "Copy everything that cannot be made again, also while it runs."
    ),
    "restore": Entry(RUN, f"{_C}.backup", "restore", "Put a backup into an empty state directory."),
    "keys": Entry(
        RUN, "tools.cli.keys", "keys_app", "Keys: of the venues, stored encrypted; your own, rotated."
    ),
    "password": Entry(RUN, f"{_C}.console", "password", "Make a new password for the console."),
    "notify": Entry(RUN, f"{_C}.notify", "notify_app", "Notifications: test the channels."),
    "sandbox": Entry(RUN, f"{_C}.sandbox", "sandbox", "Serve the venues on this machine."),
    "halt": Entry(DECIDE, f"{_C}.operator", "halt", "Stop new orders now and cancel working ones."),
    "resume": Entry(DECIDE, f"{_C}.operator", "resume", "Let orders leave again."),
    "close-only": Entry(DECIDE, f"{_C}.operator", "close_only", "Let exits through and nothing else."),
    "approve": Entry(DECIDE, f"{_C}.operator", "approve", "Approve an order that waits for you."),
    "deny": Entry(DECIDE, f"{_C}.operator", "deny", "Deny an order that waits for you."),
    "flatten": Entry(DECIDE, f"{_C}.operator", "flatten", "Leave a position now, or all."),
    "skip": Entry(DECIDE, f"{_C}.operator", "skip", "Let a stopped machine leave one message out."),
    "config": Entry(LOOK, f"{_C}.config", "config_app", "Settings, and where each value comes from: show."),
    "status": Entry(LOOK, f"{_C}.status", "status", "What runs, whether orders may leave, and why not."),
    "pending": Entry(LOOK, f"{_C}.lists", "pending", "The orders that wait for you."),
    "orders": Entry(LOOK, f"{_C}.lists", "orders", "Orders and what became of them."),
    "fills": Entry(LOOK, f"{_C}.lists", "fills", "Fills."),
    "positions": Entry(LOOK, f"{_C}.lists", "positions", "Open positions and the account."),
    "trades": Entry(LOOK, f"{_C}.lists", "trades", "Closed trades and their profit."),
    "alerts": Entry(LOOK, f"{_C}.lists", "alerts", "What you must know of, with the command to type next."),
    "advisor": Entry(
        LOOK, f"{_C}.advisor", "advisor", "Models' forecasts, their scores, and what they cost."
    ),
    "strategies": Entry(
        LOOK, f"{_C}.strategies", "strategies_app", "Strategies and what came of each: list, describe, new."
    ),
    "performance": Entry(
        LOOK, f"{_C}.performance", "performance", "What trading came to, and by what it was made."
    ),
    "review": Entry(LOOK, f"{_C}.performance", "review", "The review of the last week as Markdown."),
    "logs": Entry(LOOK, f"{_C}.logs", "logs", "The newest lines of the services' logs, and what follows."),
    "tape": Entry(
        LOOK, f"{_C}.tape", "tape", "Messages of the tape, decoded; --follow shows them as they come."
    ),
    "why": Entry(LOOK, f"{_C}.why", "why", "The chain of causes of an order, a rejection or an exit."),
    "advise": Entry(
        STUDY, f"{_C}.advise", "advise", "A model's second opinion on the newest day and the settings, now."
    ),
    "eval": Entry(STUDY, f"{_C}.eval", "eval_app", "Find where a day lost money: run."),
    "replay": Entry(STUDY, f"{_C}.replay", "replay", "Run the machines over the tape again and compare."),
    "backtest": Entry(
        STUDY, f"{_C}.backtest", "backtest", "Run the machines over recordings, without a broker."
    ),
    "sweep": Entry(
        STUDY, f"{_C}.sweep", "sweep_app", "Backtests with many settings on all cores: run, show."
    ),
    "walk-forward": Entry(
        STUDY,
        f"{_C}.sweep",
        "walk_forward_command",
        "Choose on the past of a sweep, and test on what followed.",
    ),
    "compare": Entry(
        STUDY, f"{_C}.compare", "compare", "A session beside a backtest over its own recording."
    ),
    "record": Entry(STUDY, "tools.cli.record", "record", "Write the raw frames of venues to files."),
    "synth": Entry(STUDY, f"{_C}.synth", "synth", "Write a synthetic market as a recording."),
    "archive": Entry(STUDY, f"{_C}.archive", "archive_app", "The whole record in files: list, verify."),
    "journal": Entry(STUDY, f"{_C}.journal", "journal_app", "The journal in PostgreSQL: verify, export."),
}
"""Every command, in the order in which the list shows them."""


def load(name: str) -> Any:
    """A command with its options: imports what it needs.

    Raises:
        KeyError: there is no such command.
    """
    entry = ENTRIES[name]
    found = getattr(import_module(entry.module), entry.function)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name)(found)
        command = typer.main.get_command(single)
    command.name = name
    return command


class CommandGroup(TyperGroup):
    """Lists the commands without importing them; one is loaded when it runs or is completed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in ENTRIES.items():
            self.add_command(TyperCommand(name, help=entry.text, rich_help_panel=entry.panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command itself, with its options."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that a user can mend is a line and an exit code, wherever in it it was raised."""
        from tools.cli.terminal import attempt

        return attempt(lambda: super(CommandGroup, self).invoke(ctx))


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Presage: trading prediction markets.",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"presage {metadata.version('presage')}")
        raise typer.Exit


@app.callback()
def presage(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    compose: Annotated[
        bool,
        typer.Option("--compose", help="First: run the command in the containers of docker-compose.yml."),
    ] = False,
) -> None:
    """Presage: trading prediction markets."""
