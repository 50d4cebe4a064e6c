"""Commands at the same time: a halt waits for nobody's outcome, and no resume ends a halt that it did not see."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.operator.aftermath import FlattenEffect, HaltEffect
from proto.operator import Verb
from services.console import commands
from services.console.commands import CommandDesk
from services.console.surroundings import Surroundings
from tests.support.console_world import console_over
from tests.support.view_session import bought_and_half_sold, clock, opening

FOREVER_S = 60.0


class Said(CommandDesk):
    """A desk whose tape is a list: what was said, in its order. A reason goes with each."""

    def __init__(self, now: Surroundings) -> None:
        super().__init__(now, tuple(verb.value for verb in Verb))
        self.said: list[tuple[Verb, str]] = []
        self.may_store = asyncio.Event()
        self.may_store.set()

    async def _publish(self, verb: Verb, fields: Any) -> int:
        await self.may_store.wait()
        self.said.append((verb, fields["reason"]))
        return len(self.said)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Said]:
    """A desk beside a flatten whose outcome never comes, and machines that read everything else at once."""

    async def never(*_: Any) -> FlattenEffect:
        await asyncio.sleep(FOREVER_S)
        return FlattenEffect()

    async def at_once(*_: Any) -> HaltEffect:
        return HaltEffect(acted=True)

    async def acted(*_: Any) -> bool:
        return True

    monkeypatch.setattr(commands, "effect_of_flatten", never)
    monkeypatch.setattr(commands, "effect_of_halt", at_once)
    monkeypatch.setattr(commands, "have_acted", acted)
    now = console_over(tmp_path, [*opening(), clock(1), *bought_and_half_sold()]).now
    return lambda: Said(now)


def test_a_halt_waits_for_no_outcome_and_a_resume_older_than_it_leaves_the_file(given: Callable[[], Said]):
    async def run() -> None:
        desk = given()
        flatten = asyncio.create_task(desk.give(Verb.FLATTEN, "ana"))
        while not desk.said:
            assert not flatten.done(), flatten.result().text
            await asyncio.sleep(0)
        desk.may_store.clear()
        close_only = asyncio.create_task(desk.give(Verb.CLOSE_ONLY, "ana"))
        await asyncio.sleep(0)
        resume = asyncio.create_task(desk.give(Verb.RESUME, "ana"))
        await asyncio.sleep(0)
        halt = asyncio.create_task(desk.give(Verb.HALT, "bo", reason="odd prices"))
        await asyncio.sleep(0)
        desk.may_store.set()
        halted, resumed = await asyncio.wait_for(asyncio.gather(halt, resume), 30)
        await close_only
        assert not flatten.done()
        flatten.cancel()
        assert halted.done
        assert (resumed.done, resumed.text) == (False, "not done: halted since")
        assert desk._now.layout.halt_file.read_text() == "console: bo: odd prices"
        assert [verb for verb, _ in desk.said] == [Verb.FLATTEN, Verb.CLOSE_ONLY, Verb.HALT]
        assert desk.said[-1][1] == "console: bo: odd prices"

    asyncio.run(run())


@pytest.mark.parametrize("close_only", ["", "yes"])
def test_a_halt_while_a_resume_is_being_stored_keeps_its_file(given: Callable[[], Said], close_only: str):
    async def run() -> None:
        desk = given()
        await desk.give(Verb.HALT, "bo")
        desk.may_store.clear()
        resume = asyncio.create_task(desk.give(Verb.RESUME, "ana", close_only=close_only))
        await asyncio.sleep(0)
        halt = asyncio.create_task(desk.give(Verb.HALT, "bo", reason="again"))
        await asyncio.sleep(0)
        desk.may_store.set()
        assert (await resume).text == "not done: halted since"
        assert (await halt).done
        assert desk._now.layout.halt_file.read_text() == "console: bo: again"
        assert desk.said[-1][0] is Verb.HALT
        assert (await desk.give(Verb.RESUME, "ana", close_only=close_only)).done
        assert not desk._now.layout.halt_file.exists()

    asyncio.run(run())


def test_a_halt_by_another_process_is_newer_too(given: Callable[[], Said]):
    async def run() -> None:
        desk = given()
        seen = desk.halts()
        desk._now.layout.halt_file.write_text("operator")
        assert (await desk.give(Verb.RESUME, "ana", seen=seen)).text == "not done: halted since"
        assert desk._now.layout.halt_file.exists()
        assert not desk.said

    asyncio.run(run())


def test_close_only_that_nobody_has_read_does_not_say_that_it_holds(
    given: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
):
    async def not_yet(*_: Any) -> bool:
        return False

    async def run() -> None:
        desk = given()
        monkeypatch.setattr(commands, "have_acted", not_yet)
        outcome = await desk.give(Verb.CLOSE_ONLY, "ana")
        assert not outcome.done
        assert "have not read it yet" in outcome.text
        assert "no entry does" not in outcome.text

    asyncio.run(run())
