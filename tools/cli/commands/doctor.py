"""``presage doctor``: what is missing on this machine, at the venues, and in the accounts named."""

from typing import Annotated

import typer

from libs.config.load import parse_sets
from tools.cli.commands.up import live_venues
from tools.cli.doctor import examine, print_findings
from tools.cli.doctor_machine import Finding
from tools.cli.going_live import passphrase_for
from tools.cli.terminal import DEFAULT_STATE, AsJson, ConfigDirectory, Sets, State, console, emit, run
from tools.exit_codes import FAILED, UsageError
from tools.system.build import all_venues
from tools.system.composition import CONFIG_DIRECTORY
from tools.system.options import MarketSource


def doctor(
    market: Annotated[
        MarketSource, typer.Option(help="Whose prices a run would take: with `real` the venues are examined.")
    ] = MarketSource.SANDBOX,
    live: Annotated[
        list[str] | None, typer.Option(help="Examine the account at this venue too; may be repeated.")
    ] = None,
    state: State = DEFAULT_STATE,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Examine what `presage up` with the same options would use, and say in plain words what is missing.

    That is this machine; with `--market real` the venues, with `--live VENUE` the account there too.
    """
    trading = live_venues(live or [], MarketSource.REAL, sandbox_live=False)
    is_real = bool(trading) or market is MarketSource.REAL

    async def work() -> list[Finding]:
        # No system is made of it: that would prepare the state directory, and mend what is to be found.
        venues = all_venues(config, parse_sets(set_ or []))
        if off := [venue for venue in trading if not venues[venue]["enabled"]]:
            raise UsageError(f"expected {off[0]} to be enabled in config/venues/{off[0]}.yaml, was not")
        if not is_real:
            return await examine(state, {}, (), sandbox=market is MarketSource.SANDBOX)
        return await examine(state, venues, trading, passphrase_for(state, trading))

    findings = run(work())
    if as_json:
        emit([finding._asdict() for finding in findings])
    else:
        print_findings(console, findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)
