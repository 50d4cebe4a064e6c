"""``presage sandbox``: the venues on this machine."""

from pathlib import Path

from rich.console import Console

from tools.cli.exit_codes import UsageError


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
) -> None:
    """Serve until Ctrl-C.

    Raises:
        UsageError: for a venue, fault script or number that cannot be used, or without the extra `sandbox`.
        OSError: when a port is taken.
    """
    try:
        from sandbox.main import Options, serve
    except ModuleNotFoundError as e:
        raise UsageError(f"expected the packages of the extra `sandbox`, {e.name} is missing") from e
    try:
        options = Options(
            venues=tuple(venues),
            seed=seed,
            faults=faults,
            time_scale=time_scale,
            port_base=port_base,
            state=state,
            as_json=as_json,
            updates_per_s=updates_per_s,
        )
        await serve(options, console)
    except ValueError as e:
        raise UsageError(str(e)) from e
