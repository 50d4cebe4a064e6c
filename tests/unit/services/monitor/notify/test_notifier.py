"""Who is told what, how often, and what a restart leaves of it."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.tape.record import TapeRecord
from libs.tasks import cancel_all
from proto.exit import ExitReason
from proto.message import Message
from proto.monitor import Alert, Severity
from proto.units import SECOND
from services.monitor.notify import folding
from services.monitor.notify.channel import (
    QUEUE_MAX,
    TEXT_CHARACTERS_MAX,
    Channel,
    ChannelState,
    Outcome,
)
from services.monitor.notify.notes import Note, note_of
from services.monitor.notify.notifier import FAILING_AFTER_S, Around, Notifier
from services.monitor.notify.params import ChannelParams, NotifyParams
from services.monitor.notify.store import NotifyStore
from tests.support.monitor_tape import exit_proposal, fill
from tests.support.waiting import until

NOON = 1_779_019_200 * SECOND  # 2026-05-17 12:00 UTC


def alert(
    rule: str = "silent_feed", topic: str = "x", severity: Severity = Severity.WARNING, **fields
) -> Alert:
    return Alert(rule=rule, severity=severity, topic=topic, text="why", **fields)


def params(**fields) -> ChannelParams:
    return ChannelParams(**({"name": "a", "kind": "apprise", "file": "a"} | fields))


def note(text: str = "text", severity: Severity = Severity.WARNING, group: str = "g", event="alert") -> Note:
    return Note(event, severity, group, "", text)


def channel(**fields) -> Channel:
    return Channel(params(**fields), ChannelState(), UTC)


# ── what is told ──


def test_every_event_has_words_and_what_to_type():
    told = note_of(alert(rule="stuck_order", topic="t1-5-0", severity=Severity.CRITICAL), "$")
    assert told == Note(
        "alert",
        Severity.CRITICAL,
        "stuck_order t1-5-0",
        "t1-5-0",
        "critical: stuck_order t1-5-0: why: presage why t1-5-0",
    )
    assert note_of(alert(active=False), "$").text == "over: silent_feed x: why"
    assert note_of(alert(rule="halt"), "$").event == "halt"
    assert note_of(alert(rule="condition"), "$").event == "condition"
    assert note_of(fill(1, "t1-5-0"), "$").text.startswith(
        "fill: buy 10 kalshi:KXBTC15M-T1:yes @ 0.50, fee $0.00"
    )
    assert note_of(exit_proposal(), "$") is None  # a target is no stop
    stop = exit_proposal().model_copy(update={"reason": ExitReason.STOP_LOSS})
    assert note_of(stop, "$").event == "stop"


def test_a_channel_chooses_by_event_and_severity():
    quiet = channel(severity_min="critical", events=("alert", "fill"))
    assert not quiet.wants(note())
    assert quiet.wants(note(severity=Severity.CRITICAL))
    assert quiet.wants(note(severity=Severity.INFO, event="fill"))  # severity is about alerts
    assert not quiet.wants(note(severity=Severity.CRITICAL, event="halt"))


# ── repeats ──


def test_repeats_are_told_once_and_then_together():
    windows: dict = {}
    first = note("first")
    assert folding.add(windows, first, 0, 600) is first
    for number in range(12):
        later = Note("alert", Severity.WARNING, "g", str(number), f"text {number}")
        assert folding.add(windows, later, SECOND, 600) is None
    assert folding.due(windows, 599 * SECOND, 600) == []
    (told,) = folding.due(windows, 600 * SECOND, 600)
    assert told.text.splitlines() == ["g: 12 more in 10 min", *(f"text {n}" for n in range(2, 12))]
    assert folding.due(windows, 1_200 * SECOND, 600) == []
    assert folding.add(windows, first, 1_200 * SECOND, 600) is first  # quiet for as long: at once again


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), max_size=60))
def test_nothing_is_lost_by_folding(steps):
    windows: dict = {}
    now, told = 0, 0
    for seconds, group in steps:
        now += seconds * SECOND
        told += sum(int(due.text.split(": ")[1].split()[0]) for due in folding.due(windows, now, 600))
        told += folding.add(windows, note(group=group), now, 600) is not None
    rest = folding.due(windows, now + 10_000 * SECOND, 600)
    assert told + sum(int(due.text.split(": ")[1].split()[0]) for due in rest) == len(steps)


# ── one channel ──


def test_a_flood_is_joined_cut_and_slowed():
    one = channel(per_minute_max=2)
    one.put(note("x" * 10_000), NOON)
    for number in range(30):
        one.put(note(f"text {number}"), NOON)
    first = one.next_message(NOON, 0.0)
    assert [len(item.text) for item in first] == [TEXT_CHARACTERS_MAX]
    one.begin(first)
    one.finish(first, Outcome(True), 0.0)
    second = one.next_message(NOON, 0.0)
    assert len(second) == 20
    one.begin(second)
    one.finish(second, Outcome(True), 0.0)
    assert one.next_message(NOON, 0.0) == []  # two a minute
    assert one.next_message(NOON, 29.0) == []
    assert len(one.next_message(NOON, 30.0)) == 10


def test_a_full_queue_drops_what_is_not_critical_and_counts_it():
    one = channel()
    one.put(note("important", Severity.CRITICAL), NOON)
    for number in range(QUEUE_MAX + 5):
        one.put(note(str(number)), NOON)
    assert one.state.dropped == 6
    assert one.next_message(NOON, 0.0)[0].text == "important"
    assert len(one.state.pending) == QUEUE_MAX


def test_quiet_hours_let_the_critical_through_and_keep_the_rest():
    one = channel(quiet="22:00-07:00")
    night = NOON + 11 * 3_600 * SECOND
    one.put(note("later"), night)
    one.put(note("now", Severity.CRITICAL), night)
    assert [item.text for item in one.next_message(night, 0.0)] == ["now"]
    one.expire(night + 7 * 3_600 * SECOND, 3_600)  # what is critical has grown old, what waits has not
    assert (len(one.state.pending), one.state.dropped) == (1, 1)
    end = NOON + 19 * 3_600 * SECOND
    assert [item.text for item in one.next_message(end, 0.0)] == ["later"]


def test_what_is_old_is_no_news():
    one = channel()
    one.put(note("old"), NOON)
    one.put(note("new"), NOON + 1_800 * SECOND)
    one.expire(NOON + 3_601 * SECOND, 3_600)
    assert [item.text for item in one.state.pending] == ["new"]
    assert one.state.dropped == 1


def test_a_failure_waits_longer_each_time_and_a_service_that_says_how_long_is_heard():
    one = channel()
    one.put(note(), NOON)
    now = 0.0
    for wait in (5.0, 10.0, 20.0):
        chosen = one.next_message(NOON, now)
        one.begin(chosen)
        one.finish(chosen, Outcome(False, "down"), now)
        assert one.next_message(NOON, now + wait - 0.1) == []
        now += wait
    chosen = one.next_message(NOON, now)
    one.begin(chosen)
    one.finish(chosen, Outcome(False, "429: Too Many Requests", retry_after_s=77.0), now)
    assert one.next_message(NOON, now + 76.0) == []
    assert one.next_message(NOON, now + 77.0) == chosen
    assert one.report()["failed"] == 4
    assert one.failing_s(now + 60.0) == 95.0
    one.begin(chosen)
    one.finish(chosen, Outcome(True), now + 77.0)
    assert one.failing_s(now + 100.0) == 0.0
    assert one.report() | {"sent": 1, "waiting": 0, "error": ""} == one.report()


def test_what_is_refused_for_itself_does_not_stop_the_others():
    one = channel()
    one.put(note("bad"), NOON)
    chosen = one.next_message(NOON, 0.0)
    one.begin(chosen)
    one.finish(chosen, Outcome(False, "400: Bad Request", refused=True), 0.0)
    assert one.state.pending == []
    assert one.state.dropped == 1


# ── the whole, with channels that are played ──


class Target:
    """A channel's service: takes, fails or hangs as a test says."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.answers: list[Outcome] = []
        self.hang = False
        self.hanging = 0
        self.fails = 0

    async def __call__(self, text: str) -> Outcome:
        if self.hang:
            self.hanging += 1
            await asyncio.Event().wait()
        if self.fails:
            self.fails -= 1
            raise ValueError("a fault of the sender's")
        if self.answers:
            return self.answers.pop(0)
        self.texts.append(text)
        return Outcome(True)


class World:
    """A notifier whose time stands until it is moved."""

    def __init__(self, folder: Path, *channels: ChannelParams, **fields) -> None:
        self.folder = folder
        self.channels = channels
        self.fields = fields
        self.targets = {one.name: Target() for one in channels}
        self.wall_ns, self.now_s = NOON, 0.0
        self.follows = False
        self.paused: list[float] = []
        self.seq = 0
        self.notifier = self.made()

    def made(self) -> Notifier:
        return Notifier(
            NotifyParams(channels=self.channels, **self.fields),
            self.targets,
            NotifyStore(self.folder / "notify"),
            Around(
                "t1",
                zone=UTC,
                follows=lambda: self.follows,
                account=lambda: {"equity": 100_000_000, "profit": -2_500_000, "risk_state": "active"},
                wall_ns=lambda: self.wall_ns,
                now_s=lambda: self.now_s,
                pause=self.pause,
            ),
        )

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.move(seconds)
        await asyncio.sleep(0)

    def move(self, seconds: float) -> None:
        self.wall_ns += int(seconds * SECOND)
        self.now_s += seconds

    def take(self, message: Message, seq: int = 0) -> None:
        self.seq = seq or self.seq + 1
        self.notifier.on_record(record(self.seq, self.wall_ns), message)

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.notifier.run())
        try:
            yield self
        finally:
            await cancel_all([task])

    def restart(self) -> None:
        """Another process on the same folder, which reads the tape from the beginning."""
        self.notifier = self.made()


def record(seq: int, stored_at_ns: int) -> TapeRecord:
    return TapeRecord(seq=seq, subject="x", payload=b"", headers={}, stored_at_ns=stored_at_ns)


async def has(target: Target, *texts: str) -> None:
    await until(lambda: len(target.texts) >= len(texts))
    assert [text.split(":")[1].strip() for text in target.texts] == list(texts)


@pytest.mark.asyncio
async def test_an_alert_reaches_every_channel_that_wants_it_and_a_hanging_one_delays_none(tmp_path):
    world = World(tmp_path, params(name="a"), params(name="b"), params(name="c", events=("fill",)))
    world.targets["a"].hang = True
    async with world.running():
        world.take(alert(topic="one"))
        await until(lambda: world.targets["a"].hanging == 1)
        world.take(alert(rule="book_gapped", topic="two"))
        await until(lambda: len("".join(world.targets["b"].texts).split("warning:")) == 3)
    assert world.targets["c"].texts == []
    assert world.notifier.report()["a"]["waiting"] == 2


@pytest.mark.asyncio
async def test_nothing_is_sent_twice_after_a_restart_and_what_waited_is_sent(tmp_path):
    world = World(tmp_path, params(name="a"), params(name="b"), params(name="c"))
    world.targets["b"].hang = True
    world.targets["c"].answers = [Outcome(False, "down")]
    async with world.running():
        world.take(alert(topic="one"))
        await until(lambda: bool(world.targets["a"].texts) and world.targets["b"].hanging == 1)
        await until(lambda: world.notifier.report()["c"]["failed"] == 1)
    world.targets["b"].hang = False
    world.restart()
    async with world.running():
        world.take(alert(topic="one"), seq=1)  # the same message, read again
        world.take(alert(rule="book_gapped", topic="two"))
        await until(lambda: len(world.targets["a"].texts) == 2)
        await until(lambda: len(world.targets["b"].texts) == 1)
        await until(lambda: "one" in "".join(world.targets["c"].texts))
        await until(lambda: "two" in "".join(world.targets["c"].texts))
    assert "one" in world.targets["a"].texts[0]
    assert "one" not in world.targets["a"].texts[1]
    # Nobody knows whether b has the first: it was on its way, and is counted instead of repeated.
    assert "two" in world.targets["b"].texts[0]
    assert world.notifier.report()["b"]["interrupted"] == 1
    assert "".join(world.targets["c"].texts).count("one") == 1


@pytest.mark.asyncio
async def test_what_was_said_before_is_no_news(tmp_path):
    world = World(tmp_path, params(name="a"))
    world.notifier.on_record(record(1, NOON - SECOND), alert(topic="before"))
    async with world.running():
        world.take(alert(rule="book_gapped"), seq=2)
        await has(world.targets["a"], "book_gapped x")


@pytest.mark.asyncio
async def test_who_follows_says_nothing_and_goes_on_from_there(tmp_path):
    world = World(tmp_path, params(name="a"))
    world.follows = True
    async with world.running():
        world.take(alert(topic="leaders"))
        world.follows = False
        world.take(alert(rule="book_gapped"))
        await has(world.targets["a"], "book_gapped x")


@pytest.mark.asyncio
async def test_the_day_has_one_summary_and_a_restart_makes_no_other(tmp_path):
    world = World(tmp_path, params(name="a", events=("daily",)))
    world.notifier.step()
    world.take(fill(1, "t1-5-0"))
    world.take(alert())
    world.move(20 * 3_600)
    async with world.running():
        await until(lambda: len(world.targets["a"].texts) == 1)
    world.restart()
    world.notifier.step()
    assert world.targets["a"].texts == [
        "Presage is alive: 1 fill, 1 alert raised, equity $100.00, profit −$2.50, risk active"
    ]
    assert world.notifier.report()["a"]["waiting"] == 0


@pytest.mark.asyncio
async def test_a_channel_that_fails_is_named_and_told_by_the_others(tmp_path):
    world = World(tmp_path, params(name="a"), params(name="b"))
    world.targets["a"].answers = [Outcome(False, "down")] * 10
    async with world.running():
        world.take(alert(topic="one"))
        await until(lambda: world.notifier.report()["a"]["failed"] == 1)
        assert world.notifier.failing() == {}
        world.move(FAILING_AFTER_S + 1)
        assert world.notifier.failing() == {"a": "down"}
        world.targets["a"].answers.clear()
        world.take(alert(rule="notifications_failing", topic="a", severity=Severity.CRITICAL))
        await until(lambda: "notifications_failing" in "".join(world.targets["b"].texts))
        await until(lambda: bool(world.targets["a"].texts))
    assert "notifications_failing" not in "".join(world.targets["a"].texts)


@pytest.mark.asyncio
async def test_a_disk_that_takes_nothing_stops_no_message(tmp_path):
    (tmp_path / "notify").write_text("a file where the folder should be")
    world = World(tmp_path, params(name="a"))
    async with world.running():
        world.take(alert())
        await until(lambda: bool(world.targets["a"].texts))
    assert world.notifier.unsaved > 0


@pytest.mark.asyncio
async def test_a_fault_of_one_sender_ends_nothing(tmp_path):
    world = World(tmp_path, params(name="a"), params(name="b"))
    world.targets["a"].fails = 1
    async with world.running():
        world.take(alert())
        await until(lambda: bool(world.targets["b"].texts) and world.notifier.report()["a"]["failed"] == 1)
        assert world.notifier.report()["a"]["error"] == "not sent: ValueError"
        world.move(10)
        await until(lambda: bool(world.targets["a"].texts))
    assert not world.notifier.restarts


@pytest.mark.asyncio
async def test_what_fails_begins_again_later_each_time_and_is_told(tmp_path, monkeypatch):
    world = World(tmp_path, params(name="a"), params(name="b"))
    step, fails = Notifier.step, [4]

    def failing(notifier: Notifier) -> None:
        if fails[0]:
            fails[0] -= 1
            raise ValueError("a fault")
        step(notifier)

    monkeypatch.setattr(Notifier, "step", failing)
    async with world.running():
        await until(lambda: fails[0] == 0 and len(world.paused) == 4)
        world.take(alert())
        await until(lambda: bool(world.targets["a"].texts) and bool(world.targets["b"].texts))
        assert world.paused == [5.0, 10.0, 20.0, 40.0]
        assert world.notifier.report()["b"]["restarts"] == 4
        assert world.notifier.failing() == dict.fromkeys("ab", "begun again after ValueError")
        world.move(FAILING_AFTER_S)
        assert world.notifier.failing() == {}


def test_a_record_of_another_kind_costs_nothing(tmp_path):
    world = World(tmp_path, params(name="a"))
    changed: list[Callable] = []
    world.notifier.on_record(record(9, NOON), exit_proposal().model_copy())
    assert world.notifier.state.channels["a"].pending == []
    assert changed == []


def test_a_name_twice_and_a_chat_that_is_none_are_refused():
    with pytest.raises(ValueError, match="once, was one twice"):
        NotifyParams(channels=(params(), params()))
    with pytest.raises(ValueError, match="expected the chat"):
        params(kind="telegram")
