"""Before real money moves: the keys are opened and examined, and the operator types what is about to happen."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from libs.bounded import clip
from libs.venues.catalogue import VENUES
from tools.cli.doctor import examine, print_findings
from tools.cli.doctor_machine import Finding
from tools.cli.keys import ask_passphrase
from tools.cli.terminal import errors
from tools.exit_codes import UsageError
from tools.live.gate import confirmation
from tools.live.key_stores import store_of
from tools.live.money import currency_of
from tools.system.options import Options


def passphrase_for(state: Path, trading: Sequence[str], followed: Iterable[str] = VENUES) -> str:
    """The passphrase, if the feed's key of a venue in ``followed`` or one to trade with is encrypted; asked for once."""
    needed = any(store_of(state, market_data=True).needs_passphrase(venue) for venue in followed)
    needed |= any(store_of(state).needs_passphrase(venue) for venue in trading)
    return ask_passphrase(twice=False) if needed else ""


async def pass_live_gate(options: Options, venues: Mapping[str, Mapping[str, Any]], confirmed: str) -> None:
    """Open the keys, examine everything, have the word typed. Paper trades are counted when the system starts.

    Raises:
        UsageError: something is missing, or the word was not typed.
    """
    currency_of(options.live)
    options.passphrase = passphrase_for(options.state, list(options.live))
    findings: list[Finding] = await examine(options.state, venues, list(options.live), options.passphrase)
    print_findings(errors, findings)
    failed = [finding for finding in findings if not finding.ok]
    if failed:
        raise UsageError(f"not ready for real money: {failed[0].subject}: {failed[0].text}")
    wanted = confirmation(options.live)
    if not confirmed and sys.stdin.isatty():
        confirmed = typer.prompt(f'Type "{wanted}" to trade with real money', err=True)
    if confirmed != wanted:
        raise UsageError(
            f'expected "{wanted}" to be typed (or given with --confirm), was {clip(confirmed, 60)!r}'
        )
    options.examined = tuple(options.live)
