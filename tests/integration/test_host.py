"""The host between tape and machine: what a record calls for leaves at once."""

from pathlib import Path
from typing import Any

import pytest

from proto.feed import Trade
from tests.support.host_world import Counter, world

pytestmark = [pytest.mark.broker]

TRADES = 100
REST_S = 0.3
"""Long enough to store all trades while the host reads nothing: it then gets them in one go."""


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
