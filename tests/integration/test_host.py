"""The host between tape and machine: what a record calls for leaves at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from libs.machine.cell import Effect
from libs.machine.host_state import Fact
from libs.machine.machine import Stamp
from proto.feed import Trade
from proto.message import Message
from tests.host_world import Counter, world

pytestmark = [pytest.mark.broker]

TRADES = 100
TURNS = 5
"""Of the loop, which what comes before publishing takes: a claim is written down, made and answered."""
REST_S = 0.3
"""Long enough to store all trades while the host reads nothing: it then gets them in one go."""


class Every(Counter):
    """Proposes at every tenth trade only."""

    every = 10

    def _on_trade(self, trade: Trade, stamp: Stamp) -> list[Message]:
        found = super()._on_trade(trade, stamp)
        return [] if self.state.trades % self.every else found


@pytest.mark.asyncio
async def test_what_a_record_calls_for_leaves_before_the_next_one_is_taken(tmp_path: Path):
    ahead: list[int] = []
    async with world(tmp_path) as tape, tape.host(Counter) as host:
        taken = 0
        begin = host.publisher.begin

        def take(_: Any, message: Any) -> None:
            nonlocal taken
            taken += isinstance(message, Trade)

        async def note(subject: str, *rest: Any) -> Any:
            if subject.startswith("signal.proposal."):
                ahead.append(taken - len(ahead))
            return await begin(subject, *rest)

        host.observers.append(take)
        host.publisher.begin = note  # type: ignore[assignment, method-assign]
        host.link.client.rest(REST_S)
        for _ in range(TRADES):
            await tape.trade()
        await tape.says(list(range(1, TRADES + 1)))
    assert len(ahead) == TRADES
    # Acknowledgements may hold some back; not all, until everything was taken.
    assert sorted(ahead)[TRADES // 2] == 1, ahead


@pytest.mark.asyncio
async def test_what_comes_before_publishing_does_not_wait_for_all_that_was_read(tmp_path: Path):
    taken, waited = 0, []

    async def claim(effect: Effect) -> list[Fact]:
        began = taken
        for _ in range(TURNS):
            await asyncio.sleep(0)
        waited.append(taken - began)
        return []

    def take(_: Any, message: Any) -> None:
        nonlocal taken
        taken += isinstance(message, Trade)

    async with world(tmp_path) as tape, tape.host(Every, before_publish=claim) as host:
        host.observers.append(take)
        host.link.client.rest(REST_S)
        for _ in range(TRADES):
            await tape.trade()
        await tape.says([Every.every * number for number in range(1, TRADES // Every.every + 1)])
    assert len(waited) == TRADES // Every.every
    assert max(waited) <= 2 * TURNS, waited
