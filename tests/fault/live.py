"""A system in real time on the synthetic market that sends an order a second, and the commands beside it."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from proto.execution import Claim
from tests.support.cluster import with_cluster
from tests.support.harness import PATIENCE_S, Tape, started
from tools.cli.commands.status import read_status
from tools.system.composition import CONFIG_DIRECTORY, sections
from tools.system.options import Options
from tools.system.supervisor import ROOT
from tools.system.system import System

EAGER = "tests.support.eager:Eager"
CHANGES = {
    "risk.order_time_in_force": "gtc",
    "risk.cooldown_s": "0",
    "risk.repeat_s": "1",
    "risk.order_rate_max_count": "1000",
    "risk.sizing": "fixed",
    "risk.fixed_bet": "0.0005",
    "risk.heat_max": "0.90",
    "risk.group_loss_max": "0.90",
    "risk.market_stake_max": "0.90",
    "risk.daily_loss_max": "0.99",
    "risk.drawdown_stop": "0.99",
    "risk.positions_max_count": "1000",
    "risk.one_position_per_market": "false",
    "risk.spread_max": "0.50",
    "risk.depth_min": "1.0",
    "risk.collar": "0.10",
    "risk.time_to_close_min_s": "30",
    "risk.edge_min": "0.001",
    "signal.eager.repeat_interval_s": "1",
    "signal.eager.change_interval_s": "0",
}
"""Settings under which risk lets an order a second through."""


def options_for(state: Path) -> Options:
    """A run in real time with the eager strategy."""
    return Options(state=state, strategies=(EAGER,))


@asynccontextmanager
async def trading(
    state: Path, changes: Mapping[str, str] | None = None, *, console: bool = False, standby: bool = False
) -> AsyncIterator[tuple[System, Tape]]:
    """As ``tests.support.harness.running``, with the eager strategy; every service live."""
    config = state.with_name(f"{state.name}-config")
    if not config.exists():
        shutil.copytree(CONFIG_DIRECTORY, config)
        (config / "signal" / "eager.yaml").write_text("repeat_interval_s: 1\n")
    with_cluster(state / "postgres")
    options = replace(options_for(state), console=console, standby=standby)
    system = System(options, sections(config, CHANGES | dict(changes or {}), (EAGER,)))
    async with started(system) as tape:
        yield system, tape


async def flowing(tape: Tape, claims: int = 3) -> None:
    """Wait until so many more orders were claimed than there are now."""
    wanted = len(tape.of(Claim)) + claims
    await tape.wait(lambda t: len(t.of(Claim)) >= wanted, 2 * PATIENCE_S)


async def presage(*arguments: str) -> tuple[int, str]:
    """Run the ``presage`` command as an operator would; its exit code and output.

    A document that was asked for comes alone: what is logged beside it would be in the middle of it.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.cli",
        *arguments,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        process.kill()
        raise
    code = process.returncode or 0
    is_document = code == 0 and "--json" in arguments
    return code, (output if is_document else output + errors).decode()


async def status_text(state: Path) -> str:
    """What ``presage status`` says of orders."""
    _, output = await presage("status", "--state", str(state), "--json")
    return str(json.loads(output)["orders"])


async def status_until(state: Path, condition: Callable[[str], bool]) -> str:
    """Wait until ``presage status`` says what is wanted; its words.

    One look may miss a service's report on a busy machine, or fall between two parts of the same change.
    """
    deadline = monotonic() + PATIENCE_S
    while True:
        document: dict[str, Any] = await read_status(state)
        text = str(document["orders"])
        if condition(text):
            return text
        assert monotonic() < deadline, f"expected another status in time, was {text}"
        await asyncio.sleep(0.1)
