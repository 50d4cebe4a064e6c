"""In a cluster an output waits until the one before it is stored, and nothing counts as said before that."""

import asyncio
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from libs.machine.host_state import HostSettings, HostState
from libs.machine.outbox import Outbox
from libs.machine.runner import Effect, Output
from libs.tape.connection import Link
from libs.tape.publisher import Publisher, Stored
from libs.tape.record import TapeRecord
from proto.monitor import Clock
from proto.service import Started

MESSAGE = Started(service="signal", machine="signal", build="b", version=1, from_seq=0)


class Held(Publisher):
    """Acknowledges when the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.futures: list[asyncio.Future[Stored]] = []

    async def begin(self, subject: str, payload: bytes, headers: dict[str, str]) -> asyncio.Future[Stored]:
        self.sent.append(subject)
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


def effect(cause: int, outputs: int) -> Effect:
    record = TapeRecord(cause, "monitor.clock", {}, b"", 0)
    found = [Output(cause, index, f"signal.{cause}.{index}", b"", {}, MESSAGE) for index in range(outputs)]
    return Effect(record, Clock(at=1), found)


@pytest.mark.parametrize("is_cluster", [True, False])
def test_what_is_not_stored_yet_is_not_settled(is_cluster: bool) -> None:
    async def play() -> None:
        effects = [effect(1, 2), effect(2, 1)]
        runner: Any = SimpleNamespace(
            name="signal",
            stopped=None,
            ready=deque(effects),
            open_outputs={(o.cause, o.index): o for e in effects for o in e.outputs},
        )
        publisher = Held()
        lease: Any = SimpleNamespace(held=True, term=1) if is_cluster else None
        status = HostState(live=True, lease=lease)

        async def nothing() -> None:
            pass

        outbox = Outbox(
            HostSettings("signal", "t1", Path(), "b"),
            status,
            Link("signal"),
            publisher,
            None,
            runners=lambda: [runner],
            position=lambda: 9,
            acknowledged=nothing,
        )
        tasks = [asyncio.create_task(outbox.publish_loop()), asyncio.create_task(outbox.collect_loop())]
        outbox.wake()
        for stored in range(1, 4):
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(publisher.sent) == (stored if is_cluster else 3)
            assert not outbox.settled()
            publisher.futures[stored - 1].set_result(Stored(seq=stored))
        for _ in range(20):
            await asyncio.sleep(0)
        assert outbox.settled()
        assert publisher.sent == ["signal.1.0", "signal.1.1", "signal.2.0"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())
