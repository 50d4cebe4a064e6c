"""``presage sandbox``: the venues on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, run
from tools.exit_codes import UsageError


def sandbox(  # noqa: PLR0913, PLR0917 - a command line's options are its parameters
    venue: Annotated[list[str] | None, typer.Option(help="Serve this venue; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same markets and keys.")] = 7,
    faults: Annotated[Path | None, typer.Option(help="Fault script (YAML).")] = None,
    time_scale: Annotated[float, typer.Option(help="Windows are so many times shorter.")] = 1.0,
    port_base: Annotated[int, typer.Option(help="First of seven ports; 0: any free ones.")] = 0,
    updates_per_s: Annotated[float, typer.Option(help="Changes a second of each book.")] = 3.0,
    models: Annotated[bool, typer.Option("--models", help="Serve language models too.")] = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Serve the venues on this machine: synthetic markets behind their real protocols."""
    run(
        serve_sandbox(
            console,
            venues=venue or [],
            seed=seed,
            faults=faults,
            time_scale=time_scale,
            port_base=port_base,
            state=state,
            as_json=as_json,
            updates_per_s=updates_per_s,
            models=models,
        )
    )


async def serve_sandbox(  # noqa: PLR0913 - one parameter for each option of the command line
    console: Console,
    *,
    venues: list[str],
    seed: int,
    faults: Path | None,
    time_scale: float,
    port_base: int,
    state: Path,
    as_json: bool,
    updates_per_s: float,
    models: bool,
) -> None:
    """Serve until Ctrl-C.

    Raises:
        UsageError: for a venue, fault script or number that cannot be used, or without the extra `sandbox`.
        OSError: when a port is taken.
    """
    try:
        from sandbox.main import SandboxOptions, serve
    except ModuleNotFoundError as e:
        raise UsageError(f"expected the packages of the extra `sandbox`, {e.name} is missing") from e
    try:
        options = SandboxOptions(
            venues=tuple(venues),
            seed=seed,
            faults=faults,
            time_scale=time_scale,
            port_base=port_base,
            state=state,
            as_json=as_json,
            updates_per_s=updates_per_s,
            models=models,
        )
        await serve(options, console)
    except ValueError as e:
        raise UsageError(str(e)) from e
