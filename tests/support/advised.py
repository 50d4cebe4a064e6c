"""A whole system at the sandbox, with its advisor and the sandbox's models."""

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.cluster import with_cluster
from tests.support.harness import Tape, started
from tools.system.build import system_of
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES
from tools.system.options import MarketSource, Options
from tools.system.system import System

EAGER = {
    # Whatever the time of day: some market of the sandbox always ends within two days.
    "advisor.warmup_s": "3",
    "advisor.left_min_s": "1",
    "advisor.spread_max": "1.0",
    "advisor.cycle_s": "5",
}


@asynccontextmanager
async def advised(
    state: Path,
    changes: dict[str, str] | None = None,
    strategies: Sequence[str] = DEFAULT_STRATEGIES,
    *,
    evaluator: bool = False,
) -> AsyncIterator[tuple[System, Tape]]:
    """A started system whose advisor asks at once and often; stopped when the block ends."""
    with_cluster(state / "postgres")
    config = state.with_name(f"{state.name}-config")
    shutil.copytree(CONFIG_DIRECTORY, config)
    (config / "signal" / "eager.yaml").write_text("repeat_interval_s: 1\n")
    options = Options(
        state=state, market=MarketSource.SANDBOX, strategies=tuple(strategies), evaluator=evaluator
    )
    system = system_of(options, config, EAGER | (changes or {}))
    assert system.advising.is_on, system.advising.note
    async with started(system) as tape:
        yield system, tape


def models_url(system: System) -> str:
    """Where the sandbox's models are."""
    return system.installation.layout.read_run().advisor_url.removesuffix("/v1")


async def behave(system: System, **behaviour: Any) -> None:
    """Change how the models behave."""
    async with httpx.AsyncClient(timeout=60) as client:
        (await client.put(f"{models_url(system)}/behaviour", json=behaviour)).raise_for_status()


async def paid_calls(system: System) -> Counter[str]:
    """Hash of what was asked → how often an answer to it was computed."""
    async with httpx.AsyncClient(timeout=60) as client:
        return Counter((await client.get(f"{models_url(system)}/calls")).json())
