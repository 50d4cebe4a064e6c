"""The sandbox as a process beside a system: its addresses for the feed and execution, its test keys for both."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from libs.files import write_atomically
from libs.keys.venues.kind import KeyKind
from libs.keys.venues.store import KEYS_DIRECTORY_VARIABLE
from libs.runtime.layout import StateLayout
from libs.runtime.ports import Reservation
from libs.venues.catalogue import VENUES
from tools.live.real_hosts import addresses, is_own_machine
from tools.system.supervisor import Supervisor

NAME = "sandbox"
START_PATIENCE_S = 120.0
"""It makes an RSA key and some history first: two seconds on a quiet machine, half a minute on a busy one."""
ATTEMPTS = 2
"""One that ended twice before it served ends the third time too; once can be chance."""
TEST_KEYS_FOLDER = "sandbox-keys"
"""In the state directory of a service that runs elsewhere."""
TestKeys = Mapping[str, str]
"""File name → content, of the key of a test account."""
ACCOUNT = ("signature_type", "funder")
"""What of a test account is configuration and not secret."""


class SandboxProcess:
    """Started before the services, stopped after them: what rests there is cancelled by execution first."""

    def __init__(
        self, layout: StateLayout, seed: int, faults: Path | None = None, *, models: bool = False
    ) -> None:
        """Its ports are ours from now on, until it is stopped. ``models``: it serves models for the advisor too."""
        self._folder = layout.root / NAME
        # Admin, the venues and the models, in a row: after a restart they must be the same.
        self._ports = Reservation(1 + len(VENUES) + models)
        command = [
            *self._command(layout, seed, faults),
            "--port-base",
            str(self._ports.base),
            "--ports-reserved",
            *(["--models"] if models else []),
        ]
        self._supervisor = Supervisor(layout, (NAME,), {NAME: command})
        self.watch = self._supervisor.watch

    @staticmethod
    def _command(layout: StateLayout, seed: int, faults: Path | None) -> list[str]:
        # Somebody has just started it and looks, so something should happen soon.
        given = [
            "--json",
            "--with-parent",
            "--keep",
            "--lively",
            "--seed",
            str(seed),
            "--state",
            str(layout.root),
        ]
        if faults is not None:
            given += ["--faults", str(faults.resolve())]
        return [sys.executable, "-m", "sandbox", *given]

    async def start(self) -> dict[str, dict[str, Any]]:
        """Start it and wait until it serves; venue → name of an address → address, and ``ACCOUNT``.

        Raises:
            RuntimeError: it did not come up; the text has its last words.
        """
        addresses = self._folder / "urls.json"
        addresses.unlink(missing_ok=True)
        self._supervisor.start()
        child = self._supervisor.children[NAME]
        deadline = monotonic() + START_PATIENCE_S
        while not addresses.exists():
            self._supervisor.check()
            if monotonic() > deadline or child.restarts >= ATTEMPTS:
                words = self._supervisor.last_words(NAME)
                raise RuntimeError(f"expected the sandbox to serve, was not there ({words})")
            await asyncio.sleep(0.05)
        urls, keys = read_sandbox(self._folder)
        for files in keys.values():
            for feed in (False, True):
                write_test_keys(self._folder / "keys", files, feed=feed)
        return urls

    def environment(self) -> dict[str, str]:
        """What the services that open keys need to find the sandbox's."""
        return {KEYS_DIRECTORY_VARIABLE: str(self._folder / "keys")}

    async def stop(self) -> None:
        """End it, and give its ports back."""
        await self._supervisor.stop()
        self._ports.release()


class SandboxElsewhere:
    """One that somebody else runs, in a container of its own; ``state`` is its state directory."""

    def __init__(self, state: Path) -> None:
        self._folder = state / NAME
        self.keys: dict[str, TestKeys] = {}

    async def start(self) -> dict[str, dict[str, Any]]:
        """Wait until it serves; as ``SandboxProcess.start``.

        Raises:
            RuntimeError: it did not come up in time.
        """
        addresses = self._folder / "urls.json"
        deadline = monotonic() + START_PATIENCE_S
        while not addresses.exists():
            if monotonic() > deadline:
                raise RuntimeError(f"expected a sandbox to write its addresses to {addresses}, was none")
            await asyncio.sleep(0.05)
        urls, self.keys = read_sandbox(self._folder)
        return urls


def read_sandbox(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, TestKeys]]:
    """What a sandbox wrote of itself: venue → its addresses and ``ACCOUNT``; venue → the key of its test account."""
    found: dict[str, Any] = json.loads((folder / "urls.json").read_text())
    urls: dict[str, dict[str, Any]] = found["urls"]
    keys: dict[str, TestKeys] = {}
    for venue in found["credentials"]:
        credentials: dict[str, Any] = json.loads((folder / f"{venue}.json").read_text())
        keys[venue] = _mounted(venue, credentials)
        urls[venue] |= {name: credentials[name] for name in ACCOUNT if name in credentials}
    return urls, keys


def write_test_keys(folder: Path, files: TestKeys, *, feed: bool) -> None:
    """A test account's key as a platform would mount it: plain files, worth nothing elsewhere. ``feed``: for the feed."""
    place = folder / "feed" if feed else folder
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in files.items():
        write_atomically(place / name, content.encode())
        (place / name).chmod(0o600)


def _mounted(venue: str, credentials: Mapping[str, Any]) -> TestKeys:
    """File name → content of the first test account's key, as ``libs/keys/venues/store.py`` expects it mounted."""
    kind = VENUES[venue].key
    if kind is KeyKind.ETHEREUM:
        return {f"{venue}.key": credentials["private_key"]}
    if kind is KeyKind.RSA:
        return {f"{venue}.pem": credentials["private_key_pem"], f"{venue}.id": credentials["key_id"]}
    return {f"{venue}.key": credentials["api_key"]}


def with_addresses(
    sections: Mapping[str, Mapping[str, Any]],
    urls: Mapping[str, Mapping[str, Any]],
    is_allowed: Callable[[str], bool] = is_own_machine,
) -> dict[str, dict[str, Any]]:
    """Venue sections with the sandbox's addresses in place of the real ones; other venues are left out.

    An address named ``clob`` replaces ``clob_url``, and the test account's wallet the one configured. One that the
    sandbox does not give, or that is not allowed, must not be used: it raises ``RuntimeError``.
    """
    found: dict[str, dict[str, Any]] = {}
    for venue, section in sections.items():
        if venue not in urls:
            continue
        found[venue] = replaced = dict(section)
        for key in section:
            name = key.removesuffix("_url")
            if name in urls[venue]:
                replaced[key] = urls[venue][name]
            elif name != key:
                raise RuntimeError(f"expected an address {name} of the sandbox's {venue}, was none")
        for key, address in addresses(replaced):
            if not is_allowed(address):
                raise RuntimeError(
                    f"expected {venue}'s {key} to be the sandbox's on this machine, was {address}"
                )
    return found
