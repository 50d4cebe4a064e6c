"""``presage eval``: what a day lost and how, and what would be changed."""

import typer

from tools.cli.commands import changes
from tools.cli.commands.eval_run import eval_run

eval_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Where a day lost money, and changes."
)


@eval_app.callback()
def eval_() -> None:
    """Where a day lost money, and changes."""


eval_app.command("run")(eval_run)
eval_app.command("list")(changes.list_)
eval_app.command("show")(changes.show_)
eval_app.command("accept")(changes.accept)
eval_app.command("reject")(changes.reject)
