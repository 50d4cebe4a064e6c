"""The evaluator's queue is bounded and in order; requests are what they must be, or refused with a reason."""

import json
from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.units import SECOND
from tools.offline.worker.findings import bounds_of, day_due, name_of, words_of
from tools.offline.worker.protocol import (
    COUNTERFACTUAL,
    EVALUATE,
    MEASURE,
    WHAT_IF,
    RequestError,
    read_request,
)
from tools.offline.worker.queue import JOBS_MAX, OF_A_USER_MAX, URGENCY, Job, JobQueue, QueueFull

KINDS = (COUNTERFACTUAL, WHAT_IF, EVALUATE, MEASURE)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("add", "cancel", "next")),
            st.integers(0, 12),
            st.sampled_from(KINDS),
            st.sampled_from(("", "console", "operator")),
        ),
        max_size=60,
    )
)
def test_what_is_next_is_the_oldest_of_the_most_urgent(steps: list[tuple[str, int, str, str]]):
    queue = JobQueue()
    waiting: list[Job] = []
    for step, number, kind, user in steps:
        key = f"{number}"
        if step == "add":
            known = any(job.key == key for job in waiting)
            full = len(waiting) >= JOBS_MAX or (
                bool(user) and sum(job.user == user for job in waiting) >= OF_A_USER_MAX
            )
            job = Job(key, kind, {}, user)
            if known:
                queue.add(job)
            elif full:
                with pytest.raises(QueueFull):
                    queue.add(job)
            else:
                queue.add(job)
                waiting.append(job)
        elif step == "cancel":
            found = next((job for job in waiting if job.key == key), None)
            assert queue.cancel(key) is found
            waiting = [job for job in waiting if job is not found]
        else:
            expected = min(waiting, key=lambda job: URGENCY[job.kind]) if waiting else None
            assert queue.next() is expected
            waiting = [job for job in waiting if job is not expected]
        assert len(queue) == len(waiting)


def test_the_queue_is_bounded():
    queue = JobQueue()
    for number in range(JOBS_MAX):
        queue.add(Job(f"{number}", MEASURE, {}))
    with pytest.raises(QueueFull, match=f"at most {JOBS_MAX} jobs"):
        queue.add(Job("more", COUNTERFACTUAL, {}))


GOOD = {"id": "a1", "kind": "what_if", "changes": {"signal.momentum.z_min": "2.5"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "measure"}, "expected one of what_if, evaluate, cancel, was 'measure'"),
        ({"id": "a.b"}, "expected an id"),
        ({"id": ">"}, "expected an id"),
        ({"changes": {}}, "expected 1 to 50 changes, was 0"),
        ({"changes": {"a": 1}}, "expected a request"),
        ({"root": "/"}, "expected a request"),
        ({"day": "x" * 70_000}, "expected a request of at most"),
    ],
)
def test_a_request_that_is_none_is_refused(change: dict[str, object], said: str):
    with pytest.raises(RequestError, match=said):
        read_request("work.request.console", json.dumps(GOOD | change).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(data: bytes):
    with suppress(RequestError):
        assert read_request("work.request.console", data).user == "console"


def test_answers_go_to_who_asked():
    asked = read_request("work.request.console", json.dumps(GOOD).encode())
    assert asked.subject == "work.answer.console.a1"


def test_a_change_that_makes_its_day_worse_is_shown_as_such():
    def result(profit: int, differing: int, noise: int = 0) -> dict[str, object]:
        return {
            "without": {"profit": 0},
            "changed": {"profit": profit},
            "differing": differing,
            "noise": noise,
        }

    assert words_of(result(-5, 30)) == "worse on its own day"
    assert words_of(result(5, 30)) == "better on its own day"
    assert words_of(result(5, 3)) == "better on its own day; 3 decisions differ, too few to tell"
    assert words_of(result(5, 30, 4)).endswith("within the noise of the trades that differ")
    assert words_of(result(0, 0)) == "it changes nothing on this day"


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-05-14T00:29:59", "2026-05-12"),
        ("2026-05-14T00:30:00", "2026-05-13"),
        ("2026-05-14T23:59:59", "2026-05-13"),
        ("1970-01-01T05:00:00", ""),
    ],
)
def test_a_day_is_due_from_half_past_midnight_on(moment: str, day: str):
    now = int(datetime.fromisoformat(f"{moment}+00:00").timestamp()) * SECOND
    found, ended_at = day_due(now)
    assert found == day
    assert not day or name_of(ended_at - 1) == day != name_of(ended_at)


def test_a_day_has_bounds_and_anything_else_is_the_whole_tape():
    assert bounds_of("2026-05-13") == ("2026-05-13T00:00:00", "2026-05-13T23:59:59")
    assert bounds_of("newest") == ("", "")
