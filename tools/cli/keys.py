"""``presage keys``: the venues' keys, made or taken over, and stored encrypted; the installation's own, rotated."""

import os
import secrets
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.config.environment import Environment
from libs.keys.venues.kind import KeyKind
from libs.keys.venues.kinds import ApiKey, EthereumKey, Key, RsaKey
from libs.keys.venues.passphrase import FILE_VARIABLE, from_file
from libs.keys.venues.store import address_of
from libs.runtime.layout import StateLayout
from libs.venues.catalogue import VENUES, key_kinds, takes_orders, traded
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, console, emit, fail, print_outcome, run
from tools.exit_codes import USAGE
from tools.live.key_stores import save_key, store_of
from tools.system.installation import Installation, expect_run, stopped_tape
from tools.system.signing_keys import SigningKeys

keys_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Keys of the venues: make, store encrypted, list, export, remove; keys of your own: list, rotate.",
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


@keys_app.command("list")
def list_keys(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Which venues have a key, where, and its address or id; which keys sign here; never what they are."""
    stores = {"trading": store_of(state), "market_data": store_of(state, market_data=True)}
    found = {purpose: store.venues() for purpose, store in stores.items()}
    public = {
        purpose: {venue: stores[purpose].public_part(venue) for venue in venues}
        for purpose, venues in found.items()
    }
    signing = SigningKeys(StateLayout(state)).rows()
    if as_json:
        mounted = str(Environment.read().keys_dir or "")
        emit(found | {"public": public, "mounted_from": mounted, "signing": signing})
        return
    for purpose, venues in found.items():
        for venue, where in venues.items():
            words = f"{venue:<12}{purpose.replace('_', ' '):<14}{where:<11}{public[purpose][venue]}"
            console.print(words.rstrip(), highlight=False, soft_wrap=True)
    if not any(found.values()):
        console.print("no keys of venues; presage keys add VENUE stores one")
    for row in signing:
        until = f", good up to sequence {row['last_seq']:,}" if row["state"] == "retired" else ""
        may = f", may say {' '.join(row['says'])}" if row["says"] is not None else ""
        words = f"{row['role']:<12}{row['key_id']:<25}{row['state']}{until}{may}"
        console.print(words, highlight=False, soft_wrap=True)


class Role(StrEnum):
    """Whose key signs: the operator's, the console's and the monitor's sign commands, risk's signs approvals."""

    OPERATOR = "operator"
    RISK = "risk"
    CONSOLE = "console"
    MONITOR = "monitor"


@keys_app.command("rotate")
def rotate(
    role: Annotated[
        Role, typer.Argument(help="Whose key: operator, console and monitor sign commands, risk approvals.")
    ],
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Make a new signing key while nothing runs. The one before counts for what is on the tape already, and no more."""

    async def work() -> dict[str, Any]:
        expect_run(state, finished_start=False)
        installation = Installation(state)
        async with stopped_tape(installation) as last_seq:
            key_id = installation.signing_keys.rotate(role.value, last_seq)
        rows = [row for row in installation.signing_keys.rows() if row["role"] == role.value]
        retired = [row["key_id"] for row in rows if row["state"] == "retired"]
        text = f"{role.value}: {key_id} signs from now on; {', '.join(retired)} up to sequence {last_seq:,} alone"
        return {"role": role.value, "key_id": key_id, "last_seq": last_seq, "keys": rows, "text": text}

    print_outcome(run(work()), as_json)


@keys_app.command("export")
def export(
    venue: Venue,
    out: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.")],
    plain: Annotated[bool, typer.Option("--plain", help="The key itself, not encrypted.")] = False,
    market_data: ForFeed = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a stored key, for a safe place: as it is stored, or --plain, which `keys add` reads again."""

    async def work() -> dict[str, Any]:
        store = store_of(state, market_data)
        path = store.file_of(_known(venue))
        # Opened in any case: a copy that nobody can open is none.
        key = store.load(venue, ask_passphrase(twice=False))
        content = _plain(key) if plain else path.read_bytes()
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        how = "not encrypted: who has the file has the key" if plain else "opens with the same passphrase"
        public = store.public_part(venue)
        text = f"{venue}{f' {public}' if public else ''}: written to {out}; {how}"
        return {"venue": venue, "file": str(out), "encrypted": not plain, "public": public, "text": text}

    print_outcome(run(work()), as_json)


def _plain(key: Key) -> bytes:
    if isinstance(key, RsaKey):
        return key.private_key_pem
    return (
        f"0x{key.private_key.hex()}\n".encode() if isinstance(key, EthereumKey) else f"{key.key}\n".encode()
    )


@keys_app.command("remove")
def remove(
    venue: Venue,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    market_data: ForFeed = False,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Delete the stored key of a venue, after asking. Mounted files stay."""

    async def work() -> dict[str, Any]:
        store = store_of(state, market_data)
        store.file_of(_known(venue))
        if not yes:
            _ask_to_remove(venue, store.public_part(venue))
        store.remove(venue)
        return {"venue": venue, "removed": True, "text": f"{venue}: removed"}

    print_outcome(run(work()), as_json)


def _ask_to_remove(venue: str, public: str) -> None:
    if not sys.stdin.isatty():
        raise fail("expected --yes where nobody can be asked, was without it", USAGE)
    which = f"{venue} key {public}".rstrip()
    if not typer.confirm(
        f"Delete the {which}? Nobody can bring it back (presage keys export copies it)", err=True
    ):
        raise fail(f"{venue}: kept")
