"""Memory of the whole default system, and what a command costs before it does anything.

Memory is the sum of the proportional set sizes (PSS) of every process that ``presage up`` starts, sandbox, broker and
database included: what two share is counted once.
"""

import argparse
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.result import Figure, Tell
from libs.runtime.layout import StateLayout

ROOT = Path(__file__).parents[1]
SECONDS, FULL_S = 90, 600
"""How long the system has run when it is looked at; the plan's figure is after ten minutes (``--full``)."""
PATIENCE_S, STOP_PATIENCE_S = 180.0, 60.0
SYSTEM_AIM_MB, SERVICE_AIM_MB, HELP_AIM_S = 750.0, 45.0, 0.25
DECIDING = ("signal", "risk", "execution", "exit", "monitor")
HELP_ROUNDS = 7
WINDOW = argparse.Namespace(full=False)


def _title(process: psutil.Process) -> str:
    """What a process is: a service's name, else its program's."""
    words = process.cmdline()
    for word in words:
        if word.startswith("services."):
            return word.split(".")[1]
    if "-m" in words:
        return words[words.index("-m") + 1]
    # The database's server names each of its processes after what it does.
    return Path(words[0]).name.partition(":")[0] if words else process.name()


def pss_mb(parent: psutil.Process) -> dict[str, float]:
    """Megabytes of a process and all below it, by what they are."""
    found: dict[str, float] = {}
    for process in [parent, *parent.children(recursive=True)]:
        try:
            title, size = _title(process), process.memory_full_info().pss / 1e6
        except psutil.NoSuchProcess:
            continue
        found[title] = found.get(title, 0.0) + size
    return found


def system_memory(directory: Path, seconds: float) -> dict[str, float]:
    """Start the default system, let it run for a while, look, stop it.

    Raises:
        RuntimeError: it did not come up, or did not stay; the text has its last words.
    """
    # The database's server runs as another user, who must be able to get there.
    directory.chmod(0o755)
    state, log = directory / "state", directory / "up.log"
    command = [sys.executable, "-m", "tools.cli", "up", "--headless", "--state", str(state)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not StateLayout(state).was_run:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"expected the system to start, was {log.read_text()[-300:]}")
            time.sleep(0.1)
        time.sleep(seconds)
        if process.poll() is not None:
            raise RuntimeError(f"expected the system to run, was {log.read_text()[-300:]}")
        return pss_mb(psutil.Process(process.pid))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_PATIENCE_S)


def help_cpu_s() -> float:
    """Processor seconds of ``presage --help``, the best of a few."""
    best = float("inf")
    for _ in range(HELP_ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "tools.cli", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """The default system's memory, its largest deciding service's, and the cost of asking for help."""
    seconds = FULL_S if WINDOW.full else SECONDS
    tell(f"the default system, {seconds} s")
    with tempfile.TemporaryDirectory() as text:
        sizes = system_memory(Path(text), seconds)
    largest = max(DECIDING, key=lambda name: sizes.get(name, 0.0))
    figures = [
        Figure(
            f"memory of the default system after {seconds} s, PSS", sum(sizes.values()), "MB", SYSTEM_AIM_MB
        ),
        Figure(f"  largest deciding service ({largest})", sizes.get(largest, 0.0), "MB", SERVICE_AIM_MB),
    ]
    figures += [Figure(f"  {name}", size, "MB") for name, size in sorted(sizes.items()) if name != largest]
    tell("presage --help")
    return [*figures, Figure("presage --help, processor time", help_cpu_s(), "s", HELP_AIM_S)]
