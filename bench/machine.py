"""What the figures were measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from libs.database.embedded import program
from libs.tape.broker import binary

LOAD_PER_CORE_MAX = 0.5
"""Above this load at the start somebody else is using the machine, and figures are too low."""


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(*command: str) -> str:
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return text.strip().rpartition(" ")[2].removeprefix("v")


def describe() -> dict[str, Any]:
    """Processor, memory, versions, and the load average before anything was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": cores,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "nats_server": _version(binary(), "--version"),
        "postgresql": _version(str(program("postgres")), "--version"),
        "load_average": round(os.getloadavg()[0], 2),
    }


def busy(machine: dict[str, Any]) -> str:
    """A warning when the machine was not quiet at the start; empty when it was."""
    limit = LOAD_PER_CORE_MAX * machine["cores"]
    if machine["load_average"] <= limit:
        return ""
    return f"load average {machine['load_average']} at the start, expected at most {limit:g}: figures are low"
