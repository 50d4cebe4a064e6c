"""``presage keys``: the venues' keys, made or taken over, and stored encrypted."""

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.config.environment import Environment
from libs.keys.venues.kind import KeyKind
from libs.keys.venues.kinds import ApiKey, EthereumKey, Key, RsaKey
from libs.keys.venues.passphrase import FILE_VARIABLE, from_file
from libs.venues.catalogue import VENUES, key_kinds, takes_orders, traded
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, fail, print_outcome, run
from tools.exit_codes import USAGE
from tools.live.key_stores import save_key, store_of

keys_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Keys of the venues: make, store encrypted, list, remove.",
)

Venue = Annotated[str, typer.Argument(help="polymarket, kalshi or manifold.")]
ForFeed = Annotated[
    bool, typer.Option("--market-data", help="The feed's own read-only key (Kalshi), not the trading key.")
]


def ask_passphrase(twice: bool) -> str:
    """From the mounted file, or typed at the terminal."""
    try:
        mounted = from_file()
    except OSError as e:
        raise fail(f"expected to read the passphrase file, was {e.strerror}", USAGE) from e
    if mounted is not None:
        return mounted
    if not _terminal():
        raise fail(
            f"expected a terminal to ask for the passphrase, or a file of it named in {FILE_VARIABLE}", USAGE
        )
    passphrase: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return passphrase


def _terminal() -> bool:
    """Whether somebody can be asked: at the terminal itself, whatever stdin is, or at stdin if it is one."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin.isatty()
    return True


def _known(venue: str) -> str:
    if not takes_orders(venue):
        raise fail(f"expected one of {', '.join(traded())}, was {venue!r}", USAGE)
    return venue


def _secret(prompt: str) -> str:
    """One line that is not shown: typed, or piped in."""
    if sys.stdin.isatty():
        typed: str = typer.prompt(prompt, hide_input=True, err=True)
        return typed
    return sys.stdin.readline()


@keys_app.command("add")
def add(
    venue: Venue,
    pem: Annotated[Path | None, typer.Option(help="Kalshi: the private key file it gave you.")] = None,
    key_id: Annotated[str, typer.Option(help="Kalshi: the key's id.")] = "",
    market_data: ForFeed = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Store a key you have. Polymarket: the signer's private key; Manifold: the API key; both are asked for."""

    async def work() -> dict[str, Any]:
        key = _given(_known(venue), pem, key_id)
        path = save_key(state, venue, key, ask_passphrase(twice=True), market_data)
        return {"venue": venue, "file": str(path), "text": f"{venue}: stored encrypted in {path}"}

    print_outcome(run(work()), as_json)


def _given(venue: str, pem: Path | None, key_id: str) -> Key:
    kind = VENUES[venue].key
    if kind is KeyKind.RSA:
        if pem is None or not key_id:
            raise fail("expected --pem FILE and --key-id ID, as Kalshi gave them", USAGE)
        return RsaKey.parse(key_id, pem.read_bytes())
    text = _secret("Private key (hexadecimal)" if kind is KeyKind.ETHEREUM else "API key")
    return EthereumKey.parse(text) if kind is KeyKind.ETHEREUM else ApiKey.parse(text)


@keys_app.command("new")
def new(venue: Venue, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Make a new Polymarket signer. Kalshi's and Manifold's keys are made on their websites."""

    async def work() -> dict[str, Any]:
        if VENUES[_known(venue)].key is not KeyKind.ETHEREUM:
            made_here = [name for name, kind in key_kinds().items() if kind is KeyKind.ETHEREUM]
            raise fail(
                f"expected {' or '.join(made_here)}, was {venue}: its keys are made on its website", USAGE
            )
        store = store_of(state)
        if venue in store.venues():
            raise fail(f"expected no {venue} key yet, was one in {store.directory}; remove it first", USAGE)
        key = EthereumKey.parse(secrets.token_bytes(32).hex())
        path = save_key(state, venue, key, ask_passphrase(twice=True))
        address = address_of(key)
        return {
            "venue": venue,
            "file": str(path),
            "address": address,
            "text": f"{venue}: new signer {address}, stored encrypted in {path}. Back it up: nobody can replace it.",
        }

    print_outcome(run(work()), as_json)


def address_of(key: EthereumKey) -> str:
    """The address of a signer, with checksum; it is public."""
    from eth_account import Account

    address: str = Account.from_key(key.private_key).address
    return address


@keys_app.command("list")
def list_keys(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Which venues have a key, and where; never what it is."""
    document: dict[str, Any] = {
        "trading": store_of(state).venues(),
        "market_data": store_of(state, market_data=True).venues(),
        "mounted_from": str(Environment.read().keys_dir or ""),
    }
    if as_json:
        emit(document)
        return
    for purpose in ("trading", "market_data"):
        for venue, where in document[purpose].items():
            console.print(f"{venue:<12}{purpose.replace('_', ' '):<14}{where}", highlight=False)
    if not document["trading"] and not document["market_data"]:
        console.print("no keys; presage keys add VENUE stores one")


@keys_app.command("remove")
def remove(
    venue: Venue, market_data: ForFeed = False, state: State = DEFAULT_STATE, as_json: AsJson = False
) -> None:
    """Delete the stored key of a venue. Mounted files stay."""
    removed = store_of(state, market_data).remove(_known(venue))
    text = f"{venue}: removed" if removed else f"{venue}: there was none"
    print_outcome({"venue": venue, "removed": removed, "text": text}, as_json)
