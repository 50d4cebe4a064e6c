"""``presage --compose COMMAND …``: the command inside the containers of ``docker-compose.yml``.

It runs where the operator's key and the tape's address are, in the supervisor's container, so that the broker needs no
port on the host. Passwords of the console are made in its own container, where they are kept.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OPTION = "--compose"
FILE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
SUPERVISOR = "supervisor"
ELSEWHERE = {"password": "console"}
"""Command → container, where it is another one."""
OF_COMPOSE = {"logs": "logs", "stop": "stop"}
"""Commands that are about containers: compose has its own of that name."""
NOT_HERE = {
    "up": "docker compose up",
    "bootstrap": "docker compose up",
    "sandbox": "docker compose up sandbox",
}
EXIT_USAGE = 2


def engine() -> list[str]:
    """How compose is called here: as a plugin of docker, or by its older name; empty without either."""
    docker = shutil.which("docker")
    if docker:
        asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return [docker, "compose"]
    older = shutil.which("docker-compose")
    return [older] if older else []


def command_line(arguments: Sequence[str], compose: Sequence[str], *, is_terminal: bool) -> list[str]:
    """What to run for ``presage --compose ARGUMENTS``.

    Raises:
        ValueError: it cannot be run in the containers; the text says what to do instead.
    """
    if not arguments:
        raise ValueError("expected a command after --compose, was none")
    if not compose:
        raise ValueError("expected docker compose, or docker-compose, was neither")
    name = arguments[0]
    if name in NOT_HERE:
        raise ValueError(f"expected a command for a running system, was {name}: {NOT_HERE[name]} does that")
    # COMPOSE_FILE, set by the operator, may add files of their own to this one.
    base = [*compose] if os.environ.get("COMPOSE_FILE") else [*compose, "--file", str(FILE)]
    if name in OF_COMPOSE:
        return [*base, OF_COMPOSE[name], *arguments[1:]]
    return [
        *base,
        "exec",
        *([] if is_terminal else ["-T"]),
        ELSEWHERE.get(name, SUPERVISOR),
        "presage",
        *arguments,
    ]


def run_in_containers(arguments: Sequence[str]) -> None:
    """Become that command; its exit code is ours."""
    try:
        line = command_line(arguments, engine(), is_terminal=sys.stdin.isatty() and sys.stdout.isatty())
    except ValueError as e:
        print(f"presage: {e}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    os.execv(line[0], line)  # noqa: S606 - arguments are the operator's own, and no shell reads them
