"""``presage doctor``: what is ready, what is missing, and what to do about it, in plain words.

It reads and asks, and changes nothing: no order, no cancel. A venue's heartbeat is tried only while no order
rests there, because the first one arms the venue's dead man's switch.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from libs.keys.venues.errors import KeyStoreError
from libs.keys.venues.kind import KeyKind
from libs.keys.venues.kinds import RsaKey
from libs.keys.venues.store import KeyStore
from libs.runtime.layout import RunFile, StateLayout
from libs.venues.catalogue import VENUES, key_kinds
from libs.venues.errors import VenueError
from libs.venues.gateway import VenueGateway
from libs.venues.transport.http import Timeouts, VenueHttp
from libs.view.wording import sign_of
from proto.units import show
from services.execution.gateways import gateway_of
from services.feed.live.credentials import load_feed_key
from tools.cli.doctor_machine import Finding, examine_machine
from tools.live.key_stores import store_of
from tools.live.money import account_of

SKEW_S_MAX = 2.0
"""Venues refuse signatures whose time is off by more than a few seconds; a Date header is good to one."""
PATIENCE_S = 20.0
"""For everything that is asked of one venue: longer, and it is not ready."""


async def examine(
    state: Path,
    venues: Mapping[str, Mapping[str, Any]],
    trading: Sequence[str],
    passphrase: str = "",
    *,
    sandbox: bool = False,
) -> list[Finding]:
    """Examine this machine, the enabled ``venues`` (name → section), and the accounts at those in ``trading``.

    ``sandbox``: the venues are those of this machine.
    """
    layout = StateLayout(state)
    findings = examine_machine(state, sandbox=sandbox)
    enabled = {name: section for name, section in venues.items() if section.get("enabled", True)}
    answers = await asyncio.gather(*(_reach(name, section) for name, section in enabled.items()))
    findings += [finding for found in answers for finding in found]
    signing = [venue for venue in enabled if venue in VENUES and VENUES[venue].signs_market_data]
    findings += [_feed_key(venue, layout, passphrase) for venue in signing]
    for venue in trading:
        findings += await _account(venue, venues, layout, passphrase)
    return findings


def _feed_key(venue: str, layout: StateLayout, passphrase: str) -> Finding:
    """Examine the key of a venue that signs its market data too, with a key that cannot trade."""
    subject = f"{venue} market data"
    kind = key_kinds()[venue]
    store = store_of(layout.root, market_data=True)
    try:
        if store.needs_passphrase(venue):
            store.load(venue, passphrase or None)
        else:
            load_feed_key(venue, layout.feed_keys)
    except KeyStoreError as e:
        given = " --pem FILE --key-id ID" if kind is KeyKind.RSA else ""
        hint = f"presage keys add {venue} --market-data{given}"
        return Finding(subject, False, f"{e}; {hint}, or enabled: false in config/venues/{venue}.yaml")
    return Finding(subject, True, "key opens")


# ── the venues ──


async def _reach(venue: str, section: Mapping[str, Any]) -> list[Finding]:
    """Whether a venue answers, and whether its clock and ours agree."""
    address, path = VENUES[venue].health_check
    async with VenueHttp(venue, section[address], timeouts=Timeouts(total_s=5.0)) as http:
        began = time.time()
        try:
            answer = await http.request("GET", path, effect=False, bare=True)
        except VenueError as e:
            return [
                Finding(venue, False, f"does not answer: {e}; is the network there, is the address right?")
            ]
        ended = time.time()
    found = [Finding(venue, True, f"answers in {(ended - began) * 1e3:.0f} ms")]
    said = answer.headers.get("date", "")
    try:
        theirs = parsedate_to_datetime(said).timestamp() + 0.5
    except ValueError:
        return found
    skew = (began + ended) / 2 - theirs
    text = f"this clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) > SKEW_S_MAX:
        text += f"; expected at most {SKEW_S_MAX:.0f} s: switch time synchronisation on (timedatectl set-ntp true)"
    return [*found, Finding(f"{venue} clock", abs(skew) <= SKEW_S_MAX, text)]


async def _account(
    venue: str, venues: Mapping[str, Mapping[str, Any]], layout: StateLayout, passphrase: str
) -> list[Finding]:
    """The key, and what the venue lets it do."""
    subject = f"{venue} key"
    store = KeyStore(layout.venue_keys, key_kinds())
    try:
        key = store.load(venue, passphrase or None)
    except KeyStoreError as e:
        return [Finding(subject, False, f"{e}; presage keys add {venue} stores one")]
    what = f"opens, id {key.key_id}" if isinstance(key, RsaKey) else "opens"
    findings = [Finding(subject, True, what)]
    run = RunFile(broker_url="", tape="", venues={name: dict(section) for name, section in venues.items()})
    try:
        gateway = gateway_of(venue, run, store, passphrase or None)
    except ValueError as e:
        return [*findings, Finding(venue, False, str(e))]
    try:
        async with asyncio.timeout(PATIENCE_S):
            findings += await _examine_account(gateway)
    except TimeoutError:
        findings.append(Finding(venue, False, f"expected its answers within {PATIENCE_S:.0f} s, was slower"))
    finally:
        await gateway.close()
    return findings


async def _examine_account(gateway: VenueGateway) -> list[Finding]:
    """What an account can do, one question after another; the first that fails hides those that need it."""
    venue = gateway.venue
    findings: list[Finding] = []

    async def asked(subject: str, question: Callable[[], Awaitable[str]], hint: str) -> bool:
        try:
            findings.append(Finding(f"{venue} {subject}", True, await question()))
        except VenueError as e:
            findings.append(Finding(f"{venue} {subject}", False, f"{e}; {hint}"))
        return findings[-1].ok

    async def start() -> str:
        await gateway.start()
        return "accepted"

    async def balance() -> str:
        money = await gateway.balance()
        unit = sign_of(account_of("real", [venue]))
        return f"{unit}{show(money.total)}, {unit}{show(money.available)} free"

    async def orders() -> str:
        resting = len(await gateway.open_orders())
        if gateway.heartbeat_every_s and not resting:
            await gateway.heartbeat()
            return "none rests; the heartbeat is taken"
        return f"{resting} resting" if resting else "none rests"

    async def positions() -> str:
        return f"{len(await gateway.positions())} open"

    if not await asked("login", start, "is it this venue's key, and still valid?"):
        return findings
    await asked("balance", balance, "may the key read the account?")
    await asked("orders", orders, "may the key trade?")
    await asked("positions", positions, "may the key read the account?")
    more = getattr(gateway, "examine", None)
    if more is not None:
        findings += [Finding(f"{venue} {subject}", ok, text) for subject, ok, text in await more()]
    return findings


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """A line each, what is missing first."""
    table = Table(box=None, show_header=False)
    for overflow in ("ellipsis", "ellipsis", "fold"):
        # What to do is read to its end, also where it is a long path.
        table.add_column(overflow=overflow)
    for finding in sorted(findings, key=lambda found: found.ok):
        mark = "[green]ok[/]" if finding.ok else "[red]missing[/]"
        table.add_row(mark, finding.subject, finding.text)
    console.print(table)
