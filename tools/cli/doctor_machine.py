"""The half of the doctor that looks at this machine: what `presage up` starts by itself, and where it keeps things."""

import importlib.util
import shutil
from pathlib import Path
from typing import NamedTuple

from libs.config.environment import Environment
from libs.database.embedded import DatabaseStartError, program
from libs.runtime.layout import StateLayout
from libs.tape.broker import binary
from libs.tape.errors import TapeError
from tools.system.installation import running_supervisor

DISK_BYTES_MIN = 2 << 30
"""A busy day of tape, journal and recorded frames; below it new orders would soon stop."""
SANDBOX_PACKAGES = ("aiohttp", "coincurve", "Crypto")


class Finding(NamedTuple):
    """One thing examined: what, whether it is well, and in words how it is or what to do."""

    subject: str
    ok: bool
    text: str


def examine_machine(state: Path, *, sandbox: bool) -> list[Finding]:
    """Look at the state directory and the parts that a start needs; with ``sandbox`` at the venues of this machine."""
    layout = StateLayout(state)
    findings = [_disk(layout), _rights(layout), _broker(), _database(), _system(layout)]
    return [*findings, _sandbox()] if sandbox else findings


def _disk(layout: StateLayout) -> Finding:
    there = layout.root if layout.exists else Path.cwd()
    free = shutil.disk_usage(there).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < DISK_BYTES_MIN:
        text += f"; make room: expected at least {DISK_BYTES_MIN / (1 << 30):.0f} GiB"
    return Finding("disk", free >= DISK_BYTES_MIN, text)


def _rights(layout: StateLayout) -> Finding:
    open_to_others = layout.keys.exists() and layout.keys.stat().st_mode & 0o077
    text = f"chmod 700 {layout.keys}: others may read it" if open_to_others else "the keys are yours alone"
    return Finding("keys folder", not open_to_others, text)


def _broker() -> Finding:
    if url := Environment.read().nats_url:
        return Finding("broker", True, f"yours, at {url}")
    try:
        return Finding("broker", True, f"our own: {binary()}")
    except TapeError as e:
        return Finding("broker", False, str(e))


def _database() -> Finding:
    if Environment.read().database_url:
        return Finding("database", True, "yours, as the environment names it")
    try:
        found = program("postgres")
    except DatabaseStartError as e:
        return Finding("database", False, f"{e}: make install")
    text = f"our own: {found}" if found.exists() else f"expected {found}, was none: make install"
    return Finding("database", found.exists(), text)


def _system(layout: StateLayout) -> Finding:
    running = running_supervisor(layout)
    if running:
        return Finding("system", True, f"runs as process {running}: presage status")
    halted = layout.halt_file.exists()
    text = "does not run; halted: presage resume" if halted else "does not run: presage up"
    return Finding("system", True, text)


def _sandbox() -> Finding:
    missing = [name for name in SANDBOX_PACKAGES if importlib.util.find_spec(name) is None]
    text = (
        f"expected the packages {', '.join(missing)}, were missing: make install"
        if missing
        else "its packages are here"
    )
    return Finding("sandbox", not missing, text)
