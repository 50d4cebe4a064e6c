"""Token buckets on a clock that only moves when somebody sleeps."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.venues.transport.rate_limit import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        await asyncio.sleep(0)


def bucket_on(clock: Clock, rate: float, burst: float) -> TokenBucket:
    return TokenBucket(rate, burst, clock, clock.sleep)


_STEPS = st.one_of(
    st.tuples(st.just("take"), st.floats(0.1, 5)),
    st.tuples(st.just("pass"), st.floats(0.001, 10)),
    st.tuples(st.just("pause"), st.floats(0, 5)),
)


@given(rate=st.floats(0.1, 50), burst=st.floats(5, 20), steps=st.lists(_STEPS, max_size=40))
def test_no_span_of_time_gets_more_than_burst_and_rate_allow(rate, burst, steps):
    async def run() -> list[tuple[float, float]]:
        clock = Clock()
        bucket = bucket_on(clock, rate, burst)
        given_out = []
        for kind, amount in steps:
            if kind == "pass":
                clock.now += amount
            elif kind == "pause":
                bucket.pause_for(amount)
            else:
                asked, expected_s = clock.now, bucket.wait_s(amount)
                await bucket.acquire(amount)
                # Nobody waits longer than the tokens take to come.
                assert clock.now - asked <= expected_s + 0.001
                given_out.append((clock.now, amount))
        return given_out

    given_out = asyncio.run(run())
    for first, (begun, _) in enumerate(given_out):
        total = 0.0
        for at, amount in given_out[first:]:
            total += amount
            assert total <= burst + rate * (at - begun) + 1e-6


@given(seconds=st.floats(0.01, 100), rate=st.floats(0.5, 50))
def test_a_pause_gives_out_nothing_and_no_burst_after_it(seconds, rate):
    async def run() -> None:
        clock = Clock()
        bucket = bucket_on(clock, rate, 5)
        bucket.pause_for(seconds)
        for taken in range(1, 6):
            await bucket.acquire()
            assert clock.now >= 1_000.0 + seconds + taken / rate - 0.001

    asyncio.run(run())


def test_takers_are_served_in_the_order_they_came():
    async def run() -> list[int]:
        clock = Clock()
        bucket = bucket_on(clock, 1, 5)
        served: list[int] = []

        async def taker(number: int, cost: float) -> None:
            await bucket.acquire(cost)
            served.append(number)

        # The first ones are dear: cheap ones behind them must not slip past.
        async with asyncio.TaskGroup() as group:
            for number, cost in enumerate((5, 5, 1, 4, 0.1)):
                group.create_task(taker(number, cost))
        return served

    assert asyncio.run(run()) == [0, 1, 2, 3, 4]


def test_a_cancelled_wait_takes_nothing_and_a_pause_reaches_who_waits():
    async def run() -> None:
        clock = Clock()
        blocked = asyncio.Event()

        async def sleep(seconds: float) -> None:
            blocked.set()
            await asyncio.Event().wait()

        bucket = TokenBucket(1, 2, clock, sleep)
        await bucket.acquire(2)
        waiting = asyncio.create_task(bucket.acquire(2))
        await blocked.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert bucket.wait_s(2) == pytest.approx(2.0)
        clock.now += 2
        assert bucket.wait_s(2) == 0.0

    asyncio.run(run())

    async def paused_while_waiting() -> float:
        clock = Clock()
        bucket = bucket_on(clock, 1, 1)
        await bucket.acquire()
        waiting = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0)
        bucket.pause_for(30)
        await waiting
        return clock.now - 1_000.0

    assert asyncio.run(paused_while_waiting()) >= 30


def test_tokens_given_back_are_there_again_but_never_more_than_the_burst():
    async def run() -> None:
        clock = Clock()
        bucket = bucket_on(clock, 1, 3)
        await bucket.acquire(3)
        bucket.give_back(2)
        assert bucket.wait_s(2) == 0.0
        assert bucket.wait_s(3) == pytest.approx(1.0)
        bucket.give_back(50)
        await bucket.acquire(3)
        assert bucket.wait_s() == pytest.approx(1.0)

    asyncio.run(run())


def test_what_could_never_be_given_is_refused():
    async def run() -> None:
        with pytest.raises(ValueError, match="expected a cost of at most 5"):
            await TokenBucket(1, 5).acquire(5.1)
        with pytest.raises(ValueError, match="expected a rate and a burst above 0"):
            TokenBucket(0, 5)

    asyncio.run(run())
