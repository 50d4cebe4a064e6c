"""The session of ``docs/tutorial.md``: typed at a real system, and written into the page as it was answered.

``make tutorial`` types it at the sandbox through a quarter of an hour, and draws ``docs/images/terminal.svg`` from it.
The page is written by hand around the blocks; each stands between two comments that name it. Ids that differ from one
installation to the next are written as examples; prices, times and counts are those of the session.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path("docs/tutorial.md")
PICTURE = Path("docs/images/terminal.svg")
STATE = "state"
COLUMNS = 100
PASSED_SHOWN = 6
"""Checks that passed, of some forty."""
QUARTER_S = 720.0
"""From the start to the halt; start, halt and the last looks take the rest of a quarter of an hour."""
PATIENCE_S = 600.0
"""For a first fill and a first closed trade: at the sandbox both come within some minutes, on a busy machine later."""
COMMAND_PATIENCE_S = 180.0
LOOKS_MAX = 10
POLL_S = 1.0


class Step(NamedTuple):
    """A command, the block of the page it belongs to, and words that its answer has to contain.

    ``ORDER`` in the command is the id of the first order that was filled.
    """

    block: str
    command: str
    words: tuple[str, ...]


FIRST = (
    Step("start", "status", ("money: paper", "orders: open", "equity $", "exposure $", "read to")),
    Step("orders", "orders --limit 6", ("id", "market", "quantity", "filled", "status", "because")),
    Step("orders", "fills --limit 4", ("time", "order", "fees", "realised")),
    Step("orders", "positions", ("equity $", "profit ", "realised", "unrealised", "cash $")),
    Step(
        "why",
        "why ORDER",
        ("signal proposes", "risk approves", "the claim is won", "the venue fills", "passed"),
    ),
)
"""Once there is a fill."""
LATER = (
    Step("trades", "trades --limit 5", ("closed", "entry $", "exit $", "lasted", "after fees")),
    Step("trades", "strategies", ("proposed", "approved", "rejected", "trades", "profit")),
    Step("alerts", "alerts", ("alert",)),
)
"""Once a trade is closed."""
LAST = (
    Step("halt", "halt --reason lunch", ("halted: lunch (tape sequence ",)),
    Step("halt", "status", ("orders: halted: lunch",)),
    Step("halt", "resume", ("resumed (tape sequence ",)),
    Step("stop", "stop", ("stopped: process ", " has ended after ")),
)
AFTER = (
    Step("replay", "replay", ("identical: ", " outputs compared")),
    Step("replay", "journal verify", ("sound",)),
)
STEPS = (*FIRST, *LATER, *LAST, *AFTER)
UP = "up"
"""Block of what ``presage up`` itself says at its end."""
UP_WORDS = (
    "stopped (paper)",
    "after fees (realised",
    "unrealised",
    "equity $",
    "proposals and",
    "presage trades",
)


class SessionFailed(Exception):
    """A command of the session did not do what the page tells."""


@dataclass
class Recorder:
    """Types the session at a system in ``folder`` and keeps the answers by block.

    ``up`` are further options of ``presage up``; ``quarter_s`` how long the system runs before it is halted.
    """

    folder: Path
    up: Sequence[str] = ()
    quarter_s: float = QUARTER_S
    picture: Path | None = None
    report: Callable[[str], None] = print
    blocks: dict[str, list[str]] = field(default_factory=dict)

    def record(self) -> dict[str, str]:
        """The whole session; its blocks as the page has them.

        Raises:
            SessionFailed: a command failed, or its answer lacks a word.
        """
        words = ["up", "--headless", "--state", STATE, *self.up]
        began = monotonic()
        system = subprocess.Popen(
            [*_PRESAGE, *words], cwd=self.folder, env=_environment(), stdout=subprocess.PIPE, text=True
        )
        try:
            self._until("status", lambda status: status["orders"] == "open", system)
            self._types(FIRST[0])
            self._until("fills", lambda found: bool(found["fills"]), system)
            for step in FIRST[1:]:
                self._types(step)
            self._until("trades", lambda found: bool(found["trades"]), system)
            while monotonic() - began < self.quarter_s:
                sleep(POLL_S)
            for step in LATER:
                self._types(step)
            if self.picture is not None:
                self._answer(["attach", "--picture", str(self.picture)])
            for step in LAST:
                self._types(step)
            said, _ = system.communicate(timeout=COMMAND_PATIENCE_S)
            if system.returncode != 0:
                raise SessionFailed(f"expected presage up to end with 0, was {system.returncode}: {said}")
            _expect("up", said, UP_WORDS)
            self._keep(UP, "up --headless", said)
        finally:
            if system.poll() is None:
                system.send_signal(signal.SIGTERM)
                system.wait(COMMAND_PATIENCE_S)
        for step in AFTER:
            self._types(step)
        return {name: "\n".join(lines).rstrip() + "\n" for name, lines in self.blocks.items()}

    def _types(self, step: Step) -> None:
        self.report(f"presage {step.command}")
        command = step.command
        if "ORDER" in command:
            command = command.replace("ORDER", self._filled_order())
        said = self._answer(shlex.split(command))
        for _ in range(LOOKS_MAX if step.command == "status" else 0):
            if not _missing(said, step.words):
                break
            # On a busy machine one look may miss a service's report.
            said = self._answer(shlex.split(command))
        _expect(step.command, said, step.words)
        self._keep(step.block, command, said)

    def _keep(self, block: str, command: str, said: str) -> None:
        lines = self.blocks.setdefault(block, [])
        answer = shortened([line.rstrip() for line in said.rstrip().splitlines()])
        lines += [f"    $ presage {command}", *(f"    {line}".rstrip() for line in answer), ""]

    def _answer(self, words: Sequence[str]) -> str:
        done = self._run(words)
        if done.returncode != 0:
            raise SessionFailed(
                f"expected presage {' '.join(words)} to end with 0, was {done.returncode}: {done.stderr}"
            )
        return as_example(done.stdout)

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_PRESAGE, *words, "--state", STATE],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_PATIENCE_S,
            check=False,
        )

    def _until(self, command: str, holds: Callable[[Any], bool], system: "subprocess.Popen[str]") -> None:
        """Ask until the answer is what is waited for."""
        deadline = monotonic() + PATIENCE_S
        while True:
            done = self._run([command, "--json"])
            if done.stdout.startswith("{") and holds(json.loads(done.stdout)):
                return
            if system.poll() is not None:
                raise SessionFailed(f"expected a running system, it ended with {system.returncode}")
            if monotonic() > deadline:
                raise SessionFailed(
                    f"expected another answer of {command} within {PATIENCE_S:g} s, was {done.stdout}"
                )
            sleep(POLL_S)

    def _filled_order(self) -> str:
        rows = json.loads(self._answer(["orders", "--limit", "0", "--json"]))["orders"]
        return str(next(row["id"] for row in rows if row["filled"] and not row["reduce_only"]))


_PRESAGE = (sys.executable, "-m", "tools.cli")


def _environment() -> dict[str, str]:
    """Of an operator with a terminal of some width, whose clock is UTC."""
    set_here = {"COLUMNS": str(COLUMNS), "PRESAGE_TIME_ZONE": "UTC", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith("PRESAGE_")} | set_here


def _missing(said: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in said]


def _expect(command: str, said: str, words: Sequence[str]) -> None:
    if missing := _missing(said, words):
        raise SessionFailed(f"expected {missing[0]!r} in the answer to presage {command}, was {said}")


def as_example(said: str) -> str:
    """Replace what no two installations have in common: the tape's id, hashes and ids of venues, processes.

    Each stands for the same in one answer, and is as long as it was, so that tables stay straight.
    """
    said = re.sub(r"\b[0-9a-f]{8}(?=-\d+-\d+\b|:[a-z]+:\d+)", "a1b2c3d4", said)
    said = re.sub(r"\b(process )\d+", r"\g<1>4711", said)
    return re.sub(r"\b[0-9a-f]{32,}\b", lambda found: ("0123456789abcdef" * 8)[: len(found.group())], said)


def shortened(lines: list[str]) -> list[str]:
    """An answer that fits the page: of many checks that passed a few, and of a chain no more than its first fill."""
    kept: list[str] = []
    passed = 0
    for index, line in enumerate(lines):
        passed = passed + 1 if line.rstrip("│ ").endswith(" passed") else 0
        if passed <= PASSED_SHOWN:
            kept.append(line)
        elif not lines[index + 1].rstrip("│ ").endswith(" passed"):
            kept.append(f"… {passed - PASSED_SHOWN} more checks, passed …")
        if line.startswith("╰") and _is_fill(kept):
            left = len(lines) - index - 1
            return [*kept, f"… and {left} lines about what followed …"] if left else kept
    return kept


def _is_fill(lines: Sequence[str]) -> bool:
    """Whether the last panel of some lines is that of a fill."""
    title = next((line for line in reversed(lines) if line.startswith("╭")), "")
    return "the venue fills" in title


def with_blocks(page: str, blocks: dict[str, str]) -> str:
    """The page with its blocks as they were recorded."""
    parts = re.split(r"(<!-- session: \w+ -->\n|<!-- end -->\n)", page)
    for index, part in enumerate(parts):
        if found := re.match(r"<!-- session: (\w+) -->", part):
            parts[index + 1] = f"\n{blocks[found[1]]}\n"
    return "".join(parts)


def blocks_of(page: str) -> dict[str, str]:
    """What a page has recorded, by block."""
    return dict(re.findall(r"<!-- session: (\w+) -->\n(.*?)<!-- end -->\n", page, re.DOTALL))


def main() -> None:
    """Record the session, and write page and picture."""
    with tempfile.TemporaryDirectory(prefix="presage-tutorial-") as folder:
        blocks = Recorder(Path(folder), picture=ROOT / PICTURE).record()
    (ROOT / PAGE).write_text(with_blocks((ROOT / PAGE).read_text(), blocks))
    print(f"wrote {PAGE} and {PICTURE}")


if __name__ == "__main__":
    main()
