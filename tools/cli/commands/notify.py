"""``presage notify test``: a message to every channel, and what came of each."""

import asyncio
from typing import Annotated, Any

import typer

from libs.config.load import parse_sets
from libs.runtime.layout import StateLayout
from services.monitor.notify.params import NotifyParams
from services.monitor.notify.senders import secrets_folder, sender_of
from tools.cli.terminal import DEFAULT_STATE, AsJson, ConfigDirectory, Sets, State, print_outcome, run
from tools.exit_codes import FAILED, UsageError
from tools.system.composition import CONFIG_DIRECTORY, notify_section

TEXT = "Presage: a test message. Somebody typed `presage notify test`."

notify_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Notifications: test.")


@notify_app.callback()
def notify_() -> None:
    """Notifications: test."""


@notify_app.command("test")
def write_test_message(
    channel: Annotated[list[str] | None, typer.Argument(help="Channels by name; all without one.")] = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Write to each channel of config/notify.yaml, and say what came of it. Exit code 1 when one was not delivered."""
    params = NotifyParams.model_validate(notify_section(config, parse_sets(set_ or [])))
    known = {one.name: one for one in params.channels}
    for name in channel or ():
        if name not in known:
            raise UsageError(f"expected one of the channels {', '.join(known) or '(none)'}, was {name}")
    chosen = [one for name, one in known.items() if not channel or name in channel]
    if not chosen:
        raise UsageError(f"expected channels in {config / 'notify.yaml'}, was none")
    folder = secrets_folder(StateLayout(state))

    async def work() -> list[dict[str, Any]]:
        sends = [sender_of(one, folder, params.telegram_url)(TEXT) for one in chosen]
        outcomes = await asyncio.gather(*sends)
        return [
            {"channel": one.name, "delivered": outcome.delivered, "reason": outcome.reason}
            for one, outcome in zip(chosen, outcomes, strict=True)
        ]

    rows = run(work())
    lines = [f"{row['channel']}: {'delivered' if row['delivered'] else row['reason']}" for row in rows]
    print_outcome({"channels": rows, "text": "\n".join(lines)}, as_json)
    if not all(row["delivered"] for row in rows):
        raise typer.Exit(FAILED)
