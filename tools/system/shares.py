"""State directories of services that run elsewhere, in containers of their own: each gets what it may know, no more.

``PRESAGE_SERVICES_DIR`` holds a folder for each service, which is a volume of its own and its whole state directory:
the run file with what it needs of it, the public keys, its own password at the broker, and, risk alone, the key that
signs approvals. Nobody has the operator's key, or another's password.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from libs.files import write_atomically
from libs.keys.signing import Signer, retired_file
from libs.machine.snapshots import SnapshotStore
from libs.runtime import hand_out
from libs.runtime.boot import boot_id
from libs.runtime.layout import OWNER_ONLY, RunFile, StateLayout
from proto.subjects import CONSOLE, MACHINE_ORDER, SERVICES
from tools.system.sandbox_process import TEST_KEYS_FOLDER, TestKeys, write_test_keys

BROKER, DATABASE = "broker", "database"
DIGEST_DIGITS = 16
SHARED = (*SERVICES, CONSOLE)
"""Who is given a folder."""
HOST_OF = {"paper": "execution"}
"""Machines that live in a service of another name."""
DESKS = ("feed", "execution")
"""Services that reach venues: they alone are given their addresses and test keys."""

_FOR_ALL = (
    "broker_url",
    "tape",
    "lockstep",
    "speed",
    "adopt",
    "adopt_to",
    "keys",
    "boot",
    "cluster",
    "brokers",
)
_FOR: dict[str, tuple[str, ...]] = {
    CONSOLE: ("optional_services",),
    "feed": ("synthetic_seed", "socket_urls", "venues"),
    "execution": ("venues",),
    "signal": ("strategies",),
    "monitor": ("notify",),
    "journal": ("database_url", "archive_keep_days"),
}


def part_of(run: RunFile, service: str) -> RunFile:
    """What a service needs of a run; the journal alone gets the database's address, which has a password."""
    names = (*_FOR_ALL, *_FOR.get(service, ()))
    return RunFile(**{name: getattr(run, name) for name in names})


class Shares:
    """The folders of the services, and of the broker's and the database's first words."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, service: str) -> StateLayout:
        """The state directory of a service."""
        return StateLayout(self.root / service)

    @property
    def broker_data(self) -> Path:
        """Where the broker keeps its streams, as seen from here."""
        return self.root / BROKER / "jetstream"

    def hand_out(self, layout: StateLayout, run: RunFile, keys: Mapping[str, TestKeys]) -> list[str]:
        """Write every service's part; the services whose run is another one than before, which begin anew.

        A service that runs looks at its run file, and stops by plan when it changes.
        """
        # Of a cluster each node has a boot of its own: what counts there is which of them run on.
        boot = "" if run.cluster else boot_id()
        run = msgspec.structs.replace(run, keys=_digest_of_keys(layout), boot=boot)
        return [service for service in SHARED if self._hand_out(service, layout, run, keys)]

    def _hand_out(
        self, service: str, layout: StateLayout, run: RunFile, keys: Mapping[str, TestKeys]
    ) -> bool:
        self.give_credentials(service, layout)
        own = self.of(service)
        if tape := layout.read_tape():
            # Only for where its archive is; how far the tape is known to reach is the supervisor's to say.
            _write(own.tape_file, json.dumps(tape | {"last_seq": 0, "boot": ""}).encode())
        if service in DESKS:
            for files in keys.values():
                write_test_keys(own.root / TEST_KEYS_FOLDER, files, feed=service == "feed")
        if service == CONSOLE and layout.money_file.exists():
            _write(own.money_file, layout.money_file.read_bytes())
        part = part_of(run, service)
        try:
            before = own.read_run() if own.run_file.exists() else None
        except ValueError:
            # Cut: what it said is of no account.
            before = None
        if before == part:
            return False
        own.write_run(part)
        own.run_file.chmod(0o600)
        return True

    def give_credentials(self, service: str, layout: StateLayout) -> None:
        """Make a service's directory, with its password, the public keys and, if it signs, its key."""
        own = self.of(service)
        own.prepare()
        passwords = own.broker / "credentials"
        passwords.mkdir(exist_ok=True, mode=OWNER_ONLY)
        _write(passwords / service, layout.password(service).encode())
        _write(own.public_keys, layout.public_keys.read_bytes())
        if retired_file(layout.public_keys).exists():
            _write(retired_file(own.public_keys), retired_file(layout.public_keys).read_bytes())
        if service == "risk":
            _write(own.risk_key, layout.risk_key.read_bytes())
        elif service == "monitor":
            _write(own.monitor_key, layout.monitor_key.read_bytes())
        elif service == CONSOLE:
            _write(own.console_key, layout.console_key.read_bytes())

    def snapshots(self) -> list[SnapshotStore]:
        """The snapshots of every machine whose service has a directory here."""
        places = {machine: self.of(HOST_OF.get(machine, machine)).root for machine in MACHINE_ORDER}
        return [
            SnapshotStore(root / "snapshots", machine) for machine, root in places.items() if root.exists()
        ]


def _digest_of_keys(layout: StateLayout) -> str:
    """What names the public keys, and which of them are retired."""
    digest = hashlib.sha256(layout.public_keys.read_bytes())
    retired = retired_file(layout.public_keys)
    digest.update(retired.read_bytes() if retired.exists() else b"")
    return digest.hexdigest()[:DIGEST_DIGITS]


def _write(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read, if it says something else now."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
    path.touch(mode=0o600)
    write_atomically(path, content)
    path.chmod(0o600)


def runs_of(shares: Shares, signer: Signer) -> Callable[[str], bytes | None]:
    """What a service that shares no folder with the supervisor fetches: its part of the run, signed; ``None`` without."""

    def run_of(service: str) -> bytes | None:
        if service not in SHARED:
            return None
        layout = shares.of(service)
        files = hand_out.files_of(layout)
        known = layout.read_tape()
        return (
            hand_out.seal(signer, str(known["tape"]), service, files)
            if known and "run.json" in files
            else None
        )

    return run_of


def same_session(session_file: Path, document: Mapping[str, Any]) -> bool:
    """Whether the session that was opened last is this one."""
    try:
        return bool(json.loads(session_file.read_text()) == document)
    except (OSError, ValueError):
        return False
