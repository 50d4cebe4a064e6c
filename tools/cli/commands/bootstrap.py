"""``presage bootstrap``: keys and passwords for servers and services in containers of their own."""

from typing import Annotated

import typer

from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome
from tools.system.bootstrap import bootstrap as make


def bootstrap(
    database_host: Annotated[str, typer.Option(help="Host name of the database.")] = "database",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Make keys, passwords and the broker's users where they are missing; for containers, before all else."""
    found = make(state, database_host)
    text = "; ".join(f"{name}: {value}" for name, value in found.items())
    print_outcome(dict(found) | {"text": text}, as_json)
