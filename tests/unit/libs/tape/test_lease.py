"""Leases: whatever is lost, late or frozen, never two hold one; and when all is well, soon one does."""

import asyncio
import base64
import json
import random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.tape.errors import BrokerUnavailable, PublishRefused
from libs.tape.lease import HOLD_S, TAKE_S, Holding, Lease, LeaseLost
from libs.tape.publisher import Publisher, Stored
from libs.tasks import cancel_all
from tests.support.virtual_time import run_virtually

SOON_S = TAKE_S + 1.0


class Stream:
    """One subject with compare-and-set, as one broker answers it."""

    def __init__(self) -> None:
        self.seq = 0
        self.body = b""
        self.up = True
        self.stored: list[Holding] = []

    def store(self, payload: bytes, after: int) -> Stored | Exception:
        if not self.up:
            return BrokerUnavailable("expected a leader, was none")
        if after != self.seq:
            return PublishRefused("expected the message to be stored, was 10071", 10071)
        self.seq += 1
        self.body = payload
        self.stored.append(msgspec.json.decode(payload, type=Holding))
        return Stored(seq=self.seq)

    def answer(self) -> dict[str, Any]:
        if not self.seq:
            return {"error": {"code": 404}}
        return {"message": {"seq": self.seq, "data": base64.b64encode(self.body).decode()}}


class Line(Publisher):
    """A process's way to the stream: ``chance`` decides what is lost on it, and how late the rest is."""

    def __init__(self, stream: Stream, chance: random.Random, lossy: float = 0.0) -> None:
        self.stream = stream
        self.is_cut = False
        self.lossy = lossy
        self._chance = chance

    async def _travel(self) -> bool:
        """Whether what was sent arrives."""
        await asyncio.sleep(self._chance.choice((0.001, 0.01, 0.3)) if self.lossy else 0.001)
        return not self.is_cut and self._chance.random() >= self.lossy

    async def _answer(self, future: asyncio.Future[Stored], payload: bytes, after: int) -> None:
        if not await self._travel():
            return
        outcome = self.stream.store(payload, after)
        if not await self._travel() or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    async def start(self) -> None:
        pass

    async def begin(self, subject: str, payload: bytes, headers: dict[str, str]) -> asyncio.Future[Stored]:
        assert subject.endswith(".risk")
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        after = int(headers["Nats-Expected-Last-Subject-Sequence"])
        self._task = asyncio.create_task(self._answer(future, payload, after))
        return future

    async def request(self, _subject: str, _body: bytes, timeout: float) -> SimpleNamespace:
        async with asyncio.timeout(timeout):
            if not (await self._travel() and self.stream.up and await self._travel()):
                await asyncio.sleep(timeout + 1)
        return SimpleNamespace(data=json.dumps(self.stream.answer()).encode())


def lease_on(line: Line, name: str) -> Lease:
    link: Any = SimpleNamespace(client=SimpleNamespace(request=line.request), connected=False, service="risk")
    lease = Lease(link, "risk", "secret", name, now_s=asyncio.get_running_loop().time)
    lease._publisher = line
    return lease


class Process:
    """A process that keeps a lease, and starts again whenever it lost it."""

    def __init__(
        self, stream: Stream, name: str, chance: random.Random | None = None, lossy: float = 0.0
    ) -> None:
        self.line = Line(stream, chance or random.Random(1), lossy)
        self._name = name
        self.start()

    def start(self) -> None:
        self.lease = lease_on(self.line, self._name)
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self.lease.keep()
            except LeaseLost:
                self.lease = lease_on(self.line, self._name)

    async def crash(self) -> None:
        await cancel_all([self.task])
        self.start()


async def holder(processes: list[Process], patience_s: float) -> float:
    """Wait until one holds the lease; how long that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(patience_s):
        while not any(process.lease.held for process in processes):
            await asyncio.sleep(0.01)
    return loop.time() - began


@settings(max_examples=30)
@given(seed=st.integers(0, 1 << 30), lossy=st.sampled_from((0.0, 0.1, 0.5)))
def test_never_two_hold_a_lease_and_terms_only_rise(seed: int, lossy: float) -> None:
    async def play() -> None:
        chance = random.Random(seed)
        stream = Stream()
        processes = [Process(stream, name, chance, lossy) for name in ("a", "b", "c")]
        for _ in range(400):
            await asyncio.sleep(0.05)
            assert sum(process.lease.held for process in processes) <= 1
            if chance.random() < 0.02:
                stream.up = not stream.up
            if chance.random() < 0.02:
                await chance.choice(processes).crash()
            if chance.random() < 0.05:
                line = chance.choice(processes).line
                line.is_cut = not line.is_cut
        stream.up = True
        for process in processes:
            process.line.is_cut, process.line.lossy = False, 0.0
        await holder(processes, 2 * SOON_S)
        await cancel_all([process.task for process in processes])
        held = [holding for holding in stream.stored if holding.owner]
        assert [h.term for h in held] == sorted(h.term for h in held)
        owners: dict[int, str] = {}
        assert all(owners.setdefault(h.term, h.owner) == h.owner for h in held), "one term, two owners"

    run_virtually(play())


def test_a_standby_takes_over_after_a_crash_and_at_once_after_a_planned_stop() -> None:
    async def play() -> tuple[float, float]:
        stream = Stream()
        first, second = Process(stream, "a"), Process(stream, "b")
        await holder([first, second], SOON_S)
        leader, other = (first, second) if first.lease.held else (second, first)
        await cancel_all([leader.task])
        crashed_s = await holder([other], SOON_S)
        third = Process(stream, "c")
        await asyncio.sleep(1.0)
        await cancel_all([other.task])
        await other.lease.release()
        planned_s = await holder([third], SOON_S)
        await cancel_all([third.task])
        return crashed_s, planned_s

    crashed_s, planned_s = run_virtually(play())
    assert HOLD_S - 0.5 < crashed_s <= TAKE_S + 0.5
    assert planned_s < 0.5


def test_a_holder_that_cannot_renew_stops_and_goes_on_in_its_term_when_nobody_took_over() -> None:
    async def play() -> None:
        stream = Stream()
        only = Process(stream, "a")
        await holder([only], SOON_S)
        stream.up = False
        await asyncio.sleep(HOLD_S + 0.1)
        assert not only.lease.held
        assert only.lease.is_failing
        stream.up = True
        await holder([only], SOON_S)
        assert only.lease.term == 1
        await cancel_all([only.task])

    run_virtually(play())


def test_a_new_term_is_above_what_the_tape_knows() -> None:
    async def play() -> int:
        stream = Stream()
        lease = lease_on(Line(stream, random.Random(1)), "a")
        lease.known_term = lambda: 41
        keeping = asyncio.create_task(lease.keep())
        await lease.wait()
        await cancel_all([keeping])
        return lease.term

    assert run_virtually(play()) == 42


@pytest.mark.parametrize("resigned", [True, False])
def test_who_cannot_lead_does_not_take_the_lease(resigned: bool) -> None:
    async def play() -> bool:
        stream = Stream()
        process = Process(stream, "a")
        if resigned:
            process.lease.resign()
        else:
            process.lease.is_ready = lambda: False
        await asyncio.sleep(3 * SOON_S)
        held = process.lease.held
        await cancel_all([process.task])
        return held

    assert run_virtually(play()) is False


def test_what_two_processes_report_of_their_lease() -> None:
    async def play() -> None:
        stream = Stream()
        first = Process(stream, "a")
        await holder([first], SOON_S)
        second = Process(stream, "b")
        await asyncio.sleep(5 * TAKE_S)
        leads, waits = first.lease.report(), second.lease.report()
        assert (leads["is_held"], leads["is_able"], leads["term"], leads["changes"]) == (True, True, 1, 1)
        assert (waits["is_held"], waits["is_able"], waits["term"], waits["changes"]) == (False, True, 1, 0)
        assert max(leads["age_s"], waits["age_s"]) < HOLD_S
        second.lease.is_ready = lambda: False
        assert not second.lease.report()["is_able"]
        stream.up = False
        await asyncio.sleep(10.0)
        assert not first.lease.report()["is_held"]
        assert first.lease.report()["age_s"] > 9.0
        await cancel_all([first.task, second.task])

    run_virtually(play())
