"""``presage sandbox`` and ``python -m sandbox``: serve until stopped."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from libs.tasks import cancel_all
from libs.venues.catalogue import VENUES
from sandbox.faults.rules import read_script
from sandbox.server import HOST, Sandbox
from sandbox.table import overview
from sandbox.world.world import UPDATES_PER_S

REFRESH_S = 0.5
"""How often the table on a terminal is redrawn: often enough to follow, and no load beside the servers."""
STATE_FILE = "world.json"
PORT_BASE_MAX = 65_535 - len(VENUES) - 1
"""The admin's port, one for each venue and the models' follow in a row."""
PARENT_CHECK_S = 0.5
"""How soon a sandbox without its parent is gone."""


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a sandbox is started with. ``venues=()``: all; ``port_base=0``: any free ports.

    ``host``: the name under which others reach it, loopback alone by default.
    ``ports_reserved``: who started it holds its ports for it (``libs/runtime/ports.py``).
    ``keep``: the world is saved in ``state``, and resumed from there by the next start.
    ``with_parent``: it ends when the process that started it is gone, however that ended.
    ``lively``: a world that begins anew begins with a trend, as in ``World``. ``models``: language models are served too.
    """

    venues: tuple[str, ...] = ()
    seed: int = 7
    faults: Path | None = None
    time_scale: float = 1.0
    host: str = HOST
    port_base: int = 0
    ports_reserved: bool = False
    state: Path = Path("state")
    as_json: bool = False
    updates_per_s: float = UPDATES_PER_S
    with_parent: bool = False
    keep: bool = False
    lively: bool = False
    models: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port_base <= PORT_BASE_MAX:
            raise ValueError(f"expected a port base of 0 to {PORT_BASE_MAX}, was {self.port_base}")


async def serve(options: SandboxOptions, console: Console | None = None) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; prints addresses and where the test credentials are.

    Raises:
        FaultScriptError, ValueError: for a fault script or venue that cannot be used.
        OSError: when a port is taken or a file cannot be written.
    """
    console = console or Console()
    folder = _folder(options.state)
    sandbox = Sandbox(
        options.seed,
        options.venues or None,
        read_script(options.faults) if options.faults else None,
        time_scale=options.time_scale,
        host=options.host,
        port_base=options.port_base,
        ports_reserved=options.ports_reserved,
        models=options.models,
        updates_per_s=options.updates_per_s,
        state_file=folder / STATE_FILE if options.keep else None,
        lively=options.lively,
    )
    ended = asyncio.Event()
    following: asyncio.Task[None] | None = None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    try:
        await sandbox.start()
        document = write_files(sandbox, options.state)
        _announce(document, console, as_json=options.as_json)
        following = asyncio.create_task(_follow(os.getppid(), ended)) if options.with_parent else None
        await _until(ended, sandbox, console, visible=not options.as_json and console.is_terminal)
    finally:
        if following is not None:
            following.cancel()
        await sandbox.stop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def write_files(sandbox: Sandbox, state: Path) -> dict[str, Any]:
    """Write addresses and credentials below ``state/sandbox``, readable by their owner alone.

    Returns what may be shown: addresses, and the paths of the credentials in place of them.
    """
    folder = _folder(state)
    paths = {}
    for venue, credentials in sandbox.credentials.items():
        if credentials:
            path = folder / f"{venue}.json"
            _write(path, credentials)
            paths[venue] = str(path)
    document = {"seed": sandbox.seed, "urls": sandbox.urls, "credentials": paths}
    _write(folder / "urls.json", document)
    return document


def _folder(state: Path) -> Path:
    folder = state / "sandbox"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def _write(path: Path, document: Any) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    temporary.replace(path)


def _announce(document: dict[str, Any], console: Console, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
        return
    for venue, urls in document["urls"].items():
        for name, url in urls.items():
            console.print(f"{venue:<11} {name:<17} {url}", highlight=False, markup=False, soft_wrap=True)
    for venue, path in document["credentials"].items():
        console.print(f"{venue:<11} test credentials  {path}", highlight=False, markup=False, soft_wrap=True)
    console.print("Ctrl-C ends it.", highlight=False)


async def _follow(parent: int, ended: asyncio.Event) -> None:
    """End with the process that started us."""
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK_S)
    ended.set()


async def _until(ended: asyncio.Event, sandbox: Sandbox, console: Console, *, visible: bool) -> None:
    """Wait for the end, showing the markets meanwhile; a world that fails is raised."""
    waits = [asyncio.create_task(ended.wait()), asyncio.create_task(sandbox.wait())]
    if visible:
        waits.append(asyncio.create_task(_show_table(sandbox, console)))
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    await cancel_all(pending)
    for task in done:
        task.result()


async def _show_table(sandbox: Sandbox, console: Console) -> None:
    with Live(overview(sandbox), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            live.update(overview(sandbox), refresh=True)
