"""A shared question is asked once for many, and never answered with what was known before it was asked."""

import asyncio

import pytest

from libs.venues.transport.shared import SharedQuestion

pytestmark = pytest.mark.asyncio


class Venue:
    """Counts what it is asked; answers when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.failing = False

    async def ask(self, key: str) -> int:
        self.asked.append(key)
        number = len(self.asked)
        await self.go.wait()
        if self.failing:
            raise ValueError(key)
        return number


async def begun(venue: Venue, count: int) -> None:
    while len(venue.asked) < count:
        await asyncio.sleep(0)


async def test_many_share_one_and_who_comes_late_the_next():
    venue = Venue()
    shared = SharedQuestion(venue.ask)
    first = [asyncio.create_task(shared.get("a")) for _ in range(5)]
    await begun(venue, 1)
    late = [asyncio.create_task(shared.get("a")) for _ in range(5)]
    other = asyncio.create_task(shared.get("b"))
    await begun(venue, 2)
    venue.go.set()
    assert await asyncio.gather(*first) == [1] * 5
    assert await other == 2
    assert await asyncio.gather(*late) == [3] * 5
    assert venue.asked == ["a", "b", "a"]
    assert await shared.get("a") == 4


async def test_an_error_is_everybodys_and_the_next_question_is_a_new_one():
    venue = Venue()
    venue.failing = True
    venue.go.set()
    shared = SharedQuestion(venue.ask)
    answers = await asyncio.gather(*(shared.get("a") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError] * 3
    venue.failing = False
    assert await shared.get("a") == 2


async def test_who_gives_up_takes_the_answer_from_nobody():
    venue = Venue()
    shared = SharedQuestion(venue.ask)
    patient = asyncio.create_task(shared.get("a"))
    hasty = asyncio.create_task(shared.get("a"))
    await begun(venue, 1)
    hasty.cancel()
    await asyncio.gather(hasty, return_exceptions=True)
    venue.go.set()
    assert await patient == 1


async def test_closing_leaves_nothing_behind():
    venue = Venue()
    shared = SharedQuestion(venue.ask)
    waiting = [asyncio.create_task(shared.get("a"))]
    await begun(venue, 1)
    waiting.append(asyncio.create_task(shared.get("a")))
    await asyncio.sleep(0)
    await shared.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2
    assert len(asyncio.all_tasks()) == 1
