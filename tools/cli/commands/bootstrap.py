"""``presage bootstrap``: keys and passwords for servers and services in containers of their own."""

from pathlib import Path
from typing import Annotated

import typer

from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome
from tools.system.bootstrap import bootstrap as make
from tools.system.kubernetes_secrets import write_secrets


def bootstrap(
    database_host: Annotated[str, typer.Option(help="Host name of the database.")] = "database",
    kubernetes: Annotated[
        Path | None,
        typer.Option(
            help="Write Secrets for Kubernetes into this folder, a component of kustomize, instead."
        ),
    ] = None,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Make keys, passwords and the broker's users where they are missing; for containers, before all else."""
    if kubernetes is not None:
        made = write_secrets(state, kubernetes, database_host)
        text = f"secrets of {', '.join(made)} are in {kubernetes}; keys and passwords stay in {state}"
        print_outcome({"folder": str(kubernetes), "workloads": made, "text": text}, as_json)
        return
    found = make(state, database_host)
    text = "; ".join(f"{name}: {value}" for name, value in found.items())
    print_outcome(dict(found) | {"text": text}, as_json)
