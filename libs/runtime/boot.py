"""Which run of the machine's kernel this is: servers that ran in another one went down with it."""

from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
"""Another one than before, and nobody stopped the servers in between: the machine went down while they ran.
A container has that of the machine it runs on."""


def boot_id() -> str:
    """What names this run of the machine's kernel; empty where nothing does."""
    try:
        return BOOT_ID_FILE.read_text().strip()
    except OSError:
        return ""
