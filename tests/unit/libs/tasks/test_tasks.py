"""Tasks are ended, also those that miss a cancellation."""

import asyncio

import pytest

import libs.tasks
from libs.tasks import cancel_all, run_until_first


async def _misses(cancellations: int) -> None:
    """Go on after so many cancellations, as a loop around ``asyncio.wait_for`` may before Python 3.12."""
    for _ in range(cancellations):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def _fails() -> None:
    raise OSError("lost")


@pytest.mark.asyncio
async def test_a_task_that_misses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libs.tasks, "CANCEL_AGAIN_S", 0.01)
    tasks = [asyncio.create_task(work) for work in (_misses(2), _misses(0), _fails())]
    await asyncio.sleep(0)
    await cancel_all(tasks)
    assert [task.done() for task in tasks] == [True, True, True]
    await cancel_all([])


@pytest.mark.asyncio
async def test_the_first_error_is_raised_and_the_others_are_ended() -> None:
    with pytest.raises(OSError, match="lost"):
        await run_until_first(_misses(0), _fails())
    assert asyncio.all_tasks() == {asyncio.current_task()}
