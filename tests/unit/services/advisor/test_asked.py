"""The shell's own account: what has left counts, across starts, whatever the tape says."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proto.units import ONE, SECOND
from services.advisor.asked import KEPT, AskedLog
from services.advisor.moments import DAY

NOON = 20_000 * DAY + 12 * 3_600 * SECOND
CAP = 3 * ONE


def test_what_has_left_counts_in_full_until_its_cost_is_known(tmp_path: Path):
    log = AskedLog(tmp_path / "a" / "asked.log")
    log.add("q1", NOON, ONE)
    log.add("q2", NOON, ONE)
    assert log.left(NOON, CAP, CAP) == ONE
    log.settle("q1", ONE // 4)
    log.close()
    again = AskedLog(tmp_path / "a" / "asked.log")
    assert "q1" in again
    assert "q2" in again
    assert again.left(NOON, CAP, CAP) == CAP - ONE - ONE // 4
    assert again.left(NOON + DAY, CAP, CAP) == CAP - ONE - ONE // 4, "the month's"
    assert again.left(NOON + DAY, CAP, 10 * ONE) == CAP
    assert again.left(NOON + 40 * DAY, CAP, CAP) == CAP
    again.close()


def test_the_log_of_an_older_version_and_a_torn_line_name_questions(tmp_path: Path):
    path = tmp_path / "asked.log"
    path.write_text("old1\nold2\n\nq3 20000 5000\npaid q3\npaid nobody 7\nsum x 1\nq4 200")
    log = AskedLog(path)
    assert all(name in log for name in ("old1", "old2", "q3", "q4"))
    assert "paid" not in log
    assert log.left(NOON, CAP, CAP) == CAP - 5_000
    log.close()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, ONE), st.integers(0, ONE)), max_size=20))
def test_sums_survive_when_the_log_is_made_shorter(tmp_path_factory, asked):
    path = tmp_path_factory.mktemp("log") / "asked.log"
    log = AskedLog(path)
    for number, (day, reserve, cost) in enumerate(asked):
        log.add(f"q{number}", NOON + day * DAY, reserve)
        if number % 2:
            log.settle(f"q{number}", cost)
    left = [log.left(NOON + day * DAY, 100 * ONE, 1_000 * ONE) for day in range(5)]
    log.close()
    path.write_text(path.read_text() + "".join(f"filler{number}\n" for number in range(KEPT)))
    for _ in range(2):
        log = AskedLog(path)
        assert [log.left(NOON + day * DAY, 100 * ONE, 1_000 * ONE) for day in range(5)] == left
        log.close()
